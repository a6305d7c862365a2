"""What every sink of the change stream keeps: each transaction once, whole, in order, or it says
why not. On a real Redis and the sink's real database, with its role's own grants.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.cdc.checkpoint import report_from
from shared.cdc.errors import SourceStopped
from shared.changes import Chunk
from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.change_world import (
    FILLS,
    NOTES,
    ORDERS,
    ChangeStream,
    created,
    deleted,
    every_change,
    order,
    updated,
)
from tests.history_world import HistoryUnderTest
from tests.sink_world import AuditUnderTest, DyingSink, Event, Killed, LoopWorld, SinkUnderTest
from tests.waiting import eventually
from tests.workers.fleet_env import basics, free_port, process
from workers.cdc.quarantine import replay
from workers.cdc.sink_loop import Gap

pytestmark = pytest.mark.database


@pytest.fixture(params=["audit", "timescale"])
def under(
    request: pytest.FixtureRequest,
    settings_for: Callable[..., Settings],
    mysql_root: MySQLSettings,
    fleet_schema: str,
) -> Iterator[SinkUnderTest]:
    if request.param == "timescale":
        yield HistoryUnderTest(settings_for, request.getfixturevalue("timescale"))
        return
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield AuditUnderTest(settings_for, root)


@pytest.fixture
def stream(redis_root: Any, redis_prefix: str) -> ChangeStream:
    return ChangeStream(redis_root, redis_prefix, chunk_rows=10)


@pytest.fixture
def world(under: SinkUnderTest, settings_for: Callable[..., Settings]) -> LoopWorld:
    return LoopWorld(under, settings_for(under.role))


def expected(chunks: list[Chunk]) -> list[Event]:
    return [
        (epoch, seq, index, change.table.name, change.op)
        for epoch, seq, index, change in every_change(chunks)
    ]


def some_days_work(stream: ChangeStream, seed: int = 6) -> None:
    """Short transactions and long ones, of several tables."""
    dice = random.Random(seed)
    stream.control()
    known: dict[int, list[Any]] = {}
    for number in range(60):
        changes = []
        for _ in range(dice.choice((1, 1, 1, 2, 35))):
            key = dice.randrange(40)
            if key not in known:
                known[key] = order(key, note=f"n{number}")
                changes.append(created(ORDERS, known[key]))
            elif dice.random() < 0.2:
                changes.append(deleted(ORDERS, known.pop(key)))
            else:
                after = order(key, status="filled", note=f"ü{number}")
                changes.append(updated(ORDERS, known[key], after))
                known[key] = after
        changes.append(created(FILLS, ["7", f"t{number}", "1.5", "0.001"]))
        stream.commit(*changes)


# -- each once, whole, in order --------------------------------------------------------------------


def test_it_holds_every_change_once_and_stands_at_the_end(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    some_days_work(stream)
    stream.append_all()

    world.catch_up()

    assert under.events() == expected(stream.made)
    offset = under.offset()
    assert offset is not None
    assert (offset.epoch, offset.seq, offset.whole) == (1, stream.seq, True)
    assert offset.position == stream.position()
    assert under.staged() == 0


def test_two_at_once_write_what_one_would_have(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    some_days_work(stream)
    half = stream.seq // 2
    stream.append([chunk for chunk in stream.made if chunk.seq <= half])

    with world.running(), world.running():
        stream.append_all(half)
        eventually(lambda: seq_of(under) == stream.seq, 30)

    assert under.events() == expected(stream.made)


def test_one_that_slept_through_anothers_work_writes_nothing_twice(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.commit(created(ORDERS, order(1)))
    stream.append_all()
    with closing(world.loop()) as zombie:
        zombie.turn()
        stream.append(stream.commit(created(ORDERS, order(2))))
        found, _ = zombie._gather(zombie._stand())  # read, and then it sleeps
        stream.append(stream.commit(created(ORDERS, order(3))))
        world.catch_up()

        zombie._commit(found)

    assert under.events() == expected(stream.made)


def test_a_stream_that_was_lost_and_appended_again_changes_nothing(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    some_days_work(stream)
    stream.append_all()
    world.catch_up()
    stream.lose()
    more = stream.commit(created(ORDERS, order(99)))

    stream.append_all()
    world.catch_up()

    assert under.events() == expected(stream.made)
    offset = under.offset()
    assert offset is not None
    assert offset.seq == more[-1].seq


# -- long transactions -----------------------------------------------------------------------------


def test_nothing_of_a_transaction_shows_before_its_last_chunk(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    long = stream.commit(*(created(ORDERS, order(number)) for number in range(95)))
    stream.append(stream.made[:5])
    world.catch_up()

    assert under.events() == []
    assert under.staged() == 4
    offset = under.offset()
    assert offset is not None
    assert (offset.seq, offset.chunk, offset.whole) == (2, 3, False)

    stream.trim_before(2)  # the chunks that it has may go
    stream.redis.xtrim(stream.keys.stream, minid="2-4", approximate=False)
    stream.append(long[4:])
    world.catch_up()

    assert under.events() == expected(stream.made)
    assert under.staged() == 0


def test_a_transaction_longer_than_any_bound_is_written_in_one(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.commit(*(created(ORDERS, order(number)) for number in range(777)))
    stream.commit(created(ORDERS, order(1000)))
    stream.append_all()

    world.catch_up()

    assert under.events() == expected(stream.made)


# -- death at every step ---------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", DyingSink.STEPS)
def test_killed_at_any_step_it_goes_on_where_its_database_stands(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld, step: str, times: int
) -> None:
    some_days_work(stream)
    stream.commit(*(created(ORDERS, order(number)) for number in range(100, 320)))
    stream.append_all()
    dying = DyingSink(under.make(), step, times)
    with suppress(Killed):
        world.catch_up(dying)
    assert dying.died

    world.catch_up()

    assert under.events() == expected(stream.made)
    assert under.staged() == 0


KILLS = int(os.environ.get("FLEET_SINK_KILLS", "5"))


def test_its_process_killed_at_random_moments_loses_and_doubles_nothing(
    under: SinkUnderTest,
    stream: ChangeStream,
    environ_for: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    dice = random.Random(9)
    port = free_port()
    more = {"FLEET_METRICS_PORT": str(port), **under.environ()}
    environ = basics() | environ_for(under.role, **more)
    command = [sys.executable, "-m", under.module]
    stream.control()
    stream.append_all()
    for _ in range(KILLS):
        since = stream.seq
        for number in range(300):
            rows = dice.choice((1, 1, 40))
            stream.commit(*[created(ORDERS, order(number))] * rows)
        stream.append_all(since)
        moment = since + dice.randrange(300)
        with process(command, environ, tmp_path / "log"):  # killed at its end
            eventually(partial(reached, under, moment), 30)
    with process(command, environ, tmp_path / "log") as last:
        eventually(lambda: seq_of(under) == stream.seq, 60)
        eventually(lambda: listens(port), 30)  # from then on it ends in good order
        last.terminate()
        assert last.wait(20) == 0, (tmp_path / "log").read_text()

    assert under.events() == expected(stream.made)


def test_a_database_that_ends_its_session_is_asked_again(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    """The reply of a commit is lost: nobody knows what became of it, and it does not matter."""

    class LostReply(DyingSink):
        def _step(self, name: str) -> None:
            if name == "commit" and self._left:
                self._left -= 1
                self.close()
                raise Unavailable("the reply was lost")

    some_days_work(stream)
    stream.append_all()
    with world.running(LostReply(under.make(), "commit", 3)):
        eventually(lambda: seq_of(under) == stream.seq, 30)

    assert under.events() == expected(stream.made)


# -- what is missing or strange --------------------------------------------------------------------


def test_an_entry_that_is_missing_is_reported_and_waited_for(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    for number in range(4):
        stream.commit(created(ORDERS, order(number)))
    stream.append([chunk for chunk in stream.made if chunk.seq != 3])

    with pytest.raises(Gap):
        world.catch_up()
    assert under.events() == expected([chunk for chunk in stream.made if chunk.seq < 3])

    with world.running() as loop:
        eventually(lambda: reported(stream, under).why != "")
        assert not loop.ready()
        stream.lose()
        stream.append_all()  # as the collector does for a sink that stands before its stream
        eventually(lambda: under.events() == expected(stream.made))
        eventually(lambda: reported(stream, under).why == "")


def test_restored_from_an_older_backup_it_says_where_it_stands_and_catches_up(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.commit(created(ORDERS, order(1)))
    stream.append_all()
    world.catch_up()
    backup = under.backup()
    for number in range(2, 6):
        stream.commit(created(ORDERS, order(number)))
    stream.append_all(2)
    world.catch_up()
    stream.trim_before(stream.seq)  # every sink had all of it

    under.restore(backup)
    with world.running():
        eventually(lambda: reported(stream, under).why != "")
        found = reported(stream, under).offset
        assert found is not None
        assert found.seq == 2
        stream.lose()
        stream.append_all()
        eventually(lambda: under.events() == expected(stream.made))


def test_set_back_while_nothing_comes_it_says_so_all_the_same(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    """The collector stands still then, and begins with what the sinks say."""
    stream.control()
    stream.commit(created(ORDERS, order(1)))
    stream.append_all()
    world.catch_up()
    backup = under.backup()
    stream.commit(created(ORDERS, order(2)))
    stream.append_all(2)

    def told(seq: int) -> bool:
        found = reported(stream, under).offset
        return found is not None and found.seq == seq

    with world.running():
        eventually(lambda: told(3))
        stream.lose()  # nothing will come
        under.restore(backup)
        eventually(lambda: told(2))


def test_an_entry_that_no_collector_wrote_stops_it_loudly_behind_the_one_before(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.commit(created(ORDERS, order(1)))
    stream.append_all()
    stream.redis.xadd(stream.keys.stream, {"type": "order.filled.1"}, id=f"{stream.seq + 1}-0")

    with pytest.raises(SourceStopped, match="none of a collector's"):
        world.catch_up()

    assert under.events() == expected(stream.made)


# -- epochs ----------------------------------------------------------------------------------------


def test_a_new_epoch_of_the_same_log_is_not_written_twice(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    """It goes on from a sink that was further behind: what this one has comes under new numbers."""
    stream.control()
    for number in range(3):
        stream.commit(created(ORDERS, order(number)))
    stream.commit(*(created(ORDERS, order(number)) for number in range(50, 75)))
    stream.append_all()
    world.catch_up()
    had = list(stream.made)

    end, stream.pos = stream.pos, 104
    stream.control("another selection of tables")
    again = [chunk for chunk in had if chunk.kind == "log"][1:]
    for seq in dict.fromkeys(chunk.seq for chunk in again):
        stream.commit(*(one for c in again if c.seq == seq for one in c.changes))
    assert stream.pos == end
    new = stream.commit(created(ORDERS, order(9)))
    stream.append_all(had[-1].seq)
    world.catch_up()

    assert under.events() == expected([*had, *new])
    offset = under.offset()
    assert offset is not None
    assert (offset.epoch, offset.seq, offset.position) == (2, stream.seq, stream.position())


def test_a_log_that_was_reset_is_another_one_though_its_files_are_named_the_same(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    for number in range(3):
        stream.commit(created(ORDERS, order(number)))
    stream.append_all()
    world.catch_up()

    stream.pos, stream.mark = 4, "1795700000"  # RESET MASTER
    stream.control("the log was reset")
    stream.commit(created(ORDERS, order(9)))
    stream.append_all(4)
    world.catch_up()

    assert under.events() == expected(stream.made)


def test_a_transaction_that_never_became_whole_ends_with_its_epoch(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    long = stream.commit(*(created(ORDERS, order(number)) for number in range(35)))
    stream.append([stream.made[0], *long[:2]])
    world.catch_up()
    assert under.staged() == 2

    stream.control("the log was purged")
    new = stream.commit(created(NOTES, ["hello"]))
    stream.append_all(long[0].seq)
    world.catch_up()

    assert under.events() == expected(new)
    assert under.staged() == 0


def test_an_epoch_without_its_beginning_is_a_gap(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.append_all()
    world.catch_up()
    stream.control("the log was purged")
    stream.append(stream.commit(created(ORDERS, order(1))))

    with pytest.raises(Gap, match="is missing"):
        world.catch_up()
    assert under.events() == []


# -- a new sink ------------------------------------------------------------------------------------


def test_a_new_sink_begins_at_the_checkpoint_and_asks_for_all_tables(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    some_days_work(stream)
    stream.append_all()
    stream.trim_before(40)

    world.catch_up()
    later = stream.commit(created(ORDERS, order(1)))
    stream.append(later)
    world.catch_up()

    assert under.events() == expected(later)
    asked = [text.decode() for text in stream.redis.lrange(stream.keys.requests, 0, -1)]
    assert len(asked) == 1
    assert '"kind":"snapshot"' in asked[0]


# -- rows that are refused -------------------------------------------------------------------------


def test_a_row_that_is_refused_is_kept_whole_and_holds_up_nobody(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    stream.commit(created(ORDERS, order(1)), created(ORDERS, order(2)))
    bad = stream.commit(created(ORDERS, order(3)), under.refused(), created(ORDERS, order(4)))
    stream.commit(created(ORDERS, order(5)))
    stream.append_all()

    world.catch_up()

    offset = under.offset()
    assert offset is not None
    assert offset.seq == stream.seq
    assert under.quarantined() == 1
    wanted = set(expected(stream.made)) - {(1, bad[0].seq, 1, "fleet_orders", "c")}
    assert wanted <= set(under.events())

    sink = under.takes()
    sink.connect()
    with closing(sink):
        assert replay(sink, bad[0].seq, bad[0].seq) == (1, [])
        assert replay(sink, bad[0].seq, bad[0].seq) == (0, [])
    assert set(under.events()) == set(expected(stream.made))


def test_a_row_that_a_trigger_refuses_waits_until_the_trigger_is_gone(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    bad = stream.commit(created(ORDERS, order(1)), under.forbids(), created(ORDERS, order(2)))
    stream.append_all()
    try:
        world.catch_up()
        assert under.quarantined() == 1
        wanted = set(expected(stream.made)) - {(1, bad[0].seq, 1, "fleet_orders", "c")}
        assert wanted <= set(under.events())
    finally:
        under.allows()
    sink = under.takes()
    sink.connect()
    with closing(sink):
        assert replay(sink, bad[0].seq, bad[0].seq) == (1, [])
    assert set(under.events()) == set(expected(stream.made))


def test_refused_in_the_middle_of_a_long_transaction_all_others_are_there(
    under: SinkUnderTest, stream: ChangeStream, world: LoopWorld
) -> None:
    stream.control()
    rows = [created(ORDERS, order(number)) for number in range(130)]
    rows[64] = under.refused()
    rows[129] = under.refused()
    stream.commit(*rows)
    stream.append_all()

    world.catch_up()

    assert under.quarantined() == 2
    assert len(set(expected(stream.made)) & set(under.events())) >= 128


def seq_of(under: SinkUnderTest) -> int:
    offset = under.offset()
    return 0 if offset is None else offset.seq


def reached(under: SinkUnderTest, seq: int) -> bool:
    return seq_of(under) >= seq


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def reported(stream: ChangeStream, under: SinkUnderTest) -> Any:
    return report_from(stream.redis.hget(stream.keys.sinks, under.make().name) or b"")
