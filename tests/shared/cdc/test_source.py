"""The log of a real server, followed from a position on: what comes, in which order, and what
never does. One server for all tests here; none of them may harm it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from shared.cdc.errors import SourceStopped
from shared.cdc.source import Source
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.changes import Position, position_json
from shared.errors import Unavailable
from tests.cdc_log import Log, rows_of
from tests.own_mysql import OwnMySQL, own_mysql
from tests.waiting import eventually


@pytest.fixture(scope="module")
def server(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    with own_mysql(servers) as mysql:
        yield mysql


@pytest.fixture
def log(server: OwnMySQL) -> Log:
    """A new table `t`, captured, and a table `other`, which is not."""
    server.run(
        "DROP TABLE IF EXISTS t, other",
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))",
        "CREATE TABLE other (id INT PRIMARY KEY)",
    )
    return Log(server)


def test_a_transaction_comes_whole_and_only_after_its_commit(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    with closing(server.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        cursor.execute("UPDATE t SET v = 'c' WHERE id = 1")
        assert log.read(start) == []
        cursor.execute("DELETE FROM t WHERE id = 2")
        connection.commit()
    assert log.rows(start) == [
        [
            ("t", "c", None, [1, "a"]),
            ("t", "c", None, [2, "b"]),
            ("t", "u", [1, "a"], [1, "c"]),
            ("t", "d", [2, "b"], None),
        ]
    ]


def test_what_was_committed_before_the_position_does_not_come(log: Log, server: OwnMySQL) -> None:
    server.run("INSERT INTO t VALUES (1, 'before')")
    start = log.source.position()
    server.run("INSERT INTO t VALUES (2, 'after')")
    assert log.rows(start) == [[("t", "c", None, [2, "after"])]]


def test_the_end_of_each_transaction_is_a_place_to_go_on(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    server.run(
        "INSERT INTO t VALUES (1, 'x')",
        "COMMIT",
        "INSERT INTO t VALUES (2, 'x')",
        "COMMIT",
        "INSERT INTO other VALUES (1)",
        "COMMIT",
        "FLUSH BINARY LOGS",
        "INSERT INTO t VALUES (4, 'next file')",
    )
    whole = log.read(start)
    for place, transaction in enumerate(whole):
        assert [rows_of(one) for one in log.read(transaction.ends)] == [
            rows_of(one) for one in whole[place + 1 :]
        ]
    assert whole[0].ends.file != whole[-1].ends.file


def test_positions_read_again_are_the_same(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'a')", "COMMIT", "INSERT INTO t VALUES (2, 'b')")
    first, second = log.read(start), log.read(start)
    assert [(one.begins, one.ends, one.gtid, one.committed_at_us) for one in first] == [
        (one.begins, one.ends, one.gtid, one.committed_at_us) for one in second
    ]
    assert first[-1].ends == log.source.position()


def test_an_idle_log_is_told_to_be_quiet(log: Log, server: OwnMySQL) -> None:
    position = log.source.position()
    with closing(log.source.read(position)) as reading:
        assert next(reading) == Quiet(position)
        server.run("INSERT INTO other VALUES (1)")
        moved = log.source.position()
        assert eventually(lambda: next(reading) == Quiet(moved))


def test_changes_of_no_interest_move_the_position_and_nothing_else(
    log: Log, server: OwnMySQL
) -> None:
    start = log.source.position()
    server.run("INSERT INTO other VALUES (1)", "COMMIT", "UPDATE other SET id = 2")
    assert log.read(start) == []


def test_a_statement_of_many_events_is_one_piece(log: Log, server: OwnMySQL) -> None:
    """Trap 1: whoever stopped between two of them would have lost the rest."""
    start = log.source.position()
    values = ", ".join(f"({number}, REPEAT('x', 1000))" for number in range(2000))
    server.run(f"INSERT INTO t VALUES {values}")  # noqa: S608 - our own numbers
    (transaction,) = log.read(start)
    assert [row[3][0] for row in rows_of(transaction) if row[3]] == list(range(2000))


def test_rows_beyond_16_megabytes_come_whole(log: Log, server: OwnMySQL) -> None:
    server.run("ALTER TABLE t MODIFY v LONGTEXT")
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, REPEAT('x', 40000000))", "INSERT INTO t VALUES (2, '')")
    (transaction,) = log.read(start)
    assert [len(row[3][1]) for row in rows_of(transaction)] == [40_000_000, 0]


def test_a_savepoint_that_was_rolled_back_leaves_nothing(log: Log, server: OwnMySQL) -> None:
    """Also where another table cannot be rolled back, so that the log tells the savepoint."""
    engine = "MyISAM" if server.flavour == "mariadb" else "InnoDB"
    server.run(f"CREATE TABLE IF NOT EXISTS solid (id INT) ENGINE={engine}")
    start = log.source.position()
    server.run(
        "INSERT INTO t VALUES (1, 'kept')",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (2, 'undone')",
        "INSERT INTO solid VALUES (1)",
        "ROLLBACK TO a",
        "INSERT INTO t VALUES (3, 'kept')",
    )
    assert log.rows(start) == [[("t", "c", None, [1, "kept"]), ("t", "c", None, [3, "kept"])]]


def test_a_rolled_back_transaction_leaves_nothing(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    server.run("INSERT INTO t VALUES (1, 'undone')", "ROLLBACK")
    assert log.read(start) == []


def test_rows_of_tables_without_transactions_come(server: OwnMySQL) -> None:
    server.run("DROP TABLE IF EXISTS solid", "CREATE TABLE solid (id INT) ENGINE=MyISAM")
    log = Log(server, "solid")
    start = log.source.position()
    server.run("SET autocommit = 1", "INSERT INTO solid VALUES (1)", "INSERT INTO solid VALUES (2)")
    assert log.rows(start) == [[("solid", "c", None, [1])], [("solid", "c", None, [2])]]


def test_what_happens_to_a_table_is_told(log: Log, server: OwnMySQL) -> None:
    """Trap 4's other half: statements that change tables are explicit, none is silent."""
    start = log.source.position()
    server.run(
        "TRUNCATE TABLE t",
        "ALTER TABLE t ADD COLUMN w INT",
        "RENAME TABLE t TO t_old",
        "CREATE TABLE t (id INT)",
        "DROP TABLE t, t_old",
        "CREATE TEMPORARY TABLE t (id INT)",
        "DROP TEMPORARY TABLE t",
    )
    told = [row for rows in log.rows(start) for row in rows]
    assert [(table, op, after and after[0]) for table, op, _, after in told] == [
        ("t", "t", None),
        ("t", "m", "alter"),
        ("t", "m", "rename"),
        ("t", "m", "create"),
        ("t", "m", "drop"),
    ]
    assert told[2][3][2:] == ["app.t", "app.t_old"]


