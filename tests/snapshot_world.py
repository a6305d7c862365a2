"""A collector without Redis: it follows the log of a server of its own, takes snapshots, and keeps
what it would append. What was appended can be lost again, and the collector killed at any commit.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.cdc.rows import Declared, Shapes
from shared.cdc.selection import Schemas, Selection
from shared.cdc.source import Source
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.changes import Position, Row, Table
from shared.mysql.connection import Connection, connect, transaction
from tests.own_mysql import OwnMySQL
from workers.cdc.snapshot import Snapshots, SnapshotTransaction
from workers.cdc.snapshot_marks import progress
from workers.cdc.snapshot_tables import chunks_of, prepare

HEARTBEAT = """
CREATE TABLE IF NOT EXISTS fleet_cdc_heartbeat (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  n BIGINT UNSIGNED NOT NULL,
  at DATETIME(6) NOT NULL,
  mark MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL
)"""


TABLE = (
    "DROP TABLE IF EXISTS t, u, fleet_cdc_heartbeat",
    HEARTBEAT,
    "CREATE TABLE t (id INT, part VARCHAR(9), v VARCHAR(40), PRIMARY KEY (id, part))",
    (
        "INSERT INTO t WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n"
        " WHERE n < 11) SELECT n DIV 2, IF(n % 2, 'b', 'a'), 'old' FROM n"
    ),
)
"""Table `t` with 12 rows; nothing is known of any snapshot."""

OPERATIONS = (
    "INSERT INTO t VALUES ({a}, '{p}', 'inserted {n}') ON DUPLICATE KEY UPDATE v = 'doubled {n}'",
    "UPDATE t SET v = 'updated {n}' WHERE id BETWEEN {a} AND {b}",
    "DELETE FROM t WHERE id = {a}",
    "REPLACE INTO t VALUES ({a}, '{p}', 'replaced {n}')",
    (
        "UPDATE t SET id = id + 40 WHERE id = {a}; UPDATE t SET id = {a} WHERE id = {b};"
        " UPDATE t SET id = {b} WHERE id = {a} + 40"
    ),
    "UPDATE IGNORE t SET part = UPPER(part) WHERE id = {a}",
    "UPDATE IGNORE t SET id = {b} WHERE id = {a}",
)


def write(server: OwnMySQL, chance: random.Random) -> None:
    """Some transactions of some statements."""
    with closing(server.connection()) as connection:
        for number in range(chance.randrange(3)):
            a, b = sorted((chance.randrange(9), chance.randrange(9)))
            words = {"a": a, "b": b, "p": chance.choice("abcA"), "n": number}
            for statement in chance.choice(OPERATIONS).format(**words).split(";"):
                connection.cursor().execute(statement)
            connection.commit()


class Killed(Exception):  # noqa: N818 - a state
    """The collector, at a commit of its own."""


class Appended(NamedTuple):
    """A transaction of the stream. position: where reading goes on behind it."""

    seq: int
    kind: str
    tables: list[Table]
    rows: list[list[Any]]
    position: Position
    text: str = ""


class Collector:
    """at_commit: called after each commit of the snapshots' own connection; may write, or kill."""

    def __init__(
        self,
        server: OwnMySQL,
        *tables: str,
        rows_most: int = 5,
        at_commit: Callable[[], object] = lambda: None,
    ) -> None:
        self.server = server
        self.selection = Selection(Schemas("app", "app"), tables or ("t",), {})
        self.rows_most = rows_most
        self.at_commit = at_commit
        self.stream: list[Appended] = []
        self.source = Source(
            server.where,
            Shapes(self.selection, lambda *_: Declared({}, ()), mariadb=self.mariadb),
            server_id=4300, name="snapshots", spill=Path(tempfile.gettempdir()),
        )  # fmt: skip
        self.begins = self.source.position()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.snapshots = self.born()

    @property
    def mariadb(self) -> bool:
        return self.server.flavour == "mariadb"

    def born(self) -> Snapshots:
        self.snapshots = Snapshots(
            self._connect, self.selection, self._say, self.rows_most, pause_seconds=0
        )
        self.snapshots.restore()
        return self.snapshots

    def lose(self, transactions: int) -> None:
        """The newest ones were not appended, or Redis has lost them; the collector begins anew."""
        if transactions:
            del self.stream[-transactions:]
        self.snapshots.close()
        self.born()

    def follow(self, until: Callable[[], bool] | None = None) -> None:
        """Reads on, until there is nothing more: no transaction, and no chunk to be read."""
        quiet = 0
        place = self.stream[-1].position if self.stream else self.begins
        with closing(self.source.read(place)) as reading:
            for found in reading:
                if isinstance(found, Quiet):
                    quiet = 0 if self.snapshots.step() else quiet + 1
                else:
                    quiet = 0
                    if self._take(found):
                        self.snapshots.step()
                if quiet > 1 or (until is not None and until()):
                    return

    def load(self) -> bool:
        """MariaDB's first load; False where there is none."""
        load = self.snapshots.first_load()
        if load is None:
            return False
        with closing(load):
            self.begins = self.source.position_at(load.file, load.pos)
            for one in load.transactions(1, self.seq + 1):
                self._append("snapshot", one.tables, one.rows, self.begins, one.text)
        return True

    def fill_load(self) -> None:
        place = self.stream[-1].position if self.stream else self.begins
        for _ in range(self.snapshots.unfinished_load(1, self.seq)):
            self._append("snapshot", [], [], place, "broken off")

    @property
    def seq(self) -> int:
        return self.stream[-1].seq if self.stream else 0

    def _take(self, found: SourceTransaction) -> list[SnapshotTransaction]:
        if len(found.rows):
            self._append("log", found.tables, found.rows, found.ends)
        behind = self.snapshots.passed(found, self.seq + 1)
        found.rows.close()
        for one in behind:
            self._append("snapshot", one.tables, one.rows, found.ends, one.text)
        return behind

    def _append(
        self, kind: str, tables: list[Table], rows: Any, position: Position, text: str = ""
    ) -> None:
        decoded = [orjson.loads(row) for row in rows]
        self.stream.append(Appended(self.seq + 1, kind, tables, decoded, position, text))

    def _connect(self) -> Connection:
        return _Watched(connect(self.server.where, raw=True), self)

    def _say(self, event: str, **words: Any) -> None:
        self.said.append((event, words))

    # --- what came of it ---

    def folded(self, table: str = "t") -> list[Row]:
        """The table as a sink has it, in the order of its keys' JSON."""
        return [row for _, row in sorted(fold(self.stream, table).items())]

    def actual(self, table: str = "t") -> list[Row]:
        """The table as it is."""
        with (
            closing(connect(self.server.where, raw=True)) as connection,
            transaction(connection) as cursor,
        ):
            prepare(cursor)
            chunks = chunks_of(cursor, self.selection, table, mariadb=self.mariadb)
            cursor.execute(chunks.rows_between(None, None, 1_000_000))
            rows = [chunks.row(raw)[1] for raw in cursor.fetchall()]
        places = chunks.table.key
        return sorted(rows, key=lambda row: orjson.dumps([row[place] for place in places]))

    def read_by_snapshots(self, table: str = "t") -> list[Row]:
        return [
            row[3] for one in self.stream if one.kind == "snapshot"
            for row in one.rows if row[1] == "r" and one.tables[row[0]].name == table
        ]  # fmt: skip


