"""The relay on real servers; a refusing Redis is the real one with some replies replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.mysql.outbox import OutboxRow
from shared.settings import Settings
from shared.streams.connection import control_client
from tests.runtime_world import CONSUMER, World, fill, running
from tests.waiting import eventually
from workers.memory import streams_bytes
from workers.outbox_relay import Relay, RelayBounds, RelayTools, entry_of

BOUNDS = RelayBounds(idle_seconds=0.005, pause_seconds_most=0.05, sweep_age_seconds=0)
database = pytest.mark.database


class Relays:
    """Makes relays that work as the role `relay`, and looks at what they did."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings
        self.made: list[Relay] = []

    def make(self, **more: Any) -> Relay:
        tools = RelayTools(
            connect_mysql=partial(connect, self.settings.mysql),
            connect_redis=partial(control_client, self.settings.streams_redis, "relay"),
            prefix=self.world.settings.prefix,
            consumer=CONSUMER,
            streams=("orders", "signals"),
            partitions=self.world.partitions,
            budget_bytes=lambda _: None,
            log=lambda event, **words: self.world.logs.append((event, words)),
            bounds=BOUNDS,
        )
        self.made.append(Relay(replace(tools, **more)))
        return self.made[-1]

    def states(self) -> list[int]:
        return [row[0] for row in self.world.rows("SELECT state FROM fleet_outbox ORDER BY id")]

    def entries(self, account: int = 7) -> list[dict[bytes, bytes]]:
        found: Any = self.world.redis.xrange(self.world.key(self.world.partition(account)))
        return [fields for _, fields in found]


@pytest.fixture
def relays(world: World, settings_for: Callable[..., Settings]) -> Any:
    found = Relays(world, settings_for("relay"))
    yield found
    for relay in found.made:
        relay._close()


def record(world: World, count: int, account: int = 7, first: int = 1) -> list[int]:
    return [world.record(account, fill(account, first + at)) for at in range(count)]


# -- appending -------------------------------------------------------------------------------------


@database
def test_a_row_is_appended_to_the_partition_of_its_key_and_marked_sent(
    world: World, relays: Relays
) -> None:
    row = world.record(7, fill(7, 1), traceparent="00-ab-cd-01")
    assert relays.make().turn() == 1
    (entry,) = relays.entries()
    assert entry[b"outbox"] == str(row).encode()
    assert (entry[b"key"], entry[b"traceparent"]) == (b"7", b"00-ab-cd-01")
    assert world.one("SELECT state, sends, partition_no FROM fleet_outbox") == (
        1,
        1,
        world.partition(7),
    )
    assert relays.made[0].turn() == 0
    assert relays.made[0].sent == 1


@database
def test_an_uncommitted_row_is_not_sent(world: World, relays: Relays) -> None:
    relay = relays.make()
    world.connection.cursor().execute(
        "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)"
        " VALUES ('orders', 't', '7', 'e', 1, '{}')"
    )
    assert relay.turn() == 0
    world.connection.commit()
    assert relay.turn() == 1


@database
def test_the_sink_confirms_what_it_applied_and_what_it_parked(world: World, relays: Relays) -> None:
    record(world, 3)
    world.record(7, {"nonsense": True})
    with running(relays.make()), world.reading():
        eventually(lambda: relays.states() == [2, 2, 2, 2])
    assert world.trades(7) == ["1", "2", "3"]
    assert [reason for _, reason in world.parked()] == ["missing_field"]


@database
def test_an_entry_of_before_a_restore_does_not_confirm_the_row_that_got_its_id(
    world: World, relays: Relays
) -> None:
    """MySQL went back to yesterday: the outbox gives the same ids again, to other events."""
    row = world.record(7, fill(7, 2))
    world.add(7, fill(7, 1), outbox=str(row))
    with world.reading():
        eventually(lambda: world.trades(7) == ["1"])
        assert relays.states() == [0]
        with running(relays.make()):
            eventually(lambda: world.trades(7) == ["1", "2"])
            eventually(lambda: relays.states() == [2])


@database
def test_two_relays_share_the_rows_and_send_none_twice(world: World, relays: Relays) -> None:
    rows = record(world, 300)
    few = replace(BOUNDS, rows=7, sweep_age_seconds=60)
    with running(relays.make(bounds=few)) as one, running(relays.make(bounds=few)) as other:
        eventually(lambda: one.sent + other.sent == 300)
        assert one.alive()
        assert one.ready()
    sent = [int(entry[b"outbox"]) for entry in relays.entries()]
    assert sorted(sent) == rows
    assert world.one("SELECT MAX(sends) FROM fleet_outbox") == 1


# -- a stream that nobody reads --------------------------------------------------------------------


