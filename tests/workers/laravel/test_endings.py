"""How a run ends that did not succeed, on real servers: released, failed, or lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from shared.laravel.dispatch import Options, object_job
from shared.laravel.failed_jobs import FailedJob, FailedJobs
from shared.laravel.payload import read_payload
from shared.laravel.reservations import Job, Reservations
from shared.laravel.verdict import Defaults
from tests.laravel_stores import STORES, Storage
from tests.workers.laravel.conftest import Configure
from tests.workers.laravel.jobs import NOTE, Handler, Worked, command, note
from workers.laravel.build import _Parts
from workers.laravel.endings import (
    EXCEPTION_BYTES,
    HAND_BACK,
    Endings,
    Failure,
    failure_of,
    too_many_attempts,
)

database = pytest.mark.database
FAILURE = Failure("RuntimeError", "no luck", "work.py:3", "Traceback: ...")


class Open(NamedTuple):
    """A worker's endings over connections of their own, and the reservations beside them."""

    worked: Worked
    reservations: Reservations
    endings: Endings

    def take(self, payload: Mapping[str, Any]) -> Job:
        self.worked.queue.push(payload)
        (taken,) = self.reservations.reserve(["fleet"]).taken
        read = read_payload(taken.original)
        return Job(*taken, read, read.attempts + 1)

    def lose(self, job: Job) -> None:
        """Its reservation runs out and another worker takes it."""
        self.worked.queue.reservations_pass()
        (other,) = self.reservations.reserve(["fleet"]).taken
        assert other.reserved != job.reserved


Opened = Callable[..., Open]


@pytest.fixture
def opened(configure: Configure, handler: Handler) -> Iterator[Opened]:
    """`opened(CACHE_STORE="database")`"""
    links = []

    def make(**more: str) -> Open:
        worked = configure(**more)
        parts = _Parts(worked.settings, handler.table)
        made = parts.links()
        links.append(made)
        reservations = parts.reservations(made.redis())
        return Open(worked, reservations, parts.endings(Defaults(), made, reservations))

    yield make
    for one in links:
        one.close_mysql()
        one.close_redis()


# -- the text --------------------------------------------------------------------------------------


class OddError(RuntimeError):
    """Of a module that is not builtins."""


def raised(error: BaseException) -> Failure:
    try:
        raise error
    except type(error) as caught:
        return failure_of(caught)


def test_a_failure_reads_as_php_prints_an_exception() -> None:
    assert FAILURE.text() == "RuntimeError: no luck in work.py:3\nStack trace:\nTraceback: ..."
    told = raised(ValueError("no luck")).text()
    first, second, *_ = told.splitlines()
    assert first.startswith("ValueError: no luck in ")
    assert first.rsplit(":", 1)[0].endswith("test_endings.py")
    assert second == "Stack trace:"
    assert "raise error" in told
    assert raised(OddError("x")).php_class.endswith("test_endings.OddError")
    assert too_many_attempts("Sync").text() == (
        "Illuminate\\Queue\\MaxAttemptsExceededException: Sync has been attempted too many times."
    )


@given(st.text())
def test_any_message_can_be_stored(message: str) -> None:
    failure = raised(RuntimeError(message))
    assert json.loads(json.dumps(failure.text()).encode()) == failure.text()
    assert failure.text().encode()


# -- released, failed ------------------------------------------------------------------------------


@database
def test_an_attempt_that_is_not_the_last_is_released(opened: Opened) -> None:
    found = opened()
    job = found.take(note("a", maxTries=2, backoff="40"))
    assert not found.endings.is_last(job)
    assert found.endings.after_error(job, FAILURE, last=False) == "released"
    ((payload, due),) = found.worked.queue.delayed().items()
    assert payload == job.reserved
    assert 30 < due - found.worked.queue.now() <= 40
    assert found.worked.world.failed() == []


@database
def test_the_backoff_of_a_job_without_one_is_its_delay(opened: Opened) -> None:
    """Trap 34, as PHP does it."""
    found = opened()
    job = found.take(note("a", maxTries=2, delay=4000))
    assert found.endings.after_error(job, FAILURE, last=False) == "released"
    (due,) = found.worked.queue.delayed().values()
    assert 3990 < due - found.worked.queue.now() <= 4000


