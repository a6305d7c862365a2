"""`fleet migrate`: every schema to its newest version.

Safe to run twice and at the same time (a named lock of the server), and while the previous version
of the fleet runs: migrations only add. Forward only; there is no downgrade.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click
import MySQLdb
import psycopg
import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from shared.endpoints import MySQLSettings
from shared.errors import FleetError, Unavailable
from shared.mysql import change_log_months as months
from shared.mysql import schema
from shared.mysql.connection import classify, connect
from shared.settings import Settings
from shared.timescale import connection as timescale
from shared.timescale import editions

MIGRATIONS = Path(__file__).resolve().parent.parent / "deploy" / "migrations"

STATEMENT_SECONDS = 6 * 3600  # an ALTER of a large table
TABLE_LOCK_SECONDS = 10  # a waiting ALTER blocks every later reader of its table
TURN_SECONDS = 60  # for another `fleet migrate` to end

_UNKNOWN_DATABASE = 1049
_TIMESCALE_LOCK = 0x666C656574  # "fleet"


def run_migrate(settings: Settings, *, sql: bool) -> int:
    """Exit code. sql: print what would run, change nothing."""
    if sql:
        click.echo(mysql_sql(settings))
        click.echo(audit_sql(settings))
        if settings.timescale_url is not None:
            click.echo(timescale_sql())
        return 0
    for line in migrate_mysql(settings):
        click.echo(line)
    click.echo(migrate_audit(settings))
    if settings.timescale_url is None:
        click.echo("TimescaleDB: FLEET_TIMESCALE_URL is not set, nothing done")
    else:
        click.echo(migrate_timescale(settings))
    return 0


def newest(server: str) -> str:
    """The newest version in the checkout; server is `mysql`, `audit` or `timescale`."""
    head = ScriptDirectory.from_config(_config(server)).get_current_head()
    assert head is not None
    return head


def migrate_mysql(settings: Settings) -> list[str]:
    """Tables, then views; lines for the terminal. Raises Unavailable, or the server's own error."""
    _create_database(settings.mysql)
    connection = connect(settings.mysql, read_seconds=STATEMENT_SECONDS)
    try:
        with _turn(connection, settings.mysql.database), _engine(connection) as bound:
            before = schema.applied_version(connection)
            _upgrade("mysql", bound)
            found = schema.refresh_views(connection, settings.mysql.laravel_database)
    except DBAPIError as error:
        raise _plain(error) from error
    except MySQLdb.Error as error:
        raise classify(error) or error from error
    finally:
        with suppress(MySQLdb.Error):
            connection.close()
    after = newest("mysql")
    change = f"at {after}, unchanged" if before == after else f"{before or 'empty'} -> {after}"
    return [f"MySQL schema {settings.mysql.database}: {change}", sources_line(found)]


def migrate_audit(settings: Settings, now: datetime | None = None) -> str:
    """The audit log, where FLEET_AUDIT_URL says; one line for the terminal. now: for its months."""
    _create_database(settings.audit)
    connection = connect(settings.audit, read_seconds=STATEMENT_SECONDS)
    try:
        with _turn(connection, settings.audit.database), _engine(connection) as bound:
            before = schema.applied_version(connection, schema.AUDIT_VERSION_TABLE)
            _upgrade("audit", bound)
            months.prepare(connection, now or datetime.now(UTC))
    except DBAPIError as error:
        raise _plain(error) from error
    except MySQLdb.Error as error:
        raise classify(error) or error from error
    finally:
        with suppress(MySQLdb.Error):
            connection.close()
    after = newest("audit")
    change = f"at {after}, unchanged" if before == after else f"{before or 'empty'} -> {after}"
    return f"Audit log in {settings.audit.database}: {change}"


def migrate_timescale(settings: Settings) -> str:
    """One line for the terminal. All of a migration happens or nothing."""
    connection = timescale.connect(settings, statement_ms=STATEMENT_SECONDS * 1000)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_TIMESCALE_LOCK,))
            _create_extension(cursor)
            cursor.execute("CREATE SCHEMA IF NOT EXISTS fleet")
        connection.commit()
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool
        )
        with engine.connect() as bound:
            _upgrade("timescale", bound)
            bound.commit()
        found = editions.settle(connection)
        connection.commit()
    except DBAPIError as error:
        raise timescale.classify(error.orig or error) or error from error
    except psycopg.Error as error:
        raise timescale.classify(error) or error from error
    finally:
        connection.close()  # ends the session and with it the lock
    told = f"{found.license} edition" if found else "no edition"
    return f"TimescaleDB schema fleet: at {newest('timescale')}, {told}"


def mysql_sql(settings: Settings) -> str:
    """SQL from the schema's present version on; from nothing when the server cannot be asked."""
    mysql = settings.mysql
    try:
        with closing(_present_or_none(mysql)) as connection:
            before = schema.applied_version(connection)
            found: schema.Sources | None = schema.sources(connection, mysql.laravel_database)
        note = f"-- MySQL schema {mysql.database}, from version {before or 'none'}\n"
    except Unavailable as error:
        before, found = None, None
        note = f"-- From nothing, because the server could not be asked: {error}\n"
    if found is None:
        table = f"{schema.quoted(mysql.laravel_database)}.{schema.quoted(schema.SOURCES_TABLE)}"
        found = schema.Sources((), table, own=False)
    views = ";\n\n".join(schema.view_statements(found))
    return f"{note}{_offline('mysql', before)}\n{views};\n"


