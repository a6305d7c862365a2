"""What a batch of a stream says of itself: metrics, one log line, and its place in Flower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from shared import telemetry
from workers.reporting import Report

_log = telemetry.log(__name__)


class BatchReport(NamedTuple):
    """One batch of one stream. seconds: read to commit. Ids are stream entry ids.

    error: what made it fail (nothing of it is committed), with its traceback.
    """

    stream: str
    partitions: tuple[int, ...]
    events: int
    parked: int
    seconds: float
    first_id: str
    last_id: str
    error: str | None = None
    traceback: str | None = None

    def for_flower(self) -> Report:
        return Report(
            task=f"stream.{self.stream}.batch",
            counts={"events": self.events, "parked": self.parked},
            places=tuple(str(number) for number in self.partitions),
            seconds=self.seconds,
            first=self.first_id,
            last=self.last_id,
            error=self.error,
            traceback=self.traceback,
        )


def observe_batch(report: BatchReport) -> None:
    """Metrics and the one log line of a batch."""
    outcome = "failed" if report.error is not None else "committed"
    telemetry.count("fleet_batches_total", stream=report.stream, outcome=outcome)
    telemetry.observe("fleet_batch_seconds", report.seconds, stream=report.stream)
    line: dict[str, Any] = {
        "stream": report.stream,
        "partitions": sorted(report.partitions),
        "events": report.events,
        "parked": report.parked,
        "seconds": round(report.seconds, 6),
        "first_id": report.first_id,
        "last_id": report.last_id,
    }
    if report.error is not None:
        _log.error("batch_failed", error=report.error, trace=report.traceback, **line)
        return
    telemetry.count("fleet_events_total", report.events, stream=report.stream)
    telemetry.observe("fleet_batch_events", report.events, stream=report.stream)
    _log.info("batch", **line)


def tell(report: Callable[[Report], None], batch: BatchReport) -> None:
    """Everybody who wants to know of a batch: metrics, the log, Flower."""
    observe_batch(batch)
    report(batch.for_flower())
