"""A source whose log is a list, and tables that are never read: the collector alone is tested.

It keeps the contract of shared/cdc/source.py: read from a position, the same transactions come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from shared.cdc.envelope import encode_row
from shared.cdc.errors import SourceStopped
from shared.cdc.transaction import Noted, Quiet, SourceTransaction
from shared.changes import Change, Position, Row, Table
from shared.errors import Unavailable
from workers.cdc.snapshot import FirstLoad, Request, SnapshotTransaction
from workers.cdc.snapshot_marks import Selected

TABLE = Table("fleet", "t", ("id", "v"), ("bigint", "varchar(20)"), (0,), "shape-of-t")
FILE, STEP = "log.000001", 100
MARK = "fleet_cdc_heartbeat"


class Rows(list[bytes]):
    """As EncodedRows; closed once."""

    closed = 0

    def close(self) -> None:
        Rows.closed += 1


class FakeSource:
    """Position n * STEP is behind the n-th transaction."""

    def __init__(self, server: str = "server-a") -> None:
        self.server = server
        self.log: list[SourceTransaction] = []
        self.stop: SourceStopped | None = None
        self.lose_after: int | None = None  # transactions, then the connection is lost, once
        self.reads = 0
        self._changed = threading.Condition()

    def position(self) -> Position:
        return Position(self.server, FILE, len(self.log) * STEP, f"0-1-{len(self.log)}", "m")

    def position_at(self, file: str, pos: int) -> Position:
        return Position(self.server, file, pos, f"0-1-{pos // STEP}", "m")

    def broken(self, position: Position) -> str:
        if position.server != self.server:
            return f"the server is {self.server}"
        return "ahead" if position.pos > len(self.log) * STEP else ""

    def commit(
        self, rows: Sequence[Row] = (), noted: Sequence[Noted] = (), table: Table = TABLE
    ) -> SourceTransaction:
        """Another transaction at the end of the log."""
        begins = len(self.log) * STEP
        encoded = Rows(encode_row(0, Change(table, "c", None, row)) for row in rows)
        with self._changed:
            ends = self.position_at(FILE, begins + STEP)
            self.log.append(
                SourceTransaction((FILE, begins), ends, ends.gtid, begins, [table] if rows else [],
                                  encoded, list(noted))
            )  # fmt: skip
            self._changed.notify_all()
        return self.log[-1]

    def many(self, count: int, rows: int = 1) -> None:
        for _ in range(count):
            number = len(self.log)
            self.commit([[str(number), f"v{index}"] for index in range(rows)])

    def read(self, position: Position) -> Iterator[SourceTransaction | Quiet]:
        self.reads += 1
        if position.server != self.server:
            raise SourceStopped("other_server", "its log is another one", "fleet cdc restart")
        at, given = position.pos // STEP, 0
        while True:
            if self.stop is not None:
                raise self.stop
            if self.lose_after is not None and given >= self.lose_after:
                self.lose_after = None
                raise Unavailable("MySQL: the dump was killed")
            if at < len(self.log):
                found = self.log[at]
                yield replace(found, rows=Rows(found.rows))
                at, given = at + 1, given + 1
                continue
            yield Quiet(self.position_at(FILE, at * STEP))
            with self._changed:
                if at == len(self.log):
                    self._changed.wait(0.02)


class FakeSnapshots:
    """Marks of the heartbeat make one transaction each; `rows` of it are gone once it was read."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.rows: dict[str, list[bytes]] = {}  # of a mark, what its chunk holds
        self.load: FirstLoad | None = None
        self.unfinished = 0
        self.restores = 0
        self.steps = 0
        self.kept: Selected | None = None

    def restore(self) -> None:
        self.restores += 1

    def select(self, selected: Selected) -> None:
        self.kept = selected

    def selected(self) -> Selected | None:
        return self.kept

    def request(self, request: Request) -> None:
        self.asked.append(request)

    def first_load(self) -> FirstLoad | None:
        return self.load

    def unfinished_load(self, epoch: int, seq: int) -> int:
        del epoch, seq
        found, self.unfinished = self.unfinished, 0
        return found

    def passed(self, transaction: SourceTransaction, seq: int) -> list[SnapshotTransaction]:
        del seq
        return [
            SnapshotTransaction([TABLE], self.rows.pop(str(row.values["mark"]), []), "chunk")
            for row in transaction.noted
            if row.table == MARK and row.values["id"] == 2
        ]

    def step(self) -> bool:
        self.steps += 1
        return False

    def close(self) -> None:
        return None


class FakeStandings:
    """Every shape is fine."""

    def restore(self, seq: int) -> None:
        self.restored = seq

    def begin_epoch(self, seq: int) -> None:
        self.begun = seq

    def passed(self, transaction: SourceTransaction, seq: int) -> SourceTransaction:
        del seq
        return transaction

    def snapshot(self, found: SnapshotTransaction) -> SnapshotTransaction:
        return found


def mark(name: str) -> Noted:
    return Noted(MARK, "u", {"id": 2, "mark": name})


def beat(at: str) -> Noted:
    return Noted(MARK, "u", {"id": 1, "n": "1", "at": at})
