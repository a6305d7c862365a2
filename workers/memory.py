"""Memory of our streams in Redis, against the budget that Laravel's Redis allows them.

In a cluster each node has its own memory, and its own share of the streams: both figures are those
of one node, the fullest of ours against the smallest budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from shared.cdc.keys import cdc_keys
from shared.redis_cluster import ClusterClient, masters
from shared.settings import Settings
from shared.streams.keys import stream_key

WHOLE = 0
"""Redis looks at every part of a stream, not at the first five: a stream of small events with large
ones behind them was found a seventh of its size. A million entries take it 6 ms.
"""


def streams_bytes(
    redis: Redis, prefix: str, streams: Sequence[str], partitions: int, *, beside: str | None = None
) -> int:
    """Memory of all partition streams and of the change stream, as Redis counts it.

    beside: of a cluster, those on the node of this key, instead of the fullest.
    """
    keys = [cdc_keys(prefix).stream]
    keys += [stream_key(prefix, name, number) for name in streams for number in range(partitions)]
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=WHOLE)
    sizes = [int(size or 0) for size in pipe.execute()]
    if not isinstance(redis, ClusterClient):
        return sum(sizes)
    nodes = redis.by_node(keys)
    if beside is not None:
        return sum(sizes[place] for place in nodes.get(str(redis.node(beside).name), ()))
    return max(sum(sizes[place] for place in places) for places in nodes.values())


def budget_bytes(settings: Settings, redis: Redis) -> int | None:
    """What our streams may use, from FLEET_REDIS_BUDGET and the server's maxmemory."""
    budget = settings.redis_budget
    nodes = masters(redis)
    memories: list[Any] = [node.info("memory") for node in nodes]
    limits = [budget.limit(int(one["maxmemory"])) for one in memories]
    found = [limit for limit in limits if limit is not None]
    if not found:
        return None
    # Bytes are written for all of it, a share is of each.
    return min(found) // (1 if budget.bytes is None else len(nodes))
