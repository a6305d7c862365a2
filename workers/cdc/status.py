"""Where change capture is, for `fleet cdc status` and `fleet status`. Reads only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shared.cdc.checkpoint import Checkpoint, Stopped, following, id_text
from shared.cdc.envelope import committed_at_us
from shared.cdc.log import ChangeLog, Request
from shared.changes import Offset
from shared.errors import InvalidEvent
from workers.cdc.heartbeat import told_by
from workers.cdc.snapshot_marks import Progress, progress
from workers.cdc.standings import stopped_tables


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """behind: whole transactions that it does not have yet; None: it has said nothing.
    behind_seconds: since the first of them was committed; None: not known. why: it waits.
    """

    name: str
    epoch: int | None
    seq: int | None
    behind: int | None
    said_ms: int
    behind_seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """begun: whether there is a checkpoint. collector: who has the lease. lag_seconds: how far
    capture is behind the source, also while no collector runs; None: not known. at_ms: when the
    checkpoint was last written. reading: file and position of the source's log. tables_stopped:
    those whose rows are left out, and why.
    """

    begun: bool
    collector: str | None
    lag_seconds: float | None
    epoch: int
    seq: int
    head: str
    reading: str
    gtid: str
    at_ms: int
    stopped: Stopped | None
    entries: int
    bytes: int
    sinks: list[SinkStatus]
    requests: list[Request]
    snapshots: list[Progress]
    tables_stopped: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        told = asdict(self)
        told["stopped"] = self.stopped._asdict() if self.stopped else None
        told["requests"] = [one._asdict() for one in self.requests]
        told["snapshots"] = [one._asdict() for one in self.snapshots]
        return told


def capture_status(stream: ChangeLog, connection: Any, sinks: Sequence[str]) -> CaptureStatus:
    """sinks: the configured ones. connection: of the source, in our schema."""
    found, extent = stream.look(), stream.extent()
    mark = told_by(connection)
    place = found.place if found else None
    return CaptureStatus(
        begun=found is not None,
        collector=stream.owner(),
        lag_seconds=mark.behind_seconds if mark else None,
        epoch=place.epoch if place else 0,
        seq=place.seq if place else 0,
        head=id_text(found.head) if found else "",
        reading=f"{place.position.file}:{place.position.pos}" if place else "",
        gtid=place.position.gtid if place else "",
        at_ms=found.at_ms if found else 0,
        stopped=found.stopped if found else None,
        entries=extent.length,
        bytes=extent.bytes,
        sinks=_sinks(stream, found, sinks),
        requests=stream.requests(),
        snapshots=progress(connection),
        tables_stopped=stopped_tables(connection, place.seq) if place else {},
    )


def behind_seconds(stream: ChangeLog, offset: Offset, now_ms: int) -> float | None:
    """How long ago the first transaction was committed that a sink does not have; 0: it has all.
    None: no collector wrote what stands there, and no sink gets past it.
    """
    waits = stream.first_from(following(offset))
    try:
        return max(now_ms - committed_at_us(*waits) // 1000, 0) / 1000 if waits else 0.0
    except InvalidEvent:
        return None


def summary(found: CaptureStatus) -> str:
    """One line, for `fleet status`."""
    if not found.begun:
        return "nothing is captured yet: do a collector and every sink run?"
    if found.stopped:
        return f"STOPPED, {found.stopped.what}. {found.stopped.cure}"
    sinks = ", ".join(
        f"{one.name} {'has said nothing yet' if one.behind is None else f'{one.behind:,} behind'}"
        for one in found.sinks
    )
    tables = "".join(f" · {table} is stopped: {why}" for table, why in found.tables_stopped.items())
    owner = "" if found.collector else " · no collector runs"
    return f"epoch {found.epoch}, transaction {found.seq:,}; {sinks}{owner}{tables}"


def _sinks(
    stream: ChangeLog, found: Checkpoint | None, sinks: Sequence[str]
) -> list[SinkStatus]:
    reports = stream.reports()
    now_ms = time.time_ns() // 1_000_000
    rows = []
    for name in sorted({*sinks, *reports}):
        report = reports.get(name)
        offset = report.offset if report else None
        behind = max(found.place.seq - offset.seq, 0) if found and offset else None
        rows.append(
            SinkStatus(
                name, offset.epoch if offset else None, offset.seq if offset else None, behind,
                report.at_ms if report else 0,
                behind_seconds(stream, offset, now_ms) if offset else None,
                report.why if report else "",
            )
        )  # fmt: skip
    return rows
