"""`fleet cdc explain`: what is behind a row, or behind one value of it. Reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.changes import Change, Row, Table, Value, row_key
from shared.mysql import change_log
from shared.mysql.connection import Connection
from shared.queries import load
from shared.timescale.connection import Connection as Postgres

SQL = load(Path(__file__).with_name("explain.sql"))

_WHOLE = re.compile(r"(tiny|small|medium)?int\b|year\b")
_LEDGER = re.compile(r"ledger (\S+) (\d+-\d+)")


class Step(NamedTuple):
    """One recorded change. before, after: the row, {"$sha256": ...} instead, None without one."""

    epoch: int
    seq: int
    row_index: int
    op: str
    derived: bool
    before: dict[str, Value] | None
    after: dict[str, Value] | None
    committed_at: datetime
    gtid: str
    file: str
    pos: int
    actor: str


class Batch(NamedTuple):
    """What a sink wrote together with a change."""

    sink: str
    first_seq: int
    last_seq: int
    rows: int
    written_at: datetime


def key_text(table: Table, written: str) -> str:
    """The row's key as the logs have it. written: a JSON list, or the values with commas.

    Raises ValueError with the names of the key's columns.
    """
    names = [table.columns[place] for place in table.key]
    types = [table.types[place] for place in table.key]
    values = _values(written)
    if len(values) != len(names):
        raise ValueError(f"the key of {table.name} is {', '.join(names)}")
    row: Row = [None] * len(table.columns)
    for place, type_, value in zip(table.key, types, values, strict=True):
        row[place] = _typed(value, type_)
    return row_key(Change(table, "r", None, row)).decode()


def steps_of_audit(connection: Connection, table: str, key: str) -> list[Step]:
    """Oldest first."""
    return [
        Step._make(
            [*found[:4], bool(found.derived), *map(_object, found[5:7]), *found[7:]]
        )
        for found in change_log.history(connection, table, key)
    ]


def steps_of_history(connection: Postgres, table: str, key: str) -> list[Step]:
    """Oldest first; with the rows of which the audit log has only hashes."""
    rows: Any = connection.execute(SQL["history"], (table, key)).fetchall()
    return [Step(*row) for row in rows]


def behind(steps: Sequence[Step], column: str | None) -> list[Step]:
    """The changes that gave the row, or one of its columns, what stands there; the newest last.

    Raises ValueError for a column that no recorded row has.
    """
    if column is None:
        return list(steps)
    seen = [step for step in steps if column in (step.after or {}) or column in (step.before or {})]
    if not seen:
        raise ValueError(f"no recorded change has a column {column}")
    found, before = list[Step](), object()
    for step in steps:
        after = None if step.after is None else step.after.get(column)
        if step.after is None or after != before:
            found.append(step)
        before = object() if step.after is None else after
    return found


def stream_entry(actor: str) -> tuple[str, str] | None:
    """Stream with its partition, and id, of the entry that the ledger applied."""
    found = _LEDGER.search(actor)
    return (found[1], found[2]) if found else None


def batches(audit: Connection, history: Postgres | None, seq: int) -> list[Batch]:
    """Of the sinks whose diary still has it."""
    found = []
    written = change_log.batch_of(audit, seq)
    if written is not None:
        found.append(Batch("audit", *written[1:]))
    if history is not None:
        row: Any = history.execute(SQL["batch_of"], (seq, seq)).fetchone()
        if row is not None:
            found.append(Batch("timescale", *row))
    return found


def _values(written: str) -> list[Any]:
    if written.startswith("["):
        try:
            values = orjson.loads(written)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"no JSON list: {error}") from None
        return list(values)
    return written.split(",")


def _typed(value: Any, type_: str) -> Any:
    if _WHOLE.match(type_):
        return int(value)
    return value if isinstance(value, dict | list) else str(value)


def _object(text: str | None) -> dict[str, Value] | None:
    found = None if text is None else orjson.loads(text)
    return found if isinstance(found, dict) else None
