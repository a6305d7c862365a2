"""What both sinks hold, against the tables themselves: nothing here asks the code that wrote it.

Every change is folded in the order of its seq. Unless a loss was told, each one must begin where
the one before it ended: so a change that is missing, came twice, or came too early is found by the
next change of its row, or by the row itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import psycopg

from tests.chaos.cdc_tables import AT_TIMES, CAPTURED, TABLES, Seen, hash_of, same
from tests.chaos.cdc_world import CaptureWorld, rows

NAMED_MOST = 8

AUDIT_CHANGES = """
SELECT epoch, seq, row_index, table_name, row_key, op, derived, row_before, row_after, actor
FROM fleet_change_log ORDER BY epoch, seq, row_index
"""
AUDIT_CHAIN = """
SELECT epoch, seq, row_index, row_key, op, derived, row_before, row_after,
       DATE_FORMAT(committed_at, '%Y-%m-%d %H:%i:%s.%f'), gtid, file, pos, table_name, actor, hash
FROM fleet_change_log ORDER BY epoch, seq, row_index
"""
HISTORY_CHANGES = """
SELECT epoch, seq, row_index, table_name, row_key, op, derived, before, after, actor
FROM fleet.change_event ORDER BY epoch, seq, row_index
"""
HISTORY_STATE = "SELECT table_name, row_key, row FROM fleet.row_state WHERE NOT deleted"
HISTORY_COUNTS = """
SELECT * FROM (SELECT table_name, op, sum(changes) FROM fleet.rollup_changes GROUP BY 1, 2) AS told
FULL JOIN (SELECT table_name, op, count(*) AS has FROM fleet.change_event GROUP BY 1, 2) AS kept
  USING (table_name, op)
WHERE sum IS DISTINCT FROM has
"""

State = dict[str, dict[str, Seen]]
"""Table -> key -> row."""


class Recorded(NamedTuple):
    """One row of a sink's log. before, after: of messages lists of texts."""

    epoch: int
    seq: int
    row_index: int
    table: str
    key: str
    op: str
    derived: bool
    before: Any
    after: Any
    actor: str


NOBODY = Recorded(0, 0, 0, "", "", "m", derived=False, before=None, after=None, actor="")


@dataclass
class Folded:
    """state: after the last change. found: what cannot be. added: columns that came later."""

    name: str
    strict: bool
    added: dict[str, set[str]]
    state: State = field(default_factory=lambda: {name: {} for name in CAPTURED})
    whole: set[str] = field(default_factory=set)  # tables of which a snapshot has ended
    found: list[str] = field(default_factory=list)

    def take(self, change: Recorded) -> None:
        if change.table == AT_TIMES:
            return
        if change.op in "tm":
            self._message(change)
            return
        if change.table not in self.state:
            self._say(change, "a table that is not captured")
            return
        known = self.state[change.table].get(change.key)
        if self.strict:
            self._check(change, known)
        if change.op == "d":
            self.state[change.table].pop(change.key, None)
        else:
            self.state[change.table][change.key] = change.after

    def _message(self, change: Recorded) -> None:
        if change.op == "t":
            self.state[change.table].clear()
            self.whole.add(change.table)
        elif change.after and change.after[0] == "snapshot_end":
            self.whole.add(change.table)

    def _check(self, change: Recorded, known: Seen | None) -> None:
        whole = change.table in self.whole
        if change.derived:
            self._say(change, "a delete that the log did not have")
        elif change.op == "c":
            if known is not None:
                self._say(change, "an insert of a row that is there")
        elif known is None:
            if whole:
                self._say(change, "of a row that is not there")
        else:
            image = change.after if change.op == "r" else change.before
            if not self._same(change, known, image):
                self._say(change, f"says {image}, the row is {known}")
        if change.actor.startswith("user:") and change.table == "orders":
            name = (change.after or {}).get("name")
            if name != f"by {change.actor}":
                self._say(change, f"{change.actor} has written {name}")

    def _same(self, change: Recorded, known: Seen, row: Seen) -> bool:
        if "$sha256" in row:
            return row == known
        return same(known, row, self.added[change.table])

    def _say(self, change: Recorded, what: str) -> None:
        self.found.append(
            f"{self.name} {change.epoch}/{change.seq} row {change.row_index}, {change.op} of"
            f" {change.table} {change.key}: {what}"
        )


