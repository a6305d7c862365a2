"""Partitions of the event streams: offsets in MySQL against what Redis holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers import status
from workers.alerts import Sample
from workers.exposure.books import READ_SECONDS
from workers.exposure.samples import tell
from workers.registry import STREAMS

CONSUMER = "ledger"
NAME = "fleet-metrics"


def read(settings: Settings) -> Iterator[Sample]:
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        cursor = connection.cursor()
        cursor.execute(status.SQL["partitions"])
        rows = list(cursor.fetchall())
        connection.commit()
    rows += _never_owned(settings, rows)
    with closing(control_client(settings.streams_redis, NAME)) as redis:
        found = status.partition_status(redis, settings.prefix, rows)
    for one in found:
        of = {"consumer": one.consumer, "stream": one.stream, "partition": one.partition}
        yield tell("fleet_lag_events", one.lag_events, **of)
        yield tell("fleet_lag_seconds", one.lag_seconds, **of)
        yield tell("fleet_partition_epoch", one.epoch, **of)
        yield tell("fleet_partition_owned", one.leased, **of)
        yield tell("fleet_partition_parked", one.parked, **of)
        yield tell("fleet_partition_halted", one.halted_reason is not None, **of)


def _never_owned(settings: Settings, rows: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Those that no node ever had are no better than those that lost theirs."""
    known = {(stream, int(number)) for consumer, stream, number, *_ in rows if consumer == CONSUMER}
    for stream in STREAMS:
        for number in range(settings.partitions):
            if (stream, number) not in known:
                yield (CONSUMER, stream, number, None, 0, "0-0", 0, None, 0)
