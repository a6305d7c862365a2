"""Events in, whole transactions out. No clock, no connection; a long transaction goes to a file.

A position is a moment between two transactions. Inside one there is none: its TABLE_MAPs would be
missing to whoever began there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from shared.cdc import definitions
from shared.cdc.cursor import ASIDE, Cursor
from shared.cdc.envelope import encode_row
from shared.cdc.errors import SourceStopped
from shared.cdc.events import (
    HEADER,
    HEADER_BYTES,
    PASSED,
    ROWS,
    ROWS_UNREADABLE,
    UNREADABLE,
    Gtid,
    Kind,
    mariadb_gtid,
    mysql_gtid,
    query,
    query_text,
    tagged_gtid,
    unknown,
    xa_prepare,
)
from shared.cdc.positions import GtidState
from shared.cdc.rows import Shape, Shapes
from shared.cdc.spill import SpilledRows
from shared.cdc.transaction import Noted, SourceTransaction
from shared.changes import Position, Table

HELD_BYTES = 1024 * 1024
"""An XA transaction beyond it is held in a file: nobody knows how many there are, or how long."""

_NO_TABLE = 0xFFFFFF
"""Some statements end with a row event that names no table."""
_NO_GTID = Gtid("", 0, 0)


class _Reading(NamedTuple):
    """A table of this transaction: how it is read, and its number in it."""

    shape: Shape
    number: int


@dataclass(slots=True)
class _Open:
    """A transaction that has begun. gathers: it goes on until XID, COMMIT, ROLLBACK or XA PREPARE;
    else the next statement is all of it.
    """

    begins: tuple[str, int]
    gtid: Gtid
    rows: SpilledRows
    gathers: bool = False
    tables: list[Table] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    savepoints: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def number(self, table: Table) -> int:
        """Its place in the list: transactions have few tables."""
        if table not in self.tables:  # list.index would say all of the table in its error
            self.tables.append(table)
        return self.tables.index(table)

    def close(self) -> None:
        self.rows.close()


class Assembler:
    """For one connection. gtids: of all that is before the cursor."""

    def __init__(
        self, cursor: Cursor, gtids: GtidState, shapes: Shapes, *, server: str, spill: Path
    ) -> None:
        self.cursor = cursor
        self._gtids = gtids
        self._shapes = shapes
        self._server = server
        self._spill = spill
        self._held: dict[str, _Open] = {}
        self._holding: tuple[tuple[str, str, int], ...] = ()
        self._open: _Open | None = None
        self._maps: dict[int, _Reading | None] = {}
        self._on: dict[int, Callable[[bytes, int], SourceTransaction | None]] = {
            ASIDE: self._pass,
            Kind.ROTATE: self._pass,
            Kind.FORMAT_DESCRIPTION: self._file_begins,
            Kind.GTID: self._gtid,
            Kind.ANONYMOUS_GTID: self._gtid,
            Kind.GTID_TAGGED: self._gtid,
            Kind.MARIADB_GTID: self._gtid,
            Kind.QUERY: self._query,
            Kind.EXECUTE_LOAD_QUERY: self._load,
            Kind.TABLE_MAP: self._table_map,
            Kind.XID: self._xid,
            Kind.XA_PREPARE: self._prepare,
        }
        self._on |= dict.fromkeys(ROWS, self._rows)
        self._on |= dict.fromkeys(PASSED, self._pass)
        self._on |= dict.fromkeys(ROWS_UNREADABLE, self._unreadable_rows)
        self._on |= dict.fromkeys(UNREADABLE, self._unreadable)

    def take(self, event: bytes) -> SourceTransaction | None:
        """The next event, whole; a transaction where this was its end and it has rows of interest.

        Raises SourceStopped; this assembler is then of no use any more.
        """
        kind = self.cursor.step(event)
        handler = self._on.get(kind)
        if handler is None:
            raise unknown(kind, self.cursor.where)
        return handler(event, kind)

    def position(self) -> Position:
        """After the last whole transaction."""
        cursor, begun = self.cursor, self._open
        file, pos = (cursor.file, cursor.pos) if begun is None else begun.begins
        return Position(self._server, file, pos, self._gtids.text(), cursor.mark, self._holding)

    @property
    def between(self) -> bool:
        """No transaction has begun that has not ended."""
        return self._open is None

    def hold(self, other: Assembler) -> None:
        """Takes over the XA transactions that another one has read."""
        self._keep(self._held | other._held)
        other._held = {}

    def close(self) -> None:
        """Gives up what is not whole."""
        for one in (*self._held.values(), *([self._open] if self._open else ())):
            one.close()

    # -- beginning and end -------------------------------------------------------------------------

    def _pass(self, _event: bytes, _kind: int) -> None:
        return None

    def _file_begins(self, _event: bytes, _kind: int) -> None:
        """After a crash a transaction may be torn off: the server rolled it back when it started,
        which is when it begins a file that tells its start.
        """
        begun = self.cursor.begun
        if self._open is not None and begun is not None and not begun.created:
            raise self._stopped("torn", "a transaction has no end in its file")
        self._forget_open()

    def _forget_open(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None
        self._maps.clear()

    def _gtid(self, event: bytes, kind: int) -> None:
        if self._open is not None:
            raise self._stopped("torn", "a transaction begins before the one before has ended")
        body = event[HEADER_BYTES : self.cursor.tail]
        if kind == Kind.MARIADB_GTID:
            stamp, _, server_id, *_ = HEADER.unpack_from(event)
            gtid = mariadb_gtid(body, server_id, stamp)
        else:
            gtid = tagged_gtid(body) if kind == Kind.GTID_TAGGED else mysql_gtid(kind, body)
        opened = self._begin(gtid)
        opened.gathers = gtid.alone is False

    def _begin(self, gtid: Gtid) -> _Open:
        cursor = self.cursor
        rows = SpilledRows(self._spill)
        self._open = opened = _Open((cursor.file, cursor.starts), gtid, rows)
        return opened

    def _xid(self, _event: bytes, _kind: int) -> SourceTransaction | None:
        return self._commit(self._opened())

    def _opened(self) -> _Open:
        if self._open is None:
            raise self._stopped("torn", "there is no beginning to what stands here")
        return self._open

    def _commit(self, done: _Open) -> SourceTransaction | None:
        """done: the open transaction, or one that was held until now, of which the open one is the
        outcome.
        """
        opened = self._opened()
        self._ends(opened)
        if not len(done.rows) and not done.noted:
            done.close()
            return None
        return SourceTransaction(
            begins=done.begins,
            ends=self.position(),
            gtid=opened.gtid.text,
            committed_at_us=opened.gtid.committed_at_us,
            tables=done.tables,
            rows=done.rows,
            noted=done.noted,
        )

    def _ends(self, opened: _Open) -> None:
        """The position moves behind it."""
        if opened.gtid.source:
            self._gtids.add(opened.gtid.source, opened.gtid.number)
        self._open = None
        self._maps.clear()

    def _roll_back(self) -> None:
        opened = self._opened()
        self._ends(opened)
        opened.close()

    # -- rows --------------------------------------------------------------------------------------

    def _table_map(self, event: bytes, _kind: int) -> None:
        opened = self._opened()
        body = event[HEADER_BYTES : self.cursor.tail]
        shape = self._shapes.shape(body)
        reading = None if shape is None else _Reading(shape, self._number(opened, shape))
        self._maps[int.from_bytes(body[:6], "little")] = reading

    @staticmethod
    def _number(opened: _Open, shape: Shape) -> int:
        return opened.number(shape.table) if shape.interest == "captured" else -1

    def _rows(self, event: bytes, kind: int) -> None:
        opened = self._opened()
        body = event[HEADER_BYTES : self.cursor.tail]
        reading = self._reading(body)
        if reading is None:
            return
        shape, number = reading
        if number < 0:
            opened.noted.extend(shape.noted(kind, body))
            return
        append = opened.rows.append
        for change in shape.rows(kind, body):
            append(encode_row(number, change))

    def _reading(self, body: bytes) -> _Reading | None:
        table = int.from_bytes(body[:6], "little")
        try:
            return self._maps[table]
        except KeyError:
            if table == _NO_TABLE:
                return None
            what = f"rows of table {table} without its TABLE_MAP"
            raise self._stopped("no_table_map", what) from None

    def _unreadable_rows(self, event: bytes, kind: int) -> None:
        reading = self._reading(event[HEADER_BYTES : self.cursor.tail])
        if reading is not None:
            reason, cure = ROWS_UNREADABLE[kind]
            table = reading.shape.table
            raise SourceStopped(
                reason,
                f"rows of {table.schema}.{table.name} at {self.cursor.where} are in a form that is "
                f"not read ({Kind(kind).name})",
                cure,
            )

    def _unreadable(self, _event: bytes, kind: int) -> None:
        reason, cure = UNREADABLE[kind]
        raise SourceStopped(reason, f"{Kind(kind).name} at {self.cursor.where}", cure)

    # -- statements --------------------------------------------------------------------------------

    def _query(self, event: bytes, kind: int) -> SourceTransaction | None:
        body = event[HEADER_BYTES : self.cursor.tail]
        text = query_text(body)
        # A log without GTIDs at all has transactions that begin with BEGIN.
        opened = self._open or self._begin(_NO_GTID)
        if text == b"BEGIN":
            opened.gathers = True
            return None
        if text == b"COMMIT":
            return self._commit(opened)
        word, _, rest = text.partition(b" ")
        if word in {b"XA", b"SAVEPOINT", b"ROLLBACK"}:
            return self._control(opened, word, rest)
        return self._statement(opened, body, kind)

    def _load(self, event: bytes, kind: int) -> SourceTransaction | None:
        return self._statement(self._opened(), event[HEADER_BYTES : self.cursor.tail], kind)

    def _statement(self, opened: _Open, body: bytes, kind: int) -> SourceTransaction | None:
        found = query(body, kind)
        selection = self._shapes.selection
        for change in definitions.changes(found, selection, self.cursor.where):
            opened.rows.append(encode_row(opened.number(change.table), change))
        if definitions.concerns(found, selection):
            self._shapes.forget()
        if found.text.endswith(b"START TRANSACTION"):
            opened.gathers = True  # CREATE TABLE … SELECT on MySQL: its rows follow
        return None if opened.gathers else self._commit(opened)

    def _control(self, opened: _Open, word: bytes, rest: bytes) -> SourceTransaction | None:
        if word == b"SAVEPOINT":
            opened.savepoints[rest] = len(opened.rows), len(opened.noted)
        elif word == b"ROLLBACK" and not rest:
            self._roll_back()
        elif word == b"ROLLBACK":
            self._roll_back_to(opened, rest.removeprefix(b"TO ").removeprefix(b"SAVEPOINT "))
        else:
            return self._xa(opened, *rest.decode("ascii", "replace").partition(" ")[::2])
        return None

    def _roll_back_to(self, opened: _Open, savepoint: bytes) -> None:
        """It stands in the log only where the transaction also changed something that cannot be
        rolled back; that has a transaction of its own, before this one.
        """
        if savepoint not in opened.savepoints:
            name = savepoint.decode(errors="replace")
            raise self._stopped("torn", f"there is no savepoint {name}")
        rows, noted = opened.savepoints[savepoint]
        opened.rows.truncate(rows)
        del opened.noted[noted:]

    # -- XA ----------------------------------------------------------------------------------------

    def _xa(self, opened: _Open, what: str, xid: str) -> SourceTransaction | None:
        xid = xid.lower()
        if what == "START":
            opened.gathers = True
        elif what == "COMMIT":
            return self._outcome(xid)
        elif what == "ROLLBACK":
            held = self._held.get(xid)
            self._keep({other: one for other, one in self._held.items() if other != xid})
            if held is not None:
                held.close()
            self._ends(opened)
        return None

    def _prepare(self, event: bytes, _kind: int) -> SourceTransaction | None:
        """The first phase: nobody knows yet whether it ever happens. In one phase it has."""
        opened = self._opened()
        at_once, xid = xa_prepare(event[HEADER_BYTES : self.cursor.tail])
        if at_once:
            return self._commit(opened)
        self._ends(opened)
        if opened.rows.memory > HELD_BYTES:
            opened.rows.spill()
        self._keep(self._held | {xid.lower(): opened})
        return None

    def _outcome(self, xid: str) -> SourceTransaction | None:
        held = self._held.get(xid)
        if held is None:
            raise SourceStopped(
                "xa_unknown",
                f"XA COMMIT {xid} at {self.cursor.where}: it was prepared before the log was read",
                "Its rows can only be read from the tables: fleet cdc restart --reason "
                "'XA transaction'",
            )
        self._keep({other: one for other, one in self._held.items() if other != xid})
        return self._commit(held)

    def _keep(self, held: dict[str, _Open]) -> None:
        self._held = held
        self._holding = tuple((xid, *one.begins) for xid, one in held.items())

    def _stopped(self, reason: str, what: str) -> SourceStopped:
        return SourceStopped(
            reason,
            f"{what} ({self.cursor.where})",
            "Look at the server's error log. If its log is damaged there, what is lost can only be "
            "read from the tables: fleet cdc restart --reason 'log damaged'",
        )

