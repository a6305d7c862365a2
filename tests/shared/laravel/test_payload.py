"""Payloads as real Laravels wrote them, and everything that is none."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import InvalidEvent
from shared.laravel import php
from shared.laravel.payload import CALL_QUEUED, ID_BYTES, Payload, read_payload
from tests.shared.laravel.conftest import RunPhp

COMMAND = 'O:17:"App\\Jobs\\PlainJob":1:{s:4:"name";s:2:"al";}'
UUID = "8c1f4d0e-6a3b-4f5e-9d2c-0b7a6e5d4c3b"

# Key by key as each version emits them; 10.48 is with Horizon.
RECORDED: dict[str, dict[str, Any]] = {
    "8.83": {
        "uuid": UUID, "displayName": "App\\Jobs\\PlainJob", "job": CALL_QUEUED, "maxTries": 3,
        "maxExceptions": None, "failOnTimeout": False, "backoff": "1,5,10", "timeout": 30,
        "retryUntil": None, "data": {"commandName": "App\\Jobs\\PlainJob", "command": COMMAND},
        "id": "Qb3sT8vYw1LzK5mN7pR9dF2hJ4gC6xA0", "attempts": 0,
    },
    "10.48": {
        "uuid": UUID, "displayName": "App\\Jobs\\PlainJob", "job": CALL_QUEUED, "maxTries": None,
        "maxExceptions": 2, "failOnTimeout": True, "backoff": None, "timeout": None,
        "retryUntil": 1795318000,
        "data": {"commandName": "App\\Jobs\\PlainJob", "command": COMMAND},
        "id": UUID, "attempts": 0, "type": "job", "tags": ["t:al"], "silenced": False,
        "pushedAt": "1795314407.962",
    },
    "13.31": {
        "uuid": UUID, "displayName": "App\\Jobs\\PlainJob", "job": CALL_QUEUED, "maxTries": None,
        "maxExceptions": None, "failOnTimeout": False, "backoff": None, "timeout": None,
        "retryUntil": None, "deleteWhenMissingModels": False,
        "data": {"commandName": "App\\Jobs\\PlainJob", "command": COMMAND, "batchId": None},
        "createdAt": 1795314612, "id": "Qb3sT8vYw1LzK5mN7pR9dF2hJ4gC6xA0", "attempts": 0,
        "delay": 3600,
    },
    "13.31 string job": {
        "uuid": UUID, "displayName": "App\\Jobs\\RawHandler", "job": "App\\Jobs\\RawHandler",
        "maxTries": None, "maxExceptions": None, "failOnTimeout": False, "backoff": None,
        "timeout": None, "data": {"x": 1}, "createdAt": 1795314612,
        "id": "Qb3sT8vYw1LzK5mN7pR9dF2hJ4gC6xA0", "attempts": 0, "delay": None,
    },
}  # fmt: skip
SMALL: dict[str, Any] = {"uuid": "u", "job": "App\\Jobs\\Thing@handle", "attempts": 0}


def read(fields: Any) -> Payload:
    return read_payload(json.dumps(fields).encode())


def refused(text: str | bytes) -> str:
    with pytest.raises(InvalidEvent) as caught:
        read_payload(text.encode() if isinstance(text, str) else text)
    assert caught.value.reason == "malformed_payload"
    return caught.value.detail


# -- what real Laravels write ----------------------------------------------------------------------


def test_a_payload_of_8_83_is_read_in_full() -> None:
    payload = read(RECORDED["8.83"])
    assert payload.is_object_job
    assert (payload.class_name, payload.command) == ("App\\Jobs\\PlainJob", COMMAND)
    assert (payload.max_tries, payload.backoff, payload.timeout) == (3, "1,5,10", 30)
    assert (payload.retry_until, payload.max_exceptions, payload.tags) == (None, None, None)
    assert (payload.identity, payload.attempts, payload.unique_key) == (UUID, 0, None)


def test_a_payload_of_10_48_with_horizon_is_read_in_full() -> None:
    payload = read(RECORDED["10.48"])
    assert (payload.tags, payload.silenced) == (["t:al"], False)
    assert payload.pushed_at == "1795314407.962"
    assert (payload.max_exceptions, payload.fail_on_timeout) == (2, True)
    assert payload.retry_until == 1_795_318_000


def test_a_payload_of_13_31_is_read_in_full() -> None:
    payload = read(RECORDED["13.31"])
    assert (payload.delay, payload.backoff, payload.max_tries) == (3600, None, None)
    assert payload.class_name == "App\\Jobs\\PlainJob"


def test_a_string_job_is_called_what_it_was_pushed_as() -> None:
    payload = read(RECORDED["13.31 string job"])
    assert not payload.is_object_job
    assert (payload.class_name, payload.data) == ("App\\Jobs\\RawHandler", {"x": 1})
    assert read(SMALL).name == "App\\Jobs\\Thing@handle"


@pytest.mark.parametrize("version", RECORDED)
def test_what_redis_makes_of_a_payload_reads_the_same(version: str) -> None:
    """Trap 30: Redis' JSON library writes an empty list as {}, in any key order."""
    pushed = {**RECORDED[version], "tags": []}
    again = {name: pushed[name] for name in reversed(pushed)} | {"tags": {}, "attempts": 1}
    assert read(again) == read({**pushed, "attempts": 1})
    assert read(again).tags == []


