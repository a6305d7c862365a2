"""The number of partitions never changes by itself, and every copy of it agrees or is refused."""

from __future__ import annotations

import pytest

from shared.errors import SettingsError
from shared.streams.assignment import PartitionId
from shared.streams.lease import Leases
from tests.runtime_world import CONSUMER, World, fill
from workers.partitions import settle_partitions

pytestmark = pytest.mark.database


def settle(world: World, configured: int) -> int:
    return settle_partitions(world.connection, world.redis, world.settings.prefix, configured)


def published(world: World) -> object:
    return world.redis.get(f"{world.settings.prefix}fleet:partitions")


def test_the_first_start_stores_and_publishes_the_number(world: World) -> None:
    assert settle(world, 4) == 4
    assert world.one("SELECT value FROM fleet_settings WHERE name = 'partitions'") == "4"
    assert published(world) == b"4"
    assert settle(world, 4) == 4


def test_another_number_is_refused_with_the_line_that_cures_it(world: World) -> None:
    settle(world, 4)
    with pytest.raises(SettingsError, match="set FLEET_PARTITIONS=4"):
        settle(world, 8)
    assert published(world) == b"4"


def test_a_copy_that_redis_lost_is_written_again(world: World) -> None:
    settle(world, 4)
    world.redis.delete(f"{world.settings.prefix}fleet:partitions")
    settle(world, 4)
    assert published(world) == b"4"


@pytest.mark.parametrize("foreign", ["8", "many", "04"])
def test_a_copy_that_says_otherwise_is_refused(world: World, foreign: str) -> None:
    settle(world, 4)
    world.redis.set(f"{world.settings.prefix}fleet:partitions", foreign)
    with pytest.raises(SettingsError, match=f"says b'{foreign}', fleet_settings says 4"):
        settle(world, 4)


@pytest.mark.parametrize("number", [4, 5, 31])
def test_a_stream_beyond_the_number_is_refused(world: World, number: int) -> None:
    settle(world, 4)
    world.add(7, fill(7, 1), partition=3)
    leases = Leases(world.redis, world.settings.prefix, CONSUMER, "n")
    leases.acquire(PartitionId("orders", number))  # no stream, only beside one
    assert settle(world, 4) == 4
    world.add(7, fill(7, 1), partition=number)
    with pytest.raises(SettingsError, match="beyond the 4 partitions"):
        settle(world, 4)