@database
def test_the_last_attempt_leaves_a_row_a_record_and_no_reservation(opened: Opened) -> None:
    found = opened()
    job = found.take(note("a", tags=["t:1"]))
    assert found.endings.is_last(job)
    assert found.endings.after_error(job, FAILURE, last=True) == "failed"
    assert found.worked.queue.lengths()[:3] == (0, 0, 0)
    (row,) = found.worked.world.failed()
    assert row == ("uuid-a", "redis", "fleet", job.original.decode(), FAILURE.text())
    redis: Any = found.worked.world.redis
    horizon = found.worked.settings.horizon_prefix
    record = redis.hgetall(f"{horizon}uuid-a")
    assert (record[b"status"], record[b"exception"]) == (b"failed", FAILURE.text().encode())
    assert redis.zscore(f"{horizon}failed:t:1", "uuid-a") > 0


@database
def test_a_failure_repeated_after_a_lost_reply_changes_nothing(opened: Opened) -> None:
    found = opened()
    job = found.take(note("a"))
    assert found.endings.fail(job, FAILURE) == "failed"
    assert found.endings.fail(job, FAILURE) == "lost"
    assert len(found.worked.world.failed()) == 1


@database
def test_a_job_that_is_somebody_elses_gets_neither_row_nor_release(opened: Opened) -> None:
    """Trap 21."""
    found = opened()
    job = found.take(note("a", maxTries=9))
    found.lose(job)
    before = found.worked.queue.reserved()
    assert found.endings.after_error(job, FAILURE, last=False) == "lost"
    assert found.endings.after_error(job, FAILURE, last=True) == "lost"
    assert found.endings.fail(job, FAILURE) == "lost"
    assert found.worked.world.failed() == []
    assert found.worked.queue.reserved() == before
    assert found.worked.queue.lengths()[:2] == (0, 0)


class Interfering:
    """Failed jobs with something happening right before or after the row is written."""

    def __init__(self, rows: FailedJobs, after: Callable[[], None]) -> None:
        self._rows = rows
        self._after = after

    def add(self, job: FailedJob) -> None:
        self._rows.add(job)
        self._after()


@database
def test_a_job_lost_after_its_row_keeps_the_row(opened: Opened) -> None:
    found = opened()
    job = found.take(note("a"))
    found.endings._failed_jobs = Interfering(found.endings._failed_jobs, lambda: found.lose(job))
    assert found.endings.fail(job, FAILURE) == "lost"
    assert [row[0] for row in found.worked.world.failed()] == ["uuid-a"]
    assert len(found.worked.queue.reserved()) == 1


@database
def test_a_row_that_another_worker_wrote_meanwhile_stays(opened: Opened) -> None:
    """We were stopped before our row; it failed the job, and the job is gone from Redis."""
    found = opened()
    job = found.take(note("a"))
    world = found.worked.world
    rows = found.endings._failed_jobs

    class Late:
        def add(self, row: FailedJob) -> None:
            rows.add(row._replace(exception="MaxAttemptsExceeded"))
            found.lose(job)
            rows.add(row)

    found.endings._failed_jobs = Late()
    assert found.endings.fail(job, FAILURE) == "lost"
    assert [(row[0], row[4]) for row in world.failed()] == [("uuid-a", "MaxAttemptsExceeded")]


@database
def test_a_row_that_cannot_be_written_keeps_the_job_reserved(opened: Opened) -> None:
    """Traps 4 and 13: PHP takes the job away first, and loses the record in a crash."""
    found = opened()
    job = found.take(note("a"))

    def away() -> None:
        raise Unavailable("MySQL is away")

    found.endings._failed_jobs = Interfering(found.endings._failed_jobs, away)
    with pytest.raises(Unavailable):
        found.endings.fail(job, FAILURE)
    assert list(found.worked.queue.reserved()) == [job.reserved]


@database
def test_no_secret_reaches_a_row_or_a_record(opened: Opened) -> None:
    found = opened()
    secret = found.worked.settings.mysql.password.get_secret_value()
    job = found.take(note("a"))
    told = Failure("RuntimeError", f"cannot log in with {secret}", "", f"line of {secret}")
    assert found.endings.fail(job, told) == "failed"
    ((*_, exception),) = found.worked.world.failed()
    assert secret not in exception
    redis: Any = found.worked.world.redis
    record = redis.hget(f"{found.worked.settings.horizon_prefix}uuid-a", "exception")
    assert secret.encode() not in record
    assert b"cannot log in with" in record


