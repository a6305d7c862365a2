"""A table as it was after a transaction, row by row, from either log of changes. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from shared.changes import Value
from shared.mysql.change_log_rows import NO_KEY, key_hash
from shared.mysql.connection import Connection
from shared.queries import load
from shared.timescale.connection import Connection as Postgres

SQL = load(Path(__file__).with_name("rebuild_rows.sql"))

KEYS_AT_ONCE = 2_000

Found = Mapping[str, Value]
"""Column -> value. The audit log has {"$sha256": ...} for rows that never change."""


class Messages(NamedTuple):
    """Of a table, up to a seq. emptied: when it was last truncated, dropped or renamed away, 0:
    never. whole_from: the end of its first snapshot, before which rows may be missing; 0: none.
    """

    emptied: int
    whole_from: int


class ChangeLogReader(Protocol):
    """name: of the sink whose log it is."""

    name: str

    def rows(self, table: str, seq: int) -> Iterator[tuple[str, Found]]:
        """(row_key, row) of every row that there was after transaction `seq`."""

    def messages(self, table: str, seq: int) -> Messages: ...

    def seq_at(self, moment: datetime) -> int:
        """The last transaction committed by then; 0: none."""

    def last_seq(self) -> int: ...


def messages_of(table: str, said: Iterable[tuple[int, str, list[Any] | None]]) -> Messages:
    """Pure; said: (seq, op, message) in order. See shared/cdc/definitions.py for what is said."""
    emptied = whole_from = 0
    for seq, op, message in said:
        kind, *rest = message or [""]
        renamed_away = kind == "rename" and str(rest[1]).rpartition(".")[2] == table
        if op == "t" or kind == "drop" or renamed_away:
            emptied = seq
        elif kind == "snapshot_end" and not whole_from:
            whole_from = seq
    return Messages(emptied, whole_from)


class AuditReader:
    """fleet_change_log, in the order of key_hash."""

    name = "audit"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, table: str, seq: int) -> Iterator[tuple[str, Found]]:
        emptied = self.messages(table, seq).emptied
        cursor, place, none = self._connection.cursor(), b"", key_hash(NO_KEY)
        while True:
            cursor.execute(SQL["audit_rows"], (table, place, seq, KEYS_AT_ONCE, table))
            found: dict[bytes, tuple[int, str, str, str | None]] = {
                row[0]: row[1:] for row in cursor.fetchall()
            }
            for hash_, (changed, op, key, row) in found.items():
                if hash_ != none and changed >= emptied and op != "d" and row is not None:
                    yield key, orjson.loads(row)
            if len(found) < KEYS_AT_ONCE:
                return
            place = next(reversed(found))

    def messages(self, table: str, seq: int) -> Messages:
        cursor = self._connection.cursor()
        cursor.execute(SQL["audit_messages"], (table, key_hash(NO_KEY), seq))
        return messages_of(
            table,
            [(at, op, orjson.loads(said) if said else None) for at, op, said in cursor.fetchall()],
        )

    def seq_at(self, moment: datetime) -> int:
        at = moment.astimezone(UTC)
        return self._number(SQL["audit_seq_at"], (at.year * 100 + at.month, at))

    def last_seq(self) -> int:
        return self._number(SQL["audit_last_seq"], ())

    def _number(self, sql: str, words: tuple[Any, ...]) -> int:
        cursor = self._connection.cursor()
        cursor.execute(sql, words)
        row = cursor.fetchone()
        return int(row[0]) if row and row[0] is not None else 0


class HistoryReader:
    """fleet.change_event of TimescaleDB, in the order of row_key, from behind."""

    name = "timescale"

    def __init__(self, connection: Postgres) -> None:
        self._connection = connection

    def rows(self, table: str, seq: int) -> Iterator[tuple[str, Found]]:
        emptied = self.messages(table, seq).emptied
        with self._connection.cursor("rebuilt_rows") as cursor:
            cursor.itersize = KEYS_AT_ONCE
            cursor.execute(SQL["history_rows"], (table, seq))
            for key, op, changed, row in cursor:
                assert isinstance(changed, int)
                if op != "d" and changed >= emptied and isinstance(row, dict):
                    yield str(key), row

    def messages(self, table: str, seq: int) -> Messages:
        found: Any = self._connection.execute(SQL["history_messages"], (table, seq)).fetchall()
        return messages_of(table, found)

    def seq_at(self, moment: datetime) -> int:
        return self._number(SQL["history_seq_at"], (moment,))

    def last_seq(self) -> int:
        return self._number(SQL["history_last_seq"], ())

    def _number(self, sql: str, words: tuple[Any, ...]) -> int:
        row: Any = self._connection.execute(sql, words).fetchone()
        return int(row[0]) if row and row[0] is not None else 0
