"""The watch over a running job: renews its reservation, and ends a run that takes too long.

A thread of its own with connections of its own, because the lane may be anywhere in a handler. A
run that times out cannot be stopped inside its thread: as PHP's worker does, the job is failed or
left reserved, and the process ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from redis.exceptions import RedisError

from shared.errors import Unavailable
from shared.laravel.reservations import Job, Reservations
from shared.laravel.verdict import Defaults, timeout_seconds
from workers.laravel.endings import Endings
from workers.laravel.report import JobReport

TURN_SECONDS = 0.25
RENEW_SHARE = 3
"""A reservation is renewed when a third of it is over: two failed renewals lose nothing."""


class Run(NamedTuple):
    """A job in the lane's hands. Times are monotonic seconds; timeout 0 or less: none.

    began_at: where its reservation counts from. started_at: where its timeout does.
    """

    job: Job
    began_at: float
    started_at: float
    timeout: int


class Watched:
    """What the lane tells the watch. Thread-safe."""

    def __init__(self, defaults: Defaults, clock: Callable[[], float] = time.monotonic) -> None:
        self._defaults = defaults
        self._clock = clock
        self._lock = threading.Lock()
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        with self._lock:
            return self._run

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        now = self._clock()
        self._set(Run(job, now, now, timeout_seconds(job.payload, self._defaults)))
        try:
            yield
        finally:
            self._set(None)

    def starts_again(self) -> None:
        """A server was away: the time of waiting for it is not the job's."""
        with self._lock:
            if self._run is not None:
                self._run = self._run._replace(started_at=self._clock())

    def _set(self, run: Run | None) -> None:
        with self._lock:
            self._run = run


class Watch(threading.Thread):
    """end_process: does not return; the process starts again."""

    def __init__(
        self,
        watched: Watched,
        open_endings: Callable[[], tuple[Reservations, Endings]],
        *,
        seconds: int | None,
        report: Callable[[JobReport], None],
        log: Callable[..., None],
        end_process: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="fleet-laravel-watch", daemon=True)
        self._watched = watched
        self._open_endings = open_endings
        self._seconds = seconds
        self._report = report
        self._log = log
        self._end_process = end_process
        self._clock = clock
        self._stopping = threading.Event()
        self._opened: tuple[Reservations, Endings] | None = None
        self._renewed: tuple[Job, float] | None = None
        self._timed_out: tuple[Job, bool] | None = None  # and whether that was its last attempt
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.wait(TURN_SECONDS):
                try:
                    self.turn()
                except (Unavailable, RedisError) as away:
                    self._opened = None
                    self._log("watch_waits", error=str(away))
        except BaseException as failure:  # noqa: BLE001 - carried to the node, which raises it
            self.failure = failure

    def stop(self) -> None:
        self._stopping.set()

    def turn(self) -> None:
        """One look at the running job."""
        run, now = self._watched.run, self._clock()
        if run is None:
            return
        if 0 < run.timeout <= now - run.started_at:
            self._time_out(run, now)
            return
        if self._seconds is None:
            return
        since = run.began_at
        if self._renewed is not None and self._renewed[0] is run.job:
            since = self._renewed[1]
        if now - since >= self._seconds / RENEW_SHARE:
            reservations, _ = self._open()
            if not reservations.renew(run.job.queue, run.job.reserved):
                self._log("reservation_lost", job=run.job.payload.name, id=run.job.payload.identity)
            self._renewed = (run.job, now)

    def _time_out(self, run: Run, now: float) -> None:
        _, endings = self._open()
        if self._timed_out is None or self._timed_out[0] is not run.job:
            self._timed_out = (run.job, endings.is_last(run.job))
        outcome = endings.after_timeout(run.job, last=self._timed_out[1])
        if self._watched.run is None or self._watched.run.job is not run.job:
            return  # it came to its end in this very moment
        self._report(
            JobReport(
                run.job.payload.name, run.job.queue, run.job.payload.identity, run.job.attempts,
                "failed" if outcome == "failed" else "timed_out", now - run.started_at,
                f"the run took longer than {run.timeout} s; the process ends and starts again",
            )
        )  # fmt: skip
        self._end_process()

    def _open(self) -> tuple[Reservations, Endings]:
        if self._opened is None:
            self._opened = self._open_endings()
        return self._opened