def test_a_table_made_from_a_query_comes_with_its_rows(log: Log, server: OwnMySQL) -> None:
    server.run("INSERT INTO other VALUES (1), (2)", "DROP TABLE t")
    start = log.source.position()
    server.run("CREATE TABLE t AS SELECT id FROM other")
    (rows,) = log.rows(start)
    assert [(op, after) for _, op, _, after in rows if op != "m"] == [("c", [1]), ("c", [2])]


def test_noted_tables_are_told_and_not_captured(server: OwnMySQL) -> None:
    server.run(
        "CREATE TABLE IF NOT EXISTS fleet_cdc_heartbeat (id INT PRIMARY KEY, n BIGINT)",
        "REPLACE INTO fleet_cdc_heartbeat VALUES (2, 0)",
    )
    log = Log(server, "t")
    start = log.source.position()
    server.run("UPDATE fleet_cdc_heartbeat SET n = 7 WHERE id = 2")
    (transaction,) = log.read(start)
    assert len(transaction.rows) == 0
    assert [(one.table, one.op, one.values["n"]) for one in transaction.noted] == [
        ("fleet_cdc_heartbeat", "u", "7")
    ]


# -- XA --------------------------------------------------------------------------------------------


def _prepare(server: OwnMySQL, xid: str, *statements: str) -> None:
    with closing(server.connection()) as connection:
        cursor = connection.cursor()
        for one in (f"XA START {xid}", *statements, f"XA END {xid}", f"XA PREPARE {xid}"):
            cursor.execute(one)


def _with_held(one: SourceTransaction | Quiet) -> Position | None:
    position = one.position if isinstance(one, Quiet) else one.ends
    return position if position.held else None


