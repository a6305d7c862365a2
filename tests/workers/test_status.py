"""Figures an operator relies on: lag is exact, also after a trim; unread is never no lag."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.runtime_world import World, fill
from tests.waiting import eventually
from workers.status import PartitionStatus, Status, collect

pytestmark = pytest.mark.database


def look(world: World) -> Status:
    return collect(
        world.connection,
        world.redis,
        world.settings.prefix,
        world.streams,
        world.partitions,
        budget_bytes=1000,
    )


def of(found: Status, number: int) -> PartitionStatus:
    rows = [one for one in found.partitions if one.partition == number]
    assert len(rows) == 1
    return rows[0]


def test_lag_is_exact_before_after_and_beyond_a_trim(world: World) -> None:
    number = world.partition(7)
    with world.reading():
        ids = world.add_fills(7, [1, 2, 3])
        eventually(lambda: of(look(world), number).offset == ids[-1])
        assert of(look(world), number).owner is not None
        assert (of(look(world), number).lag_events, of(look(world), number).lag_seconds) == (0, 0)
    world.add_fills(7, [4, 5])
    assert of(look(world), number).lag_events == 2
    world.redis.xtrim(world.key(number), minid=ids[-1], approximate=False)
    assert of(look(world), number).lag_events == 2
    with world.reading():
        eventually(lambda: of(look(world), number).lag_events == 0)
    assert of(look(world), number).owner is None


def test_lag_in_seconds_is_the_age_of_the_oldest_unread_entry(world: World) -> None:
    with world.reading() as reader:
        eventually(reader.ready)
    seconds, _ = world.redis.time()
    world.add_at(f"{int(seconds) * 1000 - 90_000}-0", 7, fill(7, 1))
    world.add(7, fill(7, 2))
    row = of(look(world), world.partition(7))
    assert row.lag_events == 2
    assert 89 <= row.lag_seconds < 100


def test_an_unread_entry_is_never_no_lag_whatever_the_counters_say(world: World) -> None:
    with world.reading() as reader:
        eventually(reader.ready)
    world.run("UPDATE fleet_offsets SET entries_read = 1000")
    world.add(7, fill(7, 1))
    found = look(world)
    assert of(found, world.partition(7)).lag_events == 1
    assert found.lag_events == 1


def test_parked_halted_and_outbox_show(world: World) -> None:
    number = world.partition(7)
    world.add(7, "{")
    with world.reading():
        eventually(lambda: look(world).parked_by_reason == {"invalid_json": 1})
    world.run("UPDATE fleet_offsets SET halted_reason = 'why' WHERE partition_no = %s", number)
    for trade in range(3):
        world.record(7, fill(7, trade))
    world.run("UPDATE fleet_outbox SET state = 1 ORDER BY id LIMIT 1")
    world.run("UPDATE fleet_outbox SET created_at = UTC_TIMESTAMP(6) - INTERVAL 5 SECOND")
    found = look(world)
    assert (of(found, number).parked, of(found, number).halted_reason) == (1, "why")
    assert (found.outbox_waiting, found.outbox_unconfirmed) == (2, 1)
    assert 5 <= found.oldest_outbox_seconds < 60
    assert found.redis_used_bytes > 0
    assert found.redis_budget_bytes == 1000


def test_it_is_plain_json(world: World) -> None:
    with world.reading() as reader:
        eventually(reader.ready)
    told: Any = json.loads(json.dumps(look(world).as_dict()))
    assert {row["partition"] for row in told["partitions"]} == {0, 1, 2, 3}
    assert told["partitions"][0]["offset"] == "0-0"
