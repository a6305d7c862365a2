"""The loop of a Laravel worker: one job at a time, as `queue:work` runs them.

    look at the signals → reserve → may it run? → handler → commit → out of the reservation

A job leaves its reservation only after its work is committed. An error of the handler is an attempt
that failed: the rules of Laravel's worker say whether the job is released or fails for good. A
server that is away is no attempt: the job stays reserved and is tried again when it is back.

The end of a job is sent while the next one runs; `hand.py` says how many are reserved at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from shared.errors import InvalidEvent, Unavailable
from shared.laravel.arguments import CommandError
from shared.laravel.command import Command
from shared.laravel.payload import Payload, read_payload
from shared.laravel.reservations import Completed, Job, Reservations, Taken, queue_keys
from shared.laravel.signals import Standing
from shared.laravel.verdict import Defaults, may_run
from shared.settings import Settings
from workers.drain import never
from workers.laravel.endings import Endings, Failure, failure_of, too_many_attempts
from workers.laravel.hand import Hand, HandBounds
from workers.laravel.report import JobReport, Outcome
from workers.laravel.watch import Watched
from workers.laravel_jobs.context import Context
from workers.laravel_jobs.table import JobClass
from workers.links import Links, mysql_errors, redis_errors

T = TypeVar("T")

@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """Every bound of the loop, as data."""

    look_seconds: float = 1.0  # signals of the application are looked at this often
    hand: HandBounds = HandBounds()  # noqa: RUF009 - frozen
    wait_seconds: int = 1  # longest wait for a notice; delayed jobs come due meanwhile
    pause_seconds: float = 0.05
    pause_seconds_most: float = 2.0
    stuck_seconds: float = 30.0  # without a turn, while no job runs
    aside_seconds: float = 30.0  # quarantine is looked at this often, whoever filled it


@dataclass(frozen=True, slots=True)
class WorkerTools:
    """What a worker is given by the composition root.

    look: the application's signals. read: a payload's command. quarantine: takes what was set aside
    in Redis to MySQL. is_cancelled: of a batch's id. restart: begins a graceful end of the process,
    which starts again in its place. resting: reserve nothing for now.
    """

    settings: Settings
    node: str
    table: Mapping[str, JobClass]
    links: Links
    reservations: Callable[[Redis], Reservations]
    endings: Callable[[Links, Reservations], Endings]
    look: Callable[[Links], Standing]
    read: Callable[[Payload], Command]
    is_cancelled: Callable[[Any, str], bool]
    quarantine: Callable[[Redis, Any], int]
    watched: Watched
    defaults: Defaults
    report: Callable[[JobReport], None]
    log: Callable[..., None]
    restart: Callable[[], None]
    now: Callable[[], float] = time.time
    bounds: WorkerBounds = WorkerBounds()
    resting: Callable[[], bool] = never


class LaravelWorker:
    """Blocks in run() until stop(); raises what ends the process."""

    def __init__(self, tools: WorkerTools) -> None:
        self._tools = tools
        self._bounds = tools.bounds
        self._links = tools.links
        self._queues = tools.settings.queues
        self._stopping = threading.Event()
        self._reservations: Reservations | None = None
        self._endings: Endings | None = None
        self._redis: Redis | None = None
        self._unanswered: list[Completed] = []  # ended while Redis went away
        self._hand = Hand(tools.bounds.hand)
        self._unsure = False  # Redis went away before it said that the job in hand is ours
        self._standing: Standing | None = None
        self._restart_mark: object = None
        self._next_look = self._next_drain = 0.0
        self._pauses = 0
        self._turned = False
        self.rests = False
        self.jobs = 0
        self.last_error: str | None = None
        self.turned_at = time.monotonic()

    # -- the loop ------------------------------------------------------------------------------

    def run(self, check: Callable[[], None] = lambda: None) -> None:
        """check: called once a turn; what it raises ends the loop."""
        try:
            while not self._stopping.is_set():
                self.turned_at = time.monotonic()
                check()
                try:
                    self.turn()
                except (Unavailable, RedisError) as away:
                    self._pause(away)
                else:
                    self._turned = True
            self._leave()
        finally:
            self._links.close_mysql()
            self._links.close_redis()

    def stop(self) -> None:
        """Finish the job in hand, take no other."""
        self._stopping.set()

    def turn(self) -> None:
        """One job, or a short wait for one."""
        standing = self._look()
        if self._stopping.is_set():  # a restart was asked for
            return
        if not self._hand:
            self._fill(standing)
        first = self._queues[0]
        closed = self._tools.resting() or standing.down or first in standing.paused
        self._unsure = False
        taken = self._hand.take(self._reserve(), None if closed else first)
        if taken is not None:
            self._take(taken)

    def _fill(self, standing: Standing) -> None:
        """What may be reserved from: nothing in maintenance mode or while drained, and no paused
        queue.
        """
        resting = self._tools.resting()
        paused = self._queues if resting or standing.down else standing.paused
        queues = [queue for queue in self._queues if queue not in paused]
        found = self._hand.fill(self._reserve(), queues)
        self._tell_ended()
        self._pauses = 0
        self.rests = resting and not self._hand
        if found.aside or time.monotonic() >= self._next_drain:
            self._drain()
        if not queues:
            self._stopping.wait(self._bounds.wait_seconds)
        elif not found.taken:
            keys = [queue_keys(self._tools.settings.prefix, queue).notify for queue in queues]
            self._links.redis().blpop(keys, timeout=self._bounds.wait_seconds)

    def _look(self) -> Standing:
        now = time.monotonic()
        if self._standing is None or now >= self._next_look:
            self._reserve().settle()  # the look may have to wait for MySQL, a job's end may not
            standing = self._tools.look(self._links)
            self._next_look = now + self._bounds.look_seconds
            if self._standing is None:
                self._restart_mark = standing.restart
                for sentence in standing.unreachable:
                    self._tools.log("signals_unreachable", cure=sentence)
            elif standing.restart != self._restart_mark:
                self._restart_mark = standing.restart
                self._tools.log("restart_asked", mark=str(standing.restart))
                self._tools.restart()
                self._stopping.set()
            self._standing = standing
        return self._standing

    # -- one job -------------------------------------------------------------------------------

    def _take(self, taken: Taken) -> None:
        try:
            payload = read_payload(taken.original)
        except InvalidEvent as invalid:
            self._reserve().set_aside(taken, invalid.detail)
            self._drain()
            return
        job = Job(*taken, payload, payload.attempts + 1)
        started = time.monotonic()
        self.jobs += 1
        try:
            if may_run(payload, job.attempts, int(self._tools.now()), self._tools.defaults):
                with self._tools.watched.running(job):
                    self._run(job, started)
            else:
                self._failed(job, started, too_many_attempts(payload.name))
        except _Stopped:
            self._tools.log("left_reserved", job=payload.name, id=payload.identity)
        except _NotOurs:
            self._links.rollback()
            self._tools.report(_report(job, "lost", time.monotonic() - started))

    def _run(self, job: Job, started: float) -> None:
        try:
            command = self._insist(lambda: self._handle(job))
        except _Stopped:
            # Nothing of it is committed: as if it had not been taken.
            self._be_ours(job)
            self._reserve().give_back(Taken(*job[:3]), job.payload.identity)
        except _NotOurs:
            raise
        except Exception as error:  # noqa: BLE001 - an attempt that failed: released or failed
            self._links.rollback()
            self._errored(job, started, failure_of(error))
        else:
            back = self._insist(lambda: self._end().after_success(job, command))
            milliseconds = round((time.monotonic() - started) * 1000, 2)
            self._reserve().complete(Completed(job, milliseconds, back))

    def _handle(self, job: Job) -> Command:
        """The handler and its commit. Raises Unavailable when a server went away."""
        payload = job.payload
        row = self._tools.table.get(payload.class_name)
        if row is None:
            known = ", ".join(sorted(self._tools.table))
            raise CommandError(
                f"no Python handler for {payload.class_name}; this fleet runs {known}. Dispatch it "
                "to a queue of PHP workers, or deploy the fleet that knows it, then queue:retry"
            )
        command = self._tools.read(payload)
        arguments = command.arguments(row.model)
        session = _Session(self._links)
        if not (command.batch_id and self._tools.is_cancelled(session(), command.batch_id)):
            context = Context(
                self._tools.settings, session, payload.identity, payload.class_name, job.attempts,
                self._tools.node,
            )  # fmt: skip
            with mysql_errors(), redis_errors():
                row.run(context, arguments)
        if session.used:
            self._be_ours(job)
            self._links.commit()
        return command

    def _be_ours(self, job: Job) -> None:
        """Raises _NotOurs. A held job that waited too long for its start is somebody else's, and so
        is one whose reservation ran out while this process was stopped. When Redis went away before
        it said whose it is, nobody knows: the job returns to its queue by itself.
        """
        try:
            reservations = self._reserve()
            ours = reservations.started()
            if ours and self._hand.is_old(reservations):
                ours = reservations.renew(job.queue, job.reserved)
        except RedisError as away:
            self._pause(away)
            ours = False
        if self._unsure or not ours:
            raise _NotOurs

    def _errored(self, job: Job, started: float, failure: Failure) -> None:
        self._be_ours(job)
        last = self._insist(lambda: self._end().is_last(job))
        outcome = self._insist(lambda: self._end().after_error(job, failure, last=last))
        self._tell(job, outcome, started, failure)

    def _failed(self, job: Job, started: float, failure: Failure) -> None:
        self._be_ours(job)
        outcome = self._insist(lambda: self._end().fail(job, failure))
        self._tell(job, outcome, started, failure)

    def _tell_ended(self) -> None:
        """Jobs have left their reservation, or it turned out to be somebody else's."""
        for completed, was_ours in self._reserve().ended():
            outcome: Outcome = "completed" if was_ours else "lost"
            self._tools.report(_report(completed.job, outcome, completed.milliseconds / 1000))

    def _insist(self, step: Callable[[], T]) -> T:
        """Repeat a step for as long as a server is away; _Stopped when we shall end meanwhile."""
        while True:
            try:
                return step()
            except (Unavailable, RedisError) as away:
                self._pause(away)
                self._tools.watched.starts_again()
            if self._stopping.is_set():
                raise _Stopped

    # -- around it -----------------------------------------------------------------------------

    def _leave(self) -> None:
        """What is in hand goes back, the last job leaves its reservation. If Redis is away, both
        run out by themselves.
        """
        try:
            self._hand.let_go(self._reserve())
            self._reserve().settle()
            self._tell_ended()
        except RedisError as error:
            self._tools.log("left_without_goodbye", error=str(error))

    def _drain(self) -> None:
        self._tools.quarantine(self._links.redis(), self._links.mysql())
        self._next_drain = time.monotonic() + self._bounds.aside_seconds

    def _reserve(self) -> Reservations:
        """Over the open client; made anew after a reconnect, and the endings with it."""
        redis = self._links.redis()
        if self._reservations is None or redis is not self._redis:
            self._redis, self._reservations = redis, self._tools.reservations(redis)
            self._endings = self._tools.endings(self._links, self._reservations)
            for completed in self._unanswered:
                self._reservations.complete(completed)
            self._unanswered = []
        return self._reservations

    def _end(self) -> Endings:
        self._reserve()
        assert self._endings is not None
        return self._endings

    def _tell(self, job: Job, outcome: Outcome, started: float, failure: Failure) -> None:
        self.last_error = f"{failure.php_class}: {failure.message}"
        report = _report(job, outcome, time.monotonic() - started)
        self._tools.report(report._replace(error=self.last_error, traceback=failure.trace))

    def _pause(self, away: Exception) -> None:
        self.turned_at = time.monotonic()
        self.last_error = str(away)
        self._tools.log("unavailable", error=str(away))
        self._links.close_mysql()
        if isinstance(away, RedisError):
            if self._reservations is not None:
                self._unsure = self._unsure or self._reservations.unconfirmed
                self._unanswered += self._reservations.unanswered()
                self._reservations.close()
            self._links.close_redis()
            self._hand.redis_went_away()
        self._pauses += 1
        longest = self._bounds.pause_seconds * 2 ** min(self._pauses, 10)
        jitter = 0.5 + random.random() / 2  # noqa: S311 - nobody guesses it
        self._stopping.wait(min(longest, self._bounds.pause_seconds_most) * jitter)

    # -- for the node --------------------------------------------------------------------------

    def info(self) -> dict[str, object]:
        """For Flower's worker page and the logs."""
        run, standing = self._tools.watched.run, self._standing
        return {
            "node": self._tools.node,
            "queues": list(self._queues),
            "running": run.job.payload.name if run else None,
            "jobs": self.jobs,
            "paused": sorted(standing.paused) if standing else [],
            "maintenance": bool(standing and standing.down),
            "unreachable": list(standing.unreachable) if standing else [],
            "last_error": self.last_error,
        }

    def ready(self) -> bool:
        return self._turned and not self._pauses

    def alive(self, now_monotonic: float) -> bool:
        """The loop turns; while a job runs, the watch looks after it."""
        running = self._tools.watched.run is not None
        return running or now_monotonic - self.turned_at < self._bounds.stuck_seconds


class _Stopped(Exception):  # noqa: N818 - not an error: stop() came while a server was away
    """Ends a step that is repeated."""


class _NotOurs(Exception):  # noqa: N818 - not an error: another worker has the job
    """Ends a run before its commit."""


class _Session:
    """The lane's MySQL connection, and whether the handler asked for it."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self.used = False

    def __call__(self) -> Any:
        self.used = True
        return self._links.mysql()


def _report(job: Job, outcome: Outcome, seconds: float) -> JobReport:
    payload = job.payload
    return JobReport(payload.name, job.queue, payload.identity, job.attempts, outcome, seconds)
