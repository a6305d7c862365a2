from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared import telemetry
from shared.errors import Unavailable
from shared.settings import Settings
from shared.telemetry import Meter
from tests.workers.fleet_env import Surroundings, surroundings
from workers.equity_copy import CopyStatus
from workers.laravel_status import LaravelStatus, QueueStatus
from workers.lease import run_once
from workers.metrics import Exporter, expose, expose_broker
from workers.status import PartitionStatus, Status


def status(*partitions: int, halted: str | None = None) -> Status:
    rows = [
        PartitionStatus("ledger", "orders", number, "node", 3, "5-0", 7, 1.5, 2, halted)
        for number in partitions
    ]
    return Status(
        partitions=rows, parked_by_reason={}, outbox_waiting=4, outbox_unconfirmed=5,
        oldest_outbox_seconds=6.5, restating_positions=0, redis_used_bytes=100,
        redis_budget_bytes=None,
        laravel=LaravelStatus([QueueStatus("fleet", 3, 2, 1, 0)], 4, 5, 6.5),
        identity_breaks=2, breaks_by_kind={"identity": 2, "cash_conflict": 1},
        equity_copy=CopyStatus("on", 9),
    )  # fmt: skip


def value(meter: Meter, name: str, **labels: str) -> float | None:
    return meter.registry.get_sample_value(name, labels)


PARTITION = {"consumer": "ledger", "stream": "orders", "partition": "1"}


@pytest.fixture
def around() -> Iterator[Surroundings]:
    with surroundings() as found:
        yield found


def test_a_status_becomes_gauges() -> None:
    meter = Meter()
    expose(status(0, 1, halted="too many parked"), meter)
    assert value(meter, "fleet_lag_events", **PARTITION) == 7
    assert value(meter, "fleet_lag_seconds", **PARTITION) == 1.5
    assert value(meter, "fleet_partition_owned", **PARTITION) == 1
    assert value(meter, "fleet_partition_halted", **PARTITION) == 1
    assert value(meter, "fleet_outbox_waiting") == 4
    assert value(meter, "fleet_identity_breaks") == 2
    assert value(meter, "fleet_breaks_open", kind="cash_conflict") == 1
    assert value(meter, "fleet_equity_copy_waiting") == 9
    assert value(meter, "fleet_laravel_queue_jobs", queue="fleet", state="delayed") == 2
    assert value(meter, "fleet_laravel_quarantined") == 4
    assert value(meter, "fleet_dispatches_oldest_seconds") == 6.5


def test_a_partition_that_is_gone_disappears() -> None:
    meter = Meter()
    expose(status(0, 1), meter)
    expose(status(0), meter)
    assert value(meter, "fleet_lag_events", **PARTITION) is None


def test_what_nobody_knows_is_no_number() -> None:
    meter = Meter()
    expose(status(), meter)
    expose(replace(status(), equity_copy=CopyStatus("away", error="?"), breaks_by_kind={}), meter)
    assert math.isnan(value(meter, "fleet_equity_copy_waiting") or 0)
    assert value(meter, "fleet_breaks_open", kind="cash_conflict") is None


def test_queues_and_the_age_of_schedules_are_shown(around: Surroundings) -> None:
    prefix = around.settings.broker_prefix
    with around.redis() as redis:
        redis.lpush(f"{prefix}fleet.jobs", "one", "two")
        redis.hset(f"{prefix}unacked", "tag", "three")
        run_once(around.settings, "fleet.trim_streams", lambda: 0)
        meter = Meter()
        expose_broker(around.settings, meter, now=4_000_000_000)
    assert value(meter, "fleet_queue_depth", queue="fleet.jobs") == 2
    assert value(meter, "fleet_queue_depth", queue="unacked") == 1
    age = value(meter, "fleet_schedule_age_seconds", task="fleet.trim_streams")
    assert age is not None
    assert age > 1_000_000


def test_a_failed_collection_shows_no_old_figures(around: Surroundings) -> None:
    answers: Iterator[Status | Exception] = iter(
        [status(1), Unavailable("MySQL is away"), status(1)]
    )

    def collect(_: Settings) -> Status:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    exporter = Exporter(around.settings, collect)
    meter = telemetry.meter()
    seen = []
    for _ in range(3):
        exporter.turn()
        lag = value(meter, "fleet_lag_events", **PARTITION)
        seen.append((value(meter, "fleet_collect_success"), lag))
    assert seen == [(1, 7), (0, None), (1, 7)]
    assert exporter.alive()
