"""What the exporter tells, as its own role, from servers that hold something of everything."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.cdc.checkpoint import Stopped, stopped_bytes
from shared.cdc.log import ChangeLog
from shared.laravel.reservations import queue_keys
from shared.metrics import FLEET
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.capture_kept import Kept
from tests.runtime_world import World
from tests.timescale_world import Timescale
from tests.waiting import eventually
from workers.alerts import Sample, problems
from workers.cdc.heartbeat import SQL as HEARTBEAT
from workers.cdc.heartbeat import mark_of
from workers.cdc.status import behind_seconds
from workers.exposure.exporter import Exporter
from workers.exposure.queues import Oldest, Schedules, pushed_at
from workers.exposure.samples import Told
from workers.lease import broker_redis, run_once
from workers.quality.run import look_and_store
from workers.userstreams.leases import nodes_key

pytestmark = pytest.mark.database

QUEUE = "fleet"


@pytest.fixture
def kept(
    world: World, settings_for: Callable[..., Settings], redis_root: Any, timescale: Timescale
) -> Kept:
    return Kept(settings_for, world.connection, redis_root, timescale)


def figures(samples: tuple[Sample, ...]) -> dict[tuple[str, ...], float]:
    """By metric and the values of its labels."""
    return {(one.metric, *one.labels.values()): one.value for one in samples}


ROWS = (
    """INSERT INTO fleet_parked
      (stream, partition_no, entry_id, event_key, type, event_id, fields, data, reason, error)
      VALUES ('orders', 1, '1-1', '7', 't', 'e', '{}', '', 'malformed', '')""",
    """INSERT INTO fleet_breaks (kind, account_id, identity, details)
      VALUES ('identity', 7, 'a', '{}'), ('balance_diverged', 7, 'b', '{}')""",
    "INSERT INTO fleet_account_state (account_id, incomplete) VALUES (7, 1), (8, 0)",
    """INSERT INTO fleet_sync_accounts
      (account_id, venue, product, egress, tier, since_ms, ran_at)
      VALUES (7, 'binance', 'linear', 'default', 'active', 1,
        UTC_TIMESTAMP(6) - INTERVAL 300 SECOND)""",
    "INSERT INTO fleet_stream_gaps (account_id, cause, from_ms) VALUES (7, 'silent', 1)",
    "INSERT INTO fleet_cdc_shapes (table_name, seq, stopped) VALUES ('orders', 1, 'narrowed')",
)


def of_everything(world: World, kept: Kept, laravel: str) -> None:
    """Rows and keys of each kind that a metric counts."""
    for statement in ROWS:
        world.run(statement)
    world.run(
        f"INSERT INTO `{laravel}`.failed_jobs"  # noqa: S608 - our own name
        " (uuid, connection, queue, payload, exception) VALUES ('u', 'redis', %s, '', '')",
        QUEUE,
    )
    world.run(HEARTBEAT["beat"], mark_of(1.5, 7200.0))
    kept.commit(1, 2)
    kept.catch_up()
    why = Stopped("purged", "it is gone", "fleet cdc restart", 1)
    kept.stream.redis.hset(kept.stream.keys.checkpoint, "stopped", stopped_bytes(why))


def test_every_metric_of_the_fleet_is_told_and_nothing_else(world: World, kept: Kept) -> None:
    settings = kept.settings("metrics", FLEET_PARTITIONS="2")
    of_everything(world, kept, settings.mysql.laravel_database)
    jobs = kept.settings("jobs")
    with closing(connect(jobs.mysql)) as connection:
        look_and_store(jobs, connection, kept.now())
    run_once(jobs, "fleet.trim_streams", lambda: 0)
    exporter = Exporter(settings)
    samples = exporter.turn()
    registry = CollectorRegistry()
    registry.register(Told(lambda: samples))
    text = generate_latest(registry).decode()
    told = {
        sample.name: tuple(sorted(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert told == {name: tuple(sorted(row.labels)) for name, row in FLEET.items()}
    assert exporter.collected
    found = figures(samples)
    assert found["fleet_collect_success",] == 1
    assert {one: found["fleet_server_up", one] for one in ("mysql", "redis", "timescale")} == {
        "mysql": 1, "redis": 1, "timescale": 1,
    }  # fmt: skip
    assert found["fleet_parked_open", "orders", "malformed"] == 1
    assert found["fleet_identity_breaks",] == found["fleet_unreconciled_accounts",] == 1
    assert found["fleet_breaks_open", "balance_diverged"] == 1
    assert found["fleet_accounts_incomplete",] == 1
    assert found["fleet_partition_owned", "ledger", "orders", "0"] == 0
    assert found["fleet_streams_down", "binance"] == 1
    assert found["fleet_laravel_failed_jobs", QUEUE] == 1
    assert found["fleet_cdc_stopped", "purged"] == found["fleet_cdc_tables_stopped",] == 1
    assert found["fleet_cdc_seq",] == found["fleet_cdc_sink_seq", "timescale"] == 2
    assert found["fleet_cdc_sink_lag_events", "audit"] == 0
    assert found["fleet_cdc_sink_lag_seconds", "audit"] == 0
    assert found["fleet_cdc_lag_seconds",] == pytest.approx(1.5, abs=3)
    assert found["fleet_cdc_purge_seconds",] == pytest.approx(7200, abs=5)
    assert found["fleet_quality_met", "identities_hold", "accuracy"] == 0
    assert found["fleet_quality", "books_complete", "completeness"] == 0.5
    named = {problem.name for problem in problems(samples)}
    assert named >= {
        "FleetBooksBroken", "FleetEventsParked", "FleetCaptureStopped", "FleetPartitionUnowned",
        "FleetStreamsDown", "FleetTablesStopped", "FleetLaravelJobsFailing",
    }  # fmt: skip


def test_a_partition_is_owned_while_a_living_node_has_it(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    exporter = Exporter(settings_for("metrics", FLEET_PARTITIONS=str(world.partitions)))
    owned = ("fleet_partition_owned", "ledger", "orders", "1")
    with world.reading() as reader:
        eventually(reader.ready)
        assert figures(exporter.turn())[owned] == 1
    # As after a SIGKILL and the lease's five seconds: nobody said goodbye.
    world.run("UPDATE fleet_offsets SET owner = 'a node that was killed'")
    assert figures(exporter.turn())[owned] == 0


def test_without_timescale_its_figures_are_left_out(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for("metrics").model_copy(update={"timescale_url": None})
    found = figures(Exporter(settings).turn())
    assert found["fleet_collect_success",] == 1
    assert ("fleet_server_up", "timescale") not in found
    assert ("fleet_equity_copy_waiting",) not in found


def test_a_budget_without_a_limit_is_no_alarm(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for("metrics", FLEET_REDIS_BUDGET="100%")
    found = figures(Exporter(settings).turn())
    budget = found["fleet_redis_budget_bytes",]
    assert found["fleet_redis_budget_used_ratio",] < 0.7
    assert math.isinf(budget) or budget == found["fleet_redis_server_max_bytes",]


def test_user_streams_are_down_where_no_node_lives(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    world.run(
        "INSERT INTO fleet_sync_accounts (account_id, venue, product, egress, since_ms) VALUES"
        " (1, 'okx', 'linear', 'default', 1), (2, 'okx', 'linear', 'default', 1),"
        " (3, 'okx', 'linear', 'default', NULL)"
    )
    world.run("INSERT INTO fleet_stream_gaps (account_id, cause, from_ms) VALUES (2, 'silent', 1)")
    settings = settings_for("metrics")
    key, down = nodes_key(settings.broker_prefix), ("fleet_streams_down", "okx")
    exporter = Exporter(settings)
    with closing(broker_redis(settings_for("userstreams"))) as redis:
        redis.zadd(key, {"node": (time.time() + 60) * 1000})
        assert figures(exporter.turn())[down] == 1
        redis.zadd(key, {"node": (time.time() - 1) * 1000})
        assert figures(exporter.turn())[down] == 2


def test_a_job_waits_since_it_was_pushed_or_since_it_was_seen_first(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    settings, redis, oldest = settings_for("metrics"), world.redis, Oldest()
    keys = queue_keys(settings.prefix, QUEUE)

    def waits() -> float:
        (one,) = oldest.read(settings)
        return one.value

    assert waits() == 0
    redis.rpush(keys.ready, '{"id": "plain"}')
    assert waits() < 1
    redis.lpush(keys.ready, f'{{"pushedAt": "{time.time() - 50}", "attempts": 0}}')  # Horizon's
    assert waits() == pytest.approx(50, abs=2)
    redis.delete(keys.ready)
    redis.rpush(keys.ready, f'{{"pushedAt": "{time.time() - 50}", "attempts": 1}}')  # tried again
    assert waits() < 1
    redis.zadd(keys.delayed, {"due": time.time() - 40, "later": time.time() + 40})
    assert waits() == pytest.approx(40, abs=2)
    redis.zadd(keys.reserved, {"nobody ended it": time.time() - 70})
    assert waits() == pytest.approx(70, abs=2)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"\xff", b'{"pushedAt": "x"}', b'{"attempts": []}']
)
def test_what_is_no_payload_was_pushed_when_it_was_seen(payload: bytes) -> None:
    assert pushed_at(payload, 5.0) == 5.0


def test_a_task_is_late_beyond_its_interval_unless_somebody_is_at_it(
    settings_for: Callable[..., Settings],
) -> None:
    jobs, settings = settings_for("jobs"), settings_for("metrics")
    task, never = "fleet.note_owners", "fleet.prune_outbox"
    schedules = Schedules(time.time() - 400)

    def late() -> dict[str, float]:
        found = schedules.read(settings)
        return {
            one.labels["task"]: one.value
            for one in found if one.metric == "fleet_schedule_overdue_seconds"
        }  # fmt: skip

    run_once(jobs, task, lambda: 0)
    assert late()[task] == 0
    assert late()[never] == pytest.approx(100, abs=2)
    seen: list[float] = []

    def at_it() -> int:
        seen.append(late()[never])
        return 0

    run_once(jobs, never, at_it)
    assert seen == [0]
    assert late()[never] == 0


@pytest.mark.usefixtures("world")
def test_a_sink_is_as_late_as_the_oldest_change_that_it_lacks(kept: Kept) -> None:
    kept.commit(1)
    kept.catch_up()
    kept.commit(2)
    waits_since = kept.now().timestamp()
    kept.commit(3)
    found = figures(Exporter(kept.settings("metrics")).turn())
    for sink in ("audit", "timescale"):
        told = found["fleet_cdc_sink_lag_seconds", sink]
        assert told == pytest.approx(time.time() - waits_since, abs=2)
        assert found["fleet_cdc_sink_lag_events", sink] == 2


@pytest.mark.usefixtures("world")
def test_a_sink_before_an_entry_that_nobody_can_read_is_endlessly_behind(kept: Kept) -> None:
    kept.commit(1)
    kept.catch_up()
    last = kept.stream.made[-1]
    kept.stream.redis.xadd(kept.stream.keys.stream, {"x": "y"}, id=f"{last.seq + 1}-0")
    found = figures(Exporter(kept.settings("metrics")).turn())
    assert found["fleet_cdc_sink_lag_seconds", "audit"] == math.inf
    assert found["fleet_collect_success",] == 1
    stream = ChangeLog(kept.stream.redis, kept.settings("metrics").prefix)
    offset = stream.reports()["audit"].offset
    assert offset is not None
    assert behind_seconds(stream, offset, 0) is None


def test_what_cannot_be_read_hides_nothing_else(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for("metrics")
    exporter = Exporter(settings)
    assert ("fleet_dispatches_waiting",) in figures(exporter.turn())
    world.run("RENAME TABLE fleet_dispatches TO fleet_dispatches_away")
    try:
        found = figures(exporter.turn())
    finally:
        world.run("RENAME TABLE fleet_dispatches_away TO fleet_dispatches")
    assert found["fleet_collect_success",] == 0
    assert ("fleet_dispatches_waiting",) not in found
    assert found["fleet_outbox_waiting",] == found["fleet_identity_breaks",] == 0
