"""Jobs that Python pushes and a real `queue:work` runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import RedisError

from shared.laravel import php
from shared.laravel.command import read_command
from shared.laravel.dispatch import REMEMBERED_SECONDS, Dispatch, Options, Pusher, object_job
from shared.laravel.payload import CALL_QUEUED, read_payload
from shared.laravel.reservations import Reservations
from shared.streams.connection import data_client
from tests.laravel_queues import QueueView
from tests.laravel_world import LaravelWorld
from tests.own_redis import OwnRedis, own_redis

database = pytest.mark.database
PUSHED_AT = 1_795_314_407.962
OUT = "out"

# The classes that PHP runs, and one turn of its worker; each says what it was given.
CLASSES = r"""
use Illuminate\Support\Facades\Artisan;
class Plain implements Illuminate\Contracts\Queue\ShouldQueue {
    use Illuminate\Bus\Queueable, Illuminate\Queue\InteractsWithQueue;
    public $name; public int $count = 3; public ?array $more = ['default'];
    public function handle() {
        $job = $this->job;
        say(['plain', $this->name, $this->count, $this->more, $job->uuid(), $job->attempts(),
            $job->maxTries(), $job->backoff(), $job->timeout(), $job->resolveName(),
            $job->payload()['tags']]);
    }
}
class Modelled implements Illuminate\Contracts\Queue\ShouldQueue {
    use Illuminate\Bus\Queueable, Illuminate\Queue\InteractsWithQueue,
        Illuminate\Queue\SerializesModels;
    public $name; public int $count = 3; public ?array $more = ['default'];
    public function handle() { say(['modelled', $this->name, $this->count, $this->more]); }
}
class Failing implements Illuminate\Contracts\Queue\ShouldQueue {
    use Illuminate\Bus\Queueable, Illuminate\Queue\InteractsWithQueue;
    public function handle() { throw new RuntimeException('no luck'); }
}
function work($times = 1) {
    while ($times-- > 0) { Artisan::call('queue:work', ['--once' => true, '--queue' => 'out']); }
}
"""


@pytest.fixture
def out(laravel: LaravelWorld) -> QueueView:
    return QueueView(laravel.redis, laravel.settings.prefix, OUT)


@pytest.fixture
def pusher(laravel: LaravelWorld) -> Pusher:
    return Pusher(laravel.redis, laravel.settings.prefix, connection="redis")


def made(class_name: str = "Plain", options: Options | None = None, /, **more: Any) -> Dispatch:
    return object_job(class_name, more, OUT, options or Options(), pushed_at=PUSHED_AT)


def work(laravel: LaravelWorld, times: int = 1) -> list[Any]:
    return laravel.php(CLASSES + f"work({times});")


# -- the payload -----------------------------------------------------------------------------------


def test_the_payload_has_everything_that_a_worker_and_horizon_look_for() -> None:
    """Traps 2, 4, 5, 6, 31, 34 and 35, one key each."""
    options = Options(tries=5, backoff=(5, 30), timeout=90, tags=("a", "b"))
    dispatch = made("Plain", options, name="é")
    fields = json.loads(dispatch.payload)
    assert fields == {
        "uuid": dispatch.uuid,
        "displayName": "Plain",
        "job": CALL_QUEUED,
        "maxTries": 5,
        "maxExceptions": None,
        "failOnTimeout": False,
        "backoff": "5,30",
        "timeout": 90,
        "retryUntil": None,
        "data": {"commandName": "Plain", "command": 'O:5:"Plain":1:{s:4:"name";s:2:"é";}'},
        "id": dispatch.uuid,
        "attempts": 0,
        "type": "job",
        "tags": ["a", "b"],
        "silenced": False,
        "pushedAt": "1795314407.9620",
    }
    assert (dispatch.queue, dispatch.class_name, dispatch.tags) == (OUT, "Plain", ("a", "b"))


def test_what_is_left_open_is_left_to_the_worker() -> None:
    fields = json.loads(made().payload)
    assert (fields["maxTries"], fields["backoff"], fields["timeout"]) == (None, None, None)
    assert fields["tags"] == []
    assert "delay" not in json.loads(made("Plain", Options(delay_seconds=60)).payload)  # trap 34


def test_every_dispatch_has_a_uuid_of_its_own() -> None:
    """Trap 7."""
    assert made().uuid != made().uuid
    assert made().payload != made().payload


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abc é\0", min_size=1, max_size=4), inner, min_size=1, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, max_size=4))
def test_every_property_comes_out_as_it_went_in(properties: dict[str, Any]) -> None:
    """Traps 3, 29 and 32: lengths count bytes, and no number of theirs stands in the JSON."""
    payload = read_payload(made(**properties).payload.encode())
    command = read_command(payload.command, None)
    assert command.class_name == "Plain"
    assert command.properties == properties


@pytest.mark.parametrize("text", ["\ud800", b"\xff"])
def test_text_that_json_cannot_carry_is_refused_to_its_caller(text: Any) -> None:
    """Trap 3: Redis would drop such a job at PHP's first look."""
    with pytest.raises(ValueError, match="utf-8"):
        made(name=text)


