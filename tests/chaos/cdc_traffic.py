"""Who writes while the storm blows: several sessions, drawn by a seed, with everything that a log
of rows can hold. Nobody notes what was written: at last the tables themselves tell.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from random import Random
from typing import Any, NamedTuple

import MySQLdb

from shared.errors import Unavailable
from shared.mysql.connection import connect
from tests.chaos.cdc_tables import BESIDE, SCHEMA, TABLES
from tests.own_mysql import OwnMySQL

ORDERS_MOST, PAIRS_MOST, ADDED_MOST = 300, 40, 8
LONG_ROWS = 2_000
SEEDED_ROWS = 2_500
XA_SECONDS = 2.0
AWAY_SECONDS = 0.3

Act = Callable[["Writer", Any], None]


def prepare(mysql: OwnMySQL) -> None:
    """Tables, and rows in them that are older than any log that is read."""
    statements = [one.definition for one in TABLES if one.definition]
    mysql.run(*statements, *BESIDE, "INSERT INTO drafts VALUES (1, 1)", database=SCHEMA)
    with closing(connect(mysql.where, SCHEMA)) as connection:
        cursor = connection.cursor()
        for number in range(ORDERS_MOST // 2):
            _insert_order(cursor, Random(number), number)
        cursor.executemany(
            "INSERT INTO imports (n, text) VALUES (%s, %s)",
            [(number, "before") for number in range(SEEDED_ROWS)],
        )
        connection.commit()


class Traffic:
    """start(), then end(): nobody writes any more and no XA transaction is open. follows(): the log
    is read from now on. What was prepared before stops the reader when it is committed.
    """

    def __init__(self, mysql: OwnMySQL, seed: int, per_second: float, writers: int = 2) -> None:
        self._mysql = mysql
        self._writers = [
            Writer(mysql, Random(f"{seed} {number}"), number, per_second / writers)
            for number in range(writers)
        ]

    def start(self) -> None:
        for writer in self._writers:
            writer.start()

    def follows(self) -> None:
        for writer in self._writers:
            writer.followed = True

    def end(self) -> list[str]:
        """What went wrong with the writers themselves."""
        for writer in self._writers:
            writer.ending.set()
        for writer in self._writers:
            writer.join()
        with closing(connect(self._mysql.where)) as connection:
            connection.autocommit(True)
            cursor = connection.cursor()
            cursor.execute("XA RECOVER")
            for *_, xid in list(cursor.fetchall()):
                text = xid.decode() if isinstance(xid, bytes) else xid
                cursor.execute(f"XA COMMIT '{text}'")
        return [repr(one.failure) for one in self._writers if one.failure]

    @property
    def done(self) -> Counter[str]:
        return sum((one.done for one in self._writers), Counter[str]())


class Writer(threading.Thread):
    """One session, and those of its XA transactions."""

    def __init__(self, mysql: OwnMySQL, rng: Random, number: int, per_second: float) -> None:
        super().__init__(daemon=True)
        self.mysql = mysql
        self.rng = rng
        self.number = number
        self.ending = threading.Event()
        self.done: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.followed = False
        self.held: list[tuple[float, str, str]] = []  # when, how it ends, xid
        self.serial = number * 10_000_000
        self._pause = 1 / per_second

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                try:
                    with closing(connect(self.mysql.where, SCHEMA)) as connection:
                        self._write(connection)
                except (Unavailable, MySQLdb.Error) as error:
                    self.done[f"refused: {_number(error)}"] += 1
                    time.sleep(AWAY_SECONDS)
        except BaseException as failure:  # noqa: BLE001 - told by end()
            self.failure = failure

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def _write(self, connection: Any) -> None:
        while not self.ending.wait(self.rng.uniform(0, 2 * self._pause)):
            kind = self.rng.choices(KINDS, [one.weight for one in KINDS])[0]
            try:
                kind.act(self, connection.cursor())
                connection.commit()
                self.done[kind.name] += 1
            except MySQLdb.Error as error:
                self.done[f"refused: {_number(error)}"] += 1
                connection.rollback()
            self._end_held()

    def _end_held(self) -> None:
        due = [one for one in self.held if one[0] <= time.monotonic()]
        for one in due:
            self.held.remove(one)
            _, how, xid = one
            with closing(connect(self.mysql.where)) as another, suppress(MySQLdb.Error):
                another.autocommit(True)
                another.cursor().execute(f"XA {how} '{xid}'")


def _number(error: Exception) -> Any:
    return error.args[0] if error.args and isinstance(error, MySQLdb.Error) else str(error)


# -- rows ------------------------------------------------------------------------------------------


def insert(writer: Writer, cursor: Any) -> None:
    for _ in range(writer.rng.choice((1, 1, 1, 3, 12))):
        _insert_order(cursor, writer.rng, writer.rng.randrange(ORDERS_MOST))


def with_actor(writer: Writer, cursor: Any) -> None:
    """Its name is who wrote it: the two must come together."""
    actor = f"user:{writer.next()}"
    cursor.execute("INSERT INTO app.fleet_change_context (actor) VALUES (%s)", (actor,))
    _insert_order(cursor, writer.rng, writer.next(), f"by {actor}")


def update(writer: Writer, cursor: Any) -> None:
    rng = writer.rng
    cursor.execute(
        "UPDATE orders SET amount = amount + %s, state = %s, at = UTC_TIMESTAMP(6), name = %s"
        " WHERE id BETWEEN %s AND %s",
        (rng.randrange(9), rng.choice(STATES), rng.choice(NAMES), *_span(rng, ORDERS_MOST)),
    )


def delete(writer: Writer, cursor: Any) -> None:
    span = _span(writer.rng, ORDERS_MOST)
    cursor.execute("DELETE FROM orders WHERE id BETWEEN %s AND %s", span)


def upsert(writer: Writer, cursor: Any) -> None:
    """Both of its unique keys may be met."""
    rows = [_pair(writer.rng) for _ in range(writer.rng.randrange(1, 6))]
    cursor.executemany(
        "INSERT INTO pairs (a, b, v, n) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE n = n + 1, b = VALUES(b)",
        rows,
    )


def replace(writer: Writer, cursor: Any) -> None:
    rows = [_pair(writer.rng) for _ in range(writer.rng.randrange(1, 6))]
    cursor.executemany("REPLACE INTO pairs (a, b, v, n) VALUES (%s, %s, %s, %s)", rows)


def swap_keys(writer: Writer, cursor: Any) -> None:
    """Two rows change their keys, over a third."""
    cursor.execute("SELECT a, b FROM pairs ORDER BY RAND(%s) LIMIT 2", (writer.rng.randrange(99),))
    found = cursor.fetchall()
    if len(found) != 2:
        return
    one, other = found
    for old, new in ((one, (-1 - writer.number, "x")), (other, one), ((-1 - writer.number, "x"),
                                                                     other)):  # fmt: skip
        cursor.execute("UPDATE pairs SET a = %s, b = %s WHERE a = %s AND b = %s", (*new, *old))


def shift_keys(writer: Writer, cursor: Any) -> None:
    """One statement, in which each row takes the key that the one before it had."""
    del writer
    cursor.execute("UPDATE pairs SET a = a + 1 WHERE a >= 0 ORDER BY a DESC")
    cursor.execute("DELETE FROM pairs WHERE a > %s", (PAIRS_MOST,))


def long_statement(writer: Writer, cursor: Any) -> None:
    rng = writer.rng
    number = rng.randrange(4)
    if number == 0:
        cursor.execute("UPDATE imports SET n = n + 1 ORDER BY id LIMIT %s", (LONG_ROWS,))
    elif number == 1:
        cursor.execute("DELETE FROM imports ORDER BY id LIMIT %s", (LONG_ROWS,))
    else:
        text = rng.choice(("y" * 500, "short"))
        rows = [(n, text) for n in range(rng.randrange(400, LONG_ROWS))]
        cursor.executemany("INSERT INTO imports (n, text) VALUES (%s, %s)", rows)


def cash(writer: Writer, cursor: Any) -> None:
    rng = writer.rng
    cursor.execute(
        "INSERT INTO app.fleet_cash_entries (account_id, venue_type, ref, asset, venue, amount,"
        " kind, at, at_ms, report_hash, data)"
        " VALUES (%s, 'fee', %s, 'USDT', 'v', %s, 'fee', UTC_TIMESTAMP(6), %s, %s, '{}')"
        " ON DUPLICATE KEY UPDATE amount = VALUES(amount)",
        (2**63 + rng.randrange(3), str(rng.randrange(500)), f"{rng.randrange(99)}.5",
         rng.randrange(10**12), rng.randbytes(14) + b"\0\0"),
    )  # fmt: skip


# -- transactions ----------------------------------------------------------------------------------


def rolled_back(writer: Writer, cursor: Any) -> None:
    insert(writer, cursor)
    update(writer, cursor)
    cursor.execute("ROLLBACK")


def savepoints(writer: Writer, cursor: Any) -> None:
    """What is between goes, what is around stays; twice by the same name."""
    insert(writer, cursor)
    for _ in range(2):
        cursor.execute("SAVEPOINT here")
        update(writer, cursor)
        cash(writer, cursor)
        if writer.rng.random() < 0.7:
            cursor.execute("ROLLBACK TO SAVEPOINT here")
    delete(writer, cursor)


def xa(writer: Writer, cursor: Any) -> None:
    """Its session ends when it is prepared; another one says the outcome, by and by."""
    del cursor
    if not writer.followed:
        return
    xid = f"xa-{writer.next()}"
    rng = writer.rng
    with closing(connect(writer.mysql.where, SCHEMA)) as connection:
        connection.autocommit(True)
        own = connection.cursor()
        own.execute(f"XA START '{xid}'")
        for _ in range(rng.choice((1, 3, 700))):
            own.execute("INSERT INTO transfers VALUES (%s, %s)", (writer.next(), rng.randrange(9)))
        own.execute(f"XA END '{xid}'")
        if rng.random() < 0.2:
            own.execute(f"XA COMMIT '{xid}' ONE PHASE")
            return
        own.execute(f"XA PREPARE '{xid}'")
    how = rng.choice(("COMMIT", "COMMIT", "ROLLBACK"))
    writer.held.append((time.monotonic() + rng.uniform(0, XA_SECONDS), how, xid))


# -- definitions -----------------------------------------------------------------------------------


def add_column(writer: Writer, cursor: Any) -> None:
    table = writer.rng.choice(("orders", "imports"))
    cursor.execute(
        "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = %s"
        " AND column_name LIKE 'extra%%'",
        (SCHEMA,),
    )
    if cursor.fetchone()[0] < ADDED_MOST:
        name = f"extra_{writer.next()}"
        kind = writer.rng.choice(("NULL", "NOT NULL DEFAULT 7"))
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN {name} INT {kind}")


def truncate(writer: Writer, cursor: Any) -> None:
    del writer
    cursor.execute("TRUNCATE TABLE imports")


def definitions_beside(writer: Writer, cursor: Any) -> None:
    name = f"beside_{writer.next()}"
    cursor.execute("RENAME TABLE drafts TO drafts_a, drafts_a TO drafts")
    cursor.execute(f"CREATE TABLE {name} AS SELECT * FROM drafts")  # noqa: S608 - our own names
    cursor.execute("CREATE TEMPORARY TABLE mine LIKE orders")
    cursor.execute("INSERT INTO mine SELECT * FROM orders LIMIT 5")
    cursor.execute("DROP TEMPORARY TABLE mine")
    cursor.execute(f"DROP TABLE {name}")


def beside(writer: Writer, cursor: Any) -> None:
    cursor.execute("INSERT INTO visits (n) VALUES (%s)", (writer.next(),))


class Kind(NamedTuple):
    name: str
    weight: int
    act: Act


KINDS: Sequence[Kind] = (
    Kind("inserts", 20, insert),
    Kind("inserts with an actor", 6, with_actor),
    Kind("updates", 20, update),
    Kind("deletes", 6, delete),
    Kind("INSERT ... ON DUPLICATE KEY", 8, upsert),
    Kind("REPLACE", 8, replace),
    Kind("keys swapped", 6, swap_keys),
    Kind("keys shifted", 3, shift_keys),
    Kind("statements of up to 2,000 rows", 4, long_statement),
    Kind("rows that never change", 8, cash),
    Kind("rolled back", 4, rolled_back),
    Kind("savepoints", 6, savepoints),
    Kind("XA", 4, xa),
    Kind("columns added", 1, add_column),
    Kind("TRUNCATE", 1, truncate),
    Kind("definitions of other tables", 1, definitions_beside),
    Kind("rows of other tables", 10, beside),
)

STATES = ("new", "open", "gone")
NAMES = ("Zoë", None, "日本", "x" * 150, "", "it's\n\"so\"\\")


def _insert_order(cursor: Any, rng: Random, number: int, name: str | None = "new") -> None:
    cursor.execute(
        "INSERT INTO orders (id, name, amount, at, state, big, raw, doc)"
        " VALUES (%s, %s, %s, UTC_TIMESTAMP(6), %s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE amount = amount + 1, name = VALUES(name)",
        (
            number, name, f"{rng.randrange(10**9)}.{rng.randrange(10**10):010d}",
            rng.choice(STATES), rng.randrange(2**64),
            rng.choice((None, rng.randbytes(rng.randrange(40)))),
            rng.choice((None, json.dumps({"n": rng.randrange(9), "s": ["é", None, 1.5]}))),
        ),
    )  # fmt: skip


def _pair(rng: Random) -> tuple[int, str, int, int]:
    return rng.randrange(PAIRS_MOST), rng.choice("abc"), rng.randrange(60), rng.randrange(10**6)


def _span(rng: Random, most: int) -> tuple[int, int]:
    first = rng.randrange(most)
    return first, first + rng.choice((0, 0, 2, 30))
