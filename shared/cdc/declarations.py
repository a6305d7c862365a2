"""What the log of MariaDB does not tell of a table, from information_schema."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from shared.cdc.rows import Declarations, Declared
from shared.queries import load

SQL = load(Path(__file__).with_name("declarations.sql"))


def declarations(connect: Callable[[], Any]) -> Declarations:
    """connect: an open connection, of any driver; one for each question, and there is one question
    for each table after a start and after DDL.
    """

    def asked(schema: str, table: str) -> Declared:
        with closing(connect()) as connection, closing(connection.cursor()) as cursor:
            return declaration(cursor, schema, table)

    return asked


def declaration(cursor: Any, schema: str, table: str) -> Declared:
    """Of a table as it is now; empty where it is gone."""
    cursor.execute(SQL["columns"], (schema, table))
    types, generated = dict[str, str](), set[str]()
    for row in cursor.fetchall():
        name, type_, is_generated = (
            one.decode() if isinstance(one, bytes) else str(one) for one in row
        )
        types[name] = type_.lower()
        if is_generated == "1":
            generated.add(name)
    return Declared(types, generated)
