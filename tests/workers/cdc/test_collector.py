"""The collector over a fake source and a real Redis: each transaction once, whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import pytest
from redis import Redis

from shared.cdc.checkpoint import Stopped
from shared.cdc.envelope import encode_row
from shared.cdc.errors import SourceStopped
from shared.cdc.transaction import Noted
from shared.changes import Change, Chunk
from tests.collector_world import CollectorWorld, seqs
from tests.fake_source import TABLE, FakeSource, beat, mark
from tests.waiting import eventually
from workers.cdc.snapshot import SnapshotTransaction


@pytest.fixture
def world(servers: Any, redis_prefix: str) -> Iterator[CollectorWorld]:
    clients: list[Redis] = []

    def connect() -> Redis:
        clients.append(
            Redis(host=servers["REDIS_HOST"], port=int(servers["REDIS_PORT"]),
                  password=servers.get("REDIS_PASSWORD"))
        )  # fmt: skip
        return clients[-1]

    found = CollectorWorld(connect, redis_prefix)
    found.new_sinks()
    yield found
    for client in clients:
        client.close()


def rows(chunks: list[Chunk]) -> list[tuple[str, str]]:
    return [(str(c.after[0]), str(c.after[1])) for one in chunks for c in one.changes if c.after]


def written(source: FakeSource) -> list[tuple[str, str]]:
    """What the log holds, transaction by transaction."""
    return [tuple(orjson.loads(row)[3]) for one in source.log for row in one.rows]


# -- a first start ---------------------------------------------------------------------------------


def test_a_first_start_begins_an_epoch_and_reads_all_tables(world: CollectorWorld) -> None:
    world.source.many(3)  # before anybody looked: the tables hold it

    with world.collecting():
        eventually(world.stream.look)
        world.source.many(2)
        world.until_caught_up()

    control, *log = world.chunks()
    assert (control.kind, control.text, control.epoch, control.entry_id) == (
        "control", "first start", 1, "1-0",
    )  # fmt: skip
    assert seqs(log) == [2, 3]
    assert rows(log) == written(world.source)[3:]
    assert [one.tables for one in world.snapshots.asked] == [()]


def test_nothing_is_begun_before_the_sinks_have_said_what_they_have(world: CollectorWorld) -> None:
    world.stream.redis.delete(world.stream.keys.sinks)

    with world.collecting() as collector:
        eventually(lambda: collector.state == "waiting")
        assert not collector.ready()
        assert world.stream.look() is None
        world.new_sinks()
        eventually(world.stream.look)


def test_a_load_at_one_position_comes_behind_the_control_entry(world: CollectorWorld) -> None:
    class Load:
        file, pos, gtid = "log.000001", 200, "0-1-2"

        def transactions(self, epoch: int, first_seq: int) -> Iterator[SnapshotTransaction]:
            assert (epoch, first_seq) == (1, 2)
            for number in range(3):
                row = encode_row(0, Change(TABLE, "r", None, [str(number), "read"]))
                yield SnapshotTransaction([TABLE], [row], "load")
                assert world.stream.extent().length == number + 2, "not appended yet"

        def close(self) -> None:
            world.logs.append(("closed", {}))

    world.source.many(4)
    world.snapshots.load = Load()  # type: ignore[assignment]

    found = world.collect()

    assert [one.kind for one in found] == ["control", *["snapshot"] * 3, *["log"] * 2]
    assert seqs(found) == [1, 2, 3, 4, 5, 6]
    assert {one.position.pos for one in found[:4] if one.position} == {200}
    assert ("closed", {}) in world.logs
    assert not world.snapshots.asked


# -- in order, once --------------------------------------------------------------------------------


def test_long_transactions_come_in_chunks_and_the_place_moves_with_the_last(
    world: CollectorWorld,
) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(1, rows=2_300)
        world.source.many(3)
        world.until_caught_up()

    found = world.chunks()[1:]
    assert seqs(found) == [2, 3, 4, 5]
    assert [len(one.changes) for one in found] == [500, 500, 500, 500, 300, 1, 1, 1]
    assert [one.position is not None for one in found[:5]] == [False] * 4 + [True]
    assert rows(found) == written(world.source)


def test_an_idle_fleet_stands_still(world: CollectorWorld) -> None:
    """Heartbeats, offsets and contexts alone are no transactions; the place moves past them."""
    with world.collecting():
        eventually(world.stream.look)
        before = world.until_caught_up().place
        for _ in range(20):
            world.source.commit(noted=[beat("2026-11-26T08:00:00.000001")])
        after = world.until_caught_up().place

    assert after.seq == before.seq
    assert after.position.pos == before.position.pos + 2_000
    assert [one.kind for one in world.chunks()] == ["control"]


@pytest.mark.parametrize(
    ("noted", "actor"),
    [
        ([], ""),
        ([Noted("fleet_offsets", "u", {"consumer": "ledger", "stream": "orders",
                                       "partition_no": 3, "last_id": "17-0"})],
         "ledger orders:3 17-0"),
        ([Noted("fleet_change_context", "c", {"actor": "user 7", "request_id": "r-1"}),
          Noted("fleet_offsets", "u", {"consumer": "ledger", "stream": "orders",
                                       "partition_no": 3, "last_id": "17-0"})],
         "user 7 r-1"),
        ([Noted("fleet_change_context", "c", {"actor": "cron", "request_id": ""})], "cron"),
        ([Noted("fleet_change_context", "d", {"actor": "cron", "request_id": ""})], ""),
    ],
)  # fmt: skip
def test_who_wrote_stands_in_the_transaction(
    world: CollectorWorld, noted: list[Noted], actor: str
) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.commit([["1", "a"]], noted)
        world.until_caught_up()

    assert world.chunks()[-1].actor == actor


def test_a_restart_goes_on_where_it_was(world: CollectorWorld) -> None:
    world.collect()
    for _ in range(3):
        world.source.many(5)
        world.collect()

    assert seqs(world.chunks()) == list(range(1, 17))
    assert rows(world.chunks()) == written(world.source)
    assert world.stream.look().place.epoch == 1  # type: ignore[union-attr]


def test_a_dump_that_is_killed_again_and_again_loses_nothing(world: CollectorWorld) -> None:
    with world.collecting():
        eventually(world.stream.look)
        for size in (1, 700, 3):
            world.source.lose_after = size % 5
            world.source.many(4, rows=size)
            world.until_caught_up()

    assert rows(world.chunks()) == written(world.source)
    assert seqs(world.chunks()) == list(range(1, 14))


# -- snapshots between the log ---------------------------------------------------------------------


def chunk_row(number: int) -> bytes:
    return encode_row(0, Change(TABLE, "r", None, [str(number), "read"]))


def test_what_a_mark_brings_stands_right_behind_it_and_is_one_step(world: CollectorWorld) -> None:
    world.snapshots.rows["a"] = [chunk_row(number) for number in range(1_200)]
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(1)
        world.source.commit(noted=[mark("a")])
        world.source.many(1)
        world.until_caught_up()

    found = world.chunks()
    assert [(one.seq, one.chunk, one.kind) for one in found] == [
        (1, 0, "control"), (2, 0, "log"), (3, 0, "snapshot"), (3, 1, "snapshot"),
        (3, 2, "snapshot"), (4, 0, "log"),
    ]  # fmt: skip
    assert world.snapshots.steps


def test_read_again_a_mark_takes_the_same_number_without_its_rows(world: CollectorWorld) -> None:
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    world.snapshots.rows["a"] = [chunk_row(1)]
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(1)
        world.source.commit(noted=[mark("a")])
        world.source.many(2)
        world.until_caught_up()
    before = world.chunks()
    world.empty()
    world.has("audit", before[-1])
    world.has("timescale", before[1])

    after = world.collect()

    assert [(one.seq, one.kind) for one in after] == [(3, "snapshot"), (4, "log"), (5, "log")]
    assert after[0].changes == []
    assert after[1].changes == before[3].changes
    assert {one.epoch for one in after} == {1}


def test_a_sink_that_has_half_of_a_snapshot_gets_an_epoch(world: CollectorWorld) -> None:
    world.snapshots.rows["a"] = [chunk_row(number) for number in range(1_200)]
    with world.collecting():
        eventually(world.stream.look)
        world.source.commit(noted=[mark("a")])
        world.source.many(1)
        world.until_caught_up()
    control, part = world.chunks()[0], world.chunks()[1]
    world.empty()
    world.has("audit", part, whole=False, position=control.position)

    after = world.collect()

    assert [(one.epoch, one.kind) for one in after[:2]] == [(2, "control"), (2, "snapshot")]
    assert "a part of 2" in after[0].text
    assert after[0].seq > part.seq
    assert rows(after) == written(world.source)


# -- Redis loses -----------------------------------------------------------------------------------


def test_an_empty_redis_gets_the_same_entries_again(world: CollectorWorld) -> None:
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(4)
        world.source.many(1, rows=1_400)
        world.source.many(4)
        world.until_caught_up()
    before, chunks = world.raw(), world.chunks()
    world.empty()
    world.has("audit", chunks[-1])
    world.has("timescale", chunks[3])

    world.source.many(2)
    after = world.collect()

    assert after[0].entry_id == "5-0"
    assert {one.epoch for one in after} == {1}
    again = world.raw()
    assert {key: again[key] for key in before if key in again} == {
        key: value for key, value in before.items() if key in again
    }
    assert seqs(after) == list(range(5, 13))


def test_emptied_under_a_running_collector_it_begins_again_by_itself(
    world: CollectorWorld,
) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
        last = world.chunks()[-1]
        world.empty()
        world.has("audit", last)
        world.source.many(2)
        eventually(lambda: seqs(world.chunks()) == [5, 6])

    assert any(event == "cdc_lost" for event, _ in world.logs)


def test_cut_back_the_tail_comes_again_and_sinks_ahead_keep_their_place(
    world: CollectorWorld,
) -> None:
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    redis, keys = world.stream.redis, world.stream.keys
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
    older: Any = redis.dump(keys.stream), redis.dump(keys.checkpoint)
    world.source.many(3)
    before, raw = world.collect(), world.raw()
    world.has("audit", before[-1])
    world.has("timescale", before[1])
    for key, dumped in zip((keys.stream, keys.checkpoint), older, strict=True):
        redis.restore(key, 0, dumped, replace=True)

    world.source.many(1)
    after = world.collect()

    assert seqs(after) == list(range(3, 9))
    assert {one.epoch for one in after} == {1}
    again = world.raw()
    assert {key: again[key] for key in raw if key in again} == {
        key: value for key, value in raw.items() if key in again
    }


def test_cut_back_before_an_epoch_another_one_begins(world: CollectorWorld) -> None:
    redis, keys = world.stream.redis, world.stream.keys
    world.collect()
    world.source.many(2)
    world.collect()
    older: Any = redis.dump(keys.stream), redis.dump(keys.checkpoint)
    world.selection = "filter-2"
    world.source.many(2)
    before = world.collect()
    world.has("audit", before[-1])
    for key, dumped in zip((keys.stream, keys.checkpoint), older, strict=True):
        redis.restore(key, 0, dumped, replace=True)

    after = world.collect()

    assert [(one.epoch, one.kind) for one in after] == [(3, "control")]
    assert after[0].seq == before[-1].seq + 1


@pytest.mark.parametrize("gone", ["stream", "checkpoint"])
def test_one_key_gone_is_a_loss_of_all(world: CollectorWorld, gone: str) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
        world.has("audit", world.chunks()[1])
        world.stream.redis.delete(getattr(world.stream.keys, gone))
        world.source.many(1)
        eventually(lambda: seqs(world.chunks()) == [3, 4, 5])

    assert rows(world.chunks()) == written(world.source)[1:]


def test_a_sink_from_an_older_backup_makes_it_begin_there(world: CollectorWorld) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(6)
        world.until_caught_up()
        chunks = world.chunks()
        world.has("audit", chunks[-1])
        eventually(lambda: not world.chunks(), 5)  # trimmed
        world.has("audit", chunks[2])
        eventually(lambda: seqs(world.chunks()) == [4, 5, 6, 7])

    assert [one.changes for one in world.chunks()] == [one.changes for one in chunks[3:]]


def test_numbers_that_differ_from_a_sinks_begin_an_epoch(world: CollectorWorld) -> None:
    """Should the log, read again, ever count otherwise, nobody gets two meanings of one seq."""
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(6)
        world.until_caught_up()
    chunks = world.chunks()
    world.empty()
    world.has("timescale", chunks[1])
    # Two transactions fewer up to there than this sink has counted.
    world.has("audit", chunks[4]._replace(seq=chunks[4].seq + 2))

    after = world.collect()

    assert (after[0].kind, after[0].epoch) == ("control", 2)
    assert after[0].seq == chunks[4].seq + 3
    assert rows(after) == written(world.source)[1:]


def test_a_sink_that_has_more_of_a_transaction_than_there_is_gets_an_epoch(
    world: CollectorWorld,
) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
    control, first = world.chunks()[:2]
    world.empty()
    world.has("audit", first._replace(chunk=1), whole=False, position=control.position)

    after = world.collect()

    assert [(one.epoch, one.kind) for one in after[:2]] == [(2, "control"), (2, "log")]
    assert rows(after) == written(world.source)


# -- two of them -----------------------------------------------------------------------------------


def test_of_two_collectors_one_is_fenced_and_nothing_is_doubled(world: CollectorWorld) -> None:
    """The lease fails to keep them apart: the fence does."""
    with world.collecting(), world.collecting():
        eventually(world.stream.look)
        for _ in range(30):
            world.source.many(10)
            time.sleep(0)
        eventually(lambda: seqs(world.chunks())[-1:] == [301], 30)

    assert seqs(world.chunks()) == list(range(1, 302))
    assert rows(world.chunks()) == written(world.source)
    assert any(event in {"cdc_fenced", "cdc_lost"} for event, _ in world.logs)


def test_without_the_lease_it_stands_by_and_is_ready(world: CollectorWorld) -> None:
    world.owned = False
    with world.collecting() as collector:
        eventually(lambda: collector.state == "standby")
        assert collector.ready()
        assert world.stream.look() is None
        world.owned = True
        eventually(world.stream.look)
        eventually(lambda: collector.state == "reading")
        world.owned = False
        eventually(lambda: collector.state == "standby")


def told(world: CollectorWorld) -> Stopped:
    found = world.stream.look()
    assert found is not None
    assert found.stopped is not None
    return found.stopped


# -- stopped ---------------------------------------------------------------------------------------


def test_what_cannot_be_followed_stops_it_loudly_until_cured(world: CollectorWorld) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        world.source.many(2)
        world.until_caught_up()
        world.source.stop = SourceStopped("unknown_event", "event 201 at 7", "upgrade the fleet")
        stopped = eventually(partial(told, world))
        assert (stopped.reason, stopped.cure) == ("unknown_event", "upgrade the fleet")
        assert not collector.ready()
        since = stopped.since_ms
        reads = world.source.reads
        eventually(lambda: world.source.reads > reads + 1)  # it tries again
        assert told(world).since_ms == since

        world.source.stop = None
        world.source.many(1)
        eventually(lambda: (found := world.stream.look()) and not found.stopped)
        eventually(collector.ready)
        world.until_caught_up()

    assert seqs(world.chunks()) == [1, 2, 3, 4]


def test_purged_it_waits_for_a_word_and_then_begins_an_epoch(world: CollectorWorld) -> None:
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(2)
        world.until_caught_up()
        world.source.stop = SourceStopped("purged", "the log is gone", "fleet cdc restart")
        eventually(lambda: (found := world.stream.look()) and found.stopped)
        world.source.many(2)  # missed
        world.source.stop = None
        world.stream.request("restart", "an operator", reason="the log was purged")
        eventually(lambda: world.chunks()[-1].epoch == 2)
        world.source.many(1)
        world.until_caught_up()

    epoch = [one for one in world.chunks() if one.epoch == 2]
    assert [one.kind for one in epoch] in (["control", "log"], ["control", "log", "log", "log"])
    assert epoch[0].text == "the log was purged"
    assert world.snapshots.asked[-1].tables == ()
    assert not world.stream.requests()
    assert seqs(world.chunks()) == list(range(1, len(world.chunks()) + 1))


def test_another_server_is_not_followed_silently(world: CollectorWorld) -> None:
    world.source.many(1)
    world.collect()
    world.source.server = "server-b"
    with world.collecting() as collector:
        eventually(lambda: (found := world.stream.look()) and found.stopped)
        assert not collector.ready()
        world.stream.request("restart", "an operator", reason="moved to server-b")
        eventually(lambda: world.chunks()[-1].epoch == 2)


def test_a_source_set_back_with_one_sink_begins_an_epoch_that_both_come_to(
    world: CollectorWorld,
) -> None:
    """The audit log is older than the stream, TimescaleDB newer than the source."""
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    world.collect()
    world.source.many(5)
    found = world.collect()
    world.has("timescale", found[-1])
    world.has("audit", found[-1])
    world.collect()  # trims
    world.source.server, world.source.log = "server-b", world.source.log[:3]
    world.has("audit", found[2])
    with world.collecting():
        eventually(lambda: (seen := world.stream.look()) and seen.stopped)
        world.stream.request("recover", "an operator", reason="restored")
        eventually(lambda: not world.stream.requests())
        begun = eventually(world.chunks)[0]

    assert (begun.epoch, begun.seq, begun.kind) == (2, found[-1].seq + 1, "control")
    assert begun.text == "restored: the server is server-b"
    assert world.snapshots.asked[-1].tables == ()


def test_asked_to_recover_it_goes_on_where_nothing_is_broken(world: CollectorWorld) -> None:
    world.source.many(2)
    found = world.collect()
    world.has("audit", found[-1])
    with world.collecting():
        world.stream.request("recover", "an operator", reason="Redis was lost")
        eventually(lambda: not world.stream.requests())
        world.source.many(1)
        world.until_caught_up()

    assert {one.epoch for one in world.chunks()} == {1}
    assert not world.snapshots.asked[1:]


def test_another_selection_begins_an_epoch_where_it_was(world: CollectorWorld) -> None:
    world.collect()
    world.source.many(2)
    world.collect()
    world.selection = "filter-2"
    world.source.many(2)

    found = world.collect()

    assert [(one.epoch, one.seq, one.kind) for one in found] == [
        (1, 1, "control"), (1, 2, "log"), (1, 3, "log"),
        (2, 4, "control"), (2, 5, "log"), (2, 6, "log"),
    ]  # fmt: skip
    assert world.snapshots.asked[-1].by == "another selection of tables"


# -- requests, room, what is told ------------------------------------------------------------------


def test_a_snapshot_that_is_asked_for_is_handed_over(world: CollectorWorld) -> None:
    with world.collecting():
        eventually(world.stream.look)
        asked = world.stream.request("snapshot", "an operator", ["fleet_fills"])
        eventually(lambda: not world.stream.requests())

    assert world.snapshots.asked[-1].id == asked.id
    assert world.snapshots.asked[-1].tables == ("fleet_fills",)


def test_only_what_every_sink_has_is_trimmed(world: CollectorWorld) -> None:
    world.sinks = ("audit", "timescale")
    world.new_sinks()
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(1, rows=1_200)
        world.source.many(3)
        world.until_caught_up()
        chunks = world.chunks()
        world.has("audit", chunks[-1])
        passed = world.stream.look().at_ms  # type: ignore[union-attr]
        world.source.commit(noted=[beat("2026-11-26T08:00:00.000001")])
        eventually(lambda: world.stream.look().at_ms > passed)  # type: ignore[union-attr]
        assert len(world.chunks()) == len(chunks), "the other one has nothing"
        # A part of the long one is staged: that part may go, the rest not.
        world.has("timescale", chunks[2], whole=False, position=chunks[0].position)
        eventually(lambda: [one.entry_id for one in world.chunks()][:1] == ["2-2"])

    assert [one.entry_id for one in world.chunks()] == [one.entry_id for one in chunks[3:]]


def test_a_full_stream_makes_it_wait_and_a_transaction_is_never_cut(world: CollectorWorld) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        world.limit = 20_000
        world.source.many(1, rows=20_000)
        eventually(lambda: collector.state == "full")
        assert collector.ready(), "the log waits at the source, nothing is wrong"
        found = world.chunks()
        assert seqs(found) == [1, 2], "the long one is whole"
        world.source.many(50)
        turned = collector.turned_at
        eventually(lambda: collector.turned_at > turned + 0.1)
        assert world.chunks() == found, "nothing is read"
        world.has("audit", found[-1])
        eventually(lambda: collector.state == "reading")
        world.until_caught_up()

    assert seqs(world.chunks()) == list(range(3, 53))


def test_the_lag_is_told_from_the_heartbeat(world: CollectorWorld) -> None:
    with world.collecting() as collector:
        eventually(world.stream.look)
        at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        world.source.commit(noted=[beat(at)])
        world.until_caught_up()
        eventually(lambda: (seen := collector.reading()) and 0 <= seen.behind_seconds < 5)
        world.source.commit(noted=[beat("2020-01-01T00:00:00.000001")])
        eventually(lambda: (seen := collector.reading()) and seen.behind_seconds > 86_400)


def test_settings_that_lose_data_are_refused_before_anything_is_read(
    world: CollectorWorld,
) -> None:
    world.examined = [SourceStopped("binlog_format", "it is MIXED", "SET GLOBAL binlog_format=ROW")]

    with world.collecting() as collector:
        eventually(lambda: collector.state == "stopped")
        assert world.source.reads == 0
        eventually(world.stream.look)  # cured