@database
def test_a_long_exception_is_cut_at_a_character(opened: Opened) -> None:
    found = opened()
    job = found.take(note("a"))
    assert found.endings.fail(job, Failure("E", "é" * EXCEPTION_BYTES)) == "failed"
    ((*_, exception),) = found.worked.world.failed()
    assert EXCEPTION_BYTES - 1 <= len(exception.encode()) <= EXCEPTION_BYTES
    assert set(exception[3:]) == {"é"}


# -- exceptions counted ----------------------------------------------------------------------------


@database
@pytest.mark.parametrize("store", ["redis", "database", "file"])
def test_exceptions_are_counted_until_they_are_used_up(
    opened: Opened, storage: Storage, store: str
) -> None:
    found = opened(CACHE_STORE=store, FLEET_LARAVEL_STORAGE=str(storage.path))
    job = found.take(note("a", maxTries=99, maxExceptions=3))
    assert [found.endings.is_last(job) for _ in range(6)] == [False, False, True] * 2


@database
def test_a_cache_out_of_reach_counts_none_and_tries_decide(opened: Opened) -> None:
    found = opened(CACHE_STORE="memcached")
    job = found.take(note("a", maxTries=1, maxExceptions=1))
    assert found.endings.is_last(job)
    assert not found.endings.is_last(found.take(note("b", maxTries=9, maxExceptions=1)))


# -- too long --------------------------------------------------------------------------------------


@database
@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"maxTries": 2}, "timed_out"),
        ({"maxTries": 0}, "timed_out"),
        ({"maxTries": 1}, "failed"),
        ({"maxTries": 2, "failOnTimeout": True}, "failed"),
        ({"maxTries": 2, "maxExceptions": 1}, "failed"),
        ({"maxTries": 2, "retryUntil": 1}, "failed"),
    ],
)
def test_a_run_that_takes_too_long_is_failed_or_left_reserved(
    opened: Opened, settings: dict[str, Any], outcome: str
) -> None:
    """As PHP's alarm leaves it: reserved until retry_after, or failed with its own exception."""
    found = opened()
    job = found.take(note("a", **settings))
    assert found.endings.after_timeout(job, last=found.endings.is_last(job)) == outcome
    assert bool(found.worked.queue.reserved()) == (outcome == "timed_out")
    told = [exception for *_, exception in found.worked.world.failed()]
    wanted = f"Illuminate\\Queue\\TimeoutExceededException: {NOTE} has timed out."
    assert told == ([] if outcome == "timed_out" else [wanted])


# -- locks -----------------------------------------------------------------------------------------

TAKE = """
class_exists('App\\\\Jobs\\\\Note') || eval('namespace App\\\\Jobs;
    class Note { public $uniqueFor = 500; public $uniqueId = "a"; }');
say((new Illuminate\\Bus\\UniqueLock(app('cache.store')))->acquire(new App\\Jobs\\Note));
"""


@database
@pytest.mark.parametrize("store", ["redis", "database", "file"])
@pytest.mark.parametrize("ending", ["success", "failure"])
def test_the_lock_of_a_unique_job_goes_with_its_end(
    opened: Opened, storage: Storage, store: str, ending: str
) -> None:
    """Trap 18, in every store and either way."""
    found = opened(CACHE_STORE=store, FLEET_LARAVEL_STORAGE=str(storage.path))
    php = found.worked.world.php
    assert php(STORES + TAKE + TAKE, storage.inside, store) == [True, False]
    job = found.take(note("a", maxTries=2))
    assert found.endings.after_error(job, FAILURE, last=False) == "released"
    assert php(STORES + TAKE, storage.inside, store) == [False]  # kept over a release
    if ending == "success":
        read = _Parts(found.worked.settings, {}).read(job.payload)
        assert found.endings.after_success(job, read) is None
    else:
        found.endings.fail(found.take(note("a", n=1)), FAILURE)
    assert php(STORES + TAKE, storage.inside, store) == [True]


@database
def test_a_lock_that_the_payload_names_goes_without_the_class_being_known(opened: Opened) -> None:
    found = opened()
    key = "laravel_unique_job:App\\Jobs\\Other:id7"
    redis: Any = found.worked.world.redis
    settings = found.worked.settings
    names = [settings.prefix + one + key for one in settings.cache.prefixes]
    for name in names:
        redis.set(name, "owner")
    payload = note("a") | {
        "data": {"commandName": "App\\Jobs\\Other", "command": command("App\\Jobs\\Other")},
        "illuminate:log:context": {
            "data": [],
            "hidden": {"laravel_unique_job_key": f's:{len(key)}:"{key}";'},
        },
    }
    found.endings.unlock(found.take(payload))
    assert redis.exists(*names) == 0


