"""How far the sink has come, what it holds of a transaction that is not whole, what was refused.

All of it inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.changes import Offset, position_from, position_json
from shared.queries import load
from shared.timescale import lines
from shared.timescale.connection import Connection

SQL = load(Path(__file__).with_name("offsets.sql"))

ENTRIES_AT_ONCE = 8
"""An entry has at most half a megabyte, unless a single row is larger."""


class Staged(NamedTuple):
    """A stream entry, its fields as they came."""

    epoch: int
    seq: int
    chunk: int
    first_row: int
    rows: int
    fields: Mapping[bytes, bytes]


class Kept(NamedTuple):
    """A quarantined row; entry holds it alone."""

    entry: Staged
    table: str
    op: str
    reason: str
    refused_at: datetime


def lock(connection: Connection, sink: str) -> Offset | None:
    """Nobody else moves it, or begins, before the transaction ends."""
    connection.execute(SQL["make"], (sink,))
    return _offset(connection.execute(SQL["lock"], (sink,)).fetchone())


def read(connection: Connection, sink: str) -> Offset | None:
    """The same without a lock."""
    return _offset(connection.execute(SQL["read"], (sink,)).fetchone())


def move(connection: Connection, sink: str, offset: Offset) -> None:
    position = orjson.dumps(position_json(offset.position)).decode()
    connection.execute(SQL["move"], (*offset[:4], position, sink))


def note_batch(
    connection: Connection, epoch: int, first_seq: int, last_seq: int, rows: int
) -> None:
    connection.execute(SQL["note_batch"], (epoch, first_seq, last_seq, rows))


def stage(connection: Connection, entries: Sequence[Staged]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(SQL["stage"], [(*entry[:5], *_parts(entry)) for entry in entries])


def staged_rows(connection: Connection) -> int:
    return int(_one(connection.execute(SQL["staged_rows"]).fetchone())[0])


def staged(connection: Connection) -> Iterator[list[Staged]]:
    """Pages in order; the caller writes in between."""
    after = (-1, -1)
    while page := [
        _staged(row)
        for row in connection.execute(SQL["staged"], (*after, ENTRIES_AT_ONCE)).fetchall()
    ]:
        yield page
        after = (page[-1].seq, page[-1].chunk)


def unstage(connection: Connection) -> None:
    connection.execute(SQL["unstage"])


def quarantine(connection: Connection, entry: Staged, table: str, op: str, reason: str) -> None:
    epoch, seq, chunk, first_row, _, _ = entry
    told = reason.translate({0: "\N{REPLACEMENT CHARACTER}"})
    connection.execute(
        SQL["quarantine"], (epoch, seq, chunk, first_row, table, op, told, *_parts(entry))
    )


def quarantined(connection: Connection, first_seq: int, last_seq: int) -> Iterator[Kept]:
    """One at a time: a row may be as large as the source allows, and the caller writes."""
    after = (first_seq - 1, lines.LAST_ROW)
    while row := connection.execute(SQL["quarantined"], (*after, last_seq)).fetchone():
        *entry, table, op, reason, refused_at = _one(row)
        kept = Kept(_staged(entry), table, op, reason, refused_at)
        yield kept
        after = (kept.entry.seq, kept.entry.first_row)


def replayed(connection: Connection, entry: Staged) -> None:
    connection.execute(SQL["replayed"], (entry.seq, entry.first_row))


def _parts(entry: Staged) -> tuple[list[bytes], list[bytes]]:
    return list(entry.fields.keys()), list(entry.fields.values())


def _staged(row: Sequence[Any]) -> Staged:
    epoch, seq, chunk, first_row, rows, names, contents = row
    fields = {bytes(name): bytes(one) for name, one in zip(names, contents, strict=True)}
    return Staged(epoch, seq, chunk, first_row, rows, fields)


def _offset(row: Sequence[Any] | None) -> Offset | None:
    if row is None or row[0] is None:
        return None
    epoch, seq, chunk, whole, position = row
    return Offset(epoch, seq, chunk, whole, position_from(position))


def _one(row: Any) -> tuple[Any, ...]:
    assert isinstance(row, tuple)
    return row
