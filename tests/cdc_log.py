"""The log of a server of a test, read as the collector reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from shared.cdc.rows import Declared, Shapes
from shared.cdc.selection import Schemas, Selection
from shared.cdc.source import Source
from shared.cdc.transaction import SourceTransaction
from shared.changes import Position
from tests.own_mysql import OwnMySQL

SERVER_ID = 4242
Row = tuple[str, str, Any, Any]
"""Table, op, before, after."""


class Log:
    """Schema `app` of a server of its own; tables are `t` (id, v) unless others are named."""

    def __init__(self, mysql: OwnMySQL, *tables: str, server_id: int = SERVER_ID) -> None:
        self.mysql = mysql
        self.folder = Path(tempfile.gettempdir())
        self.selection = Selection(Schemas("app", "app"), tables or ("t",), {})
        shapes = Shapes(
            self.selection,
            lambda _schema, _table: Declared({}),
            mariadb=mysql.flavour == "mariadb",
        )
        self.source = Source(
            mysql.where, shapes, server_id=server_id, name="tests", spill=self.folder
        )

    def read(
        self, position: Position, until: Callable[[], Position] | None = None
    ) -> list[SourceTransaction]:
        """All that is in the log now, or up to another position."""
        end = until() if until else self.source.position()
        found = []
        with closing(self.source.read(position)) as reading:
            for one in reading:
                if isinstance(one, SourceTransaction):
                    found.append(one)
                here = one.ends if isinstance(one, SourceTransaction) else one.position
                if reached(here, end):
                    return found
        raise AssertionError("a log has no end")

    def rows(self, position: Position) -> list[list[Row]]:
        """The rows of each transaction."""
        return [rows_of(one) for one in self.read(position)]


def reached(here: Position, end: Position) -> bool:
    return (here.file, here.pos) >= (end.file, end.pos)


def rows_of(transaction: SourceTransaction) -> list[Row]:
    return list(_decoded(transaction))


def _decoded(transaction: SourceTransaction) -> Iterator[Row]:
    for row in transaction.rows:
        number, op, before, after = orjson.loads(row)[:4]
        yield transaction.tables[number].name, op, before, after