PUSH = r"""
require 'bootstrap/app.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();
class Plain implements Illuminate\Contracts\Queue\ShouldQueue {
    use Illuminate\Bus\Queueable;
    public $tries = 7; public $backoff = [1, 5, 10]; public $timeout = 12;
    public $maxExceptions = 2;
    public function __construct(public $name) {}
    public function retryUntil() { return new DateTimeImmutable('2026-11-25T00:00:00Z'); }
    public function displayName() { return 'Plain é'; }
}
$create = new ReflectionMethod(Illuminate\Queue\RedisQueue::class, 'createPayload');
$queue = app('queue')->connection('redis');
foreach ([new Plain("a\0é\u{1F600}"), 'App\Jobs\Raw@run'] as $job) {
    echo json_encode($create->invoke($queue, $job, 'queues:fleet', ['x' => []])), "\n";
}
"""


@pytest.mark.database
def test_the_real_laravel_beside_us_writes_what_is_read_here(php: RunPhp) -> None:
    made, raw = (read_payload(json.loads(line).encode()) for line in php(PUSH))
    assert (made.class_name, made.name, made.max_tries) == ("Plain", "Plain é", 7)
    assert (made.backoff, made.timeout, made.max_exceptions) == ("1,5,10", 12, 2)
    assert (made.retry_until, made.attempts) == (1_795_564_800, 0)
    assert "a\0é\U0001f600" in made.command
    assert made.identity == made.uuid
    assert made.id
    assert (raw.class_name, raw.data, raw.max_tries) == ("App\\Jobs\\Raw@run", {"x": []}, None)


