"""Leases and reading: one suite for fakeredis and the real server; the fake stays honest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import fakeredis
import pytest
import redis as redis_py
from redis.exceptions import ResponseError

from shared.streams.assignment import PartitionId
from shared.streams.keys import stream_key
from shared.streams.lease import LEASE_MS, Leases
from shared.streams.log import START, Tail, read, tails

ONE, TWO = PartitionId("orders", 1), PartitionId("orders", 2)


@pytest.fixture(params=["fake", "real"])
def redis(request: pytest.FixtureRequest) -> Iterator[redis_py.Redis]:
    if request.param == "fake":
        with closing(fakeredis.FakeRedis(version=(7,))) as client:
            yield client
    else:
        yield request.getfixturevalue("redis_root")


# Leases are scripts, which fakeredis only runs with a Lua of its own; and it has no WRONGTYPE in
# XREAD. What stands here for the real server alone must not be tested on the fake elsewhere.
real_only = pytest.mark.parametrize("redis", ["real"], indirect=True)


@pytest.fixture
def prefix(redis_prefix: str) -> str:
    return redis_prefix


def leases(redis: redis_py.Redis, prefix: str, node: str) -> Leases:
    return Leases(redis, prefix, "ledger", node)


# -- leases ----------------------------------------------------------------------------------------


@real_only
def test_a_lease_has_one_holder_at_a_time(redis: redis_py.Redis, prefix: str) -> None:
    mine, yours = leases(redis, prefix, "me"), leases(redis, prefix, "you")
    assert mine.acquire(ONE)
    assert not yours.acquire(ONE)
    assert yours.acquire(TWO)
    assert mine.acquire(ONE)  # once more is harmless
    ttl: Any = redis.pttl(mine.key(ONE))
    assert 0 < ttl <= LEASE_MS


@real_only
def test_only_the_holder_renews_and_releases(redis: redis_py.Redis, prefix: str) -> None:
    mine, yours = leases(redis, prefix, "me"), leases(redis, prefix, "you")
    mine.acquire(ONE)
    assert yours.renew([ONE, TWO]) == {ONE, TWO}
    yours.release([ONE])
    assert mine.renew([ONE]) == set()
    mine.release([ONE])
    assert mine.renew([ONE]) == {ONE}
    assert yours.acquire(ONE)


@real_only
def test_renewing_extends_a_lease(redis: redis_py.Redis, prefix: str) -> None:
    mine = leases(redis, prefix, "me")
    mine.acquire(ONE)
    redis.pexpire(mine.key(ONE), 500)
    assert mine.renew([ONE]) == set()
    ttl: Any = redis.pttl(mine.key(ONE))
    assert ttl > 500


def test_renewing_nothing_asks_nothing(redis: redis_py.Redis, prefix: str) -> None:
    assert leases(redis, prefix, "me").renew([]) == set()


def test_a_lease_lies_beside_its_stream_in_a_cluster(redis: redis_py.Redis, prefix: str) -> None:
    key = leases(redis, prefix, "me").key(ONE)
    assert key.startswith(stream_key(prefix, "orders", 1))
    assert "{orders:1}" in key


@real_only
def test_members_are_those_who_announced_themselves_lately(
    redis: redis_py.Redis, prefix: str
) -> None:
    mine, yours = leases(redis, prefix, "me"), leases(redis, prefix, "you")
    assert mine.announce() == ["me"]
    assert sorted(yours.announce()) == ["me", "you"]
    yours.leave()
    assert mine.announce() == ["me"]
    redis.zadd(f"{prefix}fleet:members:ledger", {"silent": 1})
    assert mine.announce() == ["me"]


@real_only
def test_members_of_another_consumer_do_not_count(redis: redis_py.Redis, prefix: str) -> None:
    Leases(redis, prefix, "audit", "you").announce()
    assert leases(redis, prefix, "me").announce() == ["me"]


# -- reading ---------------------------------------------------------------------------------------


def key_of(prefix: str, number: int) -> bytes:
    return stream_key(prefix, "orders", number).encode()


def fill_stream(redis: redis_py.Redis, key: bytes, *ids: str) -> None:
    for entry_id in ids:
        redis.xadd(key, {"type": "t", "id": f"e{entry_id}"}, id=entry_id)


def test_reading_goes_on_behind_each_offset(redis: redis_py.Redis, prefix: str) -> None:
    one, two, empty = (key_of(prefix, number) for number in (1, 2, 3))
    fill_stream(redis, one, "1-1", "1-2", "1-3")
    fill_stream(redis, two, "5-9", "5-10")
    found = dict(read(redis, [(one, "1-1"), (two, START), (empty, START)], 10, 0))
    assert [entry.entry_id for entry in found[one]] == ["1-2", "1-3"]
    assert [entry.entry_id for entry in found[two]] == ["5-9", "5-10"]
    assert empty not in found
    assert found[one][0].fields == [b"type", b"t", b"id", b"e1-2"]


def test_count_is_a_bound_per_stream(redis: redis_py.Redis, prefix: str) -> None:
    one, two = key_of(prefix, 1), key_of(prefix, 2)
    fill_stream(redis, one, "1-1", "1-2", "1-3")
    fill_stream(redis, two, "1-1", "1-2", "1-3")
    found = dict(read(redis, [(one, START), (two, "1-2")], 2, 0))
    assert [len(found[one]), len(found[two])] == [2, 1]


def test_nothing_new_is_an_empty_answer_after_the_wait(redis: redis_py.Redis, prefix: str) -> None:
    one = key_of(prefix, 1)
    assert read(redis, [(one, START)], 10, 10) == []
    fill_stream(redis, one, "1-1")
    assert read(redis, [(one, "1-1")], 10, 10) == []


@real_only
def test_an_error_is_raised_and_the_next_answer_is_the_right_one(
    redis: redis_py.Redis, prefix: str
) -> None:
    one = key_of(prefix, 1)
    redis.set(f"{prefix}text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        read(redis, [(f"{prefix}text".encode(), START)], 10, 0)
    fill_stream(redis, one, "1-1")
    assert len(read(redis, [(one, START)], 10, 0)) == 1


# -- what a stream says of itself ------------------------------------------------------------------


def test_the_tail_shows_the_end_and_the_entry_at_the_offset(
    redis: redis_py.Redis, prefix: str
) -> None:
    one, none = key_of(prefix, 1), key_of(prefix, 2)
    fill_stream(redis, one, "1-1", "1-2", "1-3")
    redis.xtrim(one, minid="1-2", approximate=False)
    there, gone, missing = tails(redis, [(one, "1-2"), (one, "1-1"), (none, "9-9")])
    assert there is not None
    assert gone is not None
    assert (there.last_id, there.length) == ("1-3", 2)
    assert there.at_offset is not None
    assert there.at_offset.fields == [b"type", b"t", b"id", b"e1-2"]
    assert gone.at_offset is None
    assert missing == Tail(START, 0, 0, None)


def test_added_entries_are_counted_over_trims(redis: redis_py.Redis, prefix: str) -> None:
    one = key_of(prefix, 1)
    fill_stream(redis, one, "1-1", "1-2", "1-3")
    redis.xtrim(one, minid="1-3", approximate=False)
    (tail,) = tails(redis, [(one, START)])
    assert tail is not None
    assert (tail.length, tail.entries_added) == (1, 3)


def test_a_key_of_another_kind_has_no_tail_and_hides_no_other(
    redis: redis_py.Redis, prefix: str
) -> None:
    one = key_of(prefix, 1)
    fill_stream(redis, one, "1-1")
    redis.set(f"{prefix}text", "x")
    text, stream = tails(redis, [(f"{prefix}text".encode(), "1-1"), (one, "1-1")])
    assert text is None
    assert stream is not None
