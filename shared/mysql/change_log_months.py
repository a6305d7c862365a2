"""The audit log by months: partitions ahead, the chain's proof, whole months dropped.

A month is one piece of the chain. What is dropped leaves an anchor: its last hash, from which the
rest is proved, and how many rows there were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from MySQLdb.cursors import SSCursor

from shared.mysql.change_log_rows import FIRST_HASH, Head, LogRow, key_hash, text_of
from shared.mysql.connection import Connection
from shared.queries import load

SQL = load(Path(__file__).with_name("change_log_months.sql"))

MONTHS_AHEAD = 2
_MONTHS = 12
_LATER = 999_999


class Anchor(NamedTuple):
    """The last month that was dropped. hash: of its last row."""

    month: int
    first_seq: int
    last_epoch: int
    last_seq: int
    last_row: int
    rows: int
    hash_before: bytes
    hash: bytes


class Broken(NamedTuple):
    """The first row whose hash is not what its text and the row before make."""

    epoch: int
    seq: int
    row_index: int
    month: int


class Piece(NamedTuple):
    """What was proved of the chain. rows, first, last: (epoch, seq, row_index), None: no rows."""

    rows: int
    first: tuple[int, int, int] | None
    last: tuple[int, int, int] | None
    hash: bytes
    broken: Broken | None


def prepare(connection: Connection, now: datetime) -> list[int]:
    """Partitions up to MONTHS_AHEAD months from now; those that were made. Commits (DDL).

    They are cut off the last one, which is empty unless nobody prepared for months; then its rows
    move to where they belong.
    """
    have = partitions(connection)
    wanted = [_add(now.year * 100 + now.month, months) for months in range(MONTHS_AHEAD + 1)]
    made = [month for month in wanted if not have or month > have[-1]]
    if made:
        parts = "".join(f"PARTITION m{month} VALUES LESS THAN ({month + 1}), " for month in made)
        connection.cursor().execute(
            "ALTER TABLE fleet_change_log REORGANIZE PARTITION later INTO"
            f" ({parts}PARTITION later VALUES LESS THAN MAXVALUE)"
        )
    return made


def partitions(connection: Connection) -> list[int]:
    """Months with a partition of their own, oldest first."""
    cursor = connection.cursor()
    cursor.execute(SQL["partitions"], ())
    return [int(month) for (month,) in cursor.fetchall()]


def expired(connection: Connection, now: datetime, keep: int) -> list[int]:
    """Months to drop, oldest first, when `keep` whole months before this one are kept."""
    oldest = _add(now.year * 100 + now.month, -keep)
    return [month for month in partitions(connection) if month < oldest]


def drop(connection: Connection, month: int) -> Piece:
    """Drops the oldest month behind an anchor. A chain that is broken there is left as it is, and
    the Piece says where. Commits; run again after any failure it goes on.
    """
    anchor = last_anchor(connection)
    last, before = (0, FIRST_HASH) if anchor is None else (anchor.month, anchor.hash)
    found = prove_months(connection, last, month, before)
    if found.broken is not None:
        return found
    if last < month:
        _add_anchor(connection, month, found, before)
        connection.commit()
    connection.cursor().execute(f"ALTER TABLE fleet_change_log DROP PARTITION m{month}")
    return found


def last_anchor(connection: Connection) -> Anchor | None:
    cursor = connection.cursor()
    cursor.execute(SQL["last_anchor"])
    row = cursor.fetchone()
    return Anchor(*row) if row else None


def forget_batches(connection: Connection, before: datetime) -> int:
    """Old lines of the sink's diary. Commits piece by piece."""
    cursor, gone = connection.cursor(), 0
    while count := cursor.execute(SQL["forget_batches"], (before,)):
        gone += count
        connection.commit()
    connection.commit()
    return gone


