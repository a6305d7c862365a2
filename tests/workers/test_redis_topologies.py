"""The streams on a Redis Cluster and behind Sentinel: nothing is lost, and nothing is booked twice.

Every role works with its own user and exactly the rights that `fleet doctor --grants` prints.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from shared.endpoints import RedisSettings
from shared.redis_clients import client
from shared.settings import Settings
from tests.capture_world import Capture
from tests.redis_topologies import (
    OwnCluster,
    OwnSentinels,
    Server,
    lose_tail,
    own_cluster,
    own_sentinels,
)
from tests.runtime_world import PARTITIONS, World, fill, running
from tests.timescale_world import Timescale
from tests.waiting import eventually
from workers.build import relay_of
from workers.exposure import memory
from workers.grants import PASSWORD, grants
from workers.outbox_relay import Relay, RelayBounds

pytestmark = pytest.mark.any_database

ACCOUNTS = range(1, 13)
WORD = "a word/of:its@own"
QUICK = RelayBounds(idle_seconds=0.005, pause_seconds_most=0.05, generation_seconds=0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnCluster]:
    with own_cluster(replicas=True) as found:
        yield found


class Flow:
    """A relay, a node and the test itself on one Redis; `world.logs` has what all of them say."""

    def __init__(
        self, world: World, settings_for: Callable[..., Settings], where: RedisSettings
    ) -> None:
        self.settings_for = settings_for
        self.where = where
        self.world = replace(
            world,
            settings=self.of("streams"),
            redis=client(where, "test", 5.0),
            logs=world.logs,
        )
        self.world.streams = ("orders", "signals")

    def of(self, role: str, **more: str) -> Settings:
        """Settings of a role, with its own user where the Redis has users."""
        return self.settings_for(role, FLEET_PARTITIONS=str(PARTITIONS), **more)

    @contextmanager
    def flowing(self) -> Iterator[Relay]:
        relay = relay_of(self.of("relay"))
        relay._tools = replace(
            relay._tools,
            log=lambda event, **words: self.world.logs.append((event, words)),
            bounds=QUICK,
        )
        with running(relay), self.world.reading(lanes=2):
            yield relay

    def record(self, first: int, count: int = 5) -> None:
        """Outbox rows of every account."""
        for trade in range(first, first + count):
            for account in ACCOUNTS:
                self.world.record(account, fill(account, trade))

    def until_booked(self, trades: int, seconds: float = 20) -> None:
        def booked() -> bool:
            asked = "SELECT COUNT(*), COUNT(DISTINCT account_id) FROM fleet_fills"
            assert self.world.one(asked) == (trades * len(ACCOUNTS), len(ACCOUNTS))
            assert self.world.one("SELECT COUNT(*) FROM fleet_outbox WHERE state <> 2") == 0
            return True

        eventually(booked, seconds)
        volumes = self.world.rows("SELECT DISTINCT qty FROM fleet_positions")
        assert [qty for (qty,) in volumes] == [trades], "a fill was booked twice"


@pytest.fixture(scope="module")
def sentinels() -> Iterator[OwnSentinels]:
    with own_sentinels() as found:
        yield found


def with_users(
    servers: Sequence[Server], settings_for: Callable[..., Settings]
) -> Callable[..., Settings]:
    """Settings of a role, whose user is on these servers, too."""

    def make(role: str, **more: str) -> Settings:
        found = settings_for(role, **more)
        where = found.streams_redis
        user, word = where.username or "", where.password or SecretStr("")
        lines = [row.redis for row in grants(found, lambda _: user) if row.role == role]
        for server, line in lines[0]:
            if server == where.server:
                for one in servers:
                    if one.runs:
                        one.say(*_with_word(line, word.get_secret_value()))
        return found

    return make


def _with_word(line: str, word: str) -> list[str]:
    return [part.replace(PASSWORD, word) for part in shlex.split(line)]


@pytest.fixture
def on_cluster(
    cluster: OwnCluster, world: World, settings_for: Callable[..., Settings], redis_prefix: str
) -> Flow:
    def make(role: str, **more: str) -> Settings:
        login = f"{redis_prefix.rstrip(':')}_{role}:{quote(WORD, safe='')}"
        url = cluster.url.replace("//", f"//{login}@")
        return settings_for(role, FLEET_STREAMS_REDIS_URL=url, **more)

    return Flow(world, with_users(cluster.servers, make), cluster.where)


def test_relay_and_node_work_on_a_cluster(on_cluster: Flow, cluster: OwnCluster) -> None:
    world = on_cluster.world
    nodes = {cluster.master_of(world.key(number)).name for number in range(PARTITIONS)}
    assert len(nodes) > 1, "the partitions stand on several nodes"
    with on_cluster.flowing():
        on_cluster.record(1)
        on_cluster.until_booked(5)
        world.add_fills(1, [6])
        eventually(lambda: "6" in world.trades(1))
    assert not world.logged("redis_lost_data")
    assert not [one for one in world.logged("unavailable") if "Redis" in one["error"]]


def test_a_slot_that_moves_takes_its_stream_along(on_cluster: Flow, cluster: OwnCluster) -> None:
    world = on_cluster.world
    key = world.key(world.partition(1))
    with on_cluster.flowing():
        on_cluster.record(1)
        on_cluster.until_booked(5)
        source = cluster.master_of(key)
        target = cluster.other_than(source)
        cluster.begin_move(key, target)
        on_cluster.record(6)
        on_cluster.until_booked(10)  # half moved: the one says ASK, the other answers
        cluster.end_move(key, source, target)
        on_cluster.record(11)
        on_cluster.until_booked(15)
        cluster.move(key, source)
        on_cluster.record(16)
        on_cluster.until_booked(20)
    assert not world.logged("redis_lost_data")


def test_a_node_that_dies_with_the_newest_entries_loses_nothing_of_the_outbox(
    on_cluster: Flow, cluster: OwnCluster
) -> None:
    world = on_cluster.world
    key = world.key(world.partition(1))
    with on_cluster.flowing():
        on_cluster.record(1)
        on_cluster.until_booked(5)
        master = cluster.master_of(key)

        def write() -> None:
            # Read and booked, then gone from Redis: the offset is beyond what the replica has.
            on_cluster.record(6, 1)
            on_cluster.until_booked(6)

        lose_tail(master, cluster.replica_of(master), write)
        on_cluster.record(7)
        on_cluster.until_booked(11)
        eventually(lambda: world.logged("redis_generation_changed"))
        lost = {one["partition"] for one in world.logged("redis_lost_data")}
        assert world.partition(1) in lost, "the node saw it"
    master.start()
    eventually(lambda: master.say("ROLE")[0] == b"slave")


def test_the_change_stream_lives_on_a_cluster_and_survives_its_node(
    on_cluster: Flow, cluster: OwnCluster, timescale: Timescale
) -> None:
    capture = Capture(on_cluster.of, timescale, "fleet_fills")
    world = on_cluster.world

    def has_all(count: int) -> bool:
        asked = (
            "SELECT COUNT(*), COUNT(DISTINCT seq, row_index) FROM fleet_change_log"
            " WHERE table_name = 'fleet_fills' AND op IN ('c', 's') AND derived = 0"
        )
        assert world.one(asked) == (count, count)
        rows = "SELECT count(*) FROM fleet.row_state WHERE table_name = 'fleet_fills'"
        assert timescale.run(rows) == [(count,)]
        return True

    with on_cluster.flowing(), capture.running() as process:
        on_cluster.record(1)
        on_cluster.until_booked(5)
        eventually(lambda: has_all(5 * len(ACCOUNTS)), 20)
        key = f"{world.settings.prefix}streams:{{cdc:0}}"
        source = cluster.master_of(key)
        target = cluster.other_than(source)
        cluster.move(key, target)
        on_cluster.record(6)
        on_cluster.until_booked(10)
        eventually(lambda: has_all(10 * len(ACCOUNTS)), 20)

        def write() -> None:
            on_cluster.record(11, 1)
            on_cluster.until_booked(11)
            eventually(lambda: has_all(11 * len(ACCOUNTS)), 20)

        master = cluster.master_of(key)
        lose_tail(master, cluster.replica_of(master), write)
        on_cluster.record(12)
        on_cluster.until_booked(16)
        eventually(lambda: has_all(16 * len(ACCOUNTS)), 20)
        assert process.collector.state == "reading"
    master.start()


def test_a_primary_that_fails_over_behind_sentinel_loses_nothing_of_the_outbox(
    sentinels: OwnSentinels, world: World, settings_for: Callable[..., Settings]
) -> None:
    make = with_users(sentinels.data, partial(settings_for, **sentinels.environ()))
    flow = Flow(world, make, sentinels.where)
    with flow.flowing():
        flow.record(1)
        flow.until_booked(5)
        primary = sentinels.primary()

        def write() -> None:
            flow.record(6, 1)
            flow.until_booked(6)

        lose_tail(primary, sentinels.replica_of(primary), write)
        flow.record(7)
        flow.until_booked(11)
        eventually(lambda: flow.world.logged("redis_generation_changed"))
        assert flow.world.logged("redis_lost_data"), "the node saw it"
        assert sentinels.primary() is not primary


def test_memory_is_told_of_the_fullest_node(on_cluster: Flow, cluster: OwnCluster) -> None:
    world = on_cluster.world
    with on_cluster.flowing():
        on_cluster.record(1)
        on_cluster.until_booked(5)
    settings = on_cluster.of("metrics")
    told = {one.metric: one.value for one in memory.read(settings)}
    sizes: dict[str, int] = {}
    for number in range(PARTITIONS):
        key = world.key(number)
        size = cluster.master_of(key).say("MEMORY USAGE", key) or 0
        node = cluster.master_of(key).name
        sizes[node] = sizes.get(node, 0) + int(size)
    assert told["fleet_redis_used_bytes"] == max(sizes.values())
    assert told["fleet_redis_budget_bytes"] == math.inf
    nodes = cluster.primaries()
    try:
        for at, one in enumerate(nodes, 1):
            one.say("CONFIG", "SET", "maxmemory", at * 100_000_000)
        told = {one.metric: one.value for one in memory.read(settings)}
        assert told["fleet_redis_budget_bytes"] == 25_000_000, "a quarter of the smallest"
        assert told["fleet_redis_server_max_bytes"] == 100_000_000
    finally:
        for one in nodes:
            one.say("CONFIG", "SET", "maxmemory", 0)
