"""Change capture: the stream in Redis, what collector and sinks said last, rows they refused."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg

from shared.cdc.checkpoint import Checkpoint
from shared.cdc.log import ChangeLog
from shared.mysql import change_log_offset
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.timescale import offsets
from shared.timescale.connection import classify
from shared.timescale.connection import connect as timescale
from workers import equity_copy
from workers.alerts import Sample
from workers.cdc import heartbeat
from workers.cdc.audit import NAME as AUDIT
from workers.cdc.history import NAME as TIMESCALE
from workers.cdc.sinks import configured
from workers.cdc.standings import stopped_tables
from workers.cdc.status import behind_seconds
from workers.exposure.books import READ_SECONDS
from workers.exposure.partitions import NAME
from workers.exposure.samples import tell

STATEMENT_MS = 5_000


def stream(settings: Settings) -> Iterator[Sample]:
    now_ms = time.time_ns() // 1_000_000
    with closing(control_client(settings.streams_redis, NAME)) as redis:
        log = ChangeLog(redis, settings.prefix)
        found, extent, reports = log.look(), log.extent(), log.reports()
        owner = log.owner()
        waits = {
            sink: behind_seconds(log, report.offset, now_ms)
            for sink, report in reports.items()
            if report.offset is not None
        }
    yield tell("fleet_cdc_owned", owner is not None)
    yield tell("fleet_cdc_stream_entries", extent.length)
    yield tell("fleet_cdc_stream_bytes", extent.bytes)
    if found is not None:
        yield from _checkpoint(found, now_ms)
    for sink in configured(settings):
        report = reports.get(sink)
        if report is None or report.offset is None:
            continue
        yield tell("fleet_cdc_sink_silent_seconds", _age(now_ms, report.at_ms), sink=sink)
        yield tell("fleet_cdc_sink_seq", report.offset.seq, sink=sink)
        if found is not None:
            behind = max(found.place.seq - report.offset.seq, 0)
            yield tell("fleet_cdc_sink_lag_events", behind, sink=sink)
        seconds = waits[sink]
        lag = math.inf if seconds is None else seconds
        yield tell("fleet_cdc_sink_lag_seconds", lag, sink=sink)


def _checkpoint(found: Checkpoint, now_ms: int) -> Iterator[Sample]:
    yield tell("fleet_cdc_seq", found.place.seq)
    yield tell("fleet_cdc_epoch", found.place.epoch)
    yield tell("fleet_cdc_checkpoint_age_seconds", _age(now_ms, found.at_ms))
    if found.stopped:
        yield tell("fleet_cdc_stopped", 1, reason=found.stopped.reason)


def source(settings: Settings) -> Iterator[Sample]:
    """By what the collector wrote into the source: it holds while the collector is gone."""
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        mark = heartbeat.told_by(connection)
    if mark is None:
        return
    yield tell("fleet_cdc_lag_seconds", mark.behind_seconds)
    if mark.purge_seconds is not None:
        left = max(mark.purge_seconds - mark.silent_seconds, 0.0)
        yield tell("fleet_cdc_purge_seconds", left)


def tables(settings: Settings) -> Iterator[Sample]:
    with closing(control_client(settings.streams_redis, NAME)) as redis:
        found = ChangeLog(redis, settings.prefix).look()
    if found is None:
        return
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        stopped = stopped_tables(connection, found.place.seq)
    yield tell("fleet_cdc_tables_stopped", len(stopped))


def audit(settings: Settings) -> Iterator[Sample]:
    with closing(connect(settings.audit, read_seconds=READ_SECONDS)) as connection:
        rows = change_log_offset.quarantine_count(connection)
    yield tell("fleet_cdc_quarantine_rows", rows, sink=AUDIT)


def history(settings: Settings) -> Iterator[Sample]:
    with closing(timescale(settings, statement_ms=STATEMENT_MS)) as connection:
        try:
            row: Any = connection.execute(offsets.SQL["quarantine_count"]).fetchone()
        except psycopg.Error as error:
            raise classify(error) or error from error
    yield tell("fleet_cdc_quarantine_rows", row[0], sink=TIMESCALE)


def equity(settings: Settings) -> Iterator[Sample]:
    with (
        closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection,
        closing(timescale(settings, statement_ms=STATEMENT_MS)) as sink,
    ):
        yield tell("fleet_equity_copy_waiting", equity_copy.waiting(connection, sink))


def _age(now_ms: int, at_ms: int) -> float:
    return max(now_ms - at_ms, 0) / 1000
