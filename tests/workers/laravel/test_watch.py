"""The watch over a running job, on real servers and a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import RedisError

from shared.errors import Unavailable
from shared.laravel.payload import read_payload
from shared.laravel.reservations import Job, Reservations
from shared.laravel.verdict import Defaults
from tests.laravel_world import Restarted
from tests.waiting import eventually
from tests.workers.laravel.conftest import Configure
from tests.workers.laravel.jobs import Gate, Worked, note
from workers.laravel.build import _Parts
from workers.laravel.endings import Endings
from workers.laravel.report import JobReport
from workers.laravel.watch import RENEW_SHARE, Watch, Watched

pytestmark = pytest.mark.database

RETRY_AFTER = 90
DEFAULTS = Defaults(timeout=60)


class Clock:
    """Monotonic seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watching:
    """One watch, turned by hand; what it says and does is noted."""

    def __init__(self, worked: Worked) -> None:
        self.worked = worked
        self.clock = Clock()
        self.watched = Watched(DEFAULTS, self.clock)
        self.reports: list[JobReport] = []
        self.logs: list[str] = []
        self.ends = 0
        self.opened = 0
        self.away: list[Exception] = []
        self._parts = _Parts(worked.settings, worked.handler.table)
        self._links: list[Any] = []
        self.lane = self._open()[0]
        self.watch = self.make()

    def make(self, seconds: int | None = RETRY_AFTER) -> Watch:
        return Watch(
            self.watched,
            self._open_again,
            seconds=seconds,
            report=self.reports.append,
            log=lambda event, **_: self.logs.append(event),
            end_process=self._end,
            clock=self.clock,
        )

    def take(self, **more: Any) -> Job:
        self.worked.queue.push(note("a", **more))
        (taken,) = self.lane.reserve(["fleet"]).taken
        payload = read_payload(taken.original)
        return Job(*taken, payload, payload.attempts + 1)

    def held_for(self, job: Job) -> float:
        """Seconds of the reservation that are left in Redis."""
        return self.worked.queue.reserved()[job.reserved] - self.worked.queue.now()

    def pass_seconds(self, seconds: float) -> None:
        self.clock.now += seconds
        self.watch.turn()

    def close(self) -> None:
        for links in self._links:
            links.close_mysql()
            links.close_redis()

    def _open(self) -> tuple[Reservations, Endings]:
        links = self._parts.links()
        self._links.append(links)
        reservations = self._parts.reservations(links.redis())
        return reservations, self._parts.endings(DEFAULTS, links, reservations)

    def _open_again(self) -> tuple[Reservations, Endings]:
        if self.away:
            raise self.away.pop()
        self.opened += 1
        return self._open()

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
def watching(configure: Configure) -> Iterator[Watching]:
    found = Watching(configure())
    yield found
    found.close()


# -- renewals --------------------------------------------------------------------------------------


def test_a_long_job_keeps_its_reservation(watching: Watching) -> None:
    """Trap 20: renewed when a third of it is over, for as long as the job runs."""
    job = watching.take(timeout=0)
    with watching.watched.running(job):
        for _ in range(5):
            watching.worked.queue.reservations_pass()  # and no migration in between
            watching.pass_seconds(RETRY_AFTER / RENEW_SHARE)
            assert watching.held_for(job) > RETRY_AFTER - 10
    assert watching.opened == 1
    assert watching.logs == []


def test_a_short_job_is_not_renewed(watching: Watching) -> None:
    job = watching.take()
    with watching.watched.running(job):
        watching.pass_seconds(RETRY_AFTER / RENEW_SHARE - 1)
    watching.pass_seconds(10 * RETRY_AFTER)
    assert watching.opened == 0


def test_every_job_has_periods_of_its_own(watching: Watching) -> None:
    with watching.watched.running(watching.take(timeout=0)):
        watching.pass_seconds(31)
    assert watching.lane.release(watching.take(n=1), 0)
    watching.worked.queue.reservations_pass()
    second = watching.take(timeout=0, n=2)
    with watching.watched.running(second):
        before = watching.held_for(second)
        watching.worked.world.redis.zadd(watching.worked.queue.keys.reserved, {second.reserved: 5})
        watching.pass_seconds(29)
        assert watching.held_for(second) < 0
        watching.pass_seconds(2)
        assert watching.held_for(second) >= before - 10


def test_a_job_that_waits_for_a_server_is_renewed_all_the_same(watching: Watching) -> None:
    """The lane says so again and again; its timeout starts anew each time, its reservation not."""
    job = watching.take()
    watching.worked.world.redis.zadd(watching.worked.queue.keys.reserved, {job.reserved: 5})
    with watching.watched.running(job):
        for _ in range(20):
            watching.watched.starts_again()
            watching.pass_seconds(2)
    assert watching.held_for(job) > RETRY_AFTER - 10
    assert watching.reports == []


def test_without_retry_after_nothing_is_renewed(watching: Watching) -> None:
    watching.watch = watching.make(seconds=None)
    with watching.watched.running(watching.take(timeout=0)):
        watching.pass_seconds(1_000_000)
    assert watching.opened == 0


def test_a_reservation_that_is_lost_is_said(watching: Watching) -> None:
    job = watching.take(timeout=0)
    watching.worked.world.redis.delete(watching.worked.queue.keys.reserved)
    with watching.watched.running(job):
        watching.pass_seconds(31)
    assert watching.logs == ["reservation_lost"]
    assert watching.worked.queue.reserved() == {}
    assert watching.ends == 0


