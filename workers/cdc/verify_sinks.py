"""The sinks as of a transaction, as `fleet cdc verify` reads them: one snapshot each, no writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
import psycopg

from shared.mysql import change_log_offset
from shared.mysql.change_log_rows import NO_KEY, key_hash
from shared.mysql.connection import Connection
from shared.queries import load
from shared.timescale import offsets
from shared.timescale.connection import Connection as Postgres
from workers.cdc.rebuild_rows import AuditReader, Found, HistoryReader
from workers.cdc.tables import audit_keeps

SQL = load(Path(__file__).with_name("verify.sql"))

KEYS_AT_ONCE = 2_000


class Moment(NamedTuple):
    """Seqs of the two marks, in one epoch: the source's view lies between them."""

    epoch: int
    before: int
    after: int


class SinkView(Protocol):
    """One sink, as of `Moment.before`."""

    name: str

    def seq(self) -> int:
        """Up to where it has everything, now."""

    def open(self) -> None:
        """From here on it stands still."""

    def hashed(self, table: str) -> bool: ...

    def rows(self, table: str, moment: Moment) -> Iterator[tuple[str, Found]]: ...

    def versions(self, table: str, moment: Moment) -> dict[str, list[Found | None]]:
        """Keys that changed between the marks, with every state they had then; None: no row."""

    def forgotten(self) -> int:
        """Changes up to this seq are not kept any more."""

    def seqs(self, through: int) -> Iterator[tuple[int, int, bool]]:
        """(epoch, seq, whether rows of the log are in it) of every transaction that it has
        something of, in order.
        """


class AuditView:
    name = "audit"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = AuditReader(connection)

    def seq(self) -> int:
        self._connection.rollback()
        offset, _ = change_log_offset.read(self._connection, self.name)
        self._connection.rollback()
        return 0 if offset is None else offset.seq - (not offset.whole)

    def open(self) -> None:
        self._connection.rollback()
        cursor = self._connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def moment(self, marks: tuple[str, str]) -> Moment | None:
        """None: it has not read them yet."""
        self._connection.rollback()
        cursor = self._connection.cursor()
        cursor.execute(SQL["audit_marks"], (key_hash(NO_KEY),))
        found = {
            orjson.loads(said)[1]: (epoch, seq)
            for epoch, seq, said in cursor.fetchall()
            if orjson.loads(said)[0] == "verify"
        }
        self._connection.rollback()
        if not found.keys() >= set(marks):
            return None
        (epoch, before), (same, after) = found[marks[0]], found[marks[1]]
        return Moment(epoch, before, after) if epoch == same else None

    def hashed(self, table: str) -> bool:
        return audit_keeps(table) == "hash"

    def rows(self, table: str, moment: Moment) -> Iterator[tuple[str, Found]]:
        return self._reader.rows(table, moment.before)

    def versions(self, table: str, moment: Moment) -> dict[str, list[Found | None]]:
        cursor = self._connection.cursor()
        cursor.execute(SQL["audit_between"], (*moment, table))
        found: dict[str, list[Found | None]] = {}
        for key, op, row in cursor.fetchall():
            known = None if op == "d" or row is None else orjson.loads(row)
            found.setdefault(key, []).append(known)
        return found

    def forgotten(self) -> int:
        cursor = self._connection.cursor()
        cursor.execute(SQL["audit_dropped"])
        return int(cursor.fetchone()[0])

    def seqs(self, through: int) -> Iterator[tuple[int, int, bool]]:
        cursor = self._connection.cursor()
        cursor.execute(SQL["audit_seqs"], (through,))
        for epoch, seq, of_log in cursor:
            yield epoch, seq, bool(of_log)


class HistoryView:
    """fleet.row_state; fleet.change_event for what has changed since."""

    name = "timescale"

    def __init__(self, connection: Postgres) -> None:
        self._connection = connection
        self._reader = HistoryReader(connection)

    def seq(self) -> int:
        self._connection.rollback()
        offset = offsets.read(self._connection, self.name)
        self._connection.rollback()
        return 0 if offset is None else offset.seq - (not offset.whole)

    def open(self) -> None:
        self._connection.rollback()
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.execute("SET statement_timeout = 0")

    def hashed(self, table: str) -> bool:
        del table
        return False

    def rows(self, table: str, moment: Moment) -> Iterator[tuple[str, Found]]:
        moved: list[str] = []
        with self._connection.cursor("standing_rows") as cursor:
            cursor.itersize = KEYS_AT_ONCE
            cursor.execute(SQL["state_rows"], (table,))
            for key, seq, deleted, row in cursor:
                assert isinstance(seq, int)
                if seq > moment.before:
                    moved.append(str(key))
                elif not deleted and isinstance(row, dict):
                    yield str(key), row
        emptied = self._reader.messages(table, moment.before).emptied
        for first in range(0, len(moved), KEYS_AT_ONCE):
            keys = moved[first : first + KEYS_AT_ONCE]
            found: Any = self._connection.execute(
                SQL["state_before"], (table, keys, moment.before)
            )
            for key, op, seq, row in found:
                if op != "d" and seq >= emptied and row is not None:
                    yield key, row

    def versions(self, table: str, moment: Moment) -> dict[str, list[Found | None]]:
        found: dict[str, list[Found | None]] = {}
        rows: Any = self._connection.execute(
            SQL["events_between"], (table, moment.before, moment.after)
        )
        for key, op, row in rows:
            found.setdefault(key, []).append(None if op == "d" else row)
        return found

    def forgotten(self) -> int:
        return 0  # row_state keeps every key

    def seqs(self, through: int) -> Iterator[tuple[int, int, bool]]:
        with self._connection.cursor("all_seqs") as cursor:
            cursor.itersize = KEYS_AT_ONCE
            cursor.execute(SQL["event_seqs"], (through,))
            for epoch, seq, of_log in cursor:
                assert isinstance(epoch, int)
                assert isinstance(seq, int)
                yield epoch, seq, bool(of_log)
