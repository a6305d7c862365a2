"""`data.command`, recorded and as real Laravel writes it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from shared.laravel.arguments import CommandError
from shared.laravel.command import read_command
from shared.laravel.encrypter import Encrypter
from shared.laravel.php import PhpObject, PropertyName, Value, dumps
from shared.laravel.php_objects import ModelReference

KEY = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ENCRYPTER = Encrypter(SecretStr(KEY))
ENCRYPTED_JOB = (
    "eyJpdiI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHc9PSIsInZhbHVlIjoiaHhaeFdWcUZ1OHA5alMrNGRXVXdzL0dOQ1"
    "laclJuamFoNXFqaHpMMDE0MG9BWmxWTDJJRzB0V2ZwalZMSURRNDY1ZEpNMWk4RGwrVE1tUmROUXZuRXc9PSIsIm1h"
    "YyI6IjYyZThlMDk0OWI4NjA0ZDZiYjQ0YjQ4ZmYzZDk2OGZiODYwMWYyMDYwOGJjMmFlODg0ZTNhODE1ZWFhNTQwYT"
    "QiLCJ0YWciOiIifQ=="
)
CHAIN_A = r'O:15:"App\Jobs\ChainA":1:{s:1:"v";i:2;}'
MEMBERS = (
    's:4:"name";s:2:"al";s:9:"\0*\0secret";s:3:"sec";s:22:"\0App\\Jobs\\PlainJob\0own";s:3:"own";'
)
OF_8 = (
    's:1:"n";i:3;s:3:"job";N;s:10:"connection";N;s:5:"queue";N;s:15:"chainConnection";N;'
    's:10:"chainQueue";N;s:19:"chainCatchCallbacks";N;s:5:"delay";N;s:11:"afterCommit";N;'
    's:10:"middleware";a:0:{}s:7:"chained";a:0:{}'
)


class Plain(BaseModel):
    name: str
    secret: str = "of the class"
    own: str = "of the class"
    n: int = 3


def job(**properties: Value) -> str:
    named = {PropertyName(name): value for name, value in properties.items()}
    return dumps(PhpObject(r"App\Jobs\X", named)).decode()


def refused(command: str, encrypter: Encrypter | None = ENCRYPTER) -> str:
    with pytest.raises(CommandError) as caught:
        read_command(command, encrypter)
    return str(caught.value)


# -- recorded --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        'O:17:"App\\Jobs\\PlainJob":3:{' + MEMBERS + "}",
        'O:17:"App\\Jobs\\PlainJob":14:{' + MEMBERS + OF_8 + "}",
    ],
    ids=["10 and 13", "8"],
)
def test_one_job_of_three_versions_reads_the_same(command: str) -> None:
    found = read_command(command, None)
    assert found.class_name == r"App\Jobs\PlainJob"
    assert found.arguments(Plain) == Plain(name="al", secret="sec", own="own")
    assert (found.queue, found.connection, found.delay, found.batch_id) == (None,) * 4
    assert (found.chained, found.chain_queue, found.chain_connection) == ((), None, None)
    assert not found.chain_catch


def test_an_encrypted_job_is_serialized_twice() -> None:
    found = read_command(ENCRYPTED_JOB, ENCRYPTER)
    assert found.class_name == r"App\Jobs\PlainJob"
    assert found.arguments(Plain) == Plain(name="al")
    inner = r'O:17:"App\Jobs\PlainJob":1:{s:4:"name";s:2:"al";}'
    assert len(inner) == 49
    counting = Encrypter(SecretStr(KEY), random_bytes=lambda size: bytes(range(size)))
    assert counting.encrypt(inner) == ENCRYPTED_JOB


def test_the_head_of_a_chain_carries_the_rest() -> None:
    found = read_command(job(chained=[CHAIN_A], chainQueue="q2", chainConnection="redis"), None)
    assert found.chained == (CHAIN_A,)
    assert (found.chain_queue, found.chain_connection) == ("q2", "redis")
    again = read_command(job(chained={1: CHAIN_A}, chainCatchCallbacks=[PhpObject("C")]), None)
    assert again.chained == (CHAIN_A,)
    assert again.chain_catch


def test_what_laravel_keeps_on_a_job_is_told() -> None:
    found = read_command(
        job(queue="fleet", connection="redis", batchId="b-1", uniqueLockOwner="owner", delay=3600),
        None,
    )
    assert (found.queue, found.connection, found.batch_id) == ("fleet", "redis", "b-1")
    assert (found.unique_lock_owner, found.delay) == ("owner", 3600)
    assert read_command(job(uniqueLockOwner=""), None).unique_lock_owner is None


@pytest.mark.parametrize(("value", "told"), [("id7", "id7"), (7, "7"), (None, None), (True, None)])
def test_a_unique_id_of_a_property_is_text(value: Value, told: str | None) -> None:
    assert read_command(job(uniqueId=value), None).unique_id == told


def test_a_command_shows_no_values() -> None:
    found = read_command(job(token="hunter2", chained=["hunter2"]), None)
    assert "hunter2" not in repr(found)


# -- refusals --------------------------------------------------------------------------------------


def test_an_encrypted_job_without_a_key_says_which_setting_is_missing() -> None:
    said = refused(ENCRYPTED_JOB, None)
    assert "ShouldBeEncrypted" in said
    assert "APP_KEY" in said


def test_an_encrypted_job_of_another_key_says_so() -> None:
    other = Encrypter(SecretStr("base64:" + base64.b64encode(b"x" * 32).decode()))
    assert "neither APP_KEY nor in APP_PREVIOUS_KEYS" in refused(ENCRYPTED_JOB, other)


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ("", "no serialized object and cannot be decrypted"),
        ("a:0:{}", "no serialized object and cannot be decrypted"),
        ("O:", "not what PHP's serialize() writes"),
        ('O:1:"A":0:{', "ends too early"),
        ('O:1:"A":0:{}N;', "bytes follow"),
        ('O:1:"\ud83d":0:{}', "not what PHP's serialize() writes"),
        (ENCRYPTER.encrypt_string("O:"), "no PHP serialization"),
        (ENCRYPTER.encrypt(7), "is no serialized job"),
        (ENCRYPTER.encrypt("N;"), "holds no object"),
        (ENCRYPTER.encrypt('O:1:"A":0:{'), "ends too early"),
        (job(chained=[PhpObject("A")]), "`chained` holds something else"),
        (job(chained="x"), "`chained` holds something else"),
        (job(queue=7), "`queue` is no text"),
        (job(batchId=[1]), "`batchId` is no text"),
    ],
)
def test_what_is_no_job_is_refused(command: str, detail: str) -> None:
    assert detail in refused(command)


@pytest.mark.parametrize(
    "name", [r"Illuminate\Queue\CallQueuedClosure", r"illuminate\queue\callqueuedclosure"]
)
def test_a_closure_is_refused_with_what_to_do(name: str) -> None:
    said = refused(dumps(PhpObject(name)).decode())
    assert "closure" in said
    assert "make it a class" in said


def test_errors_show_no_text_of_an_encrypted_job() -> None:
    said = refused(ENCRYPTER.encrypt('O:1:"A":1:{s:5:"token";s:7:"hunter2";'))
    assert "hunter2" not in said
    assert "token" not in said


# -- real Laravel ----------------------------------------------------------------------------------

WRITE = r"""
require 'bootstrap/autoload.php';
use Illuminate\Support\Carbon;
enum Status: string { case Open = 'o'; }
class Person extends Illuminate\Database\Eloquent\Model {}
class Sync implements Illuminate\Contracts\Queue\ShouldQueue {
    use Illuminate\Bus\Queueable, Illuminate\Queue\InteractsWithQueue, Illuminate\Bus\Batchable;
    use Illuminate\Queue\SerializesModels;
    public $tries = 5;
    public $label = 'default';
    protected array $options = [];
    private ?string $hidden = null;
    public function __construct(
        public int $accountId, public Carbon $from, public Status $status, public $person,
        array $options = [], ?string $hidden = null,
    ) {
        $this->options = $options;
        $this->hidden = $hidden;
    }
}
function sync(...$more) {
    $person = (new Person)->forceFill(['id' => 7])->setConnection('mysql');
    $from = Carbon::parse('2024-01-02 03:04:05', 'Asia/Tokyo');
    return new Sync(42, $from, Status::Open, $person, ...$more);
}
$key = base64_decode('AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=');
$encrypter = new Illuminate\Encryption\Encrypter($key, 'AES-256-CBC');
$bare = sync();
$full = sync(['a' => 1], 'h')->onConnection('redis')->delay(Carbon::parse('2024-01-02Z'));
$full->label = 'other';
$full->withBatchId('b-1')->chain([sync(), sync()]);
$full->allOnQueue('q2');
foreach ([serialize($bare), serialize($full), $encrypter->encrypt(serialize($full))] as $command) {
    echo json_encode($command), "\n";
}
"""


class Sync(BaseModel):
    account_id: int
    from_: datetime = Field(alias="from")
    status: str
    person: ModelReference
    options: dict[str, int] = {}
    hidden: str | None = None
    label: str = "default"


@pytest.mark.database
def test_jobs_that_real_laravel_serializes_are_read(php: Callable[..., list[str]]) -> None:
    bare, full, encrypted = [read_command(json.loads(line), ENCRYPTER) for line in php(WRITE)]
    common: dict[str, Any] = {
        "account_id": 42,
        "from": datetime(2024, 1, 1, 18, 4, 5, tzinfo=UTC),
        "status": "Open",
        "person": ModelReference("Person", 7, (), "mysql"),
    }
    assert bare.arguments(Sync) == Sync.model_validate(common)
    assert {"label", "tries", "queue"}.isdisjoint(bare.properties)
    more = {"options": {"a": 1}, "hidden": "h", "label": "other"}
    for found in (full, encrypted):
        assert found.class_name == "Sync"
        assert found.arguments(Sync) == Sync.model_validate(common | more)
        assert found.delay == datetime(2024, 1, 2, tzinfo=UTC)
        assert (found.queue, found.connection, found.batch_id) == ("q2", "redis", "b-1")
        assert found.chain_queue == "q2"
        rest = [read_command(str(one), None).arguments(Sync) for one in found.chained]
        assert rest == [Sync.model_validate(common)] * 2
