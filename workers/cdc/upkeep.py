"""What a collector sees to once a second: requests, what the sinks have, memory, what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared import telemetry
from shared.cdc.checkpoint import Report, trim_before
from shared.cdc.log import ChangeLog, Extent, Taken
from shared.cdc.transaction import Noted
from shared.errors import FleetError
from workers.cdc import snapshot
from workers.cdc.appender import Appender
from workers.cdc.beginning import OF_BEGINNINGS, SNAPSHOT
from workers.cdc.ports import Tools
from workers.cdc.resume import NewEpoch, Rewind, resume

HEARTBEAT, LIVENESS = "fleet_cdc_heartbeat", 1
"""The row that says: alive. The table's other row marks places."""
BEAT_SECONDS = 1.0


class BeginAgain(FleetError):  # noqa: N818 - a state, not a mistake
    """What the stream should hold has changed: begin as after a restart."""


@dataclass(slots=True)
class Lag:
    """How far behind the source reading is, by the heartbeat's own row."""

    beat_at_us: int = 0
    latency_us: int = 0  # of that row, when it was read

    def note(self, noted: Sequence[Noted], now_us: int) -> None:
        for row in noted:
            if row.table == HEARTBEAT and row.values["id"] == LIVENESS:
                at = datetime.fromisoformat(str(row.values["at"])).replace(tzinfo=UTC)
                self.beat_at_us = round(at.timestamp() * 1_000_000)
                self.latency_us = max(now_us - self.beat_at_us, 0)

    def seconds(self, now_us: int) -> float:
        """Whether we read or stand still: without a beat for longer than one takes, it grows."""
        if not self.beat_at_us:
            return 0.0
        overdue = (now_us - self.beat_at_us) / 1e6 - 2 * BEAT_SECONDS
        return max(self.latency_us / 1e6, overdue)


def serve(tools: Tools, stream: ChangeLog) -> None:
    """Takes what is asked off the list; what a beginning answers is left there."""
    for request in stream.requests():
        if request.kind == SNAPSHOT:
            tools.snapshots.request(snapshot.Request(request.id, request.tables, request.by))
            stream.done(request)
        elif request.kind in OF_BEGINNINGS:
            raise BeginAgain(f"{request.kind} asked by {request.by}: {request.reason}")


def trim(
    tools: Tools, stream: ChangeLog, appender: Appender, reports: Mapping[str, Report]
) -> None:
    """Never what one of the configured sinks has not said it has."""
    found = [reports.get(name) for name in tools.sinks]
    offsets = [one.offset for one in found if one is not None and one.offset is not None]
    before = trim_before(offsets) if len(offsets) == len(found) else None
    if before is not None:
        stream.trim(appender.checkpoint.fence, before)


def trimmed(tools: Tools, stream: ChangeLog, appender: Appender) -> Extent:
    """What is left. Raises BeginAgain where a sink needs what is gone: it was restored."""
    reports = stream.reports()
    trim(tools, stream, appender, reports)
    extent = stream.extent()
    taken = Taken(appender.checkpoint, agrees=True)
    found = resume(taken, reports, tools.sinks, tools.selection, extent.first)
    if isinstance(found, Rewind | NewEpoch):
        raise BeginAgain(found.why)
    return extent


def expose(appender: Appender) -> None:
    """What was appended since, as a metric; the exporter tells where the stream is."""
    telemetry.count("fleet_cdc_transactions_total", appender.appended)
    appender.appended = 0
