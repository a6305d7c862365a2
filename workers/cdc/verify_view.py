"""The source as of one moment, and where that moment stands in the log.

A mark is committed, then the view is opened, then a second mark is committed. Everything that the
log has before the first mark is in the view, nothing behind the second one is. Each mark is a seq
of its own in the change stream, so every sink knows what was before. Between the two lie some
milliseconds; a row that changed just then may show either state, and all others exactly one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import MySQLdb
from MySQLdb.cursors import SSCursor

from shared.cdc.selection import Selection
from shared.cdc.table_chunks import TableChunks
from shared.changes import Change, Row, row_key
from shared.errors import Unavailable
from shared.mysql.connection import Connection, classify, transaction
from workers.cdc.snapshot_load import position_of_view
from workers.cdc.snapshot_marks import Mark, write
from workers.cdc.snapshot_tables import ChunkSize, chunks_of, prepare

ROWS_MOST = 5_000
BYTES_MOST = 8 * 1024 * 1024


class SourceView:
    """marks: tokens of the two marks. where: file and position on MariaDB, which tells it, else "".
    Raises Unavailable.
    """

    def __init__(self, connect: Callable[[], Connection], selection: Selection) -> None:
        self._selection = selection
        self._view = connect()
        self.where = ""
        try:
            with transaction(self._view) as cursor:
                self.mariadb = prepare(cursor)
            self._cursor = self._view.cursor()
            with closing(connect()) as writer:
                before = _mark(writer)
                self._open()
                self.marks = (before, _mark(writer))
        except MySQLdb.Error as error:
            self.close()
            raise classify(error) or error from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        if self.mariadb:
            file, pos = position_of_view(self._cursor)
            self.where = f"{file}:{pos}"
        self._cursor.execute("SAVEPOINT nothing_read")

    def chunks(self, table: str) -> TableChunks:
        """Raises CannotRead."""
        return chunks_of(self._cursor, self._selection, table, mariadb=self.mariadb)

    def rows(self, chunks: TableChunks) -> Iterator[tuple[str, Row]]:
        """(row_key, row) of every row, as of the moment. Raises Unavailable: the table was altered
        since, or the server is away.
        """
        try:
            size = ChunkSize(self._cursor, chunks, ROWS_MOST, BYTES_MOST)
            after, more = None, True
            while more:
                with closing(self._view.cursor(SSCursor)) as cursor:
                    found, more = size.read(cursor, chunks, after, None)
                # Lets go of the table, so that an ALTER waits for no more than a chunk.
                self._cursor.execute("ROLLBACK TO SAVEPOINT nothing_read")
                for _, row in found:
                    yield row_key(Change(chunks.table, "r", None, row)).decode(), row
                after = found[-1][0] if found else None
        except MySQLdb.Error as error:
            raise classify(error) or Unavailable(f"MySQL {error.args[0]}: reading") from error

    def close(self) -> None:
        with suppress(MySQLdb.Error):
            self._view.close()


def _mark(connection: Connection) -> str:
    token = secrets.token_hex(8)
    with transaction(connection) as cursor:
        write(cursor, Mark("verify", token=token))
    return token
