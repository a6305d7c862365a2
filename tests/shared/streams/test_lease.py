"""What the contract suite (tests/contracts) cannot show: the relation of the times, and expiry."""

from __future__ import annotations

from typing import Any

from shared.streams.assignment import PartitionId
from shared.streams.lease import BEAT_SECONDS, LEASE_MS, Leases
from tests.waiting import eventually

ONE = PartitionId("orders", 1)


def test_a_node_may_miss_several_heartbeats_before_it_is_replaced() -> None:
    assert LEASE_MS / 1000 >= 5 * BEAT_SECONDS
    assert BEAT_SECONDS < 0.5  # a handover is seen within a second


def test_a_lease_that_is_not_renewed_runs_out(redis_root: Any, redis_prefix: str) -> None:
    mine, yours = (Leases(redis_root, redis_prefix, "ledger", node) for node in ("me", "you"))
    assert mine.acquire(ONE)
    redis_root.pexpire(mine.key(ONE), 30)
    eventually(lambda: yours.acquire(ONE))
    assert mine.renew([ONE]) == {ONE}


def test_two_consumers_lease_the_same_partition_independently(
    redis_root: Any, redis_prefix: str
) -> None:
    assert Leases(redis_root, redis_prefix, "ledger", "me").acquire(ONE)
    assert Leases(redis_root, redis_prefix, "audit", "you").acquire(ONE)