@database
def test_a_lock_out_of_reach_stops_no_ending(opened: Opened) -> None:
    found = opened(CACHE_STORE="memcached")
    assert found.endings.fail(found.take(note("a")), FAILURE) == "failed"


# -- what PHP takes over ---------------------------------------------------------------------------


def taken_over(found: Open) -> list[dict[str, Any]]:
    return [json.loads(payload)["data"] for payload in found.worked.events.ready()]


def with_command(name: str, text: str) -> dict[str, Any]:
    return note(name) | {"data": {"commandName": NOTE, "command": text}}


CONCERNS_PHP: dict[str, str] = {
    "of a batch": command(name="a", batchId="b-1"),
    "of a chain that catches": command(name="a", chainCatchCallbacks=["C:1:..."]),
}
CONCERNS_NOBODY: dict[str, str] = {
    "alone": command(name="a"),
    "of a chain": command(name="a", chained=[command(name="next")]),
    "not readable": "O:3:broken",
    "not decryptable": "ciphertext",
}


@database
@pytest.mark.parametrize("kind", CONCERNS_PHP)
def test_a_failure_that_concerns_php_is_handed_back(opened: Opened, kind: str) -> None:
    """Trap 17: the batch counts it, the chain's catch runs."""
    found = opened()
    job = found.take(with_command("a", CONCERNS_PHP[kind]))
    assert found.endings.fail(job, FAILURE) == "failed"
    assert taken_over(found) == [
        {
            "uuid": "uuid-a", "command": CONCERNS_PHP[kind], "outcome": "failed",
            "exception": FAILURE.text(), "exceptionClass": "RuntimeError",
        }
    ]  # fmt: skip


@database
@pytest.mark.parametrize("kind", CONCERNS_NOBODY)
def test_a_failure_that_concerns_nobody_is_not_handed_back(opened: Opened, kind: str) -> None:
    found = opened()
    job = found.take(with_command("a", CONCERNS_NOBODY[kind]))
    assert found.endings.fail(job, FAILURE) == "failed"
    assert taken_over(found) == []


@database
def test_with_our_package_every_failure_of_a_class_goes_back_to_it(opened: Opened) -> None:
    """For its failed(); a job pushed by name has none."""
    found = opened(FLEET_LARAVEL_JOBS=HAND_BACK)
    assert found.endings.fail(found.take(note("a")), FAILURE) == "failed"
    raw = {"uuid": "r", "displayName": "Raw", "job": "Raw@run", "data": [], "attempts": 0}
    assert found.endings.fail(found.take(raw), FAILURE) == "failed"
    assert [data["uuid"] for data in taken_over(found)] == ["uuid-a"]


@database
@pytest.mark.parametrize("more", [{"batchId": "b-1"}, {"chained": [command(name="next")]}])
def test_a_success_that_php_waits_for_is_handed_back(
    opened: Opened, more: dict[str, Any]
) -> None:
    found = opened()
    text = command(name="a", **more)
    job = found.take(with_command("a", text))
    back = found.endings.after_success(job, _Parts(found.worked.settings, {}).read(job.payload))
    assert back is not None
    assert back.queue == found.worked.settings.events_queue
    sent = read_payload(back.payload)
    assert (sent.class_name, sent.identity, sent.max_tries) == (f"{HAND_BACK}@handle", back.id, 3)
    assert sent.data == {"uuid": "uuid-a", "command": text, "outcome": "completed"}


# In place of the package's own class, which other tests run.
SEEN = r"""
class Seen {
    public function handle($job, $data) {
        $command = unserialize($data['command'], ['allowed_classes' => false]);
        echo json_encode([((array) $command)['name'], $data['outcome']]), PHP_EOL;
        $job->delete();
    }
}
app()->bind('Tradefleet\Laravel\Jobs\HandBack', fn () => new Seen);
Illuminate\Support\Facades\Artisan::call('queue:work',
    ['--once' => true, '--queue' => 'fleet-events']);
"""


@database
def test_php_can_run_what_is_handed_back(opened: Opened) -> None:
    """Whatever the command holds: its NULs and Unicode arrive as they were."""
    found = opened()
    made = object_job(NOTE, {"name": "é\0😀", "batchId": "b"}, "fleet", Options(), pushed_at=0)
    job = found.take(json.loads(made.payload))
    assert found.endings.fail(job, FAILURE) == "failed"
    assert found.worked.world.php(SEEN) == [["é\0😀", "failed"]]
