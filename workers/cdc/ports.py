"""What a collector is given by the composition root, and its bounds, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.cdc.log import ChangeLog
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.changes import Position
from workers.cdc import snapshot
from workers.cdc.appender import BatchBounds
from workers.cdc.snapshot import SnapshotTransaction
from workers.cdc.snapshot_marks import Selected

BATCH = BatchBounds()


class SourceLog(Protocol):
    """The log of the source; see shared/cdc/source.py."""

    def position(self) -> Position: ...
    def position_at(self, file: str, pos: int) -> Position: ...
    def broken(self, position: Position) -> str: ...
    def read(self, position: Position) -> Iterator[SourceTransaction | Quiet]: ...


class TableReader(Protocol):
    """Snapshots of tables; see workers/cdc/snapshot.py."""

    def restore(self) -> None: ...
    def request(self, request: snapshot.Request) -> None: ...
    def select(self, selected: Selected) -> None: ...
    def selected(self) -> Selected | None: ...
    def first_load(self) -> snapshot.FirstLoad | None: ...
    def unfinished_load(self, epoch: int, seq: int) -> int: ...
    def passed(self, transaction: SourceTransaction, seq: int) -> list[SnapshotTransaction]: ...
    def step(self) -> bool: ...
    def close(self) -> None: ...


class TableStandings(Protocol):
    """Tables that are stopped since they lost something; see workers/cdc/standings.py."""

    def restore(self, seq: int) -> None: ...
    def begin_epoch(self, seq: int) -> None: ...
    def passed(self, transaction: SourceTransaction, seq: int) -> SourceTransaction: ...
    def snapshot(self, found: SnapshotTransaction) -> SnapshotTransaction: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the loop."""

    batch: BatchBounds = BATCH
    look_seconds: float = 1.0  # requests, sinks, memory, trimming
    full_seconds: float = 0.2  # between two looks at a stream that is full, or at the lease
    room: float = 0.9  # of the limit, below which reading goes on
    pause_seconds_most: float = 2.0
    stopped_seconds: float = 30.0
    stuck_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Tools:
    """examine: raises SourceStopped where the source's settings make its log unreadable
    (workers/cdc/preflight.py). sinks: those that are configured. selection: fingerprint of what is
    captured. owned: whether the lease is ours. limit_bytes: what the stream may take in Redis.
    """

    connect: Callable[[], ChangeLog]
    source: SourceLog
    examine: Callable[[], None]
    snapshots: TableReader
    standings: TableStandings
    sinks: Sequence[str]
    selection: str
    limit_bytes: Callable[[ChangeLog], int]
    owned: Callable[[], bool]
    now_us: Callable[[], int]
    log: Callable[..., None]
    bounds: Bounds = Bounds()

    def now_ms(self) -> int:
        return self.now_us() // 1000
