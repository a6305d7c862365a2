from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql import schema
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.conftest import EXCHANGE_ACCOUNTS
from workers.migrate import migrate_mysql, migrate_timescale, mysql_sql, newest, timescale_sql


@pytest.fixture
def empty(mysql_root: MySQLSettings, settings: Settings) -> Iterator[Settings]:
    """Settings of a pair of schemas that nobody migrated: ours is missing, Laravel's empty."""
    name = f"fleet_m_{uuid.uuid4().hex[:10]}"
    mysql = mysql_root.model_copy(update={"database": name, "laravel_database": f"{name}_laravel"})
    with closing(connect(mysql_root)) as root:
        root.cursor().execute(f"CREATE DATABASE {name}_laravel")
        yield settings.model_copy(update={"database": mysql})
        root.cursor().execute(f"DROP DATABASE IF EXISTS {name}")
        root.cursor().execute(f"DROP DATABASE IF EXISTS {name}_laravel")


def rows(settings: Settings, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
    with closing(connect(settings.mysql, database)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        found = list(cursor.fetchall())
        connection.commit()
        return found


def in_laravel(settings: Settings, sql: str) -> None:
    rows(settings, sql, settings.mysql.laravel_database)


def test_statements_are_split_at_semicolons_outside_comments_and_quotes() -> None:
    text = "-- a; b\nCREATE x -- c; 'd\n  'e;''f' \"g;\" `h;`;\n\n  ;SELECT 1 -- end"
    assert list(schema.statements(text)) == ["CREATE x\n  'e;''f' \"g;\" `h;`", "SELECT 1"]


def test_it_makes_the_schema_and_says_so_and_a_second_run_changes_nothing(empty: Settings) -> None:
    assert f"empty -> {newest('mysql')}" in migrate_mysql(empty)[0]
    tables = rows(empty, "SHOW TABLES")
    assert ("fleet_outbox",) in tables
    assert "unchanged" in migrate_mysql(empty)[0]
    assert rows(empty, "SHOW TABLES") == tables
    assert rows(empty, "SELECT version_num FROM fleet_alembic_version") == [(newest("mysql"),)]


def test_two_at_once_both_succeed(empty: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(migrate_mysql, empty) for _ in range(2)]
        reports = sorted(run.result(60)[0] for run in runs)
    assert "unchanged" in reports[0]
    assert "empty ->" in reports[1]


def test_an_interrupted_run_is_continued(empty: Settings) -> None:
    migrate_mysql(empty)
    rows(empty, "DROP TABLE fleet_signals")
    rows(empty, "DROP TABLE fleet_breaks")
    rows(empty, "DELETE FROM fleet_alembic_version")
    migrate_mysql(empty)
    assert rows(empty, "SELECT COUNT(*) FROM fleet_breaks") == [(0,)]
    assert rows(empty, "SELECT version_num FROM fleet_alembic_version") == [(newest("mysql"),)]


def test_laravels_schema_is_never_created(empty: Settings) -> None:
    absent = f"{empty.mysql.database}_absent"
    mysql = empty.mysql.model_copy(update={"database": absent, "laravel_database": absent})
    with pytest.raises(Unavailable, match="1049"):
        migrate_mysql(empty.model_copy(update={"database": mysql}))


def test_sql_prints_everything_and_does_nothing(empty: Settings) -> None:
    text = mysql_sql(empty)
    assert "CREATE TABLE fleet_outbox" in text
    assert "fleet_pnl_by_user" in text
    assert rows(empty, "SHOW DATABASES LIKE 'fleet\\_m\\_%'", "") == [
        (empty.mysql.laravel_database,)
    ]
    assert "CREATE VIEW fleet.edition" in timescale_sql()


def test_printed_sql_makes_the_same_schema(empty: Settings) -> None:
    text = mysql_sql(empty)
    rows(empty, f"CREATE DATABASE {empty.mysql.database}", "")
    for statement in schema.statements(text):
        rows(empty, statement)
    lines = migrate_mysql(empty)
    assert "unchanged" in lines[0]
    assert "your own" not in lines[1]
    assert "no migration is waiting" in mysql_sql(empty)


class TestSources:
    def test_an_absent_table_gives_an_empty_view_and_is_said(self, empty: Settings) -> None:
        line = migrate_mysql(empty)[1]
        assert "empty, because" in line
        assert "does not exist" in line
        assert rows(empty, "SELECT * FROM fleet_account_sources") == []
        assert rows(empty, "SELECT * FROM fleet_pnl_by_user") == []

    def test_a_table_without_a_column_is_named(self, empty: Settings) -> None:
        in_laravel(empty, EXCHANGE_ACCOUNTS)
        in_laravel(empty, "ALTER TABLE exchange_accounts DROP COLUMN passphrase")
        assert "lacks passphrase" in migrate_mysql(empty)[1]

    def test_the_view_follows_at_the_next_run(self, empty: Settings) -> None:
        migrate_mysql(empty)
        in_laravel(empty, EXCHANGE_ACCOUNTS)
        in_laravel(
            empty,
            "INSERT INTO exchange_accounts (id, user_id, venue, product, api_key, api_secret)"
            " VALUES (1, 7, 'okx', 'linear', 'k', 's'), (2, 7, 'okx', 'spot', 'k', 's')",
        )
        assert "over" in migrate_mysql(empty)[1]
        found = rows(empty, "SELECT id, user_id, passphrase, active FROM fleet_account_sources")
        assert found == [(1, 7, None, 1), (2, 7, None, 1)]
        rows(
            empty,
            "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized,"
            " fees, funding, other, fills) VALUES"
            " (1, 'linear', 'A', '2026-01-02', 'USDT', 1.5, 0.1, -0.2, 0, 2),"
            " (2, 'spot', 'B', '2026-01-02', 'USDT', 0.000000000000000001, 0, 0, 3, 1),"
            " (3, 'spot', 'B', '2026-01-02', 'USDT', 9, 9, 9, 9, 9)",
        )
        sums = rows(
            empty,
            "SELECT user_id, asset, realized, fees, funding, other, fills FROM fleet_pnl_by_user",
        )
        assert sums == [
            (7, "USDT", Decimal("1.500000000000000001"), Decimal("0.1"), Decimal("-0.2"), 3, 3)
        ]

    def test_an_operators_own_view_is_left_alone(self, empty: Settings) -> None:
        migrate_mysql(empty)
        rows(
            empty,
            "CREATE OR REPLACE VIEW fleet_account_sources AS SELECT 5 AS id, 6 AS user_id,"
            " 'v' AS venue, 'p' AS product, '' AS api_key, '' AS api_secret, '' AS passphrase,"
            " '{}' AS settings, 1 AS active",
        )
        for _ in range(2):
            assert "your own" in migrate_mysql(empty)[1]
        assert rows(empty, "SELECT id FROM fleet_account_sources") == [(5,)]

    def test_the_views_have_no_definers_rights(self, empty: Settings) -> None:
        migrate_mysql(empty)
        found = rows(
            empty,
            "SELECT DISTINCT security_type FROM information_schema.views"
            " WHERE table_schema = DATABASE()",
        )
        assert found == [("INVOKER",)]


def test_timescale_is_safe_to_run_twice(settings: Settings) -> None:
    for _ in range(2):
        assert newest("timescale") in migrate_timescale(settings)
