"""Changes of the source become rows of TimescaleDB, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import orjson
import psycopg

from shared.changes import Change, Chunk
from shared.errors import FleetError
from shared.queries import load
from shared.timescale import lines
from shared.timescale.connection import Connection, classify
from shared.timescale.gather import (
    EVENT_COLUMNS,
    FILLS,
    NO_KEY,
    STATE_COLUMNS,
    Gathered,
    Row,
    fill_keys,
    row_of,
)
from shared.timescale.histories import HISTORIES, NotTyped, Values
from shared.timescale.rollups import ROLLUPS

SQL = load(Path(__file__).with_name("changes.sql"))

ROWS_AT_ONCE = 1_000
STEPS_AT_ONCE = 128
_ROW_STATE = "row_state"
_MERGES = {
    _ROW_STATE: SQL["merge_row_state"],
    "rollup_changes": SQL["merge_rollup_changes"],
    "rollup_positions": SQL["merge_rollup_positions"],
    "rollup_pnl": SQL["merge_rollup_pnl"],
    "rollup_trading": SQL["merge_rollup_trading"],
}
_INCOMING = (
    SQL["incoming_state"],
    SQL["incoming_changes"],
    SQL["incoming_positions"],
    SQL["incoming_pnl"],
    SQL["incoming_trading"],
)
# 22 data exceptions, 23 constraints, 54 limits of the server, P0 a trigger's RAISE: the same rows
# fail again.
_REFUSING = ("22", "23", "54", "P0")


class Refusal(FleetError):  # noqa: N818 - a state, not a mistake
    """Some of the rows are never taken; the text says what of which."""


class Message(NamedTuple):
    """A change of a table, op t or m."""

    of: Chunk
    change: Change
    row_index: int


class Sweep(NamedTuple):
    """A snapshot of `table` ended that began at seq `begin`."""

    table: str
    begin: int


Step: TypeAlias = Row | Message


@dataclass(slots=True)
class Writer:
    """Writes over one connection. `begin` comes first in every transaction."""

    connection: Connection
    sweeps: list[Sweep] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Once per connection: the tables that rows wait in before they are merged."""
        for statement in _INCOMING:
            self.connection.execute(statement)

    def begin(self) -> None:
        self.sweeps = []
        self._used = set()

    def write(self, chunks: Sequence[Chunk]) -> None:
        """Rows of whole transactions, in order; a part of one may come last. Raises Refusal."""
        with refusals():
            steps: list[Step] = []
            for chunk in chunks:
                self._chunk(chunk, steps)
            self._write(steps)

    def write_refused(self, chunk: Chunk) -> None:
        """A single change that `write` refused, without the typed history. Raises Refusal."""
        with refusals():
            steps = list(_steps(chunk))
            gathered = Gathered(self._standing(steps))
            for step in steps:
                if isinstance(step, Row):
                    gathered.untyped(step)
                else:
                    gathered.message(*step)
            self._put(gathered)

    def write_late(self, chunk: Chunk) -> None:
        """A single change whose time has passed: whatever is newer stays. Raises Refusal."""
        with refusals():
            for step in _steps(chunk):
                if isinstance(step, Row):
                    self._late(step)
                elif not self._is_there(step.change.table.name, NO_KEY, chunk.seq, step.row_index):
                    gathered = Gathered({})
                    gathered.message(*step)
                    self._put(gathered)

    def _chunk(self, chunk: Chunk, steps: list[Step]) -> None:
        """Its rows are added to steps; what must see earlier rows here is done at once."""
        for step in _steps(chunk):
            steps.append(step)
            if isinstance(step, Row):
                continue
            change = step.change
            said = change.after or [""]
            if _emptied(change):
                self._write(steps)
                place = (chunk.seq, step.row_index)
                self._remove(change.table.name, place, chunk, step.row_index, told=False)
            elif said[0] == "snapshot_end":
                self.sweeps.append(Sweep(change.table.name, int(str(said[-1]))))
        if not chunk.last:
            return
        index = chunk.first_row + len(chunk.changes)
        if chunk.kind == "control":
            self._write(steps)
            gathered = Gathered({})
            gathered.epoch(chunk, index)
            self._put(gathered)
        if self.sweeps:
            self._write(steps)
            for table, begin in self.sweeps:
                index = self._remove(table, (begin, 0), chunk, index, told=True)
            self.sweeps = []

    def _write(self, steps: list[Step]) -> None:
        """All of them; empties the list."""
        if not steps:
            return
        gathered = Gathered(self._standing(steps))
        # The server reads events while we make the next ones.
        with self._copying("fleet.change_event", EVENT_COLUMNS) as copy:
            for first in range(0, len(steps), STEPS_AT_ONCE):
                for step in steps[first : first + STEPS_AT_ONCE]:
                    if isinstance(step, Row):
                        gathered.add(step)
                    else:
                        gathered.message(*step)
                copy.write("".join(gathered.events))
                gathered.events.clear()
        self._put(gathered)
        steps.clear()

    def _remove(
        self, table: str, before: tuple[int, int], chunk: Chunk, index: int, *, told: bool
    ) -> int:
        """Rows of a table that are older than a place are gone, as of `chunk`. told: each is an
        event of its own, from row_index `index` on. Returns the next free row_index.
        """
        # Of a long table a page may take long to find.
        self.connection.execute("SET LOCAL statement_timeout = 0")
        with self.connection.cursor("older_rows") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(SQL["older_rows"], (table, *before))
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                rows = []
                for key, row, refused in found:
                    gone = Row(
                        chunk, index, table, str(key), "d", before=_object(row), after=None,
                        derived=True, shape="",
                    )  # fmt: skip
                    rows.append((gone, bool(refused)))
                    index += told
                self._gone(rows, told=told)
        return index

    def _gone(self, rows: Sequence[tuple[Row, bool]], *, told: bool) -> None:
        gathered = Gathered(self._standing([row for row, _ in rows]))
        for row, refused in rows:
            stamp = row.stamp
            if told:
                gathered.event(row, stamp, lines.NULL)
            gathered.state(row, stamp, lines.NULL, refused=refused)
            if not refused:
                gathered.history(row, stamp)
        self._put(gathered)

    def _late(self, row: Row) -> None:
        place = (row.of.seq, row.row_index)
        found = self.connection.execute(SQL["place_of"], (row.table, row.key)).fetchone()
        *known, refused = found or (-1, -1, False)
        newer, same = tuple(known) > place, tuple(known) == place
        gathered = Gathered({} if newer or same else self._standing([row]))
        after = lines.NULL if row.after is None else lines.json(row.after)
        if not self._is_there(row.table, row.key, *place):
            gathered.event(row, row.stamp, after)
        if not newer and (refused or not same):
            gathered.state(row, row.stamp, after, refused=False)
            gathered.history(row, row.stamp)
        elif newer and row.table != FILLS:
            gathered.history(row, row.stamp)
        self._put(gathered)

    def _is_there(self, table: str, key: str, seq: int, row_index: int) -> bool:
        found = self.connection.execute(
            SQL["event_there"], (table, key, seq, row_index)
        ).fetchone()
        return bool(found and found[0])

    def _standing(self, steps: Iterable[Step]) -> dict[str, Values]:
        keys = fill_keys(step for step in steps if isinstance(step, Row))
        if not keys:
            return {}
        found = self.connection.execute(
            SQL["standing_fills"], (FILLS, orjson.dumps(keys).decode())
        )
        return {str(key): _object(row) for key, row in found}

    def _put(self, gathered: Gathered) -> None:
        self._copy("fleet.change_event", EVENT_COLUMNS, gathered.events)
        self._merge(_ROW_STATE, STATE_COLUMNS, list(gathered.states.values()))
        for table, rows in gathered.histories.items():
            history = HISTORIES[table]
            self._copy(f"fleet.{history.table}", history.copied, rows)
        for rollup, rows in gathered.increments.rows():
            self._merge(rollup.name, ROLLUPS[rollup.name].columns, rows)

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[str]) -> None:
        if rows:
            with self._copying(table, columns) as copy:
                copy.write("".join(rows))

    def _merge(self, table: str, columns: Sequence[str], rows: Sequence[str]) -> None:
        if not rows:
            return
        if table in self._used:
            self.connection.execute(f"TRUNCATE pg_temp.incoming_{table}".encode())
        self._used.add(table)
        self._copy(f"pg_temp.incoming_{table}", columns, rows)
        self.connection.execute(_MERGES[table])

    @contextmanager
    def _copying(self, table: str, columns: Sequence[str]) -> Iterator[psycopg.Copy]:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"  # names of our own
        with self.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            yield copy


def _steps(chunk: Chunk) -> Iterator[Step]:
    for index, change in enumerate(chunk.changes, chunk.first_row):
        if change.op in "tm":
            yield Message(chunk, change, index)
        else:
            yield row_of(chunk, change, index)


def _emptied(change: Change) -> bool:
    """Whether a table of that name has no rows after this: truncated, dropped, renamed away."""
    if change.op == "t" or change.after is None:
        return change.op == "t"
    what = change.after[0]
    away = what == "rename" and str(change.after[2]).rpartition(".")[2] == change.table.name
    return what == "drop" or away


def _object(found: Any) -> dict[str, Any]:
    assert isinstance(found, dict)
    return found


@contextmanager
def refusals() -> Iterator[None]:
    """What fails again with the same rows comes out as Refusal, a lost server as Unavailable."""
    try:
        yield
    except NotTyped as refused:
        raise Refusal(str(refused)) from refused
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state[:2] in _REFUSING:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Refusal(f"PostgreSQL {state}: {said}") from error
        raise classify(error) or error from error
