"""An empty schema of our own per test session, on whichever server `.servers.env` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import MySQLdb
import pytest

ROOT = Path(__file__).parents[3]
MIGRATION = ROOT / "deploy/migrations/mysql/versions/0001_first.sql"
SERVERS_FILE = Path(os.environ.get("FLEET_TEST_SERVERS", ROOT / ".servers.env"))


def servers() -> dict[str, str]:
    if not SERVERS_FILE.exists():
        pytest.skip(f"{SERVERS_FILE.name} is missing: run `make servers` first")
    lines = SERVERS_FILE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def connect(database: str | None = None) -> Any:
    told = servers()
    chosen = {} if database is None else {"database": database}
    connection = MySQLdb.connect(
        host=told["DB_HOST"],
        port=int(told["DB_PORT"]),
        user="root",
        password=told["SERVERS_DB_ROOT_PASSWORD"],
        charset="utf8mb4",
        autocommit=False,
        **chosen,
    )
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute("SET SESSION time_zone = '+00:00'")
    cursor.execute(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )
    return connection


@pytest.fixture(scope="session")
def migrated() -> Iterator[str]:
    """Name of a database that holds our tables; dropped at the end."""
    name = f"fleet_ledger_{os.getpid()}"
    connection = connect()
    cursor = connection.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    cursor.execute(f"USE {name}")
    text = MIGRATION.read_text(encoding="utf-8")
    lines = [line.split("--", 1)[0] for line in text.splitlines()]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            cursor.execute(statement)
    connection.commit()
    yield name
    cursor.execute(f"DROP DATABASE {name}")
    connection.close()


@pytest.fixture
def mysql_schema(migrated: str) -> Iterator[Any]:
    """An open connection to an empty migrated schema, no transaction begun."""
    connection = connect(migrated)
    empty(connection)
    yield connection
    connection.rollback()
    connection.close()


def empty(connection: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SHOW TABLES")
    for (table,) in cursor.fetchall():
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - a name the server gave
    connection.commit()