def audit_sql(settings: Settings) -> str:
    """The audit log's, likewise."""
    try:
        with closing(_present_or_none(settings.audit)) as connection:
            before = schema.applied_version(connection, schema.AUDIT_VERSION_TABLE)
    except Unavailable:
        before = None
    start = f"-- Audit log in {settings.audit.database}, from version {before or 'none'}\n"
    return f"{start}{_offline('audit', before)}"


def timescale_sql() -> str:
    first = "CREATE EXTENSION IF NOT EXISTS timescaledb;\n\nCREATE SCHEMA IF NOT EXISTS fleet;\n\n"
    return f"-- TimescaleDB, from nothing\n{first}{_offline('timescale', None)}"


def sources_line(found: schema.Sources) -> str:
    """Where accounts are read from, or what is missing for it."""
    if found.own:
        return f"view {schema.SOURCES_VIEW}: your own, left alone"
    if not found.missing:
        return f"view {schema.SOURCES_VIEW}: over {found.table}"
    if len(found.missing) == len(schema.SOURCES_COLUMNS):
        return (
            f"view {schema.SOURCES_VIEW}: empty, because {found.table} does not exist or may not "
            "be read; create it and run `fleet migrate` again, or write the view yourself"
        )
    return (
        f"view {schema.SOURCES_VIEW}: empty, because {found.table} lacks "
        f"{', '.join(found.missing)}; write the view yourself over your own columns"
    )


def run_mysql_file(path: Path) -> None:
    """For revisions. A statement whose object is there, from an interrupted run, is passed over."""

    def execute(statement: str) -> None:
        try:
            op.execute(sqlalchemy.text(_literal(statement)))
        except DBAPIError as error:
            if not error.orig or error.orig.args[0] not in schema.ALREADY_DONE:
                raise
            click.echo(f"already there: {statement.splitlines()[0]}", err=True)

    schema.run_file(path, execute)


def run_timescale_file(path: Path) -> None:
    """For revisions: the whole file in the migration's transaction."""
    schema.run_file(path, lambda statement: op.execute(sqlalchemy.text(_literal(statement))))


def _literal(statement: str) -> str:
    return statement.replace(":", r"\:")  # SQLAlchemy would see parameters


def _config(server: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / server).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _upgrade(server: str, bound: sqlalchemy.Connection) -> None:
    config = _config(server)
    config.attributes["connection"] = bound
    command.upgrade(config, "head")


def _offline(server: str, before: str | None) -> str:
    if before == newest(server):
        return "-- no migration is waiting\n"
    config = _config(server)
    buffer = StringIO()
    config.output_buffer = buffer
    command.upgrade(config, f"{before or 'base'}:head", sql=True)
    return buffer.getvalue()


@contextmanager
def _engine(connection: Any) -> Iterator[sqlalchemy.Connection]:
    """SQLAlchemy over our own connection, so that its sql_mode, time zone and locks hold."""
    engine = sqlalchemy.create_engine(
        "mysql+mysqldb://", creator=lambda: connection, poolclass=StaticPool
    )
    with engine.connect() as bound:
        yield bound
        bound.commit()


@contextmanager
def _turn(connection: Any, database: str) -> Iterator[None]:
    """The named lock of this schema; the session's end frees it whatever happens."""
    name = "fleet.migrate." + hashlib.blake2b(database.encode(), digest_size=16).hexdigest()
    cursor = connection.cursor()
    cursor.execute("SELECT GET_LOCK(%s, %s)", (name, TURN_SECONDS))
    if cursor.fetchone()[0] != 1:
        raise Unavailable(f"another `fleet migrate` has worked for over {TURN_SECONDS} s: wait")
    cursor.execute("SET SESSION lock_wait_timeout = %s", (TABLE_LOCK_SECONDS,))
    yield
    cursor.execute("SELECT RELEASE_LOCK(%s)", (name,))
    cursor.fetchall()


def _present_or_none(mysql: MySQLSettings) -> Any:
    """A connection in our schema, or in none when only our own schema is not there yet."""
    try:
        return connect(mysql)
    except Unavailable as error:
        cause = error.__cause__
        missing = isinstance(cause, MySQLdb.Error) and cause.args[0] == _UNKNOWN_DATABASE
        if not missing or mysql.database == mysql.laravel_database:
            raise
    return connect(mysql, database="")


def _create_database(mysql: MySQLSettings) -> None:
    """Our own schema, when it has a name of its own and is not there yet."""
    with closing(_present_or_none(mysql)) as connection:
        name = schema.quoted(mysql.database)
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT DATABASE()")
            if cursor.fetchone()[0] is None:
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4")
        except MySQLdb.Error as error:
            raise classify(error) or error from error


def _create_extension(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")
    if cursor.fetchone() is not None:
        return
    try:
        cursor.execute("CREATE EXTENSION timescaledb")
    except psycopg.Error as error:
        raise Unavailable(
            "TimescaleDB: the extension is not in this database and may not be created: as a "
            "superuser run CREATE EXTENSION timescaledb, after shared_preload_libraries names it"
        ) from error


def _plain(error: DBAPIError) -> FleetError | BaseException:
    """The driver's error without SQLAlchemy's copy of the statement."""
    cause = error.orig
    if isinstance(cause, MySQLdb.Error):
        return classify(cause) or cause
    return error
