"""The number of partitions: fixed at the first start, published for Laravel, never changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import MovedError

from shared.errors import SettingsError
from shared.queries import load

SQL = load(Path(__file__).with_name("partitions.sql"))

NAME = "partitions"
"""Of the setting in MySQL, and of its copy for producers: `{prefix}fleet:partitions`."""
_NUMBER = re.compile(rb":([0-9]{1,9})\}$")


def settle_partitions(connection: Any, redis: Redis, prefix: str, configured: int) -> int:
    """The number in force. The first start stores it; any other number afterwards is refused.

    Redis only carries a copy at `{prefix}fleet:partitions` for producers; it is written again when
    Redis lost it.
    """
    cursor = connection.cursor()
    cursor.execute(SQL["settle"], (str(configured),))
    cursor.execute(SQL["settled"])
    stored = int(cursor.fetchone()[0])
    connection.commit()
    if stored != configured:
        raise SettingsError(
            f"FLEET_PARTITIONS is {configured}, but the streams were made with {stored}: "
            f"set FLEET_PARTITIONS={stored}"
        )
    key = f"{prefix}fleet:{NAME}"
    try:
        published: Any = redis.get(key)
    except MovedError:
        raise SettingsError(
            "the streams' Redis is a cluster: write FLEET_STREAMS_REDIS_URL=redis+cluster://host:"
            "6379,host:6379 or, where it is Laravel's own, FLEET_REDIS_CLUSTER=1"
        ) from None
    if published is None:
        redis.set(key, stored)
    elif published != str(stored).encode():
        raise SettingsError(
            f"{key} in Redis says {published!r}, fleet_settings says {stored}: producers would "
            f"write to the wrong streams; find out who wrote it, then SET {key} {stored}"
        )
    for found in redis.scan_iter(match=f"{_escaped(prefix)}streams:{{*:*}}", count=1000):
        number = _NUMBER.search(found)
        if number and int(number[1]) >= stored:
            raise SettingsError(
                f"{found.decode(errors='replace')} is a stream beyond the {stored} partitions: a "
                f"producer counts differently; let it read {key}, send again, then DEL the stream"
            )
    return stored


def _escaped(prefix: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix)
