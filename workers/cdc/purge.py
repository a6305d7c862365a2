"""How long until the source purges what the collector has not read yet. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DAY_SECONDS = 86_400
NEVER = math.inf


class Retention(NamedTuple):
    """seconds: age at which the server removes a file; bytes: of all files together. 0: never."""

    seconds: int
    bytes: int


def retention_of(variables: Mapping[str, str]) -> Retention:
    """From the server's variables: MariaDB has days beside seconds, and a limit by size."""
    if variables.get("binlog_expire_logs_auto_purge", "ON").upper() in {"OFF", "0"}:
        return Retention(0, 0)
    seconds = int(variables.get("binlog_expire_logs_seconds", "0"))
    days = float(variables.get("expire_logs_days", "0"))
    size = int(variables.get("max_binlog_total_size", "0"))
    return Retention(seconds or int(days * DAY_SECONDS), size)


def purge_seconds(
    files: Sequence[tuple[str, int]],
    reading: str,
    behind_seconds: float,
    retention: Retention,
    bytes_per_second: float,
) -> float:
    """files: of the log with their sizes, oldest first. reading: the file the collector is in; it
    is no older than what was read of it last, behind_seconds ago. NEVER where nothing is removed;
    0 where it is gone already.
    """
    sizes = dict(files)
    if reading not in sizes:
        return 0.0
    by_age = max(retention.seconds - behind_seconds, 0.0) if retention.seconds else NEVER
    if not retention.bytes or bytes_per_second <= 0:
        return by_age
    names = [name for name, _ in files]
    unread = sum(sizes[name] for name in names[names.index(reading) :])
    return min(by_age, max(retention.bytes - unread, 0) / bytes_per_second)


def is_near(seconds: float, retention: Retention) -> bool:
    """Whether somebody should look: a quarter of the time is left, or an hour."""
    return seconds < max(retention.seconds / 4, 3600)
