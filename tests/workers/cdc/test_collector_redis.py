"""The collector while its Redis refuses, is another one, or holds something else: it waits, loudly,
and then each transaction is there once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from redis import Redis

from tests.collector_world import CollectorWorld, seqs
from tests.own_redis import OwnRedis, own_redis
from tests.waiting import eventually
from workers.cdc.collector import Collector

Cure = Callable[[], object]


@pytest.fixture
def own(servers: Mapping[str, str]) -> Iterator[OwnRedis]:
    with own_redis(servers) as found:
        yield found


@pytest.fixture
def world(own: OwnRedis) -> Iterator[CollectorWorld]:
    clients: list[Redis] = []

    def connect() -> Redis:
        clients.append(own.client())
        return clients[-1]

    found = CollectorWorld(connect, "x:")
    found.new_sinks()
    yield found
    for client in clients:
        client.close()


def say(redis: Redis, *words: str) -> Any:
    command: Any = redis.execute_command
    return command(*words)


def full(own: OwnRedis, _: Redis) -> Cure:
    own.fill_up()
    return own.make_room


def read_only(_: OwnRedis, client: Redis) -> Cure:
    say(client, "REPLICAOF", "127.0.0.1", "1")
    return lambda: say(client, "REPLICAOF", "NO", "ONE")


def too_few_replicas(_: OwnRedis, client: Redis) -> Cure:
    client.config_set("min-replicas-to-write", 1)
    return lambda: client.config_set("min-replicas-to-write", 0)


def without_a_grant(_: OwnRedis, client: Redis) -> Cure:
    say(client, "ACL", "SETUSER", "default", "-xadd")
    return lambda: say(client, "ACL", "SETUSER", "default", "+xadd")


def waits(collector: Collector) -> bool:
    return not collector.ready()


@pytest.mark.parametrize("disturb", [full, read_only, too_few_replicas, without_a_grant])
def test_a_refusal_is_no_success_and_nothing_is_lost(
    own: OwnRedis, world: CollectorWorld, disturb: Callable[[OwnRedis, Redis], Cure]
) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
        cure = disturb(own, world.stream.redis)
        world.source.many(3)
        world.source.many(1, rows=1_200)
        eventually(lambda: waits(collector))
        assert seqs(world.chunks()) == [1, 2, 3, 4]
        cure()
        world.until_caught_up()
        eventually(collector.ready)

    assert seqs(world.chunks()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {chunk.epoch for chunk in world.chunks()} == {1}


def test_another_redis_without_anything_gets_what_the_sinks_do_not_have(
    own: OwnRedis, world: CollectorWorld
) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        world.source.many(5)
        world.until_caught_up()
        had = world.chunks()[3]
        own.stop()
        world.source.many(2)
        eventually(lambda: waits(collector))
        own.start()
        eventually(lambda: collector.state == "waiting")
        world.has("audit", had)
        world.until_caught_up()

    assert seqs(world.chunks()) == [5, 6, 7, 8]
    assert {chunk.epoch for chunk in world.chunks()} == {1}


@pytest.mark.parametrize("key", ["stream", "checkpoint"])
def test_a_key_of_another_type_stops_it_until_it_is_gone(
    world: CollectorWorld, key: str
) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        world.source.many(2)
        world.until_caught_up()
        world.has("audit", world.chunks()[0])
        name = getattr(world.stream.keys, key)
        world.stream.redis.delete(name)
        world.stream.redis.set(name, "somebody's")
        world.source.many(2)
        eventually(lambda: collector.state == "stopped")
        assert collector.words["reason"] == "redis_wrong_type"
        assert world.stream.redis.get(name) == b"somebody's"
        world.stream.redis.delete(name)
        eventually(lambda: seqs(world.chunks()) == [2, 3, 4, 5])
        eventually(collector.ready)
