"""What may go: never the entry at the offset, never an unconfirmed row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.streams.log import START, id_pair
from tests.runtime_world import CONSUMER, World, fill
from workers.alerts import ALERTS, Above
from workers.retention import (
    TIGHT_SHARE,
    floor_id,
    prune_outbox,
    refresh_mirrors,
    slowest_offsets,
    trim_streams,
)

IDS = st.tuples(st.integers(0, 2**40), st.integers(0, 999)).map(lambda pair: f"{pair[0]}-{pair[1]}")


@given(offset=IDS, now=st.integers(0, 2**41), retention=st.integers(0, 10**9), tight=st.booleans())
def test_the_floor_is_never_beyond_the_offset(
    offset: str,
    now: int,
    retention: int,
    tight: bool,  # noqa: FBT001 - drawn
) -> None:
    floor = id_pair(floor_id(offset, now, retention, tight=tight))
    assert floor <= id_pair(offset)
    if not tight:
        assert floor[0] <= max(now - retention * 1000, 0) or floor == id_pair(offset)


@given(offset=IDS, now=st.integers(0, 2**41))
def test_a_tight_budget_trims_up_to_the_offset(offset: str, now: int) -> None:
    assert id_pair(floor_id(offset, now, 10**6, tight=True)) == id_pair(offset)


def test_nothing_goes_before_the_first_read() -> None:
    assert floor_id(START, 10**12, 0, tight=True) == START


def stand_at(world: World, entry_id: str, consumer: str = CONSUMER) -> None:
    cursor = world.connection.cursor()
    cursor.execute(OFFSETS_SQL["ensure"], (consumer, "orders", 0))
    cursor.execute(
        "UPDATE fleet_offsets SET last_id = %s, entries_read = 3 WHERE consumer = %s",
        (entry_id, consumer),
    )
    world.connection.commit()


def ids(world: World) -> list[str]:
    found: Any = world.redis.xrange(world.key(0))
    return [entry_id.decode() for entry_id, _ in found]


def trim(world: World, *, retention: int = 3600, used: int = 0, budget: int | None = None) -> int:
    return trim_streams(
        world.redis,
        world.connection,
        world.settings.prefix,
        ["orders"],
        retention_seconds=retention,
        used_bytes=used,
        budget_bytes=budget,
    )


@pytest.fixture
def filled(world: World) -> World:
    """Five old entries 1-1 … 5-1 and a young one."""
    world.partitions = 1
    for number in range(1, 6):
        world.add_at(f"{number}-1", 7, fill(7, number))
    world.add(7, fill(7, 6))
    return world


@pytest.mark.database
def test_old_entries_go_up_to_the_offset_and_the_one_at_it_stays(filled: World) -> None:
    stand_at(filled, "3-1")
    assert trim(filled) == 2
    assert ids(filled)[:3] == ["3-1", "4-1", "5-1"]
    assert trim(filled) == 0


@pytest.mark.database
def test_consumed_entries_younger_than_the_retention_stay(filled: World) -> None:
    young = ids(filled)[-1]
    stand_at(filled, young)
    assert trim(filled) == 5
    assert ids(filled) == [young]
    later = filled.add(7, fill(7, 7))
    stand_at(filled, later)
    assert trim(filled) == 0
    assert trim(filled, used=59, budget=100) == 0
    assert trim(filled, used=60, budget=100) == 1
    assert ids(filled) == [later]


@pytest.mark.database
def test_the_slowest_consumer_decides(filled: World) -> None:
    stand_at(filled, "4-1")
    stand_at(filled, "10-1", consumer="audit")
    assert slowest_offsets(filled.connection, ["orders"]) == {("orders", 0): "4-1"}
    assert trim(filled, used=100, budget=100) == 3
    assert ids(filled)[0] == "4-1"


@pytest.mark.database
def test_only_confirmed_rows_older_than_the_retention_are_pruned(world: World) -> None:
    for trade in range(6):
        world.record(7, fill(7, trade))
    world.run(
        "UPDATE fleet_outbox SET state = 2, confirmed_at = UTC_TIMESTAMP(6) - INTERVAL 9 SECOND"
        " ORDER BY id LIMIT 4"
    )
    world.run("UPDATE fleet_outbox SET confirmed_at = UTC_TIMESTAMP(6) ORDER BY id LIMIT 1")
    assert prune_outbox(world.connection, 5) == 3
    assert prune_outbox(world.connection, 5) == 0
    states = [row[0] for row in world.rows("SELECT state FROM fleet_outbox ORDER BY id")]
    assert states == [2, 0, 0]


@pytest.mark.database
def test_mirrors_show_standard_tools_the_offset_and_the_lag(filled: World) -> None:
    stand_at(filled, "3-1")
    for _ in range(2):
        prefix = filled.settings.prefix
        assert refresh_mirrors(filled.redis, filled.connection, prefix, CONSUMER) == 1
        groups: Any = filled.redis.xinfo_groups(filled.key(0))
        (group,) = groups
        assert (group["name"], group["last-delivered-id"]) == (b"ledger", b"3-1")
        assert (group["entries-read"], group["lag"]) == (3, 3)


def test_what_is_read_is_trimmed_well_before_the_alarm() -> None:
    alarm = ALERTS["FleetRedisBudget"].when
    assert isinstance(alarm, Above)
    assert alarm.limit - 0.1 >= TIGHT_SHARE / 100
