"""Connections to MySQL or MariaDB, and what their errors mean to the loop.

Every connection says itself what it relies on; nothing is left to the server's my.cnf: READ
COMMITTED, strict sql_mode, UTC, utf8mb4, autocommit off. DECIMAL comes as Decimal. DATETIME comes
and goes as aware UTC: a naive datetime as a parameter is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import MySQLdb
from MySQLdb.constants import FIELD_TYPE
from MySQLdb.converters import conversions

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable

Connection = Any  # MySQLdb publishes no types
Cursor = Any

CONNECT_SECONDS = 5
READ_SECONDS = 30  # the longest statement: a batch takes 0.3 s, a rebuild chunk a few seconds
WRITE_SECONDS = 30
LOCK_WAIT_SECONDS = 5  # then roll back and try again, rather than hold the locks taken so far

SQL_MODE = (
    "STRICT_ALL_TABLES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "NO_ENGINE_SUBSTITUTION",
)

_LOST = {
    1053: "the server shuts down",
    1077: "the server shuts down",
    1079: "the server shuts down",
    1158: "network error",
    1159: "network timeout",
    1160: "network error",
    1161: "network timeout",
    1317: "the statement was interrupted",
    1927: "the connection was killed",
    3169: "the session was killed",
    4031: "the server closed an idle connection",
}
_BUSY = {
    1020: "a row changed under the snapshot",
    1205: "a lock was not free in time",
    1206: "the lock table is full",
    1213: "deadlock",
    1412: "a table changed under the transaction",
    1613: "the transaction branch was rolled back",
    1614: "deadlock",
    1615: "a statement must be prepared again",
    1684: "a table is being altered",
    1969: "the statement took too long",
    3024: "the statement took too long",
    3572: "a lock was not free",
}
_REFUSING = {
    1040: "too many connections: raise max_connections or run fewer workers",
    1129: "this host is blocked after errors: mariadb-admin flush-hosts",
    1203: "too many connections of this user",
    1226: "a limit of this user is used up",
    1047: "the node is not ready (Galera)",
    1290: "the server is read-only",
    1792: "the server is read-only",
    1836: "the server is read-only",
    3100: "group replication refused the commit",
}
_FULL = {
    1021: "the disk is full",
    1026: "writing a file failed: look at the server's disk",
    1030: "the storage engine failed: look at the server's disk and log",
    1037: "the server is out of memory",
    1038: "the server is out of memory for sorting",
    1041: "the server is out of memory",
    1114: "a table is full: look at the server's disk",
    1180: "the commit failed: look at the server's disk and log",
    1598: "the binlog cannot be written: look at the server's disk",
    1637: "too many open transactions",
}
# Nothing is wrong with the event: schema or grants are not there yet, so nothing may be parked.
_NOT_READY = {
    1044: "no access to the schema: fleet doctor --grants",
    1045: "user or password refused: DB_USERNAME, DB_PASSWORD",
    1049: "the schema is missing: fleet migrate",
    1054: "a column is missing: fleet migrate",
    1130: "this host may not connect: fleet doctor --grants",
    1142: "a grant is missing: fleet doctor --grants",
    1143: "a grant is missing: fleet doctor --grants",
    1146: "a table is missing: fleet migrate",
    1227: "a privilege is missing: fleet doctor --grants",
    1356: "a view lacks a table, column or grant: fleet migrate, fleet doctor --grants",
    1370: "a grant is missing: fleet doctor --grants",
    1449: "the definer of a view is gone: fleet migrate",
    1698: "user or password refused: DB_USERNAME, DB_PASSWORD",
}
REASONS: dict[int, str] = _LOST | _BUSY | _REFUSING | _FULL | _NOT_READY

# The client library's own errors (2000-2099) mean a connection that is no use any more, except a
# packet larger than max_allowed_packet: that one a smaller batch cures.
_CLIENT_ERRORS = range(2000, 2100)
_PACKET_TOO_LARGE = 2020


def connect(
    mysql: MySQLSettings,
    database: str | None = None,
    read_seconds: int = READ_SECONDS,
    *,
    raw: bool = False,
) -> Connection:
    """An open connection in `mysql.database`, autocommit off.

    database: another schema, or "" for none. read_seconds: the longest wait for an answer. raw:
    every value comes as bytes, as the server wrote it.
    Raises Unavailable when the server cannot be reached or refuses; connecting and writing are
    bounded by CONNECT_SECONDS and WRITE_SECONDS.
    """
    where: dict[str, Any] = (
        {"unix_socket": mysql.socket} if mysql.socket else {"host": mysql.host, "port": mysql.port}
    )
    files = {"ca": mysql.ssl_ca, "cert": mysql.ssl_cert, "key": mysql.ssl_key}
    if tls := {name: path for name, path in files.items() if path}:
        where["ssl"] = tls
    try:
        connection = MySQLdb.connect(
            **where,
            user=mysql.user,
            password=mysql.password.get_secret_value(),
            database=mysql.database if database is None else database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            write_timeout=WRITE_SECONDS,
            autocommit=False,
            conv=_PARAMETERS if raw else _CONVERSIONS,
            use_unicode=not raw,
        )
        _prepare(connection)
    except MySQLdb.Error as error:
        raise classify(error) or Unavailable(
            f"MySQL at {mysql.server}: {_code(error)} while connecting"
        ) from error
    return connection


@contextmanager
def transaction(connection: Connection, kind: type | None = None) -> Iterator[Cursor]:
    """A cursor (of MySQLdb's class `kind`); commits at the end, rolls back on any error.

    MySQL errors that `classify` knows come out as Unavailable. Unavailable from the commit itself
    leaves its outcome open: the connection must be dropped and the offset row read again.
    """
    cursor = connection.cursor(kind) if kind else connection.cursor()
    try:
        yield cursor
        cursor.close()
        connection.commit()
    except BaseException as error:
        # The connection may be gone: what matters then is the first error, and the server rolls
        # back by itself.
        with suppress(MySQLdb.Error):
            connection.rollback()
        known = classify(error) if isinstance(error, MySQLdb.Error) else None
        if known:
            raise known from error
        raise
    finally:
        with suppress(MySQLdb.Error):
            cursor.close()


@contextmanager
def snapshot(connection: Connection) -> Iterator[Cursor]:
    """A cursor; everything read inside is as of one moment, and nothing can be written.

    MySQL errors that `classify` knows come out as Unavailable.
    """
    connection.rollback()
    cursor = connection.cursor()
    try:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield cursor
    except MySQLdb.Error as error:
        known = classify(error)
        if known:
            raise known from error
        raise
    finally:
        with suppress(MySQLdb.Error):
            connection.rollback()
            cursor.close()


def classify(error: BaseException) -> Unavailable | None:
    """Unavailable when the same work may succeed later; None for everything else (a bug, bad data).

    Texts of the server are left out: they may quote values.
    """
    if not isinstance(error, MySQLdb.Error):
        return None
    code = _code(error)
    if code in REASONS:
        return Unavailable(f"MySQL {code}: {REASONS[code]}")
    if code in _CLIENT_ERRORS and code != _PACKET_TOO_LARGE:
        return Unavailable(f"MySQL {code}: the connection failed or was lost")
    if isinstance(error, MySQLdb.InterfaceError) and code in {0, -1}:
        return Unavailable("MySQL: the connection is closed")
    return None


def _code(error: MySQLdb.Error) -> int:
    """Error number; -1 when there is none (mysqlclient: `InterfaceError("...")`)."""
    first = error.args[0] if error.args else -1
    return first if isinstance(first, int) else -1


def _prepare(connection: Connection) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute(
        "SET SESSION sql_mode = %s, time_zone = '+00:00', innodb_lock_wait_timeout = %s",
        (",".join(SQL_MODE), LOCK_WAIT_SECONDS),
    )
    cursor.close()


def _aware(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{text}+00:00")
    except ValueError:
        return None  # 0000-00-00 is no day


def _literal(value: datetime, _: object) -> str:
    if value.tzinfo is None:
        raise TypeError("a naive datetime is no moment: give it a zone before it goes to MySQL")
    utc = value.astimezone(UTC)
    return f"'{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond:06d}'"


_CONVERSIONS: dict[Any, Any] = {
    **conversions,
    FIELD_TYPE.DATETIME: _aware,
    FIELD_TYPE.TIMESTAMP: _aware,
    datetime: _literal,
}
_PARAMETERS: dict[Any, Any] = {
    kind: convert for kind, convert in _CONVERSIONS.items() if not isinstance(kind, int)
}
