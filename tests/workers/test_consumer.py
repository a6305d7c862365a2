"""The reader as a whole: events in, rows out, partitions shared between nodes."""

from __future__ import annotations

import time

import pytest

from shared.streams.assignment import PartitionId
from shared.streams.lease import Leases
from tests.runtime_world import CONSUMER, World, fill, running
from tests.waiting import eventually
from workers.consumer import StreamReader, node_name

pytestmark = pytest.mark.database


def owned(reader: StreamReader) -> list[str]:
    found = reader.info()["owned"]
    assert isinstance(found, list)
    return found


def test_events_become_rows_and_the_offset_moves_with_them(world: World) -> None:
    ids = world.add_fills(7, range(1, 31))
    with world.reading():
        eventually(lambda: len(world.trades(7)) == 30)
        number = world.partition(7)
        eventually(lambda: world.offset(number) == ids[-1])
        assert world.offset(number, "entries_read") == 30
    assert world.one("SELECT qty FROM fleet_positions WHERE account_id = 7") == 30


def test_a_reader_says_what_it_does(world: World) -> None:
    with world.reading(lanes=2) as reader:
        eventually(reader.ready)
        assert reader.alive()
        assert owned(reader) == [f"orders:{number}" for number in range(4)]
        world.add(7, fill(7, 1))
        eventually(lambda: reader.info()["last_id"] != "0-0")
        assert reader.info()["halted"] == []
    report = next(one for one in world.reports if one.error is None)
    assert (report.stream, report.events, report.parked) == ("orders", 1, 0)
    assert report.partitions == (world.partition(7),)


def test_a_stop_hands_every_partition_over_within_a_second(world: World) -> None:
    world.partitions = 8
    with world.reading(node="b") as second:
        with world.reading(node="a") as first:
            eventually(lambda: len(owned(first)) == 4 and len(owned(second)) == 4)
            began = time.monotonic()
        eventually(lambda: len(owned(second)) == 8, 2)
        assert time.monotonic() - began < 1.2  # the first's own stop included
        world.add(7, fill(7, 1))
        eventually(lambda: world.trades(7) == ["1"])
    assert {row[0] for row in world.rows("SELECT owner FROM fleet_offsets")} == {None}
    assert {row[0] for row in world.rows("SELECT crashes FROM fleet_offsets")} == {0}


def test_a_second_node_takes_its_even_share_and_nothing_is_lost_meanwhile(world: World) -> None:
    world.partitions = 8
    accounts = range(1, 25)
    with world.reading(node="a") as first:
        eventually(lambda: len(owned(first)) == 8)
        for account in accounts:
            world.add(account, fill(account, 1))
        with world.reading(node="b") as second:
            for account in accounts:
                world.add(account, fill(account, 2))
            eventually(lambda: (len(owned(first)), len(owned(second))) == (4, 4))
            assert not set(owned(first)) & set(owned(second))
            for account in accounts:
                world.add(account, fill(account, 3))
            eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_fills") == 3 * len(accounts))
    assert world.one("SELECT COUNT(*) FROM fleet_fill_reports") == 3 * len(accounts)


def test_a_node_that_went_without_goodbye_is_replaced(world: World) -> None:
    """Its lease and membership run out, its epoch is overtaken, and the takeover is counted."""
    gone = Leases(world.redis, world.settings.prefix, CONSUMER, "gone/1")
    gone.announce()
    for number in range(world.partitions):
        gone.acquire(PartitionId("orders", number))
        world.redis.pexpire(gone.key(PartitionId("orders", number)), 300)
    with world.reading(node="b") as second:
        eventually(lambda: 0 < len(owned(second)) < 4)  # half of them are the other's, it seems
        world.redis.zadd(f"{world.settings.prefix}fleet:members:{CONSUMER}", {"gone/1": 0})
        eventually(lambda: len(owned(second)) == 4)


def test_stopping_before_anything_began_is_fine(world: World) -> None:
    reader = world.reader()
    reader.stop()
    with running(reader):
        pass
    assert not reader.ready() or not owned(reader)


def test_a_failure_of_a_lane_ends_the_reader_with_it(world: World) -> None:
    def broken() -> object:
        raise RuntimeError("no such driver")

    reader = world.reader(connect_redis=broken)
    with pytest.raises(RuntimeError, match="no such driver"):
        reader.run()


def test_every_start_of_a_node_is_a_new_owner() -> None:
    assert node_name("streams-1@here") != node_name("streams-1@here")
    assert node_name("streams-1@here").startswith("streams-1@here/")
