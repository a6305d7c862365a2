"""Changes of MySQL rows, as collector, stream, sinks and commands all know them.

A source transaction becomes one `seq` (dense, never reused, also across epochs) and travels in one
or more chunks. A row of it is known by (epoch, seq, row_index), row_index from 0.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

Value: TypeAlias = int | str | list[str] | dict[str, str] | None
"""One column's value, exact, as it stands in JSON. See `shared/cdc/values.py` for each type:

whole numbers up to 32 bits, YEAR      int
BIGINT, DECIMAL, FLOAT, DOUBLE, BIT    text ("-1.50", "0101"); a float is the shortest that reads
                                       back the same
text, ENUM, UUID, INET, JSON           text; JSON as the server itself would print it
SET                                    list of labels, in the order of the definition
DATE, DATETIME, TIMESTAMP, TIME        "2026-11-26", "2026-11-26T08:00:00.000001", the same with Z,
                                       "-838:59:59.000000"
BINARY, BLOB, GEOMETRY, VECTOR         {"$base64": "..."}; text that its charset cannot decode, too
zero and impossible dates              {"$date": "0000-00-00 00:00:00"}
an ENUM without a label                {"$enum": "0"}
"""

Row: TypeAlias = list[Value]
"""Values in the order of `Table.columns`."""

Op: TypeAlias = Literal["c", "u", "d", "r", "t", "m"]
"""As Debezium names them: create, update, delete, r = read by a snapshot, t = truncate;
m = a message about the table (DDL, a snapshot's beginning and end), `after` then [kind, text, ...].
An update that changes the key is two rows of one transaction: d, then c.
"""


class Table(NamedTuple):
    """Shape of a captured table, after redaction. types: as MySQL has them ("decimal(38,18)").

    key: places of the primary key's columns, else of the first unique key without NULLs; empty
    where there is none: the whole row is its key then. shape: short hash of all of this.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[int, ...]
    shape: str


class Change(NamedTuple):
    """One row. derived: not in the log itself (a key that a snapshot no longer found)."""

    table: Table
    op: Op
    before: Row | None
    after: Row | None
    derived: bool = False


class Position(NamedTuple):
    """Between two transactions of the source: everything before is known, nothing after.

    server: @@server_uuid, or MariaDB's @@server_uid. file, pos: of the next event, 64 bits.
    gtid: MySQL's executed set or MariaDB's gtid position up to here, "" where there is none.
    mark: which file of that name this is: RESET MASTER makes another one. held: XA transactions
    that were prepared before and have no outcome yet, as (xid, file, pos where it begins).
    """

    server: str
    file: str
    pos: int
    gtid: str
    mark: str
    held: tuple[tuple[str, str, int], ...] = ()


class Offset(NamedTuple):
    """What a sink has: everything up to chunk `chunk` of `seq`. whole: that was its last chunk.

    position: of the source after the last whole transaction; the collector can go on from there.
    """

    epoch: int
    seq: int
    chunk: int
    whole: bool
    position: Position


class Chunk(NamedTuple):
    """A piece of one transaction, as an entry of the stream holds it.

    kind: `log` came from the binlog; `snapshot` was read from the table; `control` begins an epoch
    (text says why). gtid, begins (file, pos): of this transaction, for people; a control entry
    whose `begins` is ("", 0) starts at the end of the log, and what was missed is missed.
    first_row: row_index of changes[0]. position: in the last chunk only. appended_at_us: by the
    collector's clock.
    """

    epoch: int
    seq: int
    chunk: int
    last: bool
    kind: Literal["log", "snapshot", "control"]
    gtid: str
    begins: tuple[str, int]
    committed_at_us: int
    appended_at_us: int
    actor: str
    text: str
    first_row: int
    position: Position | None
    changes: list[Change]

    @property
    def entry_id(self) -> str:
        return f"{self.seq}-{self.chunk}"


def position_json(position: Position) -> dict[str, Any]:
    """For columns and headers."""
    return position._asdict() | {"held": [list(one) for one in position.held]}


def position_from(found: dict[str, Any]) -> Position:
    held = tuple((str(xid), str(file), int(pos)) for xid, file, pos in found["held"])
    return Position(
        found["server"], found["file"], int(found["pos"]), found["gtid"], found["mark"], held
    )


def row_key(change: Change) -> bytes:
    """Which row it is, the same in every sink: JSON list of the key's values; of a table without a
    key, the hash of the whole row; empty for t and m.
    """
    table, op, before, after, _ = change
    row = before if after is None else after
    if op in "tm" or row is None:
        return b"[]"
    if table.key:
        return orjson.dumps([row[place] for place in table.key])
    whole = orjson.dumps(dict(zip(table.columns, row, strict=True)))
    return orjson.dumps([{"$sha256": hashlib.sha256(whole).hexdigest()}])
