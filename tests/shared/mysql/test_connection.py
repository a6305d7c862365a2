from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from threading import Barrier
from typing import Any

import MySQLdb
import pytest

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import LOCK_WAIT_SECONDS, classify, connect, transaction
from shared.settings import Settings


def one(connection: Any, sql: str, *values: object) -> Any:
    cursor = connection.cursor()
    cursor.execute(sql, values)
    return cursor.fetchone()[0]


def offset(connection: Any) -> str:
    return str(one(connection, "SELECT last_id FROM fleet_offsets"))


UPDATE = (
    "UPDATE fleet_offsets SET last_id = '2-0'"
    " WHERE consumer = 'c' AND stream = 's' AND partition_no = %s"
)
INSERT = (
    "INSERT INTO fleet_offsets (consumer, stream, partition_no, last_id) VALUES ('c','s',%s,%s)"
)


def test_a_connection_says_itself_what_it_relies_on(mysql_connection: Any) -> None:
    assert one(mysql_connection, "SELECT @@time_zone") == "+00:00"
    assert one(mysql_connection, "SELECT @@autocommit") == 0
    assert one(mysql_connection, "SELECT @@character_set_client") == "utf8mb4"
    assert one(mysql_connection, "SELECT @@innodb_lock_wait_timeout") == LOCK_WAIT_SECONDS
    cursor = mysql_connection.cursor()
    cursor.execute("SHOW VARIABLES WHERE variable_name IN ('transaction_isolation','tx_isolation')")
    assert {value for _, value in cursor.fetchall()} == {"READ-COMMITTED"}
    modes = one(mysql_connection, "SELECT @@sql_mode").split(",")
    assert {"STRICT_ALL_TABLES", "ERROR_FOR_DIVISION_BY_ZERO", "NO_ZERO_DATE"} <= set(modes)


def test_amounts_and_moments_keep_their_kind(mysql_connection: Any) -> None:
    amount = Decimal("12345678901234567890.123456789012345678")
    got = one(mysql_connection, "SELECT CAST(%s AS DECIMAL(38,18))", amount)
    assert (type(got), got) == (Decimal, amount)
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    got = one(mysql_connection, "SELECT CAST(%s AS DATETIME(6))", moment)
    assert got == moment
    assert got.tzinfo is UTC
    assert one(mysql_connection, "SELECT %s", "日本😀") == "日本😀"


