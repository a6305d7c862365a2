"""The keeper: who should own what, and what was lost. Fakes for Redis: it asks four questions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from shared.streams.assignment import PartitionId
from tests.waiting import eventually
from workers.ownership import Keeper

PARTITIONS = [PartitionId("orders", number) for number in range(4)]


class FakeLeases:
    """Members and leases as plain values."""

    def __init__(self) -> None:
        self.members = ["me"]
        self.lost: set[PartitionId] = set()
        self.renewed: set[PartitionId] = set()
        self.fails: BaseException | None = None
        self.left = 0

    def announce(self) -> list[str]:
        if self.fails is not None:
            raise self.fails
        return self.members

    def leave(self) -> None:
        self.left += 1

    def renew(self, partitions: Iterable[PartitionId]) -> set[PartitionId]:
        self.renewed = set(partitions)
        return self.lost & self.renewed


def keeper_of(leases: Any, logs: list[str]) -> Keeper:
    return Keeper(leases, "me", PARTITIONS, lambda event, **_: logs.append(event))


def test_a_lone_node_should_own_everything_after_its_first_heartbeat() -> None:
    keeper = keeper_of(FakeLeases(), [])
    assert keeper.wanted == frozenset()
    keeper._beat()
    assert keeper.wanted == frozenset(PARTITIONS)
    assert keeper.beats == 1


def test_who_retires_is_no_member_and_still_renews_what_is_held() -> None:
    leases = FakeLeases()
    keeper = keeper_of(leases, [])
    keeper.hold(PARTITIONS[0])
    leases.fails = AssertionError("a retired node announced itself")
    keeper.retire()
    keeper._beat()
    assert leases.left == 1
    assert leases.renewed == {PARTITIONS[0]}


def test_with_another_node_only_its_share() -> None:
    leases = FakeLeases()
    keeper = keeper_of(leases, [])
    leases.members = ["me", "you"]
    keeper._beat()
    assert len(keeper.wanted) == 2


def test_it_renews_what_is_held_and_says_what_was_lost() -> None:
    leases = FakeLeases()
    keeper = keeper_of(leases, [])
    keeper.hold(PARTITIONS[0])
    keeper.hold(PARTITIONS[1])
    leases.lost = {PARTITIONS[1], PARTITIONS[2]}
    keeper._beat()
    assert leases.renewed == {PARTITIONS[0], PARTITIONS[1]}
    assert [keeper.lost(one) for one in PARTITIONS] == [False, True, False, False]
    keeper.drop(PARTITIONS[1])
    assert not keeper.lost(PARTITIONS[1])
    keeper._beat()
    assert leases.renewed == {PARTITIONS[0]}


def test_taking_a_partition_again_forgets_that_it_was_lost() -> None:
    leases = FakeLeases()
    keeper = keeper_of(leases, [])
    keeper.hold(PARTITIONS[0])
    leases.lost = {PARTITIONS[0]}
    keeper._beat()
    keeper.hold(PARTITIONS[0])
    assert not keeper.lost(PARTITIONS[0])


def test_while_redis_is_away_it_goes_on_and_keeps_what_it_knew() -> None:
    leases, logs = FakeLeases(), list[str]()
    keeper = keeper_of(leases, logs)
    keeper._beat()
    leases.fails = RedisConnectionError("away")
    keeper.start()
    eventually(lambda: "heartbeat_failed" in logs)
    assert keeper.is_alive()
    assert keeper.wanted == frozenset(PARTITIONS)
    keeper.stop()
    keeper.join(5)
    assert keeper.failure is None


def test_any_other_failure_is_handed_to_the_reader() -> None:
    leases = FakeLeases()
    leases.fails = RuntimeError("a bug")
    keeper = keeper_of(leases, [])
    keeper.start()
    keeper.join(5)
    assert keeper.failure is leases.fails
