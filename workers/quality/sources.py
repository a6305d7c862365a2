"""What a check of the data reads from: connections that open when one asks, and close together."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any, Self

import psycopg
from redis import Redis

from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.timescale.connection import Connection as Postgres
from shared.timescale.connection import classify
from shared.timescale.connection import connect as timescale

READ_SECONDS = 10
STATEMENT_MS = 10_000
NAME = "fleet-quality"


class Sources:
    """One run's. now: aware. Opening raises Unavailable."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        self.settings = settings
        self.now = now
        self._opened: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def mysql(self) -> Any:
        return self._open("mysql", lambda: connect(self.settings.mysql, read_seconds=READ_SECONDS))

    @property
    def audit(self) -> Any:
        return self._open("audit", lambda: connect(self.settings.audit, read_seconds=READ_SECONDS))

    @property
    def redis(self) -> Redis:
        found: Redis = self._open(
            "redis", lambda: control_client(self.settings.streams_redis, NAME)
        )
        return found

    @property
    def timescale(self) -> Postgres:
        found: Postgres = self._open(
            "timescale", lambda: timescale(self.settings, statement_ms=STATEMENT_MS)
        )
        return found

    def forget(self) -> None:
        """After an error: the next check gets connections of its own."""
        self._stack.close()
        self._opened.clear()

    def rows(self, sql: str, words: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Of our schema in MySQL; nothing stays open behind it."""
        return _rows(self.mysql, sql, words)

    def audit_rows(self, sql: str, words: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return _rows(self.audit, sql, words)

    def history_rows(self, sql: str, words: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self.timescale.transaction():
                return self.timescale.execute(sql.encode(), words).fetchall()
        except psycopg.Error as error:
            raise classify(error) or Unavailable(f"TimescaleDB: {type(error).__name__}") from error

    def _open(self, name: str, make: Any) -> Any:
        if name not in self._opened:
            self._opened[name] = self._stack.enter_context(closing(make()))
        return self._opened[name]


def _rows(connection: Any, sql: str, words: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(sql, words)
    found = list(cursor.fetchall())
    connection.commit()
    return found
