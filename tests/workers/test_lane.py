"""What a lane promises, on real servers: each way to fail, and what the tables hold after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import MySQLdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import telemetry
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.streams.assignment import PartitionId
from shared.streams.lease import Leases
from shared.streams.log import START, Entry, Tail, id_pair
from tests.event_samples import SIGNAL
from tests.runtime_world import CONSUMER, QUICK, World, book_fills, fill, with_apply
from tests.waiting import eventually
from workers.lane import Lane, what_is_lost

PAIRS = st.tuples(st.integers(1, 2**40), st.integers(0, 2**20))
IDS = PAIRS.map(lambda pair: f"{pair[0]}-{pair[1]}")
database = pytest.mark.database


class Wants:
    """A keeper that wants the same partitions for ever; nothing is ever lost."""

    def __init__(self, *partitions: int) -> None:
        self.wanted = frozenset(PartitionId("orders", number) for number in partitions)

    def hold(self, partition: PartitionId) -> None: ...
    def drop(self, partition: PartitionId) -> None: ...
    def lost(self, partition: PartitionId) -> bool:
        return partition not in self.wanted


class Steps:
    """A lane that is turned by hand. It takes partition 0 only, where account 7 belongs."""

    def __init__(self, world: World, **more: Any) -> None:
        world.partitions = 1
        self.world = world
        self.tools = world.tools(**more)
        keeper: Any = Wants(0)
        self.lane = Lane(self.tools, keeper, 0, 1)

    def take(self) -> None:
        self.lane._holdings._next_follow = 0.0
        self.lane._holdings.follow(lambda: False)

    def read(self) -> list[Any]:
        self.lane._holdings._next_check = 0.0
        return self.lane._read()

    def turn(self) -> None:
        self.take()
        self.lane._settle(self.read())

    def vanish(self) -> None:
        """As after SIGKILL: no goodbye, the session ends, the lease runs out."""
        self.lane._links.close_mysql()
        self.lane._links.close_redis()
        leases = Leases(self.world.redis, self.tools.prefix, self.tools.consumer, self.tools.node)
        leases.release([PartitionId("orders", 0)])

    def __enter__(self) -> Self:
        world = self.world
        cursor = world.connection.cursor()
        cursor.execute(OFFSETS_SQL["ensure"], (CONSUMER, "orders", 0))
        world.connection.commit()
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()


# -- the offset and the effect ---------------------------------------------------------------------


@database
def test_the_offset_moves_only_with_the_effect(world: World) -> None:
    seen: list[tuple[str, list[str]]] = []

    def apply(book: Any, events: Sequence[Any]) -> None:
        seen.append((world.offset(0), world.trades(7)))  # what is committed so far
        book_fills(book, events)
        if len(seen) == 1:
            raise Unavailable("a server went away behind the write")

    with Steps(world, table=with_apply(apply)) as steps:
        (entry,) = world.add_fills(7, [1])
        steps.turn()
    assert seen == [(START, []), (START, [])]
    assert (world.offset(0), world.trades(7)) == (entry, ["1"])
    assert world.offset(0, "entries_read") == 1


@database
def test_an_owner_that_was_overtaken_writes_nothing_and_drops_the_partition(world: World) -> None:
    with Steps(world, node="old") as old, Steps(world, node="new") as new:
        world.add_fills(7, [1, 2])
        old.take()
        batch = old.read()
        old.world.redis.delete(f"{world.key(0)}:lease:{CONSUMER}")  # it slept too long
        new.turn()
        after = world.offset(0, "last_id, epoch, entries_read")
        old.lane._settle(batch)
        assert world.offset(0, "last_id, epoch, entries_read") == after
        assert old.lane.owned == []
        assert [one.epoch for one in new.lane.owned] == [2]
    assert world.trades(7) == ["1", "2"]
    assert world.one("SELECT COUNT(*) FROM fleet_fill_reports") == 2
    assert world.logged("fenced")[0]["epoch"] == 1


@database
def test_an_idle_owner_learns_that_it_was_overtaken(world: World) -> None:
    with Steps(world) as steps:
        steps.turn()
        world.run("UPDATE fleet_offsets SET epoch = epoch + 1")
        steps.lane._holdings._next_rows = 0.0
        steps.lane._holdings.follow(lambda: False)
        assert world.logged("fenced")
        steps.take()
        assert world.offset(0, "epoch") == 3


@database
def test_the_open_transaction_of_a_stopped_owner_is_ended(world: World) -> None:
    with Steps(world) as steps:
        world.add_fills(7, [1])
        stopped = connect(world.settings.mysql)
        cursor = stopped.cursor()
        cursor.execute(
            "UPDATE fleet_offsets SET owner = 'stopped', owner_session = CONNECTION_ID()"
        )
        stopped.commit()
        cursor.execute("UPDATE fleet_offsets SET last_id = '9-9'")
        with pytest.raises(Unavailable, match="held its row"):
            steps.turn()
        steps.lane._pause(Unavailable("as run() does"))
        steps.turn()
        with pytest.raises(MySQLdb.Error):
            stopped.commit()
        stopped.close()
    assert world.trades(7) == ["1"]
    assert len(world.logged("stopped_owner_ended")) == 1


@database
def test_a_successor_finds_the_session_of_now_after_a_reconnect(world: World) -> None:
    with Steps(world) as steps:
        steps.turn()
        before = world.offset(0, "owner_session")
        world.connection.cursor().execute(f"KILL {before}")
        world.add_fills(7, [1])
        steps.lane._holdings._next_rows = 0.0
        with pytest.raises(Unavailable, match="lost"):
            steps.turn()
        steps.lane._pause(Unavailable("as run() does"))
        steps.turn()
        assert world.trades(7) == ["1"]
        now = world.offset(0, "owner_session")
        assert now == steps.lane._links.mysql().thread_id() != before


# -- replies that are lost -------------------------------------------------------------------------


class Lossy:
    """A connection whose next COMMIT, once `armed`, ends with the line cut."""

    def __init__(self, real: Any, *, commits: bool) -> None:
        self._real = real
        self._commits = commits
        self.armed = False

    def commit(self) -> None:
        if not self.armed:
            self._real.commit()
            return
        self.armed = False
        if self._commits:
            self._real.commit()
        self._real.close()
        raise MySQLdb.OperationalError(2013, "Lost connection to server during query")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@database
@pytest.mark.parametrize(("commits", "applied"), [(True, 1), (False, 2)])
def test_after_a_lost_commit_reply_the_offset_row_is_asked(
    world: World,
    commits: bool,  # noqa: FBT001 - a parameter of the test
    applied: int,
) -> None:
    opened: list[Lossy] = []
    batches: list[int] = []

    def open_lossy() -> Lossy:
        opened.append(Lossy(connect(world.settings.mysql), commits=commits))
        return opened[-1]

    def apply(book: Any, events: Sequence[Any]) -> None:
        book_fills(book, events)
        batches.append(len(events))
        opened[-1].armed = len(batches) == 1

    with Steps(world, table=with_apply(apply), connect_mysql=open_lossy) as steps:
        ids = world.add_fills(7, [1, 2])
        steps.turn()
        assert [one.last_id for one in steps.lane.owned] == [ids[-1]]
        world.add_fills(7, [3])
        steps.turn()
    assert batches == [2] * applied + [1]
    assert world.trades(7) == ["1", "2", "3"]
    assert world.offset(0, "entries_read") == 3
    assert world.one("SELECT SUM(reports) FROM fleet_fills") == 3


@database
@pytest.mark.parametrize("code", [1205, 1213, 1290, 2006, 2013])
def test_the_same_batch_is_tried_again_while_a_server_is_away(world: World, code: int) -> None:
    batches: list[list[str]] = []

    def apply(book: Any, events: Sequence[Any]) -> None:
        batches.append([event.entry_id for event in events])
        if len(batches) < 3:
            raise MySQLdb.OperationalError(code, "for a while")
        book_fills(book, events)

    with Steps(world, table=with_apply(apply)) as steps:
        ids = world.add_fills(7, [1, 2, 3])
        steps.turn()
    assert batches == [ids, ids, ids]
    assert world.trades(7) == ["1", "2", "3"]
    assert world.parked() == []
    assert world.offset(0, "handler_failures") == 0


@database
def test_a_connection_to_redis_that_breaks_is_opened_again_and_offsets_are_looked_at(
    world: World,
) -> None:
    with world.reading() as reader:
        world.add_fills(7, [1])
        eventually(lambda: world.trades(7) == ["1"])
        user = f"{world.settings.prefix.rstrip(':')}_streams"
        assert world.redis.client_kill_filter(user=user)
        world.add_fills(7, [2])
        eventually(lambda: world.trades(7) == ["1", "2"])
        eventually(reader.ready)


# -- failures of our own handlers ------------------------------------------------------------------


def failing_for(*trades: str) -> tuple[set[str], Callable[[Any, Sequence[Any]], None]]:
    """Trade ids whose handler fails (the set may be changed), and that handler."""
    bad = set(trades)

    def apply(book: Any, events: Sequence[Any]) -> None:
        book_fills(book, events)
        for event in events:
            if event.body["trade_id"] in bad:
                raise ValueError(f"no idea what {event.body['trade_id']} means")

    return bad, apply


@database
def test_one_failing_event_is_parked_alone_and_reported_with_its_traceback(world: World) -> None:
    _, apply = failing_for("5")
    failures = partial(
        telemetry.meter().registry.get_sample_value, "fleet_handler_failures_total",
        {"stream": "orders", "type": "order.filled.1"},
    )  # fmt: skip
    before = failures() or 0
    with Steps(world, table=with_apply(apply)) as steps:
        ids = world.add_fills(7, range(1, 21))
        steps.turn()
    assert world.parked() == [(ids[4], "handler_failed")]
    assert failures() == before + 1
    assert world.trades(7) == [str(trade) for trade in range(1, 21) if trade != 5]
    assert world.offset(0, "last_id, entries_read, handler_failures") == (ids[-1], 20, 1)
    assert world.one("SELECT incomplete FROM fleet_account_state WHERE account_id = 7") == 1
    (failed,) = [one for one in world.reports if one.error]
    assert (failed.first_id, failed.last_id, failed.events) == (ids[4], ids[4], 1)
    assert failed.error == "ValueError: no idea what 5 means"
    assert failed.traceback is not None
    assert 'raise ValueError(f"no idea' in failed.traceback
    assert steps.lane.last_error == failed.error


@database
def test_above_the_bound_a_partition_halts_until_it_is_told_to_go_on(world: World) -> None:
    bad, apply = failing_for("1", "2", "3", "4", "5")
    bounds = replace(QUICK, handler_failures=3)
    other = next(number for number in range(8, 99) if world.partition(number) != world.partition(7))
    with world.reading(table=with_apply(apply), bounds=bounds) as reader:
        ids = world.add_fills(7, range(1, 8))
        number = world.partition(7)
        eventually(lambda: world.offset(number, "halted_reason"))
        world.add_fills(other, [77])
        eventually(lambda: world.trades(other) == ["77"])
        assert reader.info()["halted"] == [f"orders:{number}"]
        reason = world.offset(number, "halted_reason")
        assert ids[3] in reason
        assert "fleet parked resume" in reason
        assert world.offset(number) == ids[2]
        assert len(world.parked()) == 3
        bad.clear()
        world.run(OFFSETS_SQL["resume"])
        eventually(lambda: world.trades(7) == ["4", "5", "6", "7"])
        assert world.offset(number, "handler_failures, halted_reason") == (0, None)
    assert len(world.logged("partition_halted")) == 1


@database
def test_a_halted_partition_stays_halted_for_its_next_owner(world: World) -> None:
    _, apply = failing_for("1")
    bounds = replace(QUICK, handler_failures=0)
    with Steps(world, table=with_apply(apply), bounds=bounds) as first:
        world.add_fills(7, [1, 2])
        first.turn()
        assert [one.halted for one in first.lane.owned] == [True]
        first.vanish()
        with Steps(world) as second:
            second.turn()
            assert [one.halted for one in second.lane.owned] == [True]
    assert (world.trades(7), world.parked()) == ([], [])


@database
def test_invalid_events_never_count_towards_the_bound(world: World) -> None:
    with Steps(world, bounds=replace(QUICK, handler_failures=1)) as steps:
        for _ in range(10):
            world.add(7, "{")
            world.add(7, fill(7, 1), type_="order.eaten.1")
            world.add(7, fill(8, 1))
        last = world.add(7, fill(7, 1))
        steps.turn()
    assert world.offset(0, "last_id, handler_failures, halted_reason") == (last, 0, None)
    assert world.trades(7) == ["1"]
    reasons = [reason for _, reason in world.parked()]
    assert len(reasons) == 30
    assert len(set(reasons)) == 3


@database
def test_an_amount_that_fits_no_column_is_parked_as_overflow(world: World) -> None:
    with Steps(world) as steps:
        huge = "999999999999999999"
        ids = [
            world.add(7, fill(7, 1)),
            world.add(7, fill(7, 2, qty=huge, price=huge)),
            world.add(7, fill(7, 3)),
        ]
        steps.turn()
    assert world.parked() == [(ids[1], "overflow")]
    assert world.trades(7) == ["1", "3"]
    assert world.offset(0, "handler_failures") == 0


@database
def test_an_error_text_that_is_no_utf8_can_be_parked(world: World) -> None:
    def apply(book: Any, events: Sequence[Any]) -> None:
        del book, events
        raise ValueError("half a pair: \ud800")

    with Steps(world, table=with_apply(apply)) as steps:
        world.add_fills(7, [1])
        steps.turn()
    assert "\\ud800" in world.one("SELECT error FROM fleet_parked")


class Died(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@database
def test_an_event_that_kills_its_process_is_isolated_and_parked(world: World) -> None:
    def apply(book: Any, events: Sequence[Any]) -> None:
        if any(event.body["trade_id"] == "3" for event in events):
            raise Died
        book_fills(book, events)

    deaths = 0
    ids: list[str] = []
    for start in range(12):
        with Steps(world, table=with_apply(apply), node=f"start-{start}") as steps:
            ids = ids or world.add_fills(7, range(1, 6))
            try:
                steps.turn()
                steps.turn()
            except Died:
                deaths += 1
            else:
                break
    # Owners die with the whole batch and with a piece of it, then it kills `suspect_tries` alone.
    assert deaths == QUICK.crashes_before_alone + QUICK.suspect_tries
    assert world.parked() == [(ids[2], "killed_worker")]
    assert world.trades(7) == ["1", "2", "4", "5"]
    assert world.offset(0, "last_id, crashes, suspect_id") == (ids[-1], 0, None)


@database
def test_after_crashes_a_batch_goes_in_pieces_that_commit_before_the_deadly_one(
    world: World,
) -> None:
    def apply(book: Any, events: Sequence[Any]) -> None:
        if any(event.body["trade_id"] == "6" for event in events):
            raise Died
        book_fills(book, events)

    bounds = replace(QUICK, piece_events=2)
    ids: list[str] = []
    for start in range(bounds.crashes_before_pieces + 1):
        with Steps(world, table=with_apply(apply), node=f"start-{start}", bounds=bounds) as steps:
            ids = ids or world.add_fills(7, range(1, 8))
            with pytest.raises(Died):
                steps.turn()
    # 1-2 and 3-4 stand, 5-6 killed its owner.
    assert world.trades(7) == ["1", "2", "3", "4"]
    assert world.offset(0, "last_id, crashes") == (ids[3], 0)


@database
def test_a_fold_that_fails_is_told_and_the_streams_go_on(world: World) -> None:
    class Cursor:
        def __init__(self, real: Any) -> None:
            self._real = real

        def execute(self, sql: str, *values: Any) -> Any:
            if "restating_from_ms IS NOT NULL" in sql:
                raise ArithmeticError("a fold overflows")
            return self._real.execute(sql, *values)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    class Connection(Lossy):
        def cursor(self) -> Cursor:
            return Cursor(self._real.cursor())

    def open_failing() -> Connection:
        return Connection(connect(world.settings.mysql), commits=True)

    with world.reading(connect_mysql=open_failing):
        world.add_fills(7, [1])
        eventually(lambda: world.trades(7) == ["1"])
        eventually(lambda: world.logged("fold_failed"))
        world.add_fills(7, [2])
        eventually(lambda: world.trades(7) == ["1", "2"])
    assert len(world.logged("fold_failed")) == 1


# -- size of a batch -------------------------------------------------------------------------------


@database
def test_no_batch_is_larger_than_its_limit_when_many_partitions_wake_at_once(world: World) -> None:
    for account in range(1, 41):
        world.add_fills(account, [1])
    bounds = replace(QUICK, batch_events_first=8, batch_events=8, batch_events_least=1)
    with world.reading(bounds=bounds):
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_fills") == 40)
    sizes = [one.events for one in world.reports]
    assert sum(sizes) == 40
    assert max(sizes) <= 8


@database
def test_a_batch_of_two_streams_is_reported_for_each(world: World) -> None:
    world.streams = ("orders", "signals")
    world.partitions = 1
    world.add_fills(7, [1])
    signal: dict[Any, Any] = {
        "type": "signal.received.1",
        "key": SIGNAL["channel_id"],
        "id": "s-1",
        "ts_us": "1764000000123456",
        "data": json.dumps(SIGNAL),
    }
    world.redis.xadd(world.key(0, "signals"), signal)
    with world.reading():
        eventually(lambda: world.offset(0, stream="signals") != START)
        eventually(lambda: world.trades(7) == ["1"])
    assert sorted((one.stream, one.events, one.parked) for one in world.reports) == [
        ("orders", 1, 0),
        ("signals", 1, 0),
    ]


# -- loss of Redis ---------------------------------------------------------------------------------


@database
def test_a_key_that_is_no_stream_stops_its_own_partition_and_no_other(world: World) -> None:
    with Steps(world) as steps:
        world.partitions = 2
        steps.tools = replace(steps.tools, decoding=replace(steps.tools.decoding, partitions=2))
        wanted: Any = Wants(0, 1)
        steps.lane = Lane(steps.tools, wanted, 0, 1)
        cursor = world.connection.cursor()
        cursor.execute(OFFSETS_SQL["ensure"], (CONSUMER, "orders", 1))
        world.connection.commit()
        good, bad = (next(a for a in range(1, 99) if world.partition(a) == n) for n in (0, 1))
        world.redis.set(world.key(1), "somebody else's")
        world.add_fills(good, [1])
        steps.turn()
        assert world.trades(good) == ["1"]
        (said,) = world.logged("key_is_no_stream")
        assert said["key"] == world.key(1)
        world.redis.delete(world.key(1))
        world.add_fills(bad, [1])
        for partition in steps.lane.owned:
            partition.not_before = 0.0
        steps.turn()
    assert world.trades(bad) == ["1"]


def cut_below(world: World, last: str) -> None:
    """A stream that ends before the offset, as after a cut AOF."""
    del last
    world.redis.delete(world.key(0))
    world.add_at("1-1", 7, fill(7, 50))


def entry_gone(world: World, last: str) -> None:
    world.add(7, fill(7, 50))
    world.redis.xdel(world.key(0), last)


def another_entry(world: World, last: str) -> None:
    """The id is used again, by another event: the offset had run ahead of a failed-over Redis."""
    world.redis.delete(world.key(0))
    world.add_at(last, 7, fill(7, 50))


def all_gone(world: World, last: str) -> None:
    del last
    world.redis.delete(world.key(0))


@database
@pytest.mark.parametrize("lose", [cut_below, entry_gone, another_entry, all_gone])
def test_a_loss_of_redis_is_noticed_read_again_and_sent_again(
    world: World, lose: Callable[[World, str], None]
) -> None:
    with Steps(world) as steps:
        ids = world.add_fills(7, [1, 2])
        steps.turn()
        row = world.record(7, fill(7, 51))
        world.run("UPDATE fleet_outbox SET state = 1, partition_no = 0, sent_at = UTC_TIMESTAMP(6)")
        lose(world, ids[-1])
        steps.turn()
        assert len(world.logged("redis_lost_data")) == 1
        assert world.one("SELECT state FROM fleet_outbox WHERE id = %s", row) == 0
        steps.turn()
        assert len(world.logged("redis_lost_data")) == 1
        lag = world.redis.exists(world.key(0)) and world.redis.xinfo_stream(world.key(0))
        read = world.offset(0, "entries_read")
        assert read == (lag["entries-added"] if lag else 0)
    assert world.trades(7) == ["1", "2"] + ([] if lose is all_gone else ["50"])
    assert world.one("SELECT COUNT(*) FROM fleet_fill_reports WHERE trade_id IN ('1', '2')") == 2


@database
def test_a_zombie_whose_offset_was_trimmed_away_rewinds_nothing(world: World) -> None:
    with Steps(world, node="old") as old, Steps(world, node="new") as new:
        world.add_fills(7, [1])
        old.turn()
        world.redis.delete(f"{world.key(0)}:lease:{CONSUMER}")
        ids = world.add_fills(7, [2])
        new.turn()
        world.redis.xtrim(world.key(0), minid=ids[0], approximate=False)
        world.record(7, fill(7, 51))
        world.run("UPDATE fleet_outbox SET state = 1, partition_no = 0")
        assert old.read() == []
        assert old.lane.owned == []
    assert world.offset(0) == ids[0]
    assert world.one("SELECT state FROM fleet_outbox") == 1
    assert world.logged("redis_lost_data") == []


@database
def test_a_counter_that_disagrees_with_a_stream_read_to_its_end_is_corrected(world: World) -> None:
    with Steps(world) as steps:
        ids = world.add_fills(7, [1, 2])
        event = world.redis.xrange(world.key(0), ids[-1], ids[-1])[0][1][b"id"]  # type: ignore[index]
        world.run(
            "UPDATE fleet_offsets SET last_id = %s, last_event_id = %s, entries_read = 99",
            ids[-1],
            event,
        )
        steps.turn()
    assert world.offset(0, "last_id, entries_read") == (ids[-1], 2)
    assert world.logged("redis_lost_data") == []


def tail(last_id: str, at_offset: Entry | None) -> Tail:
    return Tail(last_id, 1, 1, at_offset)


@given(last=IDS, event=st.binary(max_size=300))
def test_an_entry_that_is_still_there_means_no_loss(last: str, event: bytes) -> None:
    same = Entry(last, [b"type", b"x", b"id", event])
    assert what_is_lost(last, event[:191], tail(last, same)) is None
    assert what_is_lost(last, None, tail(last, same)) is None


@given(offset=IDS, end=IDS, event=st.binary(max_size=9))
def test_any_difference_at_the_offset_is_a_loss(offset: str, end: str, event: bytes) -> None:
    assert what_is_lost(START, event, tail(end, None)) is None
    assert what_is_lost(offset, event, tail(end, None)) is not None
    other = Entry(offset, [b"id", event + b"!"])
    assert what_is_lost(offset, event, tail(offset, other)) is not None
    if id_pair(end) < id_pair(offset):
        assert "before the offset" in (what_is_lost(offset, event, tail(end, other)) or "")