def prove(connection: Connection, until: tuple[int, int]) -> Piece:
    """The chain from the last anchor, or from its beginning, through (epoch, seq) `until`."""
    anchor = last_anchor(connection)
    month, before = (0, FIRST_HASH) if anchor is None else (anchor.month, anchor.hash)
    whole = Piece(0, None, None, before, None)
    for end in [*(one for one in partitions(connection) if one > month), _LATER]:
        piece = prove_months(connection, month, end, whole.hash, until)
        whole = Piece(
            whole.rows + piece.rows, whole.first or piece.first, piece.last or whole.last,
            piece.hash, piece.broken,
        )  # fmt: skip
        if piece.broken is not None:
            break
        month = end
    return whole


def prove_months(
    connection: Connection, after: int, through: int, before: bytes,
    until: tuple[int, int] | None = None,
) -> Piece:  # fmt: skip
    """The piece of the months after one and through another. before: hash of the row before it."""
    rows, first, last = 0, None, None
    for row, kept_key, kept in _stream(connection, after, through):
        head = row.head
        if until is not None and (head.epoch, head.seq) > until:
            break
        found = hashlib.sha256(before + text_of(row)).digest()
        place = (head.epoch, head.seq, row.row_index)
        if found != kept or kept_key != key_hash(row.row_key):
            return Piece(rows, first, last, before, Broken(*place, head.month))
        before, last, rows = found, place, rows + 1
        first = first or place
    return Piece(rows, first, last, before, None)


def prove_newest(connection: Connection, through: int, most: int) -> Piece:
    """The end of the newest epoch through a seq, from the hash of the first of `most` rows on.
    Commits.
    """
    cursor = connection.cursor()
    cursor.execute(SQL["newest_rows"], (through, most))
    found = [_row(row) for row in reversed(cursor.fetchall())]
    connection.commit()
    rows, before, last = 0, b"", None
    for row, kept_key, kept in found:
        head = row.head
        right = not before or hashlib.sha256(before + text_of(row)).digest() == kept
        place = (head.epoch, head.seq, row.row_index)
        if not right or kept_key != key_hash(row.row_key):
            return Piece(rows, None, last, before, Broken(*place, head.month))
        before, last, rows = kept, place, rows + 1
    return Piece(rows, None, last, before, None)


def anchored_rows(connection: Connection) -> int:
    """How many rows were dropped, ever."""
    cursor = connection.cursor()
    cursor.execute(SQL["anchored_rows"])
    (rows,) = cursor.fetchone()
    return int(rows)


def _stream(
    connection: Connection, after: int, through: int
) -> Iterator[tuple[LogRow, bytes, bytes]]:
    """Rows as they stand, a few at a time: (row, key_hash, hash)."""
    cursor = connection.cursor(SSCursor)
    try:
        cursor.execute(SQL["rows_between"], (after, through))
        for found in cursor:
            yield _row(found)
    finally:
        cursor.close()  # reads what is left


def _row(found: Any) -> tuple[LogRow, bytes, bytes]:
    (epoch, seq, index, month, at, gtid, file, pos, actor, table, key, key_hash_, op, derived,
     before, after, hash_) = found  # fmt: skip
    committed_at = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond:06d}"
    text = f"{committed_at}\n{gtid}\n{file}\n{pos}".encode()
    head = Head(epoch, seq, month, committed_at, gtid, file, pos, actor, text)
    row = LogRow(
        head, index, table.encode(), key.encode(), op.encode(), bool(derived),
        None if before is None else before.encode(), None if after is None else after.encode(),
    )  # fmt: skip
    return row, key_hash_, hash_


def _add_anchor(connection: Connection, month: int, piece: Piece, before: bytes) -> None:
    cursor = connection.cursor()
    first, last = piece.first or (0, 0, 0), piece.last or (0, 0, 0)
    words = (month, first[1], *last, piece.rows, before, piece.hash)
    cursor.execute(SQL["add_anchor"], words)
    if piece.last is not None:
        cursor.execute(SQL["forget_late"], (piece.last[1],))
        cursor.execute(SQL["forget_replayed"], (piece.last[1],))


def _add(month: int, count: int) -> int:
    whole = month // 100 * _MONTHS + month % 100 - 1 + count
    return whole // _MONTHS * 100 + whole % _MONTHS + 1