# -- too long --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "failed"),
    [
        ({"maxTries": 2}, False),
        ({"maxTries": 1}, True),
        ({"maxTries": 2, "failOnTimeout": True}, True),
        ({"maxTries": 2, "maxExceptions": 1}, True),
    ],
)
def test_a_run_that_takes_too_long_ends_the_process(
    watching: Watching, settings: dict[str, Any], *, failed: bool
) -> None:
    """Trap 28: a timeout above retry_after does no harm here, for the job is renewed until then."""
    job = watching.take(timeout=200, **settings)
    with watching.watched.running(job):
        for _ in range(8):
            watching.pass_seconds(24)
        assert (watching.ends, watching.reports) == (0, [])
        watching.pass_seconds(8)
    assert watching.ends == 1
    (report,) = watching.reports
    assert (report.outcome, report.seconds) == ("failed" if failed else "timed_out", 200)
    assert "longer than 200 s" in str(report.error)
    assert len(watching.worked.world.failed()) == int(failed)
    assert len(watching.worked.queue.reserved()) == int(not failed)


def test_the_workers_timeout_holds_for_jobs_that_have_none(watching: Watching) -> None:
    with watching.watched.running(watching.take(maxTries=0)):
        watching.pass_seconds(59)
        assert watching.ends == 0
        watching.pass_seconds(1)
    assert watching.ends == 1


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_job_may_run_as_long_as_it_likes(watching: Watching, timeout: int) -> None:
    with watching.watched.running(watching.take(timeout=timeout)):
        watching.pass_seconds(1_000_000)
    assert watching.ends == 0


def test_waiting_for_a_server_is_not_the_jobs_time(watching: Watching) -> None:
    with watching.watched.running(watching.take(timeout=60)):
        watching.pass_seconds(59)
        watching.watched.starts_again()
        watching.pass_seconds(59)
        assert watching.ends == 0
        watching.pass_seconds(1)
        assert watching.ends == 1


def test_a_job_that_came_to_its_end_in_that_moment_ends_nothing(watching: Watching) -> None:
    job = watching.take(timeout=10, maxTries=2)
    context = watching.watched.running(job)
    context.__enter__()
    watching.clock.now += 10
    lane = watching.make()
    opened = lane._open()

    def ended() -> tuple[Reservations, Endings]:
        context.__exit__(None, None, None)
        return opened

    lane._open = ended  # type: ignore[method-assign] # the lane is a moment faster
    lane.turn()
    assert (watching.ends, watching.reports) == (0, [])


# -- servers that are away -------------------------------------------------------------------------


def test_a_timeout_is_decided_once_however_often_its_row_must_be_written(
    watching: Watching,
) -> None:
    """Else a MySQL that is away for a minute uses up the job's exceptions."""
    job = watching.take(timeout=10, maxTries=9, maxExceptions=2)
    reservations, endings = watching._open()
    rows = endings._failed_jobs
    watching.watch._opened = (reservations, endings)

    class Away:
        def add(self, job: object) -> None:
            raise Unavailable(f"MySQL is away, {job}")

        def remove(self, job: object) -> None:
            raise NotImplementedError(job)

    endings._failed_jobs = Away()
    endings._cache.count(f"job-exceptions:{job.payload.uuid}")
    with watching.watched.running(job):
        watching.clock.now += 10
        for _ in range(3):
            with pytest.raises(Unavailable):
                watching.watch.turn()
        assert watching.ends == 0
        endings._failed_jobs = rows
        watching.watch.turn()
    assert watching.ends == 1
    assert len(watching.worked.world.failed()) == 1
    assert endings._cache.count(f"job-exceptions:{job.payload.uuid}") == 1


@pytest.mark.parametrize("away", [Unavailable("MySQL is away"), RedisError("Redis is away")])
def test_a_watch_tries_again_with_new_connections(watching: Watching, away: Exception) -> None:
    job = watching.take(timeout=0)
    watching.away = [away]
    with watching.watched.running(job), turning(watching.watch):
        watching.worked.world.redis.zadd(watching.worked.queue.keys.reserved, {job.reserved: 5})
        watching.clock.now += 31
        eventually(lambda: watching.logs == ["watch_waits"])
        eventually(lambda: watching.held_for(job) > RETRY_AFTER - 10)
    assert watching.watch.failure is None


class turning:  # noqa: N801 - reads as a verb
    """A watch in its thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._watch.stop()
        self._watch.join(10)
        assert not self._watch.is_alive()


def test_a_bug_of_the_watch_is_carried_to_the_node(watching: Watching) -> None:
    watching.away = [ZeroDivisionError("a bug")]
    with watching.watched.running(watching.take(timeout=0)), turning(watching.watch):
        watching.clock.now += 31
        eventually(lambda: watching.watch.failure is not None)
    assert isinstance(watching.watch.failure, ZeroDivisionError)


# -- in a node -------------------------------------------------------------------------------------


def test_a_handler_that_hangs_ends_the_process_and_the_job_as_php_would(worked: Worked) -> None:
    gate, ended = Gate(), threading.Event()
    worked.handler.on("a", gate)
    worked.push("a", timeout=1, maxTries=1)
    with worked.working(end_process=ended.set):
        assert ended.wait(10)
        ((*_, exception),) = worked.world.failed()
        assert "TimeoutExceededException" in exception
        assert not worked.queue.reserved()
        assert len(worked.outcomes()) == 1
        gate.open()  # the process would be gone by now


def test_a_node_does_not_outlive_its_watch(worked: Worked) -> None:
    """Without it no job is renewed and none is ended."""
    gate = Gate()
    worked.handler.on("a", gate)
    worked.push("a", timeout=1, maxTries=2)

    def end_process() -> None:
        gate.open()
        raise Restarted

    node = worked.world.node(
        worked.handler.table, settings=worked.settings, end_process=end_process
    )
    with pytest.raises(Restarted):
        node.run()
    assert not node.alive(0)
