"""What the exporter reads, a row for each piece that can be read while the others cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from redis import Redis

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.timescale.connection import connect as timescale
from workers.alerts import Sample
from workers.exposure import accounts, books, capture, memory, partitions, quality, queues
from workers.exposure.books import READ_SECONDS
from workers.exposure.capture import STATEMENT_MS
from workers.exposure.partitions import NAME
from workers.exposure.samples import Section
from workers.lease import broker_redis

MYSQL, REDIS, STREAMS_REDIS, BROKER = "mysql", "redis", "streams_redis", "broker"
AUDIT, TIMESCALE = "audit", "timescale"


def sections(settings: Settings) -> dict[str, Section]:
    """By name. Queues and schedules remember when they were first looked at."""
    at = _Servers(settings)
    found = {
        "parked": Section((MYSQL,), books.parked),
        "outbox": Section((MYSQL,), books.outbox),
        "books": Section((MYSQL,), books.books),
        "dispatches": Section((MYSQL,), books.dispatches),
        "partitions": Section((MYSQL, at.streams), partitions.read),
        "memory": Section((at.streams,), memory.read),
        "freshness": Section((MYSQL,), accounts.freshness),
        "user_streams": Section((MYSQL, at.broker), accounts.streams_down),
        "budgets": Section((at.broker,), accounts.budgets),
        "laravel": Section((MYSQL, REDIS), queues.laravel),
        "failed_jobs": Section((MYSQL,), queues.failed_jobs),
        "oldest_jobs": Section((REDIS,), queues.Oldest().read),
        "schedules": Section((at.broker,), queues.Schedules(time.time()).read),
        "change_stream": Section((at.streams,), capture.stream),
        "change_source": Section((MYSQL,), capture.source),
        "change_tables": Section((MYSQL, at.streams), capture.tables),
        "audit": Section((at.audit,), capture.audit),
        "quality": Section((MYSQL,), quality.read),
    }
    if settings.timescale_url is not None:
        found["history"] = Section((TIMESCALE,), capture.history)
        found["equity"] = Section((MYSQL, TIMESCALE), capture.equity)
    return found


def pings(settings: Settings) -> dict[str, Section]:
    """One for each server. Those that are one and the same have one name."""
    at = _Servers(settings)
    asked: dict[str, Callable[[Settings], Iterator[Sample]]] = {
        MYSQL: partial(_mysql, settings.mysql),
        at.audit: partial(_mysql, settings.audit),
        REDIS: partial(_redis, partial(control_client, settings.redis, NAME)),
        at.streams: partial(_redis, partial(control_client, settings.streams_redis, NAME)),
        at.broker: partial(_redis, partial(broker_redis, settings)),
    }
    if settings.timescale_url is not None:
        asked[TIMESCALE] = _timescale
    return {name: Section((name,), ask) for name, ask in asked.items()}


class _Servers:
    """Names of what may be a server of its own, or one of the others."""

    def __init__(self, settings: Settings) -> None:
        laravels = settings.redis.server
        self.streams = REDIS if settings.streams_redis.server == laravels else STREAMS_REDIS
        known = {laravels: REDIS, settings.streams_redis.server: self.streams}
        self.broker = known.get(settings.broker.server, BROKER)
        self.audit = MYSQL if settings.audit.server == settings.mysql.server else AUDIT


def _mysql(where: MySQLSettings, _: Settings) -> Iterator[Sample]:
    with closing(connect(where, read_seconds=READ_SECONDS)) as connection:
        connection.cursor().execute("SELECT 1")
    yield from ()


def _redis(make: Callable[[], Redis], _: Settings) -> Iterator[Sample]:
    with closing(make()) as redis:
        redis.ping()
    yield from ()


def _timescale(settings: Settings) -> Iterator[Sample]:
    with closing(timescale(settings, statement_ms=STATEMENT_MS)) as connection:
        connection.execute("SELECT 1")
    yield from ()
