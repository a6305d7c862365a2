"""The worker of operator jobs: `python -m workers.rq_worker`. One queue, one job at a time.

SIGTERM does not wait for a job of hours: the running one is told, saves its checkpoint at its next
step, goes back to the queue, and the next worker goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from typing import Any

from shared import telemetry
from shared.masking import Mask
from shared.settings import Settings
from workers import http
from workers.drain import Gate
from workers.drain_build import attend
from workers.jobs import operator
from workers.roles import settings_or_end

# RQ looks for dead workers and their jobs only between two fetches. A dead worker's job is found
# after heartbeat (10 + 60 s) and maintenance.
WORKER_TTL = 45
HEARTBEAT_SECONDS = 10
# Not RQ's 30 s: a worker that is drained looks at the gate between two fetches.
FETCH_SECONDS = 2
REST_SECONDS = 0.5
JOIN_SECONDS = 5.0
MAINTENANCE_SECONDS = 30
# Three missed rounds: RQ's loop beats at least every fetch or heartbeat.
LIVE_SECONDS = 3.0 * WORKER_TTL
_STOP_HORSE = signal.SIGUSR1


class Beats:
    """When RQ's loop last beat; None before it runs."""

    last: float | None = None

    @classmethod
    def alive(cls) -> bool:
        return cls.last is None or time.monotonic() - cls.last < LIVE_SECONDS

    @classmethod
    def ready(cls) -> bool:
        return cls.last is not None and cls.alive()


def make_worker(settings: Settings, gate: Gate) -> Any:
    """RQ's forking worker on our queue."""
    queue = operator.queue(settings)
    from rq import Worker  # noqa: PLC0415 - after use_prefix (in operator.queue)

    class OperatorWorker(Worker):  # type: ignore[misc] # followed imports are off
        stop_asked = False
        rests = False

        def request_stop(self, signum: int, frame: Any) -> None:
            self.stop_asked = True
            self.hand_back()
            super().request_stop(signum, frame)

        def hand_back(self) -> None:
            """The running job saves its checkpoint at its next step and goes back to the queue."""
            if self.horse_pid:
                with contextlib.suppress(ProcessLookupError):  # it ended this moment
                    os.kill(self.horse_pid, _STOP_HORSE)

        def dequeue_job_and_maintain_ttl(
            self, timeout: int | None, max_idle_time: int | None = None
        ) -> Any:
            """The next job. RQ would wait for it for ever and never look at the gate."""
            del max_idle_time
            found = None
            while found is None:
                while gate.closed:
                    self.rests = True
                    self.heartbeat()
                    time.sleep(REST_SECONDS)
                self.rests = False
                found = super().dequeue_job_and_maintain_ttl(timeout, FETCH_SECONDS)
            return found

        def execute_job(self, job: Any, queue: Any) -> None:
            super().execute_job(job, queue)
            operator.count_run(job)

        def heartbeat(self, *args: Any, **kwargs: Any) -> None:
            super().heartbeat(*args, **kwargs)
            Beats.last = time.monotonic()

        def setup_work_horse_signals(self) -> None:
            super().setup_work_horse_signals()
            signal.signal(_STOP_HORSE, _horse_is_asked)
            telemetry.after_fork()

    return OperatorWorker(
        [queue],
        connection=queue.connection,
        serializer=queue.serializer,
        worker_ttl=WORKER_TTL,
        job_monitoring_interval=HEARTBEAT_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
    )


def _held(worker: Any, gate: Gate) -> int:
    """One until it rests; a job in hand is told to come to an end. From another thread."""
    if gate.closed and not worker.rests:
        worker.hand_back()
    return 0 if worker.rests else 1


def _horse_is_asked(*_: Any) -> None:
    operator.Stopping.asked = True


def main() -> int:
    settings = settings_or_end("rq")
    operator.use_prefix(settings)
    telemetry.start(
        Mask.of(settings),
        role="rq",
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
        with_rq=True,
    )
    # A horse inherits it until it has a handler: what it is told in between must not kill it.
    signal.signal(_STOP_HORSE, signal.SIG_IGN)
    gate = Gate()
    worker = make_worker(settings, gate)
    # Also before RQ has its own handlers: a stop in the first second must not kill hard.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.serve(settings.metrics_port, http.Probes("rq", Beats.alive, Beats.ready))
    _heartbeat_when_idle(worker)
    attendance = attend(settings, "rq", gate, partial(_held, worker, gate))
    worker.work(logging_level="WARNING")
    attendance.stop()
    attendance.join(JOIN_SECONDS)
    # RQ returns after any trouble as if all were well; a supervisor must see the difference.
    return 0 if worker.stop_asked else 1


def _heartbeat_when_idle(worker: Any) -> None:
    """RQ beats first when its first fetch returns; readiness should not wait half a minute."""

    def first_beat() -> None:
        while worker.birth_date is None:
            time.sleep(0.05)
        Beats.last = Beats.last or time.monotonic()

    threading.Thread(target=first_beat, name="fleet-rq-birth", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
