"""Beside the audit log: the sink's offset with the end of the chain, staged chunks, quarantine.

Everything runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import orjson

from shared.changes import Offset, position_from, position_json
from shared.mysql.change_log_rows import FIRST_HASH
from shared.mysql.connection import Connection
from shared.queries import load

SQL = load(Path(__file__).with_name("change_log_offset.sql"))

STAGED_AT_ONCE = 8
PART_BYTES = 1024 * 1024

Fields = Mapping[bytes, bytes]


class ChainEnd(NamedTuple):
    """Where the chain of hashes ends. month: of the last row. rows: ever written."""

    month: int
    hash: bytes
    rows: int


class Staged(NamedTuple):
    """One entry of the stream, and where its chunk stands."""

    epoch: int
    seq: int
    chunk: int
    first_row: int
    rows: int
    fields: Fields


class Kept(NamedTuple):
    """A row in quarantine but for its payload. encoding: the payload's field in the stream."""

    epoch: int
    seq: int
    row_index: int
    table: str
    op: str
    reason: str
    header: bytes
    encoding: str
    refused_at: datetime


def lock(connection: Connection, sink: str) -> tuple[Offset | None, ChainEnd]:
    """The sink's offset and the chain's end, locked; None where nothing was read yet."""
    found = _read(connection, SQL["lock"], sink)
    if found is None:
        connection.cursor().execute(SQL["make"], (sink, FIRST_HASH))
        found = _read(connection, SQL["lock"], sink)
    assert found is not None
    return found


def read(connection: Connection, sink: str) -> tuple[Offset | None, ChainEnd]:
    """The same without a lock, and without making the row."""
    return _read(connection, SQL["read"], sink) or (None, ChainEnd(0, FIRST_HASH, 0))


def move(connection: Connection, sink: str, offset: Offset, end: ChainEnd) -> None:
    position = orjson.dumps(position_json(offset.position))
    words = (offset.epoch, offset.seq, offset.chunk, offset.whole, position, *end, sink)
    connection.cursor().execute(SQL["move"], words)


def note_batch(
    connection: Connection, epoch: int, first_seq: int, last_seq: int, rows: int
) -> None:
    connection.cursor().execute(SQL["note_batch"], (last_seq, epoch, first_seq, rows))


def stage(connection: Connection, entries: Sequence[Staged]) -> None:
    cursor = connection.cursor()
    for entry in entries:
        encoding, payload = _payload(entry.fields)
        cursor.execute(
            SQL["stage"],
            (entry.seq, entry.chunk, entry.epoch, entry.first_row, entry.rows, entry.fields[b"h"],
             encoding, payload),
        )  # fmt: skip


def staged_rows(connection: Connection) -> int:
    cursor = connection.cursor()
    cursor.execute(SQL["staged_rows"])
    (rows,) = cursor.fetchone()
    return int(rows)


def staged(connection: Connection) -> Iterator[list[Staged]]:
    """In order, STAGED_AT_ONCE at a time."""
    cursor, place = connection.cursor(), -1
    while True:
        cursor.execute(SQL["staged"], (place, STAGED_AT_ONCE))
        found = [
            Staged(epoch, seq, chunk, first_row, rows, {b"h": header, encoding.encode(): payload})
            for epoch, seq, chunk, first_row, rows, header, encoding, payload in cursor.fetchall()
        ]
        if not found:
            return
        yield found
        place = found[-1].chunk


def unstage(connection: Connection) -> None:
    connection.cursor().execute(SQL["unstage"])


def quarantine(connection: Connection, entry: Staged, table: str, op: str, reason: str) -> None:
    """Keeps one row. A payload goes in parts, each within every server's max_allowed_packet."""
    encoding, payload = _payload(entry.fields)
    cursor = connection.cursor()
    for part, at in enumerate(range(0, len(payload), PART_BYTES)):
        cursor.execute(
            SQL["quarantine"],
            (entry.epoch, entry.seq, entry.first_row, part, table[:255], op, reason[:1024],
             entry.fields[b"h"], encoding, payload[at : at + PART_BYTES]),
        )  # fmt: skip


def quarantined(connection: Connection, first_seq: int, last_seq: int) -> list[Kept]:
    """What was not replayed yet, in order."""
    cursor = connection.cursor()
    cursor.execute(SQL["quarantined"], (first_seq, last_seq))
    return [Kept(*row) for row in cursor.fetchall()]


def quarantined_entry(connection: Connection, kept: Kept) -> Staged:
    cursor = connection.cursor()
    cursor.execute(SQL["quarantined_payload"], (kept.epoch, kept.seq, kept.row_index))
    payload = b"".join(part for (part,) in cursor.fetchall())
    fields = {b"h": kept.header, kept.encoding.encode(): payload}
    return Staged(kept.epoch, kept.seq, 0, kept.row_index, 1, fields)


def mark_replayed(connection: Connection, entry: Staged) -> None:
    connection.cursor().execute(SQL["replayed"], (entry.epoch, entry.seq, entry.first_row))


def quarantine_count(connection: Connection) -> int:
    cursor = connection.cursor()
    cursor.execute(SQL["quarantine_count"])
    (count,) = cursor.fetchone()
    return int(count)


def packet_most(connection: Connection) -> int:
    """Bytes of the longest statement that the server takes."""
    cursor = connection.cursor()
    cursor.execute(SQL["packet_most"])
    (most,) = cursor.fetchone()
    return int(most)


def end_when_silent(connection: Connection, seconds: int) -> None:
    """The server ends this session, and with it its locks, when it says nothing for so long."""
    connection.cursor().execute(SQL["end_when_silent"], (seconds,))


def _read(connection: Connection, sql: str, sink: str) -> tuple[Offset | None, ChainEnd] | None:
    cursor = connection.cursor()
    cursor.execute(sql, (sink,))
    row = cursor.fetchone()
    if row is None:
        return None
    epoch, seq, chunk, whole, position, *end = row
    if position is None:
        return None, ChainEnd(*end)
    return Offset(epoch, seq, chunk, bool(whole), position_from(orjson.loads(position))), ChainEnd(
        *end
    )


def _payload(fields: Fields) -> tuple[str, bytes]:
    return ("p", fields[b"p"]) if b"p" in fields else ("z", fields[b"z"])