def test_a_naive_moment_is_refused(mysql_connection: Any) -> None:
    with pytest.raises(TypeError, match="zone"):
        one(mysql_connection, "SELECT %s", datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_nothing_is_truncated_in_silence(mysql_connection: Any) -> None:
    with pytest.raises(MySQLdb.Error) as caught, transaction(mysql_connection) as cursor:
        cursor.execute(INSERT, (0, "x" * 60))
    assert classify(caught.value) is None


def test_a_transaction_commits_at_its_end(settings: Settings, mysql_connection: Any) -> None:
    with transaction(mysql_connection) as cursor:
        cursor.execute(INSERT, (0, "1-0"))
    with closing(connect(settings.mysql)) as other:
        assert offset(other) == "1-0"


def test_a_transaction_rolls_back_on_any_error(mysql_connection: Any) -> None:
    def fail() -> None:
        with transaction(mysql_connection) as cursor:
            cursor.execute(INSERT, (0, "1-0"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert one(mysql_connection, "SELECT COUNT(*) FROM fleet_offsets") == 0


def test_a_lock_that_is_held_is_unavailable(settings: Settings, mysql_connection: Any) -> None:
    with transaction(mysql_connection) as cursor:
        cursor.execute(INSERT, (0, "1-0"))
    mysql_connection.cursor().execute("UPDATE fleet_offsets SET last_id = '2-0'")
    with closing(connect(settings.mysql)) as other:
        other.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
        with pytest.raises(Unavailable, match="1205"), transaction(other) as cursor:
            cursor.execute("UPDATE fleet_offsets SET last_id = '3-0'")


def test_a_deadlock_is_unavailable(settings: Settings, mysql_connection: Any) -> None:
    with transaction(mysql_connection) as cursor:
        cursor.executemany(INSERT, [(0, "1-0"), (1, "1-0")])

    def cross(connection: Any, first: int, then: int) -> str:
        try:
            with transaction(connection) as cursor:
                cursor.execute(UPDATE, (first,))
                both_hold_one.wait(10)
                cursor.execute(UPDATE, (then,))
        except Unavailable as error:
            return str(error)
        return "committed"

    both_hold_one = Barrier(2)
    with closing(connect(settings.mysql)) as other, ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(cross, other, 1, 0)
        ours = cross(mysql_connection, 0, 1)
        assert sorted([ours, theirs.result(30)]) == ["MySQL 1213: deadlock", "committed"]


def test_a_killed_session_is_unavailable_and_its_own_user_may_kill_it(
    settings: Settings, mysql_connection: Any
) -> None:
    with closing(connect(settings.mysql)) as other:
        number = one(other, "SELECT CONNECTION_ID()")
        mysql_connection.cursor().execute("KILL %s", (number,))
        with pytest.raises(Unavailable), transaction(other) as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(Unavailable), transaction(other) as cursor:
            cursor.execute("SELECT 1")


def test_a_closed_connection_is_unavailable(settings: Settings) -> None:
    connection = connect(settings.mysql)
    connection.close()
    with pytest.raises(MySQLdb.Error) as caught:
        connection.ping()
    assert classify(caught.value) is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": 1}, "200"),
        ({"socket": "/nonexistent.sock"}, "2002"),
        ({"host": "nowhere.invalid"}, "200"),
        ({"user": "nobody_here"}, "1045|1698|1044"),
        ({"database": "no_such_schema"}, "1044|1049"),
    ],
)
def test_what_keeps_us_out_is_unavailable(
    settings: Settings, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unavailable, match=reason):
        connect(settings.mysql.model_copy(update=change))


def test_a_missing_table_or_grant_is_unavailable_not_poison(
    mysql_root: MySQLSettings, settings: Settings, mysql_connection: Any
) -> None:
    with (
        closing(connect(mysql_root, settings.mysql.database)) as root,
        pytest.raises(Unavailable, match="1146"),
        transaction(root) as cursor,
    ):
        cursor.execute("SELECT * FROM fleet_no_such_table")
    with pytest.raises(Unavailable, match="1142"), transaction(mysql_connection) as cursor:
        cursor.execute("DELETE FROM fleet_offsets")


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (MySQLdb.OperationalError(1205, "x"), True),
        (MySQLdb.OperationalError(1213, "x"), True),
        (MySQLdb.OperationalError(2006, "x"), True),
        (MySQLdb.OperationalError(2013, "x"), True),
        (MySQLdb.OperationalError(4031, "x"), True),
        (MySQLdb.InterfaceError(0, ""), True),
        (MySQLdb.InterfaceError("bad"), True),
        (MySQLdb.ProgrammingError(1146, "x"), True),
        (MySQLdb.ProgrammingError(2014, "x"), True),
        (MySQLdb.OperationalError(2020, "x"), False),
        (MySQLdb.DataError(1264, "x"), False),
        (MySQLdb.DataError(1406, "x"), False),
        (MySQLdb.IntegrityError(1062, "x"), False),
        (MySQLdb.ProgrammingError(1064, "x"), False),
        (MySQLdb.OperationalError(1153, "x"), False),
        (ValueError(1205), False),
    ],
)
def test_classify(error: Exception, *, known: bool) -> None:
    assert (classify(error) is not None) == known


def test_errors_do_not_repeat_the_servers_text() -> None:
    error = classify(MySQLdb.OperationalError(1045, "Access denied for 'u' (using hunter2)"))
    assert error is not None
    assert "hunter" not in str(error)


def test_each_role_reads_the_settings_it_needs(settings_for: Callable[..., Settings]) -> None:
    for role in ("streams", "relay", "jobs", "laravel", "rq", "metrics", "cli"):
        with closing(connect(settings_for(role).mysql)) as connection:
            assert one(connection, "SELECT COUNT(*) FROM fleet_settings WHERE name = 'x'") == 0