def fold(stream: list[Appended], table: str) -> dict[bytes, Row]:
    """What a sink makes of a table: the last image of each key; at a snapshot's end what was not
    seen since its beginning goes.
    """
    rows: dict[bytes, Row] = {}
    seen: dict[bytes, int] = {}
    for one in stream:
        for number, op, before, after, *_ in one.rows:
            shape = one.tables[number]
            if shape.name != table:
                continue
            if op == "m":
                if after[0] == "snapshot_end":
                    for key in [key for key, seq in seen.items() if seq < int(after[3])]:
                        del rows[key], seen[key]
            elif op == "t":
                rows.clear()
                seen.clear()
            elif op == "d":
                rows.pop(_key(shape, before), None)
                seen.pop(_key(shape, before), None)
            else:
                rows[_key(shape, after)], seen[_key(shape, after)] = after, one.seq
    return rows


def _key(table: Table, row: Row) -> bytes:
    return orjson.dumps([row[place] for place in table.key])


class _Watched:
    """A connection that tells of its commits."""

    def __init__(self, connection: Connection, collector: Collector) -> None:
        self._connection = connection
        self._collector = collector

    def commit(self) -> None:
        self._connection.commit()
        self._collector.at_commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def whole(collector: Collector, table: str = "t") -> None:
    """What a sink has is the table, and the seqs are one behind the other."""
    assert collector.folded(table) == collector.actual(table)
    assert [one.seq for one in collector.stream] == list(range(1, len(collector.stream) + 1))


def shown(server: OwnMySQL) -> list[tuple[str, str]]:
    with closing(connect(server.where)) as connection:
        return [(one.table, one.state) for one in progress(connection)]
