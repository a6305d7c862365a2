"""A chunk on its way: read from the table, and not yet at its place in the log. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from shared.cdc.envelope import encode_row
from shared.cdc.transaction import SourceTransaction
from shared.changes import Change, Row, Table

HEARTBEAT = "fleet_cdc_heartbeat"
"""The table whose rows are the marks; what is said of no table of its own is said of it."""


@dataclass(frozen=True, slots=True)
class SnapshotTransaction:
    """To be appended with kind `snapshot`, one seq of its own, and the position of the transaction
    behind which it stands (first load: the position of the load). rows: as `encode_row` made them;
    may be empty: then it only keeps the count. text: for people.
    """

    tables: list[Table]
    rows: list[bytes]
    text: str


@dataclass(slots=True)
class HeldChunk:
    """rows: by their key as it stands in the row. spoiled: the table is not the same any more."""

    token: str
    table: Table
    rows: dict[bytes, bytes] = field(default_factory=dict)
    spoiled: bool = False

    def add(self, row: Row) -> None:
        self.rows[key_of(self.table, row)] = encode_row(0, Change(self.table, "r", None, row))

    def overtaken_by(self, transaction: SourceTransaction) -> None:
        """What the log tells while the chunk is on its way wins over the chunk."""
        for number, op, before, after in changes_of(transaction, self.table.name):
            if op == "m":
                self.spoiled = True
            elif op == "t":
                self.rows.clear()
            elif transaction.tables[number].shape != self.table.shape:
                self.spoiled = True
            else:
                for row in (before, after):
                    if row is not None:
                        self.rows.pop(key_of(self.table, row), None)


def key_of(table: Table, row: Row) -> bytes:
    return orjson.dumps([row[place] for place in table.key])


def changes_of(
    transaction: SourceTransaction, table: str
) -> Sequence[tuple[int, str, Row | None, Row | None]]:
    """(number of the table, op, before, after) of the rows of one table; mostly there are none."""
    numbers = {
        b"%d" % number for number, one in enumerate(transaction.tables) if one.name == table
    }
    if not numbers:
        return ()
    return [
        (found[0], found[1], found[2], found[3])
        for found in (
            orjson.loads(row) for row in transaction.rows if row[1 : row.index(b",")] in numbers
        )
    ]


def begins(table: Table, request: str) -> bytes:
    return encode_row(0, Change(table, "m", None, ["snapshot_begin", table.name, request]))


def ends(table: Table, request: str, begin_seq: int) -> bytes:
    told: Row = ["snapshot_end", table.name, request, str(begin_seq)]
    return encode_row(0, Change(table, "m", None, told))


def told(schema: str, *words: str) -> SnapshotTransaction:
    """A place in the log that says something, and has no rows: every seq stands in every sink."""
    table = named(schema, HEARTBEAT)
    message = encode_row(0, Change(table, "m", None, list(words)))
    return SnapshotTransaction([table], [message], ": ".join(words))


def named(schema: str, table: str) -> Table:
    """For messages: a table without columns."""
    return Table(schema, table, (), (), (), "")
