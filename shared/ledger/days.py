"""UTC days. A day is counted from 1970-01-01; 00:00:00.000 belongs to the new day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)


def day_of(at_ms: int) -> int:
    """The UTC day of a time in milliseconds since 1970."""
    return at_ms // DAY_MS


def day_number(day: date) -> int:
    return (day - _EPOCH).days


@lru_cache(maxsize=4096)
def day_text(day: int) -> str:
    """`2026-07-21`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def time_text(at_ms: int) -> str:
    """`2026-07-21 00:00:00.000000`, for a DATETIME(6) column in UTC."""
    day, ms = divmod(at_ms, DAY_MS)
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{day_text(day)} {hours:02}:{minutes:02}:{seconds:02}.{ms:03}000"


def spans(days: Iterable[int]) -> list[range]:
    """Days in order as runs of days that follow one another."""
    found: list[range] = []
    for day in days:
        if found and found[-1].stop == day:
            found[-1] = range(found[-1].start, day + 1)
        else:
            found.append(range(day, day + 1))
    return found
