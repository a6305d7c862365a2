"""MariaDB's first load: every table as of one exact position of the log, read without locks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import MySQLdb
from MySQLdb.cursors import SSCursor

from shared.cdc.envelope import encode_row
from shared.cdc.selection import Selection
from shared.cdc.table_chunks import execute
from shared.changes import Change
from shared.errors import Unavailable
from shared.mysql.connection import Connection, classify, transaction
from workers.cdc import snapshot_marks as marks
from workers.cdc.snapshot_chunk import SnapshotTransaction, begins, ends
from workers.cdc.snapshot_marks import Load, Mark, Queue, Waiting
from workers.cdc.snapshot_tables import CannotRead, ChunkSize, chunks_of, prepare

BYTES_MOST = 8 * 1024 * 1024


class FirstLoad:
    """The collector begins its epoch with `file, pos, gtid` as position (`control` first), appends
    what `transactions(epoch, seq)` yields, one seq each beginning with seq, each with that
    position, and then reads the log from there. Each must be appended before the next is asked
    for. If the view is lost in between (a restart, a lost connection, an ALTER), the load ends
    early, and `Snapshots` goes on by chunks with what is left. How many seqs the load has used
    stands in the source (`unfinished_load`).
    """

    file: str
    pos: int
    gtid: str

    def __init__(
        self,
        connect: Callable[[], Connection],
        selection: Selection,
        queue: Queue,
        log: Callable[..., None],
        rows_most: int,
    ) -> None:
        self._selection = selection
        self._queue = queue
        self._log = log
        self._rows_most = rows_most
        self._seq = 0
        self._load = Load(0, 0, 0)
        self._view: Connection = connect()
        self._marks: Connection = connect()
        try:
            with transaction(self._view) as cursor:
                prepare(cursor)
            self._cursor = self._view.cursor()
            self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            self.file, self.pos = position_of_view(self._cursor)
            self._cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", (self.file, self.pos))
            self.gtid = (self._cursor.fetchone()[0] or b"").decode()
            self._cursor.execute("SAVEPOINT nothing_read")
        except MySQLdb.Error as error:
            self.close()
            raise classify(error) or error from error
        except BaseException:
            self.close()
            raise

    def transactions(self, epoch: int, first_seq: int) -> Iterator[SnapshotTransaction]:
        self._seq, self._load = first_seq - 1, Load(epoch, first_seq, first_seq - 1)
        try:
            while self._queue.waiting:
                yield from self._table(self._queue.waiting[0])
        except (MySQLdb.Error, Unavailable) as error:
            if isinstance(error, MySQLdb.Error) and classify(error) is None:
                raise
            self._log("cdc_first_load_broken_off", error=str(error))

    def close(self) -> None:
        for connection in (self._view, self._marks):
            with suppress(MySQLdb.Error):
                connection.close()

    def _table(self, waiting: Waiting) -> Iterator[SnapshotTransaction]:
        try:
            chunks = chunks_of(self._cursor, self._selection, waiting.table, mariadb=True)
        except CannotRead as error:
            with transaction(self._marks) as cursor:
                self._queue.refuse(cursor, str(error))
            self._log("cdc_snapshot_refused", table=waiting.table, why=str(error))
            return
        size = ChunkSize(self._cursor, chunks, self._rows_most, BYTES_MOST)
        ends_at = execute(self._cursor, chunks.last_key())
        through = chunks.key(ends_at[0]) if ends_at else None
        mark = Mark("load", table=waiting.table, request=waiting.request, through=through)
        more = True
        while more:
            with closing(self._view.cursor(SSCursor)) as cursor:
                found, more = size.read(cursor, chunks, mark.after, None)
            # Lets go of the table, so that an ALTER waits for no more than a chunk. The view stays.
            self._cursor.execute("ROLLBACK TO SAVEPOINT nothing_read")
            rows = [encode_row(0, Change(chunks.table, "r", None, row)) for _, row in found]
            if mark.begin_seq == 0:
                mark = mark._replace(begin_seq=self._seq + 1)
                rows.insert(0, begins(chunks.table, waiting.request))
            if not more:
                rows.append(ends(chunks.table, waiting.request, mark.begin_seq))
            self._count(mark)
            yield SnapshotTransaction([chunks.table], rows, f"first load of {waiting.table}")
            last = found[-1][0] if found else mark.after
            mark = mark._replace(after=last, rows=mark.rows + len(found))
        with transaction(self._marks) as cursor:
            self._queue.leave(cursor)

    def _count(self, mark: Mark) -> None:
        """Before it is appended: what this chunk uses is never used for anything else."""
        self._seq += 1
        self._load = self._load._replace(last=self._seq)
        with transaction(self._marks) as cursor:
            marks.write(cursor, mark._replace(token=secrets.token_hex(8)), load=self._load)


def position_of_view(cursor: Any) -> tuple[str, int]:
    """File and position of the log that a consistent snapshot shows. Raises Unavailable."""
    cursor.execute("SHOW SESSION STATUS LIKE 'binlog_snapshot_%'")
    told = {name.decode().lower(): value.decode() for name, value in cursor.fetchall()}
    file, pos = told.get("binlog_snapshot_file"), told.get("binlog_snapshot_position")
    if not file or not pos:
        raise Unavailable("the server has no log: log_bin is off")
    return file, int(pos)
