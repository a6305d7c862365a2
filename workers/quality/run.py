"""The checks of the data, twice a minute: what they find is kept in MySQL and told as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import MySQLdb
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import Unavailable
from shared.mysql.connection import classify, transaction
from shared.settings import Settings
from workers.quality.checks import SQL, Check, checks_of
from workers.quality.found import Found
from workers.quality.sources import Sources

_log = telemetry.log(__name__)

OLD_SECONDS = 600.0
"""What was found longer ago is not told any more: it would look like good news."""

Looked = Found | str
"""What a check found, or why it could not look."""


class Stored(NamedTuple):
    """The last that a check found. found None: it never could look. error: of the last try."""

    found: Found | None
    checked_at: datetime | None
    age_seconds: float
    error: str


def look(settings: Settings, now: datetime) -> dict[str, Looked]:
    """Every check once. One that cannot look does not stop the others."""
    with Sources(settings, now) as sources:
        return {name: _looked(one, sources) for name, one in checks_of(settings).items()}


def look_and_store(settings: Settings, connection: Any, now: datetime) -> int:
    """Scheduled. Returns how many checks could look. Commits."""
    looked = look(settings, now)
    with transaction(connection) as cursor:
        cursor.execute(SQL["forget"], (sorted(looked),))
        for name, found in sorted(looked.items()):
            if isinstance(found, Found):
                words = (name, found.good, found.total, found.detail[:512])
                cursor.execute(SQL["store"], words)
            else:
                cursor.execute(SQL["store_error"], (name, found[:512]))
                _log.warning("quality_not_looked", check=name, error=found)
    return sum(isinstance(found, Found) for found in looked.values())


def stored(connection: Any) -> Mapping[str, Stored]:
    """By check. Reads only; commits."""
    cursor = connection.cursor()
    cursor.execute(SQL["stored"])
    rows = cursor.fetchall()
    connection.commit()
    return {
        name: Stored(
            None if good is None else Found(int(good), int(total), detail),
            at, max(int(age), 0) / 1e6, error,
        )
        for name, good, total, detail, at, error, age in rows
    }  # fmt: skip


def _looked(check: Check, sources: Sources) -> Looked:
    try:
        return check.look(sources)
    except (Unavailable, RedisError, OSError) as error:
        sources.forget()
        return f"{type(error).__name__}: {error}"
    except MySQLdb.Error as error:
        known = classify(error)
        if known is None:
            raise
        sources.forget()
        return f"{type(known).__name__}: {known}"