# -- identity and the unique lock ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_ids", "identity"),
    [
        ({"uuid": "u", "id": "i"}, "u"),
        ({"id": "i"}, "i"),
        ({"uuid": None, "id": "i"}, "i"),
        ({"uuid": "", "id": "i"}, "i"),
        ({"uuid": 42}, "42"),
        ({"uuid": "é" * (ID_BYTES // 2)}, "é" * (ID_BYTES // 2)),
    ],
)
def test_the_identity_is_the_uuid_else_the_id(given_ids: dict[str, Any], identity: str) -> None:
    fields = {name: value for name, value in SMALL.items() if name != "uuid"}
    assert read(fields | given_ids).identity == identity


@pytest.mark.parametrize(
    "given_ids", [{}, {"uuid": None, "id": None}, {"uuid": ""}, {"uuid": "é" * ID_BYTES}]
)
def test_a_job_that_could_not_be_recorded_is_refused(given_ids: dict[str, Any]) -> None:
    """Traps 4 and 6: no row without a uuid, and with Horizon a loop for ever."""
    fields = {name: value for name, value in SMALL.items() if name != "uuid"}
    assert "`uuid`" in refused(json.dumps(fields | given_ids))


def test_without_a_display_name_a_job_has_the_name_of_its_class() -> None:
    """Trap 5: Horizon needs one."""
    assert read(SMALL).name == "App\\Jobs\\Thing@handle"
    assert read(SMALL | {"displayName": None}).name == "App\\Jobs\\Thing@handle"
    assert read(SMALL | {"displayName": ""}).name == "App\\Jobs\\Thing@handle"
    assert read(RECORDED["8.83"] | {"displayName": "Sync orders"}).name == "Sync orders"


KEY = "laravel_unique_job:App\\Jobs\\UniqJob:id7"


def with_context(context: Any) -> Payload:
    return read(SMALL | {"illuminate:log:context": context})


def test_the_unique_lock_is_named_in_the_log_context() -> None:
    hidden = {
        "laravel_unique_job_cache_store": 's:5:"redis";',
        "laravel_unique_job_key": php.dumps(KEY).decode(),
    }
    assert with_context({"data": [], "hidden": hidden}).unique_key == KEY
    assert with_context({"data": {}, "hidden": hidden}).unique_key == KEY


@pytest.mark.parametrize(
    "context",
    [
        None, [], {}, 5, "text", {"hidden": None}, {"hidden": []}, {"hidden": {"other": "N;"}},
        {"hidden": {"laravel_unique_job_key": None}},
        {"hidden": {"laravel_unique_job_key": "N;"}},
        {"hidden": {"laravel_unique_job_key": "i:5;"}},
        {"hidden": {"laravel_unique_job_key": "laravel_unique_job:x"}},
        {"hidden": {"laravel_unique_job_key": 's:99:"short";'}},
    ],
)  # fmt: skip
def test_a_context_without_a_readable_key_names_no_lock(context: Any) -> None:
    assert with_context(context).unique_key is None


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["3", " 3", 3.0, "3.0", 3])
def test_numbers_may_come_as_php_takes_them(number: Any) -> None:
    names = ("attempts", "maxTries", "maxExceptions", "timeout", "retryUntil", "delay")
    payload = read(SMALL | dict.fromkeys(names, number))
    assert payload.attempts == 3
    assert (payload.max_tries, payload.max_exceptions) == (3, 3)
    assert (payload.timeout, payload.retry_until, payload.delay) == (3, 3, 3)


def test_of_a_fraction_the_whole_part_counts() -> None:
    """A retryUntil() that returns microtime(true) + 60 is as good as any to PHP."""
    payload = read(SMALL | {"retryUntil": 1795314407.962, "timeout": 1.5, "delay": 2.9})
    assert (payload.retry_until, payload.timeout, payload.delay) == (1_795_314_407, 1, 2)


@pytest.mark.parametrize(
    ("backoff", "text"), [(5, "5"), (0, "0"), ("5,10", "5,10"), ("", ""), (5.0, "5.0")]
)
def test_a_lone_backoff_may_be_a_number(backoff: Any, text: str) -> None:
    assert read(SMALL | {"backoff": backoff}).backoff == text


def test_fields_of_other_packages_are_not_taken_for_laravels() -> None:
    payload = read(SMALL | {"max_tries": 9, "retry_until": 1, "display_name": "x", "tenant": 7})
    assert (payload.max_tries, payload.retry_until, payload.display_name) == (None, None, None)


def test_tags_that_are_numbers_are_tags() -> None:
    assert read(SMALL | {"tags": ["a", 42]}).tags == ["a", "42"]


def test_tags_that_are_null_are_none() -> None:
    """Trap 35: PHP's side of Horizon throws on null after the job ran."""
    assert read(SMALL | {"tags": None}).tags is None


# -- what is refused -------------------------------------------------------------------------------

NOT_OURS: dict[str, str | bytes] = {
    "nothing": b"",
    "no JSON": "ping",  # trap 3
    "cut in two": json.dumps(SMALL)[:-1],
    "two values": "{}{}",
    "text of another encoding": json.dumps(SMALL).replace("u", "\xe9").encode("latin-1"),
    "a lone surrogate": '{"uuid":"\\ud83d","job":"A","attempts":0}',  # trap 3
    "nesting over 1000": '{"uuid":"u","data":' + "[" * 2000 + "]" * 2000 + "}",  # trap 3
    "a number that JSON has not": '{"uuid":"u","job":"A","attempts":NaN}',
    "a list": "[1]",
    "an empty list": "[]",
    "a text": '"{}"',
    "a number": "5",
    "null": "null",
    "an empty object": "{}",
    "PHP's serialization": COMMAND,
    "a message of Celery": '{"body":"W10=","headers":{"task":"t","id":"u"},"properties":{}}',  # 15
    "no attempts": '{"uuid":"u","job":"A"}',  # trap 2
    "attempts null": '{"uuid":"u","job":"A","attempts":null}',  # trap 2
    "attempts no number": '{"uuid":"u","job":"A","attempts":"x"}',
    "attempts a fraction": '{"uuid":"u","job":"A","attempts":0.5}',
    "attempts a list": '{"uuid":"u","job":"A","attempts":[]}',
    "no job": '{"uuid":"u","attempts":0}',
    "job null": '{"uuid":"u","job":null,"attempts":0}',
    "job empty": '{"uuid":"u","job":"","attempts":0}',
    "backoff a list": '{"uuid":"u","job":"A","attempts":0,"backoff":[1,5]}',  # trap 31
    "tags a text": '{"uuid":"u","job":"A","attempts":0,"tags":"a"}',
    "tags a full map": '{"uuid":"u","job":"A","attempts":0,"tags":{"a":"b"}}',
    "tries no number": '{"uuid":"u","job":"A","attempts":0,"maxTries":"many"}',
    "timeout a list": '{"uuid":"u","job":"A","attempts":0,"timeout":[]}',
    "retryUntil a date": '{"uuid":"u","job":"A","attempts":0,"retryUntil":"2026-01-01T00:00:00Z"}',
}
OBJECT = {"uuid": "u", "job": CALL_QUEUED, "attempts": 0}
NO_COMMANDS: list[Any] = [
    None, [], {}, "O:1", {"commandName": "A"}, {"command": COMMAND},
    {"commandName": "", "command": COMMAND}, {"commandName": "A", "command": ""},
    {"commandName": "A", "command": None}, {"commandName": 5, "command": COMMAND},
]  # fmt: skip


@pytest.mark.parametrize("kind", NOT_OURS)
def test_what_no_worker_can_run_is_refused_with_a_sentence(kind: str) -> None:
    assert refused(NOT_OURS[kind]).startswith("no worker can run this payload: ")


@pytest.mark.parametrize("data", NO_COMMANDS)
def test_an_object_job_without_its_object_is_refused(data: Any) -> None:
    assert "`commandName` and `command`" in refused(json.dumps(OBJECT | {"data": data}))


def test_the_sentence_names_the_fields_and_shows_no_value() -> None:
    told = refused('{"uuid":"u","attempts":"hunter2","job":["hunter2"],"timeout":"hunter2"}')
    assert "`job`" in told
    assert "`attempts`" in told
    assert "hunter2" not in told


# -- anything --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = sorted({name for fields in RECORDED.values() for name in fields})


def accepted_or_refused(text: bytes) -> None:
    """InvalidEvent and nothing worse, or a payload of which everything can be asked."""
    with suppress(InvalidEvent):
        payload = read_payload(text)
        assert 0 < len(payload.identity.encode()) <= ID_BYTES
        assert payload.class_name
        assert payload.name
        assert payload.unique_key is None or isinstance(payload.unique_key, str)


@given(st.binary(max_size=200))
@example(b"\xff")
@example(b'{"uuid":"\xff"}')
def test_arbitrary_bytes_are_a_payload_or_an_invalid_event(text: bytes) -> None:
    accepted_or_refused(text)


@given(JSON)
def test_arbitrary_json_is_a_payload_or_an_invalid_event(value: Any) -> None:
    accepted_or_refused(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(
    st.sampled_from(sorted(RECORDED)),
    st.dictionaries(st.sampled_from([*FIELDS, "tags", "illuminate:log:context"]), JSON, max_size=4),
)
def test_a_payload_with_odd_fields_is_a_payload_or_an_invalid_event(
    version: str, odd: dict[str, Any]
) -> None:
    accepted_or_refused(json.dumps(RECORDED[version] | odd).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(sorted(RECORDED)), st.data())
def test_a_payload_with_a_changed_byte_is_a_payload_or_an_invalid_event(
    version: str, data: st.DataObject
) -> None:
    text = bytearray(json.dumps(RECORDED[version]).encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    accepted_or_refused(bytes(text))
