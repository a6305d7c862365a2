"""Composition: settings become readers, relays and connections. Nothing else decides what runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import MySQLdb
import psycopg
from redis import Redis

from shared import telemetry
from shared.errors import Unavailable
from shared.laravel.dispatch import Pusher
from shared.masking import Mask
from shared.mysql import facts
from shared.mysql.connection import connect, transaction
from shared.settings import Settings
from shared.streams.assignment import PartitionId
from shared.streams.connection import control_client, data_client
from shared.streams.decode import routes
from shared.timescale import editions
from shared.timescale.connection import classify as timescale_classify
from shared.timescale.connection import connect as timescale
from workers import (
    attribution,
    day_close,
    equity,
    equity_copy,
    identities,
    observed_retention,
    reconcile,
    restatements,
    retention,
)
from workers.batch import Decoding
from workers.batch_report import BatchReport
from workers.collector import calm_collector
from workers.consumer import StreamReader, node_name
from workers.dispatch_relay import DispatchRelay
from workers.drain import Gate, never
from workers.equity_copy import CopyStatus
from workers.lane import Bounds, Tools
from workers.laravel.status import collect_laravel
from workers.links import Links
from workers.memory import budget_bytes, streams_bytes
from workers.outbox_relay import Relay, RelayTools
from workers.partitions import settle_partitions
from workers.quality import run as quality
from workers.registry import EVENTS, STREAMS, UPCASTERS, EventType
from workers.roles import settings_or_end
from workers.status import Status, collect

CONSUMER = "ledger"
BOUNDS = Bounds()
LANES = 2
"""Threads of a stream node: one waits for MySQL while the other decodes and folds."""
HISTORY_STATEMENT_MS = 600_000
"""Dropping old history; the first time it may be much."""


def all_partitions(partitions: int) -> list[PartitionId]:
    """Every partition of every stream."""
    return [PartitionId(stream, number) for stream in STREAMS for number in range(partitions)]


def build_reader(
    settings: Settings,
    node: str,
    report: Callable[[BatchReport], None],
    *,
    table: Mapping[str, EventType] = EVENTS,
    bounds: Bounds = BOUNDS,
    lanes: int = LANES,
    resting: Callable[[], bool] = never,
) -> StreamReader:
    """The stream reader of one node. node: a stable name; each start adds its own mark. resting:
    own nothing for now (workers/drain.py).
    """
    calm_collector()
    connect_mysql = partial(connect, settings.mysql)
    connection = connect_mysql()
    redis = control_client(settings.streams_redis, name="fleet-streams")
    partitions = settle_partitions(connection, redis, settings.prefix, settings.partitions)
    connection.close()
    redis.close()
    tools = Tools(
        connect_mysql=connect_mysql,
        connect_redis=partial(
            data_client, settings.streams_redis, "fleet-streams", block_ms=bounds.block_ms
        ),
        prefix=settings.prefix,
        consumer=CONSUMER,
        node=node_name(node),
        decoding=Decoding(routes(table, UPCASTERS), partitions),
        table=table,
        report=report,
        log=telemetry.log("fleet.streams").info,
        bounds=bounds,
        resting=resting,
    )
    return StreamReader(tools, all_partitions(partitions), lanes=lanes)


def build_relay(gate: Gate) -> tuple[Relay, DispatchRelay, Settings]:
    """Both loops of the relay's process, from the environment."""
    settings = settings_or_end("relay")
    telemetry.start(
        Mask.of(settings),
        role="relay",
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
    )
    resting = gate.is_closed
    return relay_of(settings, resting), dispatch_relay_of(settings, resting), settings


def dispatch_relay_of(
    settings: Settings, resting: Callable[[], bool] = never
) -> DispatchRelay:
    """The loop that pushes jobs to Laravel's queues."""
    links = Links(
        partial(connect, settings.mysql),
        partial(data_client, settings.redis, "fleet-dispatches"),
    )
    make_pusher = partial(
        Pusher,
        prefix=settings.prefix,
        connection=settings.laravel_connection,
        horizon="" if settings.horizon == "off" else settings.horizon_prefix,
    )
    return DispatchRelay(links, make_pusher, telemetry.log("fleet.dispatches").info, resting)


def relay_of(settings: Settings, resting: Callable[[], bool] = never) -> Relay:
    """A relay from settings."""
    connect_mysql = partial(connect, settings.mysql)
    connect_redis = partial(control_client, settings.streams_redis, name="fleet-relay")
    connection, redis = connect_mysql(), connect_redis()
    partitions = settle_partitions(connection, redis, settings.prefix, settings.partitions)
    connection.close()
    redis.close()
    return Relay(
        RelayTools(
            connect_mysql=connect_mysql,
            connect_redis=connect_redis,
            prefix=settings.prefix,
            consumer=CONSUMER,
            streams=STREAMS,
            partitions=partitions,
            budget_bytes=partial(budget_bytes, settings),
            log=telemetry.log("fleet.relay").info,
            resting=resting,
        )
    )


@contextmanager
def servers(settings: Settings, name: str) -> Iterator[tuple[Any, Redis]]:
    """One connection to each, for a short piece of work."""
    connection = connect(settings.mysql)
    redis = control_client(settings.streams_redis, name)
    try:
        yield connection, redis
    finally:
        redis.close()
        with suppress(MySQLdb.Error):
            connection.close()


