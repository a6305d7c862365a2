"""The Redis of the streams: what we use of it, and whether it keeps what it is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from shared.redis_cluster import masters
from shared.settings import Settings
from shared.streams.connection import control_client
from workers.alerts import Sample
from workers.exposure.partitions import NAME
from workers.exposure.samples import tell
from workers.memory import budget_bytes, streams_bytes
from workers.registry import STREAMS


def read(settings: Settings) -> Iterator[Sample]:
    with closing(control_client(settings.streams_redis, NAME)) as redis:
        used = streams_bytes(redis, settings.prefix, STREAMS, settings.partitions)
        budget = budget_bytes(settings, redis)
        nodes = masters(redis)
        memories: list[Any] = [node.info("memory") for node in nodes]
        persistences: list[Any] = [node.info("persistence") for node in nodes]
    server_used, server_max = max(map(_server, memories), key=lambda pair: pair[0] / pair[1])
    yield tell("fleet_redis_used_bytes", used)
    yield tell("fleet_redis_budget_bytes", math.inf if budget is None else budget)
    yield tell("fleet_redis_budget_used_ratio", used / budget if budget else 0)
    # Of a cluster: the node that is nearest to its limit, and whether all of them keep it.
    yield tell("fleet_redis_server_used_bytes", server_used)
    yield tell("fleet_redis_server_max_bytes", server_max)
    yield tell("fleet_redis_durable", all(map(durable, persistences)))


def _server(memory: Mapping[str, Any]) -> tuple[int, float]:
    return int(memory["used_memory"]), int(memory["maxmemory"]) or math.inf


def durable(persistence: Mapping[str, Any]) -> bool:
    """Whether what it was asked to keep is kept. What it was not asked for `fleet doctor` says."""
    if persistence.get("rdb_last_bgsave_status", "ok") != "ok":
        return False
    aof = bool(int(persistence.get("aof_enabled", 0)))
    return not aof or all(
        persistence.get(name, "ok") == "ok"
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status")
    )
