"""Which tables can be read, and in which form their rows come."""

from __future__ import annotations

from typing import Any

from shared.cdc.declarations import declaration
from shared.cdc.declared import declared
from shared.cdc.errors import SourceStopped
from shared.cdc.rows import Declared, shape_of
from shared.cdc.selected_values import converter
from shared.cdc.selection import Selection
from shared.cdc.table_chunks import SESSION, Key, TableChunks
from shared.changes import Row
from shared.errors import InvalidEvent
from workers.cdc.snapshot_marks import SQL


class CannotRead(Exception):  # noqa: N818 - an answer, not a mistake
    """A table that no snapshot can read; the text says what to do."""


def prepare(cursor: Any) -> bool:
    """For a raw connection that reads tables: whether it is a MariaDB."""
    cursor.execute(SESSION)
    cursor.execute("SELECT VERSION()")
    return "mariadb" in _text(cursor.fetchone()[0]).lower()


def captured(cursor: Any, selection: Selection) -> list[str]:
    """Names of the captured tables that there are."""
    cursor.execute(SQL["tables"], (selection.schemas.fleet, selection.schemas.laravel))
    return [
        name
        for schema, name in (map(_text, row) for row in cursor.fetchall())
        if selection.interest(schema, name) == "captured"
    ]


def chunks_of(cursor: Any, selection: Selection, name: str, *, mariadb: bool) -> TableChunks:
    """Raises CannotRead."""
    schema = selection.schemas.of(name)
    if selection.interest(schema, name) != "captured":
        raise CannotRead(f"{name} is not captured: add it to FLEET_CDC_TABLES")
    try:
        found = declared(cursor, schema, name, mariadb=mariadb)
        if found is None:
            raise CannotRead(f"there is no table {schema}.{name}")
        if not found.table_map.key:
            raise CannotRead(
                f"{schema}.{name} has neither a primary key nor a unique key without NULLs, so its "
                "rows can not be read in parts: ALTER TABLE it to have one, then fleet cdc resync "
                f"{name}"
            )
        columns = found.table_map.columns
        told = declaration(cursor, schema, name) if mariadb else Declared({})
        shape = shape_of(found.table_map, told, "captured", selection)
        values = [
            converter(f"{schema}.{name}", column, data_type)
            for column, data_type in zip(columns, found.data_types, strict=True)
        ]
    except InvalidEvent as error:
        raise CannotRead(f"{schema}.{name}: {error.detail}") from error
    except SourceStopped as error:
        raise CannotRead(f"{error.what}: {error.cure}") from error
    return TableChunks(found, shape.table, selection, values)


class ChunkSize:
    """Rows of the next chunk: within `bytes_most`, by what rows took so far."""

    def __init__(self, cursor: Any, chunks: TableChunks, rows_most: int, bytes_most: int) -> None:
        cursor.execute(SQL["row_bytes"], (chunks.table.schema, chunks.table.name))
        found = cursor.fetchone()
        self._most, self._bytes_most = rows_most, bytes_most
        self.rows = self._within(int(found[0]) if found else 0)

    def _within(self, row_bytes: int) -> int:
        return max(min(self._bytes_most // max(row_bytes, 1), self._most), 1)

    def read(
        self, cursor: Any, chunks: TableChunks, after: Key | None, through: Key | None
    ) -> tuple[list[tuple[Key, Row]], bool]:
        """Rows behind `after`, and whether there may be more. cursor: an unbuffered one, so that
        rows which are much longer than usual are not held all at once.
        """
        cursor.execute(chunks.rows_between(after, through, self.rows))
        found, size, limit = list[tuple[Key, Row]](), 0, self.rows
        for raw in cursor:
            found.append(chunks.row(raw))
            size += sum(len(one) for one in raw if one is not None)
            if size > self._bytes_most:
                break
        if found:
            self.rows = min(self._within(size // len(found)), 2 * limit)
        return found, size > self._bytes_most or len(found) == limit


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
