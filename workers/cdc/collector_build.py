"""Composition of a collector, from settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import NamedTuple

from redis import Redis

from shared import telemetry
from shared.cdc.declarations import declarations
from shared.cdc.keys import cdc_keys
from shared.cdc.log import ChangeLog
from shared.cdc.rows import Shapes
from shared.cdc.source import Source
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.settings_cdc import server_id_of
from shared.streams.connection import control_client, data_client
from workers.cdc.collector import Collector
from workers.cdc.heartbeat import CollectorLease, Heartbeat
from workers.cdc.ports import Bounds, Tools
from workers.cdc.sinks import configured
from workers.cdc.snapshot import Snapshots
from workers.cdc.source_facts import examine
from workers.cdc.standings import Standings
from workers.cdc.tables import select
from workers.consumer import node_name
from workers.drain import never
from workers.memory import WHOLE, budget_bytes, streams_bytes
from workers.registry import STREAMS

NAME = "fleet-collector"
SHARE = 2
"""Of the streams' budget the change stream takes one in so many; the others have the rest."""
UNLIMITED_BYTES = 512 * 1024 * 1024
"""Where Redis has no limit: the log at the source is the buffer, not the machine's memory."""


class CollectorProcess(NamedTuple):
    """What runs beside one another: each has run() and stop()."""

    collector: Collector
    lease: CollectorLease
    heartbeat: Heartbeat


def limit_bytes(settings: Settings, redis: Redis) -> int:
    """What the change stream may take: its share, or less where events took more of theirs."""
    budget = budget_bytes(settings, redis)
    if budget is None:
        return UNLIMITED_BYTES
    stream = cdc_keys(settings.prefix).stream
    own = int(redis.memory_usage(stream, samples=WHOLE) or 0)
    others = streams_bytes(
        redis, settings.prefix, STREAMS, settings.partitions, beside=stream
    ) - own  # fmt: skip
    return min(budget // SHARE, max(budget - others, 0))


def collector_of(
    settings: Settings,
    node: str,
    bounds: Bounds | None = None,
    make_stream: Callable[[Redis, str], ChangeLog] = ChangeLog,
    resting: Callable[[], bool] = never,
) -> CollectorProcess:
    """node: a stable name; each start adds its own mark. Asks MySQL what is captured. resting:
    read nothing for now (workers/drain.py): it stands by, whoever has the lease.
    """
    log = telemetry.log("fleet.collector").info
    connect_mysql = partial(connect, settings.mysql)
    with closing(connect_mysql()) as connection:
        selection = select(settings, connection)
    lease = CollectorLease(
        partial(control_client, settings.streams_redis, NAME), settings.prefix, node_name(node)
    )
    source = Source(
        settings.mysql,
        Shapes(selection, declarations(connect_mysql), mariadb=False),
        server_id=settings.cdc_server_id or server_id_of(settings.prefix),
        name=settings.prefix,
        spill=settings.cdc_spill,
    )
    tools = Tools(
        connect=lambda: make_stream(data_client(settings.streams_redis, NAME), settings.prefix),
        source=source,
        examine=partial(examine, settings, connect_mysql),
        snapshots=Snapshots(partial(connect, settings.mysql, raw=True), selection, log),
        standings=Standings(connect_mysql),
        sinks=configured(settings),
        selection=selection.fingerprint,
        limit_bytes=lambda stream: limit_bytes(settings, stream.redis),
        owned=lambda: lease.owned() and not resting(),
        now_us=lambda: time.time_ns() // 1000,
        log=log,
        bounds=bounds or Bounds(),
    )
    collector = Collector(tools)
    heartbeat = Heartbeat(connect_mysql, lease.owned, collector.reading, log)
    return CollectorProcess(collector, lease, heartbeat)
