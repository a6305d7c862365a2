"""What one run of a Laravel job says of itself: metrics, one log line, and its place in Flower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from shared import telemetry
from workers.reporting import Report

_log = telemetry.log(__name__)

Outcome = Literal["completed", "released", "failed", "timed_out", "lost"]
"""lost: the reservation ran out before the end, so the job is somebody else's."""


class JobReport(NamedTuple):
    """One run. name: the job's display name. error: of a run that raised, with its traceback."""

    name: str
    queue: str
    id: str
    attempts: int
    outcome: Outcome
    seconds: float
    error: str | None = None
    traceback: str | None = None


def tell(report: Callable[[Report], None], job: JobReport) -> None:
    """Everybody who wants to know of a run: metrics, the log, Flower."""
    telemetry.count(
        "fleet_laravel_jobs_total", queue=job.queue, job_name=job.name, outcome=job.outcome
    )
    telemetry.observe("fleet_laravel_job_seconds", job.seconds, queue=job.queue)
    line = _log.error if job.error is not None else _log.info
    more = {"error": job.error, "trace": job.traceback} if job.error is not None else {}
    line(
        "laravel_job", job=job.name, queue=job.queue, id=job.id, attempts=job.attempts,
        outcome=job.outcome, seconds=round(job.seconds, 6), **more,
    )  # fmt: skip
    report(
        Report(
            task=job.name,
            counts={"jobs": 1},
            places=(job.queue,),
            seconds=job.seconds,
            first=job.id,
            last=job.id,
            error=job.error,
            traceback=job.traceback,
        )
    )
