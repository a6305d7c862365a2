"""The audit log as a sink of the change stream: `python -m workers.cdc.audit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import MySQLdb

from shared.changes import Chunk, Offset
from shared.mysql import change_log
from shared.mysql import change_log_offset as beside
from shared.mysql.change_log_offset import ChainEnd, Staged
from shared.mysql.change_log_rows import (
    FIRST_HASH,
    Head,
    LogRow,
    epoch_row,
    head_of,
    rows_of,
    swept_tables,
    withheld,
)
from shared.mysql.connection import Connection, connect, transaction
from shared.settings import Settings
from workers.cdc.sink import Batch, Entry, Refused, RowsRefused
from workers.cdc.sink_process import run_sink
from workers.cdc.tables import audit_keeps

NAME = "audit"
SILENT_SECONDS = 60
_LOST = {2006, 2013}


@dataclass(frozen=True, slots=True)
class _Sweep:
    """A snapshot of `table` that began at seq `begin` has ended."""

    table: str
    begin: int


class AuditSink:
    """fleet_change_log and its tables, over one connection. See `workers.cdc.sink.Sink`."""

    name = NAME

    def __init__(
        self, connect: Callable[[], Connection], hashed: Callable[[str], bool], packet: int = 0
    ) -> None:
        """hashed: whether only key and hash of a table's rows are kept. packet: the longest
        statement in bytes, 0: as the server says.
        """
        self._connect = connect
        self._hashed = hashed
        self._packet = packet
        self._packet_most = packet
        self._connection: Connection | None = None
        self._end = ChainEnd(0, FIRST_HASH, 0)
        self._sweeps: list[_Sweep] = []

    def connect(self) -> None:
        if self._connection is None:
            connection = self._connect()
            beside.end_when_silent(connection, SILENT_SECONDS)
            self._packet_most = self._packet or beside.packet_most(connection)
            connection.commit()
            self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(MySQLdb.Error):
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._sweeps = []
        with transaction(self._open):
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        cursor = self._open.cursor()
        cursor.execute("SAVEPOINT rows_tried")
        before = self._end, list(self._sweeps)
        try:
            yield
        except RowsRefused:
            cursor.execute("ROLLBACK TO SAVEPOINT rows_tried")
            self._end, self._sweeps = before
            raise
        cursor.execute("RELEASE SAVEPOINT rows_tried")

    def lock_offset(self) -> Offset | None:
        offset, self._end = beside.lock(self._open, self.name)
        return offset

    def write(self, chunks: Sequence[Chunk]) -> None:
        rows: list[LogRow] = []
        month = self._end.month
        for chunk in chunks:
            head = head_of(chunk, month)
            month = head.month
            rows += rows_of(chunk, head, self._hashed)
            self._sweeps += [_Sweep(*found) for found in swept_tables(chunk.changes)]
            if not chunk.last:
                continue
            if chunk.kind == "control":
                rows.append(epoch_row(chunk, head))
            if self._sweeps:
                self._append(rows, month)
                rows = []
                self._sweep(head, chunk.first_row + len(chunk.changes))
        self._append(rows, month)

    def quarantine(self, chunk: Chunk, refused: Refused) -> None:
        entry = Staged(*refused.entry)
        beside.quarantine(self._open, entry, refused.table, refused.op, refused.reason)
        head = head_of(chunk, self._end.month)
        rows = [withheld(row) for row in rows_of(chunk, head, self._hashed)]
        self._append(rows, head.month)

    def quarantined(self, first_seq: int, last_seq: int) -> Iterator[Refused]:
        for kept in beside.quarantined(self._open, first_seq, last_seq):
            entry = Entry(*beside.quarantined_entry(self._open, kept))
            yield Refused(entry, kept.table, kept.op, kept.reason, kept.refused_at.isoformat())

    def replay(self, chunk: Chunk, refused: Refused) -> None:
        for row in rows_of(chunk, head_of(chunk, 0), self._hashed):
            try:
                change_log.append_late(self._open, row)
            except change_log.Refusal as refusal:
                raise RowsRefused(str(refusal)) from refusal
        beside.mark_replayed(self._open, Staged(*refused.entry))

    def stage(self, entries: Sequence[Entry]) -> None:
        beside.stage(self._open, [Staged(*entry) for entry in entries])

    def staged_rows(self) -> int:
        return beside.staged_rows(self._open)

    def staged(self) -> Iterator[Sequence[Entry]]:
        for page in beside.staged(self._open):
            yield [Entry(*entry) for entry in page]

    def unstage(self) -> None:
        beside.unstage(self._open)

    def move_offset(self, offset: Offset, batch: Batch | None) -> None:
        beside.move(self._open, self.name, offset, self._end)
        if batch is not None:
            beside.note_batch(self._open, *batch)

    @property
    def _open(self) -> Any:
        assert self._connection is not None, "connect first"
        return self._connection

    def _append(self, rows: Iterator[LogRow] | list[LogRow], month: int) -> None:
        try:
            end, count = change_log.append(self._open, rows, self._end.hash, self._packet_most)
        except change_log.Refusal as refusal:
            raise RowsRefused(str(refusal)) from refusal
        self._end = ChainEnd(month, end, self._end.rows + count)

    def _sweep(self, head: Head, index: int) -> None:
        """Deletes that never came, behind the rows of the snapshot's last transaction."""
        for sweep in self._sweeps:
            before = self._end.rows
            found = change_log.unseen(self._open, sweep.table, sweep.begin, head, index)
            self._append(found, head.month)
            index += self._end.rows - before
        self._sweeps = []


def audit_sink(settings: Settings) -> AuditSink:
    return AuditSink(partial(connect, settings.audit), lambda table: audit_keeps(table) == "hash")


def main() -> None:
    run_sink(NAME, audit_sink)


if __name__ == "__main__":
    main()