@database
def test_a_row_for_an_unknown_stream_is_parked_and_said(world: World, relays: Relays) -> None:
    row = world.record(7, fill(7, 1), stream="ordres")
    good = world.record(7, fill(7, 2))
    relays.make().turn()
    assert relays.states() == [2, 1]
    assert world.parked() == [(f"outbox-{row}", "unknown_stream")]
    error, account = world.one("SELECT error, account_id FROM fleet_parked")
    assert "'ordres'" in error
    assert "orders, signals" in error
    assert account == 7
    assert world.one("SELECT incomplete FROM fleet_account_state WHERE account_id = 7") == 1
    assert [entry[b"outbox"] for entry in relays.entries()] == [str(good).encode()]
    assert not list(world.redis.scan_iter(match=f"{world.settings.prefix}*ordres*", count=1000))


# -- a Redis that refuses or forgets ---------------------------------------------------------------


class Refusing:
    """A pipeline whose replies are errors for the chosen commands; nothing of them is appended."""

    def __init__(self, real: Any, replies: Sequence[Exception | None]) -> None:
        self._real = real
        self._replies = list(replies)
        self._refused: dict[int, Exception] = {}
        self._asked = 0

    def pipeline(self, **words: Any) -> Any:
        del words
        return self

    def xadd(self, *words: Any) -> None:
        reply = self._replies[self._asked] if self._asked < len(self._replies) else None
        if reply is None:
            self._real.xadd(*words)
        else:
            self._refused[self._asked] = reply
        self._asked += 1

    def execute(self, **words: Any) -> list[Any]:
        del words
        asked, refused = self._asked, self._refused
        self._replies, self._asked, self._refused = [], 0, {}
        for error in refused.values():
            if isinstance(error, RedisConnectionError):
                raise error
        return [refused.get(at, b"1-1") for at in range(asked)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_rows_that_no_stream_can_ever_take_are_parked_and_the_others_go_on(
    world: World, relays: Relays
) -> None:
    full, text = world.partition(7), world.partition(8)
    world.redis.xadd(world.key(full), {"x": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    world.redis.set(world.key(text), "somebody else's")
    rows = [world.record(account, fill(account, 1)) for account in (7, 8, 9)]
    relays.make().turn()
    assert relays.states() == [2, 2, 1]
    assert world.parked() == [(f"outbox-{row}", "append_refused") for row in rows[:2]]
    errors = [row[0] for row in world.rows("SELECT error FROM fleet_parked ORDER BY entry_id")]
    assert all("then `fleet parked replay`" in error for error in errors)


def test_rows_whose_append_is_refused_wait_again(world: World, relays: Relays) -> None:
    record(world, 3)
    full = ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
    with closing(control_client(relays.settings.streams_redis, "relay")) as real:
        refusing: Any = Refusing(real, [None, full, full])
        relay = relays.make(connect_redis=lambda: refusing)
        with pytest.raises(Unavailable, match="2 of 3 appends refused: OOM"):
            relay.turn()
        assert relays.states() == [1, 0, 0]
        assert relay.turn() == 2
    assert relays.states() == [1, 1, 1]
    assert [entry[b"outbox"] for entry in relays.entries()] == [
        str(row[0]).encode() for row in world.rows("SELECT id FROM fleet_outbox ORDER BY id")
    ]


def test_when_nobody_knows_what_was_appended_all_rows_wait_again(
    world: World, relays: Relays
) -> None:
    record(world, 2)
    with closing(control_client(relays.settings.streams_redis, "relay")) as real:
        refusing: Any = Refusing(real, [None, RedisConnectionError("reset by peer")])
        relay = relays.make(connect_redis=lambda: refusing)
        with pytest.raises(RedisConnectionError):
            relay.turn()
        assert relays.states() == [0, 0]
        relay.turn()
    assert len(relays.entries()) == 3  # one of them twice: identity makes it harmless


@database
@pytest.mark.parametrize("changed", ["flushed", "restarted"])
def test_after_another_generation_of_redis_the_unconfirmed_goes_again(
    world: World, relays: Relays, changed: str
) -> None:
    record(world, 3)
    relay = relays.make(bounds=replace(BOUNDS, generation_seconds=0, sweep_seconds=1e9))
    relay.turn()
    world.run("UPDATE fleet_outbox SET state = 2 ORDER BY id LIMIT 1")
    relay.turn()
    assert relays.states() == [2, 1, 1]
    if changed == "flushed":
        world.redis.delete(f"{world.settings.prefix}fleet:generation")
    else:
        value = world.one("SELECT value FROM fleet_settings WHERE name = 'redis_generation'")
        mark, run, replication = value.split("|")
        world.run(
            "UPDATE fleet_settings SET value = %s WHERE name = 'redis_generation'",
            f"{mark}|{run[::-1]}|{replication}",
        )
    assert relay.turn() == 2
    assert relay.turn() == 0
    assert len(relays.entries()) == 5
    assert world.logged("redis_generation_changed")[0]["resent"] == 2
    assert world.redis.get(f"{world.settings.prefix}fleet:generation")


@database
def test_a_flushed_redis_gets_the_number_of_partitions_again(world: World, relays: Relays) -> None:
    relay = relays.make(bounds=replace(BOUNDS, generation_seconds=0))
    relay.turn()
    prefix = world.settings.prefix
    world.redis.delete(f"{prefix}fleet:generation", f"{prefix}fleet:partitions")
    relay.turn()
    assert world.redis.get(f"{prefix}fleet:partitions") == str(world.partitions).encode()


@database
def test_the_first_relay_of_all_says_nothing_of_a_change(world: World, relays: Relays) -> None:
    relays.make().turn()
    assert world.logged("redis_generation_changed") == []
    assert world.one("SELECT COUNT(*) FROM fleet_settings WHERE name = 'redis_generation'") == 1


# -- the sweep -------------------------------------------------------------------------------------


def lose_after_marking(world: World) -> None:
    """As a relay that died between its commit and its append, long ago."""
    world.run(
        "UPDATE fleet_outbox SET state = 1, sends = 1, partition_no = %s,"
        " sent_at = UTC_TIMESTAMP(6) - INTERVAL 60 SECOND",
        world.partition(7),
    )


@database
def test_a_row_that_was_marked_but_never_appended_is_sent_again(
    world: World, relays: Relays
) -> None:
    record(world, 2)
    relay = relays.make(bounds=replace(BOUNDS, sweep_seconds=0, sweep_age_seconds=10))
    relay._check_generation()
    lose_after_marking(world)
    assert relay.turn() == 2
    assert world.logged("undelivered_sent_again")[0]["rows"] == 2


@database
def test_a_row_that_waits_in_an_unread_stream_is_not_sent_again(
    world: World, relays: Relays
) -> None:
    record(world, 1)
    relay = relays.make(bounds=replace(BOUNDS, sweep_seconds=0, sweep_age_seconds=10))
    relay.turn()
    key = world.key(world.partition(7))
    found: Any = world.redis.xrange(key)
    entry_id, fields = found[0]
    before: Any = f"{int(entry_id.split(b'-')[0]) - 60_000}-0"
    world.redis.delete(key)
    world.redis.xadd(key, fields, id=before)  # unread for a minute
    world.run("UPDATE fleet_outbox SET sent_at = UTC_TIMESTAMP(6) - INTERVAL 60 SECOND")
    assert relay.turn() == 0
    assert relays.states() == [1]


# -- the budget ------------------------------------------------------------------------------------


@database
def test_over_budget_rows_wait_in_mysql_and_go_when_there_is_room(
    world: World, relays: Relays
) -> None:
    record(world, 2)
    budget = [1]
    relay = relays.make(budget_bytes=lambda _: budget[0], bounds=replace(BOUNDS, budget_seconds=0))
    world.add(7, fill(7, 99))
    assert relay.turn() == 0
    assert relays.states() == [0, 0]
    assert world.logged("redis_budget")[0]["appending"] is False
    budget[0] = 10**9
    assert relay.turn() == 2
    assert world.logged("redis_budget")[1]["appending"] is True


def test_memory_of_all_streams_is_counted(world: World) -> None:
    prefix = world.settings.prefix
    assert streams_bytes(world.redis, prefix, ["orders"], 4) == 0
    world.add(7, fill(7, 1))
    assert streams_bytes(world.redis, prefix, ["orders"], 4) > 500


def test_large_events_behind_many_small_ones_are_counted_as_large_as_they_are(world: World) -> None:
    prefix = world.settings.prefix
    for number in range(100):
        world.add(7, fill(7, number))
    before = streams_bytes(world.redis, prefix, ["orders"], 4)
    for number in range(20):
        world.add(7, fill(7, 100 + number, note="x" * 50_000))
    assert streams_bytes(world.redis, prefix, ["orders"], 4) - before > 20 * 50_000


# -- servers that go away --------------------------------------------------------------------------


@database
def test_it_goes_on_after_both_connections_were_cut(world: World, relays: Relays) -> None:
    sessions: list[int] = []

    def open_noted() -> Any:
        connection = connect(relays.settings.mysql)
        sessions.append(connection.thread_id())
        return connection

    with running(relays.make(connect_mysql=open_noted)) as relay:
        eventually(relay.ready)
        world.connection.cursor().execute(f"KILL {sessions[0]}")
        world.redis.client_kill_filter(user=f"{world.settings.prefix.rstrip(':')}_relay")
        record(world, 1)
        eventually(lambda: relays.states() == [1])
    assert world.logged("unavailable")
    assert len(sessions) > 1


@given(
    key=st.text(min_size=1, max_size=20),
    data=st.text(max_size=50),
    trace=st.none() | st.just("00-a"),
)
def test_an_entry_carries_its_row_unchanged(key: str, data: str, trace: str | None) -> None:
    row = OutboxRow(9, "orders", "order.filled.1", key, "e-1", 17, data, trace)
    entry = entry_of(row)
    assert (entry["key"], entry["data"], entry["ts_us"], entry["outbox"]) == (key, data, "17", "9")
    assert entry.get("traceparent") == trace
