"""Rows of failed jobs, as `queue:failed`, `queue:retry` and `queue:forget` expect them.

The row comes before the job leaves its reservation: a crash between the two repeats the row, which
changes nothing, and loses nothing. PHP does it the other way round.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from shared.errors import SettingsError, Unavailable
from shared.laravel.cache import Transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("failed_jobs.sql"))

FILE_ROWS = 100
"""Laravel's `queue.failed.limit`: the file keeps so many, the newest first."""


class FailedJob(NamedTuple):
    """payload: as it was popped. exception: class, message, place and trace, in Laravel's form."""

    id: str
    connection: str
    queue: str
    payload: str
    exception: str
    failed_at: datetime


class FailedJobs(Protocol):
    """Where the application keeps failed jobs."""

    def add(self, job: FailedJob) -> None:
        """Done when it returns; a second time it changes nothing. Raises Unavailable."""


class DatabaseFailedJobs:
    """`database-uuids`, and `database` for tables without a uuid column; any version's columns.

    timezone: the application's, in which Laravel writes failed_at.
    """

    def __init__(
        self, transaction: Transaction, schema: str, table: str, timezone: ZoneInfo
    ) -> None:
        self._transaction = transaction
        self._schema = schema
        self._name = table
        self._table = f"`{schema}`.`{table}`"
        self._timezone = timezone
        self._columns: Mapping[str, str] = {}  # name → type

    def add(self, job: FailedJob) -> None:
        failed_at = job.failed_at.astimezone(self._timezone).strftime("%Y-%m-%d %H:%M:%S")
        with self._transaction() as cursor:
            columns = self._look(cursor)
            if columns.get("failed_at") == "timestamp":
                cursor.execute(SQL["seen"], (failed_at, failed_at))
                (failed_at,) = cursor.fetchone()
            rest = (job.connection, job.queue, job.payload, job.exception, failed_at)
            if "uuid" in columns:
                cursor.execute(SQL["add_with_uuid"].format(table=self._table), (job.id, *rest))
            else:
                cursor.execute(SQL["add"].format(table=self._table), (*rest, job.payload))

    def _look(self, cursor: Any) -> Mapping[str, str]:
        if not self._columns:
            cursor.execute(SQL["columns"], (self._schema, self._name))
            found = cursor.fetchall()
            if not found:
                raise SettingsError(
                    f"{self._table} is missing or may not be read: `php artisan queue:failed-table`"
                    " and migrate, then `fleet doctor --grants`"
                )
            self._columns = {name.lower(): kind.lower() for name, kind in found}
        return self._columns


def failed_since(
    cursor: Any, schema: str, table: str, timezone: ZoneInfo, moment: datetime
) -> dict[str, int] | None:
    """Jobs by queue that failed since a moment, of the newest thousand. timezone: as above. None:
    there is no such table, or it may not be read.
    """
    cursor.execute(SQL["columns"], (schema, table))
    columns = {name.lower(): kind.lower() for name, kind in cursor.fetchall()}
    if not columns:
        return None
    since = moment.astimezone(timezone).strftime("%Y-%m-%d %H:%M:%S")
    if columns.get("failed_at") == "timestamp":
        cursor.execute(SQL["seen"], (since, since))
        (since,) = cursor.fetchone()
    cursor.execute(SQL["failed_since"].format(table=f"`{schema}`.`{table}`"), (since,))
    return {queue: int(number) for queue, number in cursor.fetchall()}


class FileFailedJobs:
    """`file`: JSON in the application's storage folder, on this host. Laravel 10.10 and newer."""

    def __init__(self, path: Path, timezone: ZoneInfo) -> None:
        self._path = path
        self._timezone = timezone

    def add(self, job: FailedJob) -> None:
        failed_at = job.failed_at.astimezone(self._timezone)
        row = {
            "id": job.id,
            "connection": job.connection,
            "queue": job.queue,
            "payload": job.payload,
            "exception": job.exception,
            "failed_at": failed_at.strftime("%Y-%m-%d %H:%M:%S"),
            "failed_at_timestamp": int(failed_at.timestamp()),
        }
        self._change(lambda rows: [row, *(old for old in rows if old.get("id") != job.id)])

    def _change(self, change: Callable[[list[Any]], list[Any]]) -> None:
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            rows = change(self._rows(file.read()))[:FILE_ROWS]
            text = json.dumps(rows, indent=4).encode()
            # In this order, so that PHP, which takes another lock, never finds the file empty.
            os.pwrite(file.fileno(), text, 0)
            os.ftruncate(file.fileno(), len(text))

    def _rows(self, text: bytes) -> list[Any]:
        try:
            rows = json.loads(text) if text.strip() else []
        except ValueError:
            rows = None
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
        raise Unavailable(
            f"{self._path} holds no list of failed jobs: PHP is writing it, or it is broken; then "
            "move it away"
        )


class NoFailedJobs:
    """`null`: the application keeps none, and so do we."""

    def add(self, job: FailedJob) -> None: ...