def test_a_prepared_transaction_comes_with_its_outcome(log: Log, server: OwnMySQL) -> None:
    """Trap 24. Everything between stands before it."""
    start = log.source.position()
    _prepare(server, "'g','b',7", "INSERT INTO t VALUES (1, 'xa')")
    server.run("INSERT INTO t VALUES (2, 'meanwhile')")
    held = log.read(start)
    assert [rows_of(one) for one in held] == [[("t", "c", None, [2, "meanwhile"])]]
    assert [xid for xid, _, _ in held[0].ends.held] == ["x'67',x'62',7"]

    server.run("SET autocommit = 1", "XA COMMIT 'g','b',7")
    assert log.rows(start) == [
        [("t", "c", None, [2, "meanwhile"])],
        [("t", "c", None, [1, "xa"])],
    ]
    assert log.rows(held[0].ends) == [[("t", "c", None, [1, "xa"])]]
    assert log.read(start)[-1].ends.held == ()


def test_a_prepared_transaction_that_is_rolled_back_vanishes(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    _prepare(server, "'gone'", "INSERT INTO t VALUES (1, 'xa')")
    with closing(log.source.read(start)) as reading:
        between = eventually(lambda: _with_held(next(reading)))
        assert between is not None
    server.run("SET autocommit = 1", "XA ROLLBACK 'gone'")
    server.run("INSERT INTO t VALUES (1, 'after')")
    (transaction,) = log.read(start)
    assert rows_of(transaction) == [("t", "c", None, [1, "after"])]
    assert transaction.ends.held == ()
    assert log.rows(between) == [[("t", "c", None, [1, "after"])]]


def test_an_xa_transaction_of_one_phase_is_a_transaction(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    insert = "INSERT INTO t VALUES (1, 'x')"
    start_xa = ("SET autocommit = 1", "XA START 'o'")
    server.run(*start_xa, insert, "XA END 'o'", "XA COMMIT 'o' ONE PHASE")
    (transaction,) = log.read(start)
    assert rows_of(transaction) == [("t", "c", None, [1, "x"])]
    assert transaction.ends.held == ()


def test_the_outcome_of_what_was_prepared_before_the_start_stops(
    log: Log, server: OwnMySQL
) -> None:
    _prepare(server, "'early'", "INSERT INTO t VALUES (1, 'xa')")
    start = log.source.position()
    server.run("SET autocommit = 1", "XA COMMIT 'early'")
    with pytest.raises(SourceStopped) as stopped:
        log.read(start)
    assert stopped.value.reason == "xa_unknown"


# -- one reader ------------------------------------------------------------------------------------


def test_a_server_id_that_another_replica_uses_is_refused(log: Log, server: OwnMySQL) -> None:
    """Trap 23: the server would end one for the other, for ever."""
    start = log.source.position()
    stranger = Source(
        server.where, log.source._shapes, server_id=log.source._server_id, name="another fleet",
        spill=log.folder,
    )  # fmt: skip
    with closing(stranger.read(start)) as reading:
        next(reading)
        with pytest.raises(SourceStopped) as stopped:
            next(log.source.read(start))
        assert stopped.value.reason == "server_id_in_use"
        assert "another fleet" in stopped.value.what
        assert isinstance(next(reading), Quiet)


def test_a_reader_that_is_replaced_by_its_successor_says_so(log: Log, server: OwnMySQL) -> None:
    start = log.source.position()
    successor = Log(server)
    with closing(log.source.read(start)) as old, closing(successor.source.read(start)) as new:
        next(old)
        next(new)
        with pytest.raises((SourceStopped, Unavailable), match=r"server_id|killed|ended|closed"):
            _read_on(old)
        assert isinstance(next(new), Quiet)


def test_asking_for_the_position_does_not_end_who_reads(log: Log) -> None:
    start = log.source.position()
    with closing(log.source.read(start)) as reading:
        next(reading)
        log.source.position()
        assert isinstance(next(reading), Quiet)


def test_a_connection_that_is_killed_each_second_loses_and_repeats_nothing(
    log: Log, server: OwnMySQL
) -> None:
    """Trap 2: who reads begins again at its own checkpoint; nothing reconnects by itself. Also in
    the middle of a statement of 2,000 rows.
    """
    checkpoint = log.source.position()
    done = threading.Event()

    def write() -> None:
        for number in range(25):
            first = number * 2000
            values = ", ".join(f"({first + row}, REPEAT('x', 100))" for row in range(2000))
            server.run(f"INSERT INTO t VALUES {values}")  # noqa: S608 - our own numbers
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    found: list[int] = []
    kills = 0
    end: Position | None = None
    try:
        while end is None or checkpoint != end:
            reading = log.source.read(checkpoint)
            try:
                for one in reading:
                    if isinstance(one, SourceTransaction):
                        found += [row[3][0] for row in rows_of(one)]
                        checkpoint = one.ends
                        kills += _kill_readers(server) if len(found) % 6000 == 0 else 0
                    else:
                        checkpoint = one.position
                    if done.is_set():
                        end = log.source.position()
                    if checkpoint == end:
                        break
            except Unavailable:
                continue
            finally:
                reading.close()
    finally:
        writer.join()
    assert found == list(range(50_000))
    assert kills >= 4


def _read_on(reading: Iterator[SourceTransaction | Quiet]) -> None:
    for _ in range(10):
        next(reading)


def _kill_readers(server: OwnMySQL) -> int:
    rows = server.run(
        "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
    )
    for (number,) in rows:
        server.run(f"KILL {number}")
    return len(rows)


# -- what it needs ---------------------------------------------------------------------------------


def test_the_two_privileges_of_a_collector_are_enough(log: Log, server: OwnMySQL) -> None:
    server.run(
        "DROP USER IF EXISTS 'collector'@'127.0.0.1'",
        "CREATE USER 'collector'@'127.0.0.1' IDENTIFIED BY 'own'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'collector'@'127.0.0.1'",
    )
    mysql = server.where.model_copy(update={"user": "collector", "database": ""})
    source = Source(mysql, log.source._shapes, server_id=4243, name="least", spill=log.folder)
    start = source.position()
    server.run("INSERT INTO t VALUES (1, 'x')")
    with closing(source.read(start)) as reading:
        first = next(one for one in reading if isinstance(one, SourceTransaction))
    assert rows_of(first) == [("t", "c", None, [1, "x"])]


def test_a_privilege_that_is_missing_stops_with_the_cure(log: Log, server: OwnMySQL) -> None:
    server.run(
        "DROP USER IF EXISTS 'nobody'@'127.0.0.1'",
        "CREATE USER 'nobody'@'127.0.0.1' IDENTIFIED BY 'own'",
    )
    mysql = server.where.model_copy(update={"user": "nobody", "database": ""})
    source = Source(mysql, log.source._shapes, server_id=4243, name="none", spill=log.folder)
    with pytest.raises(SourceStopped) as stopped:
        source.position()
    assert stopped.value.reason == "privilege"
    assert "fleet doctor --grants" in stopped.value.cure


MEMORY = """
import os, re, sys
import orjson
from contextlib import closing
from shared.changes import position_from
from tests.cdc_log import Log
from tests.own_mysql import OwnMySQL
mysql = OwnMySQL(dict(os.environ), {})
mysql.where = mysql.where.model_copy(update={"port": int(sys.argv[1])})
log, seen = Log(mysql), 0
with closing(log.source.read(position_from(orjson.loads(sys.argv[2])))) as reading:
    one = next(found for found in reading if hasattr(found, "rows"))
    for place, row in enumerate(one.rows):
        seen += place == orjson.loads(row)[3][0]
status = open("/proc/self/status").read()
print(len(one.rows), seen, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""
ROWS = 150_000


def test_a_transaction_beyond_memory_goes_through_a_file(log: Log, server: OwnMySQL) -> None:
    """Its rows would take 170 MB. A million of them is what the benchmarks read."""
    server.run("ALTER TABLE t MODIFY v VARCHAR(2000) CHARACTER SET latin1")
    start = log.source.position()
    with closing(server.connection()) as connection:
        cursor = connection.cursor()
        for first in range(0, ROWS, 10_000):
            numbers = range(first, first + 10_000)
            rows = ", ".join(f"({number}, REPEAT('x', 1000))" for number in numbers)
            cursor.execute(f"INSERT INTO t VALUES {rows}")  # noqa: S608 - our own numbers
        connection.commit()
    found = subprocess.run(
        [sys.executable, "-c", MEMORY, str(server.where.port), orjson.dumps(position_json(start))],
        capture_output=True, check=False, text=True, cwd=Path(__file__).parents[3],
        env={**os.environ, "SERVERS_FLAVOUR": server.flavour, "SERVERS_ROOT": server._root},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    count, in_order, peak_mb = map(int, found.stdout.split())
    assert (count, in_order) == (ROWS, ROWS)
    assert peak_mb < 250, f"{peak_mb} MB"
