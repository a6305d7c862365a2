"""Asks the source what `preflight` judges. Reads only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import MySQLdb

from shared.cdc.selection import Selection
from shared.mysql.connection import Connection
from shared.mysql.schema import quoted
from shared.queries import load
from shared.settings import Settings
from shared.settings_cdc import server_id_of
from workers.cdc.preflight import CapturedTable, Cascade, Fault, SourceFacts, faults, require
from workers.cdc.tables import accounts_source, selection

_SQL = load(Path(__file__).with_name("preflight.sql"))
_FOREIGN_KEY = re.compile(
    r"CONSTRAINT `((?:[^`]|``)+)` FOREIGN KEY \([^)]*\) "
    r"REFERENCES (?:`(?:[^`]|``)+`\.)?`((?:[^`]|``)+)` \([^)]*\)"
    r"((?: ON (?:DELETE|UPDATE) [A-Z ]+)*)"
)
_CHANGES = re.compile(r"CASCADE|SET NULL|SET DEFAULT")
_DENIED = frozenset({1044, 1045, 1142, 1227, 1370})
_SYNTAX = 1064


def source_faults(settings: Settings, connection: Connection) -> tuple[list[Fault], int]:
    """What is wrong with the source, and how many tables are captured. Ends the transaction."""
    accounts = accounts_source(connection, settings.mysql.laravel_database)
    chosen = selection(settings, accounts)
    collector_id = settings.cdc_server_id or server_id_of(settings.prefix)
    facts = source_facts(connection, chosen, collector_id, accounts.why)
    return faults(facts, chosen), len(facts.tables)


def examine(settings: Settings, connect: Callable[[], Connection]) -> None:
    """Of a collector that begins. Raises SourceStopped where rows could not be read exactly,
    Unavailable where nobody answers.
    """
    with closing(connect()) as connection:
        found, _ = source_faults(settings, connection)
    require(found)


def source_facts(
    connection: Connection, chosen: Selection, collector_id: int, accounts: str = ""
) -> SourceFacts:
    cursor = connection.cursor()
    cursor.execute("SHOW GLOBAL VARIABLES")
    variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
    mariadb = "mariadb" in variables["version"].lower()
    tables = _tables(cursor, chosen)
    there = {table.name for table in tables}
    facts = SourceFacts(
        variables,
        _filters(cursor),
        _replicates(cursor, mariadb=mariadb),
        tables,
        [name for name in chosen.names if name not in there],
        accounts,
        collector_id,
    )
    connection.commit()
    return facts


def _tables(cursor: Any, chosen: Selection) -> list[CapturedTable]:
    schemas = (tuple(sorted(set(chosen.schemas))),)
    cursor.execute(_SQL["tables"], schemas)
    captured = {
        (schema, name): (kind, engine)
        for schema, name, kind, engine in cursor.fetchall()
        if chosen.interest(schema, name) == "captured"
    }
    columns: dict[tuple[str, str], dict[str, str]] = {}
    cursor.execute(_SQL["columns"], schemas)
    for schema, name, column, column_type in cursor.fetchall():
        columns.setdefault((schema, name), {})[column] = _text(column_type)
    keys: dict[tuple[str, str], tuple[str, list[str]]] = {}
    cursor.execute(_SQL["keys"], schemas)
    for schema, name, index, column in cursor.fetchall():
        first, of_key = keys.setdefault((schema, name), (index, []))
        if index == first:
            of_key.append(column)
    return [
        CapturedTable(
            name,
            schema,
            kind,
            engine,
            columns.get((schema, name), {}),
            tuple(keys[schema, name][1]) if (schema, name) in keys else (),
            _cascades(cursor, schema, name, kind),
        )
        for (schema, name), (kind, engine) in sorted(captured.items())
    ]


def _cascades(cursor: Any, schema: str, name: str, kind: str) -> tuple[Cascade, ...]:
    """Of the table's own text: MariaDB's information_schema shows constraints only to those who may
    do more than SELECT.
    """
    if kind != "BASE TABLE":
        return ()
    cursor.execute(f"SHOW CREATE TABLE {quoted(schema)}.{quoted(name)}")
    return tuple(
        Cascade(constraint, parent, says.strip())
        for constraint, parent, says in _FOREIGN_KEY.findall(_text(cursor.fetchone()[1]))
        if _CHANGES.search(says)
    )


def _filters(cursor: Any) -> str:
    """What the server was started with; no variable of MySQL's says it."""
    for statement in ("SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"):
        row = _asked(cursor, statement)
        if row is not None:
            names = ("Binlog_Do_DB", "Binlog_Ignore_DB")
            return ", ".join(f"{name}={row[name]}" for name in names if row.get(name))
    return ""


def _replicates(cursor: Any, *, mariadb: bool) -> bool | None:
    if mariadb:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Slaves_running'")
        row = cursor.fetchone()
        return bool(row and int(row[1]))
    row = _asked(cursor, "SHOW REPLICA STATUS")
    return None if row is None else bool(row)


def _asked(cursor: Any, statement: str) -> Mapping[str, Any] | None:
    """The first row; empty when there is none; None where this user or server does not tell."""
    try:
        cursor.execute(statement)
    except MySQLdb.Error as error:
        if error.args[0] in _DENIED or error.args[0] == _SYNTAX:
            return None
        raise
    row = cursor.fetchone()
    return dict(zip((one[0] for one in cursor.description), row, strict=True)) if row else {}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
