"""The end of a UTC day: a row says that it is closed, once what was sent before it is booked.

From then on whatever changes its figures restates them (see shared/mysql/book_daily.py). Laravel is
told of the close once, in the same transaction.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from redis import Redis

from shared.queries import load
from shared.settings import Settings
from shared.streams.keys import stream_key
from shared.streams.log import id_pair
from workers import dispatches

SQL = load(Path(__file__).with_name("day_close.sql"))

PHP_INTEGERS_END = 2**63  # Laravel has no account beyond

GRACE = timedelta(minutes=10)
"""Venues report a trade within seconds; a fill that is later than this restates the day."""


def close_day(connection: Any, redis: Redis, settings: Settings, now: datetime) -> int:
    """Close the next day that is over; returns how many were. Commits.

    The first call only remembers where days begin: what was before was never shown as closed.
    """
    cursor = connection.cursor()
    cursor.execute(SQL["last"])
    row = cursor.fetchone()
    over = last_day_over(now)
    closed = 0
    if row is None:
        cursor.execute(SQL["remember"], (over.isoformat(),))
    else:
        day = date.fromisoformat(row[0]) + timedelta(days=1)
        if day <= over and is_settled(cursor, redis, settings.prefix, end_of(day)):
            closed = _close(connection, settings, day)
    connection.commit()
    return closed


def _close(connection: Any, settings: Settings, day: date) -> int:
    """The lock lets every batch end that has asked which days are closed, and others wait."""
    cursor = connection.cursor()
    cursor.execute(SQL["lock"])
    (through,) = cursor.fetchone()
    if date.fromisoformat(through) >= day:
        return 0  # by a twin of this task
    cursor.execute(SQL["accounts"], (day,))
    accounts = [account for (account,) in cursor.fetchall()]
    cursor.execute(SQL["close"], (day, int(GRACE.total_seconds()), len(accounts)))
    cursor.execute(SQL["remember"], (day.isoformat(),))
    for_laravel = [account for account in accounts if account < PHP_INTEGERS_END]
    dispatches.day_closed(connection, settings, day, for_laravel)
    return 1


def last_day_over(now: datetime) -> date:
    """The last UTC day whose end and grace have passed."""
    return (now - GRACE).date() - timedelta(days=1)


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def is_settled(cursor: Any, redis: Redis, prefix: str, end: datetime) -> bool:
    """Whether everything that was on its way before `end` has been booked or parked."""
    end_ms = int(end.timestamp() * 1000)
    cursor.execute(SQL["outbox"], (end,))
    (on_its_way,) = cursor.fetchone()
    cursor.execute(SQL["restating"], (end_ms,))
    (restating,) = cursor.fetchone()
    if on_its_way or restating:
        return False
    cursor.execute(SQL["offsets"])
    pipe: Any = redis.pipeline(transaction=False)
    for stream, partition, last_id in cursor.fetchall():
        pipe.xrange(stream_key(prefix, stream, partition), min=f"({last_id}", count=1)
    unread = [found[0][0].decode() for found in pipe.execute() if found]
    return all(id_pair(first)[0] >= end_ms for first in unread)
