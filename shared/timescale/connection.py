"""Connections to TimescaleDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from shared.errors import SettingsError, Unavailable
from shared.settings import Settings

CONNECT_SECONDS = 5
STATEMENT_MS = 30_000
LOCK_MS = 5_000

Connection = psycopg.Connection[tuple[object, ...]]


def connect(settings: Settings, *, statement_ms: int = STATEMENT_MS) -> Connection:
    """An open connection: UTC, READ COMMITTED, bounded waits, autocommit off.

    Raises SettingsError without FLEET_TIMESCALE_URL, Unavailable when it cannot be reached. No
    error shows the URL.
    """
    if settings.timescale_url is None:
        raise SettingsError(
            "FLEET_TIMESCALE_URL is not set: write postgresql://user:password@host:5432/name"
        )
    options = (
        f"-c timezone=UTC -c statement_timeout={statement_ms} -c lock_timeout={LOCK_MS} "
        "-c default_transaction_isolation=read\\ committed"
    )
    try:
        return psycopg.connect(
            settings.timescale_url.get_secret_value(),
            connect_timeout=CONNECT_SECONDS,
            application_name=f"fleet-{settings.role}",
            options=options,
            keepalives_idle=30,
        )
    except psycopg.ProgrammingError:
        raise SettingsError(
            "FLEET_TIMESCALE_URL: write postgresql://user:password@host:5432/name"
        ) from None
    except psycopg.OperationalError as error:
        raise Unavailable(f"TimescaleDB cannot be reached: {_plain(error)}") from None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commits at the end, rolls back on any error. Errors that `classify` knows come out as
    Unavailable; from the commit itself that leaves its outcome open.
    """
    try:
        with connection.transaction():
            yield
    except psycopg.Error as error:
        known = classify(error)
        if known:
            raise known from error
        raise


def classify(error: BaseException) -> Unavailable | None:
    """Unavailable when the same work may succeed later; None for everything else."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Unavailable("TimescaleDB: the connection was lost") if lost else None
    if state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT:
        cure = _CURES.get(state)
        return Unavailable(
            f"TimescaleDB {state}: {type(error).__name__}" + (f": {cure}" if cure else "")
        )
    return None


# 08 connection, 28 login, 40 serialization and deadlock, 53 resources, 57 operator (shutdown,
# timeout), 58 system; then lock not available, read-only, and schema or grants not there yet.
_TRANSIENT_CLASSES = frozenset({"08", "28", "40", "53", "57", "58"})
_TRANSIENT = frozenset({"55P03", "25006", "42501", "42P01", "42703", "3F000", "3D000"})

_CURES = {
    "42501": "fleet doctor --grants",
    **dict.fromkeys(("42P01", "42703", "3F000"), "fleet migrate"),
}


def _plain(error: psycopg.Error) -> str:
    """The first line of the text, which names host and reason but no password."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