def differences(world: CaptureWorld, *, strict: bool) -> list[str]:
    """Everything is quiet. strict: no loss was ever told."""
    with closing(world.mysql.connection()) as connection:
        source, added = _source(connection)
        audit = [Recorded(*one) for one in _audit(rows(connection, AUDIT_CHANGES))]
        found = _broken_chain(rows(connection, AUDIT_CHAIN))
    with psycopg.connect(world.timescale.owner) as postgres:
        history = [Recorded(*one) for one in postgres.execute(HISTORY_CHANGES.encode())]
        found += [
            f"timescale: {told} changes are told, {has} are there: {op} of {table}"
            for table, op, told, has in postgres.execute(HISTORY_COUNTS.encode())
        ]
        standing: State = {name: {} for name in CAPTURED}
        for table, key, row in postgres.execute(HISTORY_STATE.encode()):
            if table != AT_TIMES:
                standing[table][key] = row
    for name, changes in (("audit", audit), ("timescale", history)):
        found += gaps(name, changes)
        folded = Folded(name, strict, added)
        for change in changes:
            folded.take(change)
        found += folded.found
        hashed = name == "audit"
        found += _apart(f"{name} (folded)", folded.state, source, added, hashed=hashed)
    found += _apart("timescale (as it stands)", standing, source, added, hashed=False)
    found += _unlike(audit, history)
    if found:
        for name, changes in (("audit", audit), ("timescale", history)):
            lines = (orjson.dumps(one._asdict(), default=str) for one in changes)
            (world.folder / f"{name}.changes").write_bytes(b"\n".join(lines))
    return found


def gaps(name: str, changes: Sequence[Recorded]) -> list[str]:
    """Seqs that are missing; rows that are twice or gone.

    An epoch may begin further on. It may begin where another sink was, and what is known already is
    passed over: until the first change of the log that is new, seqs are missing.
    """
    found: list[str] = []
    before, passing = NOBODY, False
    for one in changes:
        if (one.epoch, one.seq) == (before.epoch, before.seq):
            if one.row_index != before.row_index + 1:
                found.append(f"{name} {one.seq}: row {one.row_index} behind {before.row_index}")
        else:
            passing = passing or (one.epoch > before.epoch > 0)
            if one.row_index != 0:
                found.append(f"{name} {one.seq} begins with row {one.row_index}")
            if one.seq <= before.seq or (one.seq != before.seq + 1 and not passing):
                found.append(
                    f"{name}: {one.epoch}/{one.seq} behind {before.epoch}/{before.seq}"
                )
        passing = passing and (one.op not in "cudt" or one.derived)
        before = one
    return found


def _unlike(audit: Sequence[Recorded], history: Sequence[Recorded]) -> list[str]:
    """Transactions of the log of which the sinks have not the same number of rows. Of a snapshot
    one may have rows that the other one reads again, later; derived ones are each sink's own.
    A later epoch gives other numbers to what only one of them has already.
    """
    if any(one.epoch > 1 for one in audit):
        return []
    counts: list[dict[tuple[int, int], int]] = []
    for changes in (audit, history):
        of: dict[tuple[int, int], int] = {}
        for one in changes:
            of[one.epoch, one.seq] = of.get((one.epoch, one.seq), 0) + (
                one.op in "cud" and not one.derived
            )
        counts.append(of)
    ours, theirs = counts
    return [
        f"{place}: {ours.get(place, 0)} rows in audit, {theirs.get(place, 0)} in timescale"
        for place in sorted(ours.keys() | theirs.keys())
        if ours.get(place, 0) != theirs.get(place, 0)
    ]


def _source(connection: Any) -> tuple[State, dict[str, set[str]]]:
    """All rows of captured tables, and columns that they did not have at first."""
    state: State = {}
    added: dict[str, set[str]] = {}
    for table in TABLES:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table.schema}.{table.name}")  # noqa: S608 - our own names
        names = [one[0] for one in cursor.description]
        state[table.name] = {
            table.key_of(seen): seen
            for seen in (table.seen(names, row) for row in cursor.fetchall())
        }
        added[table.name] = {name for name in names if name.startswith("extra")}
    connection.commit()
    return state, added


def _audit(found: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for *head, derived, before, after, actor in found:
        yield (
            *head, bool(derived),
            None if before is None else orjson.loads(before),
            None if after is None else orjson.loads(after), actor,
        )  # fmt: skip


def _apart(
    name: str, theirs: State, source: State, added: dict[str, set[str]], *, hashed: bool
) -> list[str]:
    return [
        f"{name}, {table.name} {what}"
        for table in TABLES
        for what in _apart_in(
            theirs[table.name], source[table.name], added[table.name],
            hashed=hashed and table.hashed,
        )
    ]  # fmt: skip


def _apart_in(
    theirs: dict[str, Seen], source: dict[str, Seen], added: set[str], *, hashed: bool
) -> list[str]:
    found = []
    for key in sorted(theirs.keys() | source.keys()):
        row, ours = theirs.get(key), source.get(key)
        if row is None or ours is None:
            found.append(f"{key} is {'not there' if row is None else 'gone in the source'}")
        elif row != hash_of(ours) if hashed else not same(row, ours, added):
            found.append(f"{key} is {row}, in the source {ours}")
    if len(found) > NAMED_MOST:
        found[NAMED_MOST:] = [f"and {len(found) - NAMED_MOST} more"]
    return found


def _broken_chain(found: Sequence[Any]) -> list[str]:
    """As an auditor would prove it, from what change_log_rows.py says of its text."""
    before = bytes(32)
    for *columns, hash_ in found:
        text = "\n".join("" if one is None else str(one) for one in columns)
        before = hashlib.sha256(before + text.encode()).digest()
        if before != hash_:
            return [f"audit: the hash of {columns[0]}/{columns[1]} row {columns[2]} is not right"]
    return []
