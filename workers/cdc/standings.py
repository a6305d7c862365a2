"""Where each captured table stands (shared/cdc/shapes.py), kept in MySQL: Redis may lose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import orjson

from shared.cdc.shapes import ShapeWatch, Standing
from shared.cdc.transaction import SourceTransaction
from shared.changes import Table
from shared.mysql.connection import Connection
from shared.queries import load
from workers.cdc.snapshot_chunk import SnapshotTransaction, told

_SQL = load(Path(__file__).with_name("standings.sql"))


class Standings:
    """The collector's: asked for every transaction before it is appended, in order.

    connect: opened for a moment, at a start and when a table has changed. Raises Unavailable.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._watch = ShapeWatch({})

    @property
    def stopped(self) -> Mapping[str, str]:
        """Tables whose rows are left out, and why."""
        return self._watch.stopped

    def restore(self, seq: int) -> None:
        """Reading begins behind transaction `seq`."""
        with closing(self._connect()) as connection:
            self._watch = ShapeWatch(standings_at(connection, seq))

    def begin_epoch(self, seq: int) -> None:
        """Transaction `seq` begins an epoch in which everything captured is read anew: tables are
        taken as they come. Those that are stopped stay so.
        """
        self._watch.forget()
        self._write(seq)

    def passed(self, transaction: SourceTransaction, seq: int) -> SourceTransaction:
        """As it is to be appended, under `seq` if it has rows left."""
        found = self._watch.passed(transaction)
        if len(found.rows):
            self._write(seq)
        return found

    def snapshot(self, found: SnapshotTransaction) -> SnapshotTransaction:
        """Without rows of tables that are stopped; the transaction stays, since others count on its
        number.
        """
        stopped = [table.name for table in found.tables if table.name in self._watch.stopped]
        if not stopped:
            return found
        return told("", "left_out", f"{', '.join(stopped)}: stopped")

    def _write(self, seq: int) -> None:
        changed = self._watch.changed()
        if changed:
            with closing(self._connect()) as connection:
                write_standings(connection, seq, changed)


def standings_at(connection: Connection, seq: int) -> dict[str, Standing]:
    """As they were after transaction `seq`, for a collector that begins behind it: it will find
    again what was found behind, so that is forgotten. Commits.
    """
    cursor = connection.cursor()
    cursor.execute(_SQL["drop_behind"], (seq,))
    cursor.execute(_SQL["at"], (seq,))
    found = {
        str(name): Standing(None if shape is None else table_from(str(shape)), str(stopped or ""))
        for name, shape, stopped in cursor.fetchall()
    }
    connection.commit()
    return found


def stopped_tables(connection: Connection, seq: int) -> dict[str, str]:
    """Tables whose rows are left out after transaction `seq`, and why. Reads only."""
    cursor = connection.cursor()
    cursor.execute(_SQL["at"], (seq,))
    found = {str(name): str(stopped) for name, _, stopped in cursor.fetchall() if stopped}
    connection.commit()
    return found


def write_standings(connection: Connection, seq: int, changed: Mapping[str, Standing]) -> None:
    """Before transaction `seq` is appended, which made these changes. Commits."""
    if not changed:
        return
    cursor = connection.cursor()
    cursor.executemany(
        _SQL["write"],
        [
            (name, seq, None if one.table is None else table_text(one.table), one.stopped or None)
            for name, one in sorted(changed.items())
        ],
    )
    connection.commit()


def accept_shape(connection: Connection, table: str, by: str) -> None:
    """Rows of a stopped table are captured again, in their new shape, from this commit on. What was
    left out until then comes by a snapshot, which the caller requests afterwards.
    """
    connection.cursor().execute(_SQL["accept"], (table, by))
    connection.commit()


def table_text(table: Table) -> str:
    return orjson.dumps(list(table)).decode()


def table_from(text: str) -> Table:
    schema, name, columns, types, key, shape = orjson.loads(text)
    return Table(schema, name, tuple(columns), tuple(types), tuple(key), shape)