# -- run by PHP ------------------------------------------------------------------------------------


@database
def test_php_runs_a_job_with_what_it_was_given(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    options = Options(tries=5, backoff=(5, 30), timeout=45, tags=("t:1",))
    dispatch = made("Plain", options, name="é😀\0'\"\\", count=2**53 + 1, more={"a": [1.1, None]})
    assert pusher.push([dispatch]) == 1
    assert out.lengths() == (1, 0, 0, 1)  # trap 9: its notice too
    properties = ["é😀\0'\"\\", 2**53 + 1, {"a": [1.1, None]}]
    told = [5, "5,30", 45, "Plain", ["t:1"]]
    assert work(laravel) == [["plain", *properties, dispatch.uuid, 1, *told]]
    assert out.lengths() == (0, 0, 0, 0)
    assert laravel.failed() == []


@database
@pytest.mark.parametrize("class_name", ["Plain", "Modelled"])
def test_a_property_that_is_not_given_has_the_default_of_its_class(
    laravel: LaravelWorld, pusher: Pusher, class_name: str
) -> None:
    """Traps 11 and 36, from the other side: only public properties go out, by their plain names."""
    pusher.push([made(class_name, name="n"), made(class_name, more=None)])
    seen = [told[1:4] for told in work(laravel, 2)]
    assert seen == [["n", 3, ["default"]], [None, 3, None]]


@database
def test_a_delayed_job_waits_for_its_time(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    before = out.now()
    pusher.push([made("Plain", Options(delay_seconds=3600), name=name) for name in "ab"])
    assert out.lengths() == (0, 2, 0, 0)
    assert all(before + 3600 <= due <= out.now() + 3600 for due in out.delayed().values())  # 12
    out.delays_pass()
    assert sorted(told[1] for told in work(laravel, 2)) == ["a", "b"]


@database
def test_a_job_that_fails_is_retried_by_its_own_backoff(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    pusher.push([made("Failing", Options(tries=2, backoff=(50, 60)))])
    work(laravel)
    ((payload, due),) = out.delayed().items()
    assert 40 < due - out.now() <= 51
    assert json.loads(payload)["attempts"] == 1
    out.delays_pass()
    work(laravel)
    assert out.lengths() == (0, 0, 0, 0)
    ((uuid, connection, queue, row, exception),) = laravel.failed()
    assert (connection, queue) == ("redis", OUT)
    assert json.loads(row)["uuid"] == uuid
    assert exception.startswith("RuntimeException: no luck")
    laravel.artisan("queue:retry", uuid)
    assert json.loads(out.ready()[0])["attempts"] == 0


@database
def test_a_batch_of_pushes_is_worked_off_in_its_order(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    names = [str(at) for at in range(20)]
    assert pusher.push(made(name=name) for name in names) == 20
    assert pusher.waiting(OUT) == 20
    assert out.notices() == 20
    assert [told[1] for told in work(laravel, 20)] == names


@database
def test_a_job_goes_where_a_laravel_worker_looks(
    laravel: LaravelWorld, pusher: Pusher
) -> None:
    """Trap 10: PHP finds it under the bare name of the queue."""
    pusher.push([made()._replace(queue="other")])
    assert laravel.php(CLASSES + "say($app['queue']->connection('redis')->size('other'));") == [1]


# -- pushed twice, or not at all -------------------------------------------------------------------


@database
def test_a_job_pushed_twice_is_one_job(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    first, second = made(name="a"), made("Plain", Options(delay_seconds=60), name="b")
    assert pusher.push([first, second]) == 2
    assert pusher.push([first, second, made(name="c")]) == 1
    assert out.lengths() == (2, 1, 0, 2)
    assert [told[1] for told in work(laravel, 2)] == ["a", "c"]
    assert pusher.push([first]) == 0


@database
def test_a_dispatch_is_remembered_for_a_day(
    laravel: LaravelWorld, pusher: Pusher
) -> None:
    dispatch = made()
    pusher.push([dispatch])
    left: Any = laravel.redis.ttl(f"{laravel.settings.prefix}fleet:dispatched:{dispatch.uuid}")
    assert REMEMBERED_SECONDS - 60 < left <= REMEMBERED_SECONDS


@database
def test_nothing_to_push_is_nothing(out: QueueView, pusher: Pusher) -> None:
    assert pusher.push([]) == 0
    assert out.lengths() == (0, 0, 0, 0)


@database
def test_scripts_that_redis_forgot_are_loaded_again(
    laravel: LaravelWorld, out: QueueView, pusher: Pusher
) -> None:
    pusher.push([made()])
    laravel.redis.script_flush()
    assert pusher.push([made(), made()]) == 2
    assert len(out.ready()) == 3


@pytest.fixture
def own(servers: Mapping[str, str]) -> Iterator[OwnRedis]:
    with own_redis(servers) as found:
        yield found


@pytest.fixture
def client(own: OwnRedis) -> Iterator[Redis]:
    with closing(data_client(own.where, "test")) as found:
        yield found


@database
def test_a_full_redis_refuses_and_its_caller_hears_of_it(own: OwnRedis, client: Redis) -> None:
    """Trap 16: phpredis is silent there, and the job would be gone."""
    pusher = Pusher(client, "p:", connection="redis", horizon="h:")
    with closing(own.client()) as root:
        out = QueueView(root, "p:", OUT)
        dispatch = made()
        pusher.push([dispatch])
        own.fill_up()
        refused = [made(), made("Plain", Options(delay_seconds=60))]
        with pytest.raises(RedisError, match="maxmemory"):
            pusher.push(refused)
        assert out.lengths() == (1, 0, 0, 1)
        assert root.zcard("h:pending_jobs") == 1
        own.make_room()
        assert pusher.push(refused) == 2
        assert out.lengths() == (2, 1, 0, 2)


@database
def test_a_redis_that_is_away_is_an_error(own: OwnRedis, client: Redis) -> None:
    pusher = Pusher(client, "p:", connection="redis")
    dispatch = made()
    pusher.push([dispatch])
    own.stop()
    with pytest.raises(RedisError):
        pusher.push([dispatch])
    own.start()
    assert pusher.push([dispatch]) == 1  # an empty Redis remembers nothing


@database
def test_what_we_push_we_can_take(laravel: LaravelWorld, out: QueueView, pusher: Pusher) -> None:
    dispatch = made(name="é")
    pusher.push([dispatch])
    worker = Reservations(laravel.redis, laravel.settings.prefix, connection="redis", seconds=90)
    (taken,) = worker.reserve([OUT]).taken
    assert taken.original == dispatch.payload.encode()
    found = read_command(read_payload(taken.original).command, None)
    assert found.properties == {"name": "é"}
    assert list(out.reserved()) == [taken.reserved]


@database
def test_php_reads_every_value_as_it_was_written(laravel: LaravelWorld) -> None:
    value: Any = {"t": [True, None, -7, 2**53 + 1, 0.1, "é\0"], "5": "n", "": "e"}
    text = made(more=value).payload
    (told,) = laravel.php(
        CLASSES
        + "$job = unserialize(json_decode(json_decode(fgets(STDIN)), true)['data']['command']);"
        " say($job->more);",
        text,
    )
    assert told == value
    assert php.loads(json.loads(text)["data"]["command"].encode())
