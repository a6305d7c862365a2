"""Metrics of the whole fleet, from MySQL and Redis: `python -m workers.metrics`. Run one.

Alerts belong on these, not on Flower: they count what is committed, whoever runs.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import MySQLdb
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import FleetError
from shared.masking import Mask
from shared.settings import Settings
from workers import http
from workers.config import QUEUES
from workers.equity_copy import CopyStatus
from workers.laravel_status import LaravelStatus
from workers.lease import broker_redis, last_success_key
from workers.roles import load_settings
from workers.scheduled.table import SCHEDULED
from workers.sync.status import Group as SyncGroup

EVERY_SECONDS = 5.0
# A collection that hangs longer than this (timeouts included) is not alive.
LIVE_SECONDS = 120.0
_VARYING_GAUGES = (
    "fleet_lag_events", "fleet_lag_seconds", "fleet_partition_epoch", "fleet_partition_owned",
    "fleet_partition_parked", "fleet_partition_halted", "fleet_breaks_open",
    "fleet_exchange_accounts", "fleet_sync_failing", "fleet_sync_overdue_seconds",
    "fleet_sync_oldest_seconds",
)  # fmt: skip
_log = telemetry.log(__name__)


class Status(Protocol):
    """What `workers.status.collect` returns, as far as it becomes a metric."""

    @property
    def partitions(self) -> Any: ...
    @property
    def outbox_waiting(self) -> int: ...
    @property
    def outbox_unconfirmed(self) -> int: ...
    @property
    def oldest_outbox_seconds(self) -> float: ...
    @property
    def redis_used_bytes(self) -> int: ...
    @property
    def redis_budget_bytes(self) -> int | None: ...
    @property
    def laravel(self) -> LaravelStatus: ...
    @property
    def identity_breaks(self) -> int: ...
    @property
    def breaks_by_kind(self) -> Mapping[str, int]: ...
    @property
    def equity_copy(self) -> CopyStatus: ...
    @property
    def syncs(self) -> Sequence[SyncGroup]: ...


def expose(status: Status, meter: telemetry.Meter) -> None:
    """A status as gauges. Partitions and kinds that are gone disappear."""
    for name in _VARYING_GAUGES:
        meter.clear(name)
    for row in status.partitions:
        labels = {"consumer": row.consumer, "stream": row.stream, "partition": row.partition}
        meter.gauge("fleet_lag_events", row.lag_events, **labels)
        meter.gauge("fleet_lag_seconds", row.lag_seconds, **labels)
        meter.gauge("fleet_partition_epoch", row.epoch, **labels)
        meter.gauge("fleet_partition_owned", 1 if row.owner else 0, **labels)
        meter.gauge("fleet_partition_parked", row.parked, **labels)
        meter.gauge("fleet_partition_halted", 1 if row.halted_reason else 0, **labels)
    meter.gauge("fleet_outbox_waiting", status.outbox_waiting)
    meter.gauge("fleet_outbox_unconfirmed", status.outbox_unconfirmed)
    meter.gauge("fleet_outbox_oldest_seconds", status.oldest_outbox_seconds)
    meter.gauge("fleet_identity_breaks", status.identity_breaks)
    for kind, count in status.breaks_by_kind.items():
        meter.gauge("fleet_breaks_open", count, kind=kind)
    for group in status.syncs:
        of = {"venue": group.venue, "egress": group.egress, "tier": group.tier}
        meter.gauge("fleet_exchange_accounts", group.accounts, state=group.state, **of)
        if group.state == "active":
            meter.gauge("fleet_sync_failing", group.failing, **of)
            meter.gauge("fleet_sync_overdue_seconds", group.late_seconds, **of)
            meter.gauge("fleet_sync_oldest_seconds", group.stale_seconds, **of)
    waiting = status.equity_copy.waiting
    meter.gauge("fleet_equity_copy_waiting", math.nan if waiting is None else waiting)
    meter.gauge("fleet_redis_used_bytes", status.redis_used_bytes)
    if status.redis_budget_bytes is not None:
        meter.gauge("fleet_redis_budget_bytes", status.redis_budget_bytes)
    laravel = status.laravel
    for queue in laravel.queues:
        for state in ("ready", "delayed", "reserved"):
            value = getattr(queue, state)
            meter.gauge("fleet_laravel_queue_jobs", value, queue=queue.queue, state=state)
    meter.gauge("fleet_laravel_quarantined", laravel.quarantined)
    meter.gauge("fleet_dispatches_waiting", laravel.dispatches_waiting)
    meter.gauge("fleet_dispatches_oldest_seconds", laravel.oldest_dispatch_seconds)


def expose_broker(settings: Settings, meter: telemetry.Meter, now: float) -> None:
    """Queue depths with what is unacknowledged, and each schedule's age. now: since 1970."""
    redis: Any = broker_redis(settings)
    try:
        for queue in QUEUES:
            meter.gauge("fleet_queue_depth", redis.llen(f"{settings.broker_prefix}{queue}"),
                        queue=queue)  # fmt: skip
        # One hash for all queues of a database; lengths alone would miss what was delivered.
        meter.gauge("fleet_queue_depth", redis.hlen(f"{settings.broker_prefix}unacked"),
                    queue="unacked")  # fmt: skip
        for task in SCHEDULED:
            at = redis.hget(last_success_key(settings), task)
            if at is not None:
                meter.gauge("fleet_schedule_age_seconds", max(now - int(at), 0), task=task)
    finally:
        redis.close()


class Exporter:
    """Collects every EVERY_SECONDS until stop(); a failure shows as a metric and is tried again."""

    def __init__(self, settings: Settings, collect: Callable[[Settings], Status]) -> None:
        self._settings = settings
        self._collect = collect
        self._stopping = threading.Event()
        self.collected = False
        self.turned_at = time.monotonic()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.turn()
            self._stopping.wait(EVERY_SECONDS)

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        return time.monotonic() - self.turned_at < LIVE_SECONDS

    def turn(self) -> None:
        meter = telemetry.meter()
        self.turned_at = started = time.monotonic()
        try:
            expose(self._collect(self._settings), meter)
            expose_broker(self._settings, meter, time.time())
        except (FleetError, RedisError, MySQLdb.Error, OSError) as error:
            # Old figures would look like good news: they go, and alerts on absence fire.
            for name in _VARYING_GAUGES:
                meter.clear(name)
            meter.gauge("fleet_collect_success", 0)
            _log.warning("collect_failed", error=str(error))
        else:
            self.collected = True
            meter.gauge("fleet_collect_success", 1)
        meter.gauge("fleet_collect_seconds", time.monotonic() - started)


def main() -> int:
    from workers.build import collect_status  # noqa: PLC0415 - opens drivers

    settings = load_settings("metrics")
    telemetry.start(
        Mask.of(settings),
        role="metrics",
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
    )
    exporter = Exporter(settings, collect_status)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    http.serve(
        settings.metrics_port, http.Probes("metrics", exporter.alive, lambda: exporter.collected)
    )
    exporter.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