def collect_status(settings: Settings) -> Status:
    """The whole picture, for the command line, metrics and the demo."""
    with servers(settings, "fleet-status") as (connection, redis):
        with closing(control_client(settings.redis, "fleet-status")) as laravels:
            queues = (*settings.queues, settings.events_queue)
            laravel = collect_laravel(connection, laravels, settings.prefix, queues)
        return collect(
            connection,
            redis,
            settings.prefix,
            STREAMS,
            settings.partitions,
            budget_bytes=budget_bytes(settings, redis),
            laravel=laravel,
            equity_copy=equity_copy_status(settings, connection),
        )


def trim_streams(settings: Settings) -> int:
    """Scheduled: see workers/retention.py."""
    with servers(settings, "fleet-trim") as (connection, redis):
        return retention.trim_streams(
            redis,
            connection,
            settings.prefix,
            STREAMS,
            retention_seconds=int(settings.stream_retention.total_seconds()),
            used_bytes=streams_bytes(redis, settings.prefix, STREAMS, settings.partitions),
            budget_bytes=budget_bytes(settings, redis),
        )


def prune_outbox(settings: Settings) -> int:
    """Scheduled: see workers/retention.py."""
    with servers(settings, "fleet-prune") as (connection, _):
        return retention.prune_outbox(connection, int(settings.stream_retention.total_seconds()))


def prune_laravel(settings: Settings) -> int:
    """Scheduled: see workers/retention.py."""
    with servers(settings, "fleet-prune") as (connection, _):
        return retention.prune_laravel(connection)


def close_day(settings: Settings) -> int:
    """Scheduled: see workers/day_close.py."""
    with servers(settings, "fleet-day") as (connection, redis):
        return day_close.close_day(connection, redis, settings, datetime.now(UTC))


def announce_restatements(settings: Settings) -> int:
    """Scheduled: see workers/restatements.py."""
    with closing(connect(settings.mysql)) as connection:
        return restatements.announce(connection, settings)


def note_owners(settings: Settings) -> int:
    """Scheduled: see shared/mysql/facts.py."""
    with closing(connect(settings.mysql)) as connection, transaction(connection):
        return facts.note_owners(connection, datetime.now(UTC))


def attribute(settings: Settings) -> int:
    """Scheduled: see workers/attribution.py."""
    with closing(connect(settings.mysql)) as connection:
        return attribution.attribute(connection)


def check_identities(settings: Settings) -> int:
    """Scheduled: see workers/identities.py."""
    with closing(connect(settings.mysql)) as connection:
        return identities.check_identities(connection)


def check_quality(settings: Settings) -> int:
    """Scheduled: see workers/quality."""
    with closing(connect(settings.mysql)) as connection:
        return quality.look_and_store(settings, connection, datetime.now(UTC))


def reconcile_waiting(settings: Settings) -> int:
    """Scheduled: see workers/reconcile.py."""
    ends = time.monotonic() + reconcile.RUN_SECONDS
    with closing(connect(settings.mysql)) as connection:
        done = reconcile.reconcile_waiting(connection, settings, lambda: time.monotonic() > ends)
    return done.accounts


def snapshot_equity(settings: Settings) -> int:
    """Scheduled: see workers/equity.py."""
    ends = time.monotonic() + equity.RUN_SECONDS
    with closing(connect(settings.mysql)) as connection:
        now = datetime.now(UTC)
        return equity.snapshot_equity(connection, now, lambda: time.monotonic() > ends)


def copy_equity(settings: Settings) -> int:
    """Scheduled: see workers/equity_copy.py. Nothing where no TimescaleDB is set."""
    if settings.timescale_url is None:
        return 0
    ends = time.monotonic() + equity_copy.RUN_SECONDS
    with closing(connect(settings.mysql)) as connection, closing(timescale(settings)) as sink:
        return equity_copy.copy_equity(connection, sink, lambda: time.monotonic() > ends)


def keep_history(settings: Settings) -> int:
    """Scheduled: see shared/timescale/editions.py. Nothing where no TimescaleDB is set."""
    if settings.timescale_url is None:
        return 0
    with closing(timescale(settings, statement_ms=HISTORY_STATEMENT_MS)) as sink:
        try:
            return editions.keep(sink, settings.history_of)
        except psycopg.Error as error:
            raise timescale_classify(error) or error from error


def equity_copy_status(settings: Settings, connection: Any) -> CopyStatus:
    """Whether equity is copied to TimescaleDB, and how much waits."""
    if settings.timescale_url is None:
        return CopyStatus("off")
    try:
        with closing(timescale(settings)) as sink:
            return CopyStatus("on", equity_copy.waiting(connection, sink))
    except Unavailable as error:
        return CopyStatus("away", error=str(error))


def thin_observed(settings: Settings) -> int:
    """Scheduled: see workers/observed_retention.py."""
    ends = time.monotonic() + observed_retention.RUN_SECONDS
    with closing(connect(settings.mysql)) as connection:
        now = datetime.now(UTC)
        return observed_retention.thin_observed(connection, now, lambda: time.monotonic() > ends)


def refresh_mirrors(settings: Settings) -> int:
    """Scheduled: see workers/retention.py."""
    with servers(settings, "fleet-mirror") as (connection, redis):
        return retention.refresh_mirrors(redis, connection, settings.prefix, CONSUMER)
