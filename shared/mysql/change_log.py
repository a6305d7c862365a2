"""fleet_change_log: appending rows in bulk, and reading one row's history.

Rows are only inserted. Everything runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import MySQLdb
import orjson

from shared.mysql.change_log_rows import (
    NO_KEY,
    Head,
    LogRow,
    chained,
    derived_delete,
    key_hash,
)
from shared.mysql.connection import Connection
from shared.queries import load

SQL = load(Path(__file__).with_name("change_log.sql"))

STATEMENT_BYTES = 256 * 1024
KEYS_AT_ONCE = 5_000

# Data that is refused whatever is tried again: too long, out of range, no such text, date or
# partition, a row too large, a constraint's or a trigger's word (1644).
REFUSED = frozenset(
    {1118, 1153, 1264, 1265, 1292, 1300, 1366, 1406, 1411, 1526, 1644, 1690, 3140, 3819, 4025}
)


class Refusal(Exception):  # noqa: N818 - a state, not a mistake
    """The server takes some of the rows never. Its words, which may quote values."""


class Recorded(NamedTuple):
    """One change of one row, as `fleet cdc explain` shows it. before, after: JSON text."""

    epoch: int
    seq: int
    row_index: int
    op: str
    derived: int
    before: str | None
    after: str | None
    committed_at: datetime
    gtid: str
    file: str
    pos: int
    actor: str


class Written(NamedTuple):
    """A batch of the sink."""

    epoch: int
    first_seq: int
    last_seq: int
    rows: int
    written_at: datetime


def append(
    connection: Connection, rows: Iterable[LogRow], before: bytes, packet_most: int
) -> tuple[bytes, int]:
    """Appends rows; the chain's new end, and how many there were.

    before: hash of the row before. packet_most: the server's max_allowed_packet, bytes. Raises
    Refusal, with nothing or some of the rows written.
    """
    cursor = connection.cursor()
    quote = connection.string_literal
    most = min(STATEMENT_BYTES, packet_most)
    start = SQL["append"].encode() + b" "
    parts: list[bytes] = []
    size, count = len(start), 0
    for row, hash_ in chained(before, rows):
        before = hash_
        literal = _literal(row, hash_, quote)
        if parts and size + len(literal) > most:
            _run(cursor, start + b",".join(parts))
            parts, size = [], len(start)
        if len(start) + len(literal) + 1024 > packet_most:
            raise Refusal(f"{len(literal)} bytes, more than max_allowed_packet of the server")
        parts.append(literal)
        size += len(literal) + 1
        count += 1
    if parts:
        _run(cursor, start + b",".join(parts))
    return before, count


def append_late(connection: Connection, row: LogRow) -> None:
    """The full images of a row whose hash the log holds. Raises Refusal."""
    head = row.head
    words = (head.epoch, head.seq, row.row_index, row.row_before, row.row_after)
    _run(connection.cursor(), SQL["append_late"], words)


def unseen(
    connection: Connection, table: str, begin: int, head: Head, first_index: int
) -> Iterator[LogRow]:
    """Deletes that never came: keys of the table whose last change is older than the snapshot that
    began at seq `begin`, and which were there.
    """
    cursor = connection.cursor()
    gone = _last_emptied(cursor, table)
    place, index, none = b"", first_index, key_hash(NO_KEY)
    while True:
        cursor.execute(SQL["keys"], (table, place, KEYS_AT_ONCE))
        keys: Sequence[tuple[bytes, int]] = cursor.fetchall()
        for hash_, seq in keys:
            if hash_ == none or not gone < seq < begin:
                continue
            cursor.execute(SQL["last_change"], (table, hash_, seq))
            op, row_key, row = cursor.fetchone()
            if op != "d":
                known = None if row is None else row.encode()
                yield derived_delete(head, index, table, row_key.encode(), known)
                index += 1
        if len(keys) < KEYS_AT_ONCE:
            return
        place = keys[-1][0]


def history(connection: Connection, table: str, row_key: str) -> list[Recorded]:
    """Every recorded change of the row with this key (`changes.row_key`), oldest first."""
    cursor = connection.cursor()
    cursor.execute(SQL["history"], (table, key_hash(row_key.encode()), row_key))
    return [Recorded(*row) for row in cursor.fetchall()]


def batch_of(connection: Connection, seq: int) -> Written | None:
    """The sink's batch that wrote this transaction; None where the diary does not reach back."""
    cursor = connection.cursor()
    cursor.execute(SQL["batch_of"], (seq,))
    row = cursor.fetchone()
    if row is None:
        return None
    found = Written(*row)
    return found if found.first_seq <= seq else None


def _last_emptied(cursor: Any, table: str) -> int:
    """Seq at which the table was last truncated, dropped or renamed: it was empty then."""
    cursor.execute(SQL["messages"], (table, key_hash(NO_KEY)))
    return max((seq for seq, op, said in cursor.fetchall() if _empties(table, op, said)), default=0)


def _empties(table: str, op: str, said: str | None) -> bool:
    """See shared/cdc/definitions.py for what is said."""
    if op == "t":
        return True
    kind, *rest = orjson.loads(said or "[0]")
    return bool(kind == "drop" or (kind == "rename" and rest[1].rpartition(".")[2] == table))


def _literal(row: LogRow, hash_: bytes, quote: Any) -> bytes:
    head = row.head
    return b"(%d,%d,%d,%d,%b,x'%b',%b,'%b',%d,%b,%b,'%b',%b,%b,%d,%b,x'%b')" % (
        head.epoch, head.seq, row.row_index, head.month,
        quote(row.table_name), key_hash(row.row_key).hex().encode(), quote(row.row_key),
        row.op, row.derived,
        b"NULL" if row.row_before is None else quote(row.row_before),
        b"NULL" if row.row_after is None else quote(row.row_after),
        head.committed_at.encode(), quote(head.gtid.encode()), quote(head.file.encode()), head.pos,
        quote(head.actor.encode()), hash_.hex().encode(),
    )  # fmt: skip


def _run(cursor: Any, statement: str | bytes, words: Sequence[Any] | None = None) -> None:
    try:
        cursor.execute(statement, words)
    except MySQLdb.Error as error:
        if error.args and error.args[0] in REFUSED:
            raise Refusal(f"MySQL {error.args[0]}: {error.args[1]}") from error
        raise
