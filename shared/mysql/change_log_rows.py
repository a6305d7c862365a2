"""Rows of the audit log as they are made of changes, and the chain of their hashes. Pure.

hash = SHA-256 of the hash before (32 bytes, zeros before the first row) and the row's text: its
columns in the order epoch, seq, row_index, row_key, op, derived, row_before, row_after,
committed_at (`2026-11-26 08:00:00.000001`), gtid, file, pos, table_name, actor, with a line feed
between, NULL as nothing. An auditor can do the same in SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import orjson

from shared.changes import Change, Chunk, Row, Table, row_key

FIRST_HASH = bytes(32)
NO_KEY = b"[]"
"""Of rows that are about a table, not about a row."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Head(NamedTuple):
    """What all rows of a transaction have in common. text: the end of their text in the chain."""

    epoch: int
    seq: int
    month: int
    committed_at: str
    gtid: str
    file: str
    pos: int
    actor: str
    text: bytes


class LogRow(NamedTuple):
    """One row of fleet_change_log but for its hash; texts are UTF-8."""

    head: Head
    row_index: int
    table_name: bytes
    row_key: bytes
    op: bytes
    derived: bool
    row_before: bytes | None
    row_after: bytes | None


def month_of(committed_at_us: int) -> int:
    return _second(committed_at_us // 1_000_000)[1]


def head_of(chunk: Chunk, month: int) -> Head:
    """month: of the row before; the log's months never go back, whatever the clocks did."""
    seconds, micros = divmod(chunk.committed_at_us, 1_000_000)
    second, its_month = _second(seconds)
    committed_at = f"{second}.{micros:06d}"
    file, pos = chunk.begins
    text = f"{committed_at}\n{chunk.gtid}\n{file}\n{pos}".encode()
    return Head(
        chunk.epoch, chunk.seq, max(month, its_month), committed_at,
        chunk.gtid, file, pos, chunk.actor, text,
    )  # fmt: skip


def rows_of(chunk: Chunk, head: Head, hashed: Callable[[str], bool]) -> Iterator[LogRow]:
    """Rows of a chunk. hashed: whether of a table's rows only the key and a hash are kept."""
    for index, change in enumerate(chunk.changes, chunk.first_row):
        table, op, before, after, derived = change
        keep = _message if op in "tm" else _hash_of if hashed(table.name) else _object_of
        yield LogRow(
            head, index, table.name.encode(), row_key(change), op.encode(), derived,
            None if before is None else keep(table, before),
            None if after is None else keep(table, after),
        )  # fmt: skip


def epoch_row(chunk: Chunk, head: Head) -> LogRow:
    """What an epoch begins with. It stands behind the chunk's own rows, if it has any."""
    said = orjson.dumps(["epoch", chunk.epoch, chunk.text])
    index = chunk.first_row + len(chunk.changes)
    return LogRow(head, index, b"", NO_KEY, b"m", derived=False, row_before=None, row_after=said)


def withheld(row: LogRow) -> LogRow:
    """In the place of a row that the log refuses: its hashes, and whatever is too long cut off."""
    head = row.head
    cut = head._replace(gtid=head.gtid[:255], file=head.file[:255], actor=head.actor[:1024])
    text = f"{cut.committed_at}\n{cut.gtid}\n{cut.file}\n{cut.pos}".encode()
    return row._replace(
        head=cut._replace(text=text),
        table_name=row.table_name.decode()[:64].encode(),
        row_before=_mark("$quarantined", row.row_before),
        row_after=_mark("$quarantined", row.row_after),
    )


def key_hash(key: bytes) -> bytes:
    """key: a row_key."""
    return hashlib.sha256(key).digest()[:16]


def text_of(row: LogRow) -> bytes:
    """What the chain hashes of a row."""
    head = row.head
    return b"%d\n%d\n%d\n%b\n%b\n%d\n%b\n%b\n%b\n%b\n%b" % (
        head.epoch, head.seq, row.row_index, row.row_key, row.op, row.derived,
        row.row_before or b"", row.row_after or b"", head.text, row.table_name,
        head.actor.encode(),
    )  # fmt: skip


def chained(before: bytes, rows: Iterable[LogRow]) -> Iterator[tuple[LogRow, bytes]]:
    """Each row and its hash."""
    for row in rows:
        before = hashlib.sha256(before + text_of(row)).digest()
        yield row, before


def derived_delete(head: Head, index: int, table: str, key: bytes, row: bytes | None) -> LogRow:
    """A row that a snapshot no longer found. row: what the log knows of it."""
    name = table.encode()
    return LogRow(head, index, name, key, b"d", derived=True, row_before=row, row_after=None)


def swept_tables(changes: Iterable[Change]) -> Iterator[tuple[str, int]]:
    """(table, seq of the snapshot's beginning) for each snapshot that ends here."""
    for change in changes:
        if change.op == "m" and change.after and change.after[0] == "snapshot_end":
            yield change.table.name, int(str(change.after[-1]))


def _object_of(table: Table, row: Row) -> bytes:
    return orjson.dumps(dict(zip(table.columns, row, strict=True)))


def _hash_of(table: Table, row: Row) -> bytes:
    return b'{"$sha256":"%b"}' % hashlib.sha256(_object_of(table, row)).hexdigest().encode()


def _message(table: Table, row: Row) -> bytes:
    del table
    return orjson.dumps(row)


def _mark(name: str, text: bytes | None) -> bytes | None:
    return None if text is None else orjson.dumps({name: hashlib.sha256(text).hexdigest()})


@lru_cache(maxsize=1024)
def _second(since_1970: int) -> tuple[str, int]:
    """Its text and its month."""
    at = _EPOCH + timedelta(seconds=since_1970)
    return f"{at:%Y-%m-%d %H:%M:%S}", at.year * 100 + at.month
