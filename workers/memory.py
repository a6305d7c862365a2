"""Memory of our streams in Redis, against the budget that Laravel's Redis allows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from shared.cdc.keys import cdc_keys
from shared.settings import Settings
from shared.streams.keys import stream_key


def streams_bytes(redis: Redis, prefix: str, streams: Sequence[str], partitions: int) -> int:
    """Memory of all partition streams and of the change stream, as Redis estimates it."""
    pipe = redis.pipeline(transaction=False)
    pipe.memory_usage(cdc_keys(prefix).stream)
    for stream in streams:
        for number in range(partitions):
            pipe.memory_usage(stream_key(prefix, stream, number))
    return sum(size or 0 for size in pipe.execute())


def budget_bytes(settings: Settings, redis: Redis) -> int | None:
    """What our streams may use, from FLEET_REDIS_BUDGET and the server's maxmemory."""
    memory: Any = redis.info("memory")
    return settings.redis_budget.limit(int(memory["maxmemory"]))
