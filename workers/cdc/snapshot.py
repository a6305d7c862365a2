"""Snapshots of tables, while the log goes on. The collector holds one `Snapshots` and calls it

    restore()                 at its start and after every rewind, before the log is read
    request(request)          with what `:requests` holds. It is kept in the source then, so it can
                              be taken off the list; a table twice is one snapshot
    passed(transaction, seq)  for every transaction of the source, also one with noted rows only,
                              after it was given its seq and before its rows are closed; seq: the
                              next free one. What comes back is appended right behind it, one seq
                              each (mostly nothing comes back)
    step()                    between transactions, when everything before is appended and there is
                              room in the stream

A table is read in chunks, by its key. Before a chunk the `low` mark is committed: then everything
that was logged before is committed in the engine, too, and the chunk shows it or something newer.
What the log tells of the table from then until the chunk's `high` mark wins over the chunk's rows;
those that are left stand behind the mark.

Where a snapshot stands in the log is written in the log: rows of `fleet_cdc_heartbeat`, id 2. A
`begin` and a `high` mark are one transaction each, whoever reads them: so the same log gives the
same seq again, also where the rows of that chunk are gone (nobody keeps them but the stream). Such
a chunk is empty then, and read again. Nothing of this is in the checkpoint.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import MySQLdb
from MySQLdb.cursors import Cursor, SSCursor

from shared.cdc.selection import Selection
from shared.cdc.table_chunks import Key, TableChunks, execute
from shared.cdc.transaction import SourceTransaction
from shared.changes import Row
from shared.errors import Unavailable
from shared.mysql.connection import Connection, transaction
from workers.cdc import snapshot_marks as marks
from workers.cdc.snapshot_chunk import (
    HeldChunk,
    SnapshotTransaction,
    begins,
    changes_of,
    ends,
    named,
    told,
)
from workers.cdc.snapshot_load import FirstLoad
from workers.cdc.snapshot_marks import Mark, Queue, Selected, Waiting
from workers.cdc.snapshot_tables import CannotRead, ChunkSize, captured, chunks_of, prepare

__all__ = ["FirstLoad", "Request", "SnapshotTransaction", "Snapshots"]

ROWS_MOST = 1_000
BYTES_MOST = 4 * 1024 * 1024
"""Of a chunk: it is read between two transactions of the log, and held until its mark passes."""
PAUSE_SECONDS = 5.0
LOAD_ROWS = 5
"""So many times more rows at once when the log is not read meanwhile."""


class Request(NamedTuple):
    """tables: bare names, as Selection knows them; () means all. by: who asked, for people."""

    id: str
    tables: tuple[str, ...]
    by: str


class Snapshots:
    def __init__(
        self,
        connect: Callable[[], Connection],
        selection: Selection,
        log: Callable[..., None],
        rows_most: int = ROWS_MOST,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """connect: a raw connection in the fleet's schema; it writes the heartbeat's rows."""
        self._connect = connect
        self._selection = selection
        self._log = log
        self._rows_most = rows_most
        self._pause_seconds = pause_seconds
        self._retry_at = 0.0
        self._connection: Connection | None = None
        self.mariadb = False
        self._forget()

    def _forget(self) -> None:
        self._queue = Queue()
        self._running: Mark | None = None
        self._chunks: TableChunks | None = None
        self._chunk: HeldChunk | None = None
        self._awaited = ""
        self._settled = self._stale = False

    # --- what is asked ---

    def restore(self) -> None:
        self._forget()
        with self._transaction() as cursor:
            known = marks.read(cursor)
        self._queue = Queue(known)
        mark, head = known.mark, known.queue[0] if known.queue else None
        if head is not None and (head.table, head.request) == (mark.table, mark.request):
            self._running = mark._replace(after=mark.last if mark.kind == "high" else mark.after)

    def request(self, request: Request) -> None:
        if self._stale:
            self.restore()
        with self._transaction() as cursor:
            names = request.tables or captured(cursor, self._selection)
            queue = self._queue.waiting
            known = {one.table for one in (queue[1:] if self._running else queue)}
            known |= {one.table for one in queue if one.request == request.id}
            more = [Waiting(name, request.id, request.by) for name in names if name not in known]
            self._queue.add(cursor, more)
        self._log("cdc_snapshot_asked", tables=[one.table for one in more], by=request.by)

    def first_load(self) -> FirstLoad | None:
        """None: not this server's way; take the log's position and `request` all tables instead."""
        with self._transaction() as cursor:
            if not self.mariadb:
                return None
            self._forget()
            names = captured(cursor, self._selection)
            waiting = [Waiting(name, "first load", "the collector") for name in names]
            self._queue.fill(cursor, waiting)
        rows_most = self._rows_most * LOAD_ROWS
        return FirstLoad(self._connect, self._selection, self._queue, self._log, rows_most)

    def unfinished_load(self, epoch: int, seq: int) -> int:
        """Seqs after seq that the first load of this epoch has used, or was about to: to be filled
        with empty transactions before the log is read (restart inside a load, or a rewind to a
        sink that stands inside it). 0: none.
        """
        with self._transaction() as cursor:
            known = marks.read(cursor)
        load = known.load
        if load is None or load.epoch != epoch or not load.first - 1 <= seq < load.last:
            return 0
        missing = load.last - seq
        if missing > 1 or known.mark.kind != "load":
            # Not only the chunk that was on its way, which is read again anyway.
            self.request(Request("first load again", (), "the collector"))
        return missing

    def select(self, selected: Selected) -> None:
        """What the epoch captures that begins now."""
        with self._transaction() as cursor:
            marks.write(cursor, selected=selected)

    def selected(self) -> Selected | None:
        with self._transaction() as cursor:
            return marks.read(cursor).selected

    # --- the log ---

    def passed(self, transaction: SourceTransaction, seq: int) -> list[SnapshotTransaction]:
        if self._running is not None and transaction.tables:
            self._look_at(transaction, self._running.table)
        behind: list[SnapshotTransaction] = []
        for noted in transaction.noted:
            if noted.table == marks.HEARTBEAT:
                mark = marks.mark_in(noted.values)
                if mark is not None:
                    if self._stale:
                        self.restore()
                    behind += self._mark_passed(mark, seq + len(behind))
        return behind

    def _look_at(self, transaction: SourceTransaction, table: str) -> None:
        if self._chunk is not None:
            self._chunk.overtaken_by(transaction)
        if any(op == "m" for _, op, _, _ in changes_of(transaction, table)):
            self._chunks = None

    def _mark_passed(self, mark: Mark, seq: int) -> Iterator[SnapshotTransaction]:
        if mark.kind == "begin":
            if self._running is not None and self._running.token == mark.token:
                self._running = self._running._replace(begin_seq=seq)
            table = named(self._selection.schemas.of(mark.table), mark.table)
            yield SnapshotTransaction(
                [table], [begins(table, mark.request)], f"snapshot of {mark.table} begins"
            )
        elif mark.kind == "high":
            yield self._high_passed(mark)
        elif mark.kind == "verify":
            yield self._told("verify", mark.token)
        if mark.token == self._awaited:
            self._awaited, self._settled = "", True

    def _high_passed(self, mark: Mark) -> SnapshotTransaction:
        chunk, running = self._chunk, self._running
        if chunk is None or running is None or chunk.token != mark.token:
            self._lost(mark)
            return self._told("snapshot_lost", f"rows of {mark.table} are read again")
        self._chunk = None
        if chunk.spoiled:
            self._chunks = None
            return self._told("snapshot_lost", f"{mark.table} was altered, and is read again")
        self._running = running._replace(after=mark.last, rows=mark.rows, done=mark.done)
        rows = list(chunk.rows.values())
        if mark.done:
            rows.append(ends(chunk.table, mark.request, running.begin_seq))
        if not rows:
            return self._told("snapshot_overtaken", f"the log told of all rows of {mark.table}")
        return SnapshotTransaction([chunk.table], rows, f"snapshot of {mark.table}")

    def _told(self, *words: str) -> SnapshotTransaction:
        return told(self._selection.schemas.fleet, *words)

    def _lost(self, mark: Mark) -> None:
        """A chunk that somebody read and nobody has any more: its rows are read again."""
        running = self._running
        if running is None or (running.table, running.request) != (mark.table, mark.request):
            if all(one.table != mark.table for one in self._queue.waiting):
                self.request(Request(f"{mark.request} again", (mark.table,), "the collector"))
        elif self._settled:  # none of ours: another collector read beside us
            if self._chunk is not None:
                self._chunk.spoiled = True
            self._go_back(running._replace(after=None, rows=0, done=False))
        elif mark.start < running.rows or running.done:  # else it is read again anyway
            self._go_back(running._replace(after=mark.after, rows=mark.start, done=False))

    def _go_back(self, running: Mark) -> None:
        """Kept in the source at once: the next collector may begin behind the entry that tells of
        the loss, and would not know of it.
        """
        self._running = running
        with self._transaction() as cursor:
            marks.write(cursor, running._replace(kind="resume", token=secrets.token_hex(8)))

    # --- between transactions ---

    def step(self) -> bool:
        """Begins the next chunk: low mark, rows, high mark; some milliseconds. False: nothing to
        do now, or the table cannot be read now (an ALTER waits): the log goes on meanwhile.
        """
        if self._retry_at > time.monotonic():
            return False
        try:
            return self._step()
        except Unavailable as error:
            self._retry_at = time.monotonic() + self._pause_seconds
            self._log("cdc_snapshot_waits", error=str(error))
            return False

    def _step(self) -> bool:
        if self._stale:
            self.restore()
        if not self._queue.waiting or self._chunk is not None or self._awaited:
            return False
        running = self._running
        if running is None or not running.begin_seq:
            self._begin(self._queue.waiting[0])
        elif not self._settled:
            self._mark(running._replace(kind="resume"))
        elif running.done:
            self._end(running)
        else:
            self._read(running)
        return True

    def _begin(self, waiting: Waiting) -> None:
        self._running, self._settled = None, True
        if self._described(waiting) is None:
            return
        self._mark(Mark("begin", table=waiting.table, request=waiting.request))
        self._log("cdc_snapshot_begins", table=waiting.table, request=waiting.request)

    def _end(self, running: Mark) -> None:
        """Everything is appended: only now the table leaves the queue."""
        with self._transaction() as cursor:
            self._queue.leave(cursor)
        self._log("cdc_snapshot_ended", table=running.table, rows=running.rows)
        self._running = self._chunks = None

    def _mark(self, mark: Mark) -> None:
        """Nothing else is done before it has passed."""
        self._running = mark = mark._replace(token=secrets.token_hex(8))
        self._awaited = mark.token
        with self._transaction() as cursor:
            marks.write(cursor, mark)

    def _read(self, running: Mark) -> None:
        chunks = self._described(self._queue.waiting[0])
        if chunks is None:
            return
        token = secrets.token_hex(8)
        with self._transaction() as cursor:
            marks.write(cursor, running._replace(kind="low", token=token))
        with self._transaction(SSCursor) as cursor:
            if running.through is None:
                # Only now: what comes later is in the log behind the beginning.
                last = execute(cursor, chunks.last_key())
                running = running._replace(through=chunks.key(last[0]) if last else None)
            found, more = list[tuple[Key, Row]](), False
            if running.through is not None:
                found, more = self._size.read(cursor, chunks, running.after, running.through)
        chunk = HeldChunk(token, chunks.table)
        for _, row in found:
            chunk.add(row)
        high = running._replace(
            kind="high",
            token=token,
            last=found[-1][0] if found else running.after,
            rows=running.rows + len(found),
            done=not more,
            start=running.rows,
        )
        with self._transaction() as cursor:
            marks.write(cursor, high)
        self._running, self._chunk = running, chunk

    def _described(self, waiting: Waiting) -> TableChunks | None:
        """None: it is refused, and said so."""
        if self._chunks is not None:
            return self._chunks
        with self._transaction() as cursor:
            try:
                self._chunks = chunks_of(
                    cursor, self._selection, waiting.table, mariadb=self.mariadb
                )
            except CannotRead as error:
                self._queue.refuse(cursor, str(error))
                self._running = None
                self._log("cdc_snapshot_refused", table=waiting.table, why=str(error))
                return None
            self._size = ChunkSize(cursor, self._chunks, self._rows_most, BYTES_MOST)
        return self._chunks

    # --- the source ---

    def close(self) -> None:
        """Never raises; the next call connects again, and begins with what the source knows."""
        connection, self._connection = self._connection, None
        self._stale = True
        if connection is not None:
            with suppress(MySQLdb.Error):
                connection.close()

    @contextmanager
    def _transaction(self, kind: type = Cursor) -> Iterator[Any]:
        """Whatever goes wrong, nobody knows what was written: it is read again from the source."""
        try:
            if self._connection is None:
                self._connection = self._connect()
                with transaction(self._connection) as cursor:
                    self.mariadb = prepare(cursor)
            with transaction(self._connection, kind) as cursor:
                yield cursor
        except BaseException:
            self.close()
            raise
