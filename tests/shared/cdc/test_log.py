"""The change stream on a real Redis: compare-and-set, the fence, what is refused or lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.cdc.checkpoint import NOTHING, Checkpoint, Place, Report, Stopped
from shared.cdc.errors import SourceStopped
from shared.cdc.log import ChangeLog, Entry, Lost
from shared.changes import Offset, Position
from shared.errors import Fenced, Unavailable
from tests.own_redis import OwnRedis, own_redis
from tests.waiting import eventually

AT = Position("server", "log.000001", 100, "0-1-7", "mark", (("xid", "log.000001", 4),))
NOW_MS = 1_700_000_000_000


def place(seq: int, epoch: int = 1) -> Place:
    return Place(epoch, seq, AT._replace(pos=100 * seq + 100), "filter")


def entry(seq: int, chunk: int = 0, payload: bytes = b"[]") -> Entry:
    return Entry(b"%d-%d" % (seq, chunk), b"p", b"{}", payload)


@pytest.fixture
def log(redis_root: Redis, redis_prefix: str) -> ChangeLog:
    return ChangeLog(redis_root, redis_prefix)


@pytest.fixture
def begun(log: ChangeLog) -> Checkpoint:
    return log.rewind(None, NOTHING, place(1), NOW_MS, entries=[entry(1)])


def say(redis: Redis, *words: str) -> Any:
    command: Any = redis.execute_command
    return command(*words)


def ids(log: ChangeLog) -> list[bytes]:
    found: Any = log.redis.xrange(log.keys.stream)
    return [entry_id for entry_id, _ in found]


def test_entries_and_the_place_are_one_step(log: ChangeLog, begun: Checkpoint) -> None:
    known = log.append(begun, [entry(2), entry(3, 0), entry(3, 1)], place(3), NOW_MS + 5)

    assert ids(log) == [b"1-0", b"2-0", b"3-0", b"3-1"]
    assert log.look() == known
    assert known == Checkpoint(begun.fence, (3, 1), place(3), None, NOW_MS + 5)


def test_a_transaction_in_parts_moves_the_place_with_its_last_chunk(
    log: ChangeLog, begun: Checkpoint
) -> None:
    known = log.append(begun, [entry(2, 0), entry(2, 1)], None, NOW_MS)

    assert known.broken_off
    assert known.place == place(1)
    assert known.head == (2, 1)
    assert log.append(known, [entry(2, 2)], place(2), NOW_MS).place == place(2)


def test_a_place_moves_without_entries(log: ChangeLog, begun: Checkpoint) -> None:
    further = place(1)._replace(position=AT._replace(pos=9_000))

    log.append(begun, [], further, NOW_MS)

    assert ids(log) == [b"1-0"]
    assert (log.take().checkpoint or begun).place.position.pos == 9_000


def test_what_was_appended_already_is_refused_whole(log: ChangeLog, begun: Checkpoint) -> None:
    log.append(begun, [entry(2)], place(2), NOW_MS)

    with pytest.raises(Lost):
        log.append(begun, [entry(2), entry(3)], place(3), NOW_MS)

    assert ids(log) == [b"1-0", b"2-0"]


def test_a_collector_that_was_replaced_writes_nothing(log: ChangeLog, begun: Checkpoint) -> None:
    taken = log.take()

    assert taken.agrees
    with pytest.raises(Fenced):
        log.append(begun, [entry(2)], place(2), NOW_MS)
    with pytest.raises(Fenced):
        log.rewind(begun.fence, NOTHING, place(1), NOW_MS)
    with pytest.raises(Fenced):
        log.trim(begun.fence, (2, 0))
    with pytest.raises(Fenced):
        log.stop(begun.fence, None)
    assert ids(log) == [b"1-0"]
    assert taken.checkpoint is not None
    log.append(taken.checkpoint, [entry(2)], place(2), NOW_MS)


def test_a_fence_of_before_a_loss_is_none_after_it(log: ChangeLog, begun: Checkpoint) -> None:
    log.redis.delete(log.keys.stream, log.keys.checkpoint)
    again = log.rewind(None, NOTHING, place(1), NOW_MS, entries=[entry(1)])

    assert again.fence > begun.fence
    with pytest.raises(Fenced):
        log.append(begun, [entry(2)], place(2), NOW_MS)


def test_two_first_starts_are_one(log: ChangeLog) -> None:
    log.rewind(None, NOTHING, place(1), NOW_MS, entries=[entry(1)])

    with pytest.raises(Fenced):
        log.rewind(None, NOTHING, place(1), NOW_MS, entries=[entry(1)])


@pytest.mark.parametrize("lost", ["stream", "checkpoint", "tail", "both"])
def test_a_loss_of_redis_is_noticed_by_the_next_append(
    log: ChangeLog, begun: Checkpoint, lost: str
) -> None:
    known = log.append(begun, [entry(2), entry(3)], place(3), NOW_MS)
    older: dict[Any, Any] = log.redis.hgetall(log.keys.checkpoint)
    known = log.append(known, [entry(4)], place(4), NOW_MS)
    gone = {"stream": [log.keys.stream], "checkpoint": [log.keys.checkpoint]}
    if lost == "tail":
        log.redis.hset(log.keys.checkpoint, mapping=older)
        entries: Any = log.redis.xrange(log.keys.stream)
        log.redis.delete(log.keys.stream)
        for entry_id, fields in entries[:-1]:
            log.redis.xadd(log.keys.stream, fields, id=entry_id)
    else:
        log.redis.delete(*gone.get(lost, [log.keys.stream, log.keys.checkpoint]))

    with pytest.raises(Lost):
        log.append(known, [entry(5)], place(5), NOW_MS)

    assert b"5-0" not in ids(log)
    if lost == "stream":
        assert not log.take().agrees
    elif lost == "tail":  # both lost the same tail: nothing is wrong with what is left
        assert log.take().agrees


def test_the_ids_of_a_stream_that_was_deleted_are_not_taken_again(
    log: ChangeLog, begun: Checkpoint
) -> None:
    """Redis itself would take them: its guard goes with the key."""
    log.redis.delete(log.keys.stream)
    log.redis.xadd(log.keys.stream, {"h": ""}, id="0-7")

    with pytest.raises(Lost):
        log.append(begun, [entry(2)], place(2), NOW_MS)


def test_after_everything_was_trimmed_the_stream_still_knows_its_end(
    log: ChangeLog, begun: Checkpoint
) -> None:
    assert log.trim(begun.fence, (2, 0)) == 1

    assert log.extent().first is None
    assert log.take().agrees
    with pytest.raises(Fenced):
        log.append(begun, [entry(2)], place(2), NOW_MS)


def test_only_what_is_below_is_trimmed(log: ChangeLog, begun: Checkpoint) -> None:
    log.append(begun, [entry(2, 0), entry(2, 1), entry(2, 2), entry(3)], place(3), NOW_MS)

    assert log.trim(begun.fence, (2, 2)) == 3

    assert ids(log) == [b"2-2", b"3-0"]


def test_a_rewind_begins_again_with_the_ids_that_follow(log: ChangeLog, begun: Checkpoint) -> None:
    known = log.append(begun, [entry(number) for number in range(2, 9)], place(8), NOW_MS)
    log.stop(known.fence, Stopped("purged", "gone", "restart", NOW_MS))

    again = log.rewind(known.fence, (4, 0), place(4), NOW_MS)

    assert (again.head, again.place, again.fence) == ((4, 0), place(4), known.fence)
    assert ids(log) == []
    assert log.look() == again
    again = log.append(again, [entry(5)], place(5), NOW_MS)
    assert ids(log) == [b"5-0"]


@pytest.mark.parametrize("wrong", [[entry(3)], [entry(2), entry(4)], [entry(2), entry(2, 2)]])
def test_a_gap_of_our_own_making_is_not_written(
    log: ChangeLog, begun: Checkpoint, wrong: list[Entry]
) -> None:
    with pytest.raises(RuntimeError, match="gap"):
        log.append(begun, wrong, place(9), NOW_MS)

    assert ids(log) == [b"1-0"]


def test_why_it_stopped_stands_in_the_checkpoint_until_it_is_cured(
    log: ChangeLog, begun: Checkpoint
) -> None:
    why = Stopped("purged", "the log is gone", "fleet cdc restart", NOW_MS)

    log.stop(begun.fence, why)

    assert log.look() == begun._replace(stopped=why)
    log.stop(begun.fence, None)
    assert log.look() == begun


@pytest.mark.parametrize("key", ["stream", "checkpoint"])
def test_a_key_of_another_type_stops_with_a_cure(
    log: ChangeLog, begun: Checkpoint, key: str
) -> None:
    name = getattr(log.keys, key)
    log.redis.delete(name)
    log.redis.set(name, "somebody's")

    for act in (
        log.take,
        lambda: log.append(begun, [entry(2)], place(2), NOW_MS),
        lambda: log.rewind(begun.fence, (4, 0), place(4), NOW_MS),
    ):
        with pytest.raises(SourceStopped, match="RENAME or DEL"):
            act()
    assert log.redis.get(name) == b"somebody's"


def test_a_missing_grant_is_found_before_anything_is_written(
    log: ChangeLog, begun: Checkpoint, redis_prefix: str
) -> None:
    """XADD would go through, HSET would not: half of it must not stand there."""
    user = f"{redis_prefix.rstrip(':')}_half"
    say(
        log.redis, "ACL", "SETUSER", user, "on", ">half", f"~{redis_prefix}*", "+@all", "-hset"
    )
    options = log.redis.connection_pool.connection_kwargs
    with closing(Redis(host=options["host"], port=options["port"], username=user,
                       password="half")) as client:  # fmt: skip
        with pytest.raises(Unavailable, match="fleet doctor --grants"):
            ChangeLog(client, redis_prefix).append(begun, [entry(2)], place(2), NOW_MS)
        say(log.redis, "ACL", "SETUSER", user, "+hset", "-xadd")
        with pytest.raises(Unavailable):
            ChangeLog(client, redis_prefix).append(begun, [entry(2)], place(2), NOW_MS)

    assert ids(log) == [b"1-0"]
    assert log.look() == begun


# -- a Redis that refuses --------------------------------------------------------------------------


@pytest.fixture
def own(servers: Mapping[str, str]) -> Iterator[OwnRedis]:
    with own_redis(servers) as found:
        yield found


def _full(own: OwnRedis, _: Redis) -> Callable[[], Any]:
    own.fill_up()
    return own.make_room


def _replica(_: OwnRedis, client: Redis) -> Callable[[], Any]:
    say(client, "REPLICAOF", "127.0.0.1", "1")
    return lambda: say(client, "REPLICAOF", "NO", "ONE")


def _cannot_save(own: OwnRedis, client: Redis) -> Callable[[], Any]:
    """Its folder is gone, so a snapshot fails."""
    folder = own.folder / f"gone-{uuid.uuid4().hex}"
    folder.mkdir()
    client.config_set("dir", f"/tmp/{folder.name}")  # noqa: S108 - in the root
    folder.rmdir()
    client.config_set("save", "1 1")
    say(client, "BGSAVE")

    def failed() -> bool:
        info: Any = client.info("persistence")
        return bool(info["rdb_last_bgsave_status"] != "ok")

    eventually(failed)
    return lambda: client.config_set("save", "")


@pytest.mark.parametrize(
    ("disturb", "says"), [(_full, "OutOfMemory"), (_replica, "ReadOnly"), (_cannot_save, "MISCONF")]
)
def test_a_redis_that_refuses_has_taken_nothing(
    own: OwnRedis,
    disturb: Callable[[OwnRedis, Redis], Callable[[], Any]],
    says: str,
) -> None:
    with closing(own.client()) as client:
        log = ChangeLog(client, "x:")
        begun = log.rewind(None, NOTHING, place(1), NOW_MS, entries=[entry(1)])
        cure = disturb(own, client)

        with pytest.raises(Unavailable, match=says):
            log.append(begun, [entry(2), entry(3)], place(3), NOW_MS)

        assert ids(log) == [b"1-0"]
        cure()
        log.append(begun, [entry(2), entry(3)], place(3), NOW_MS)


def test_at_the_memory_limit_what_frees_memory_goes_on(own: OwnRedis) -> None:
    with closing(own.client()) as client:
        log = ChangeLog(client, "x:")
        begun = log.rewind(None, NOTHING, place(2), NOW_MS, entries=[entry(1), entry(2)])
        own.fill_up()

        taken = log.take()
        assert taken.checkpoint is not None
        assert log.trim(taken.checkpoint.fence, (2, 0)) == 1
        log.stop(taken.checkpoint.fence, Stopped("x", "y", "z", NOW_MS))

        assert begun.fence < taken.checkpoint.fence


def test_a_redis_that_is_away_is_unavailable(own: OwnRedis) -> None:
    with closing(own.client()) as client:
        log = ChangeLog(client, "x:")
        own.stop()

        with pytest.raises(Unavailable) as caught:
            log.take()

        assert isinstance(caught.value.__cause__, RedisConnectionError)


# -- sinks and requests ----------------------------------------------------------------------------


def test_a_sink_reads_raw_entries_behind_its_id(log: ChangeLog, begun: Checkpoint) -> None:
    log.append(begun, [entry(2), entry(10, payload=b"[1]")._replace(id=b"3-0")], place(3), NOW_MS)

    assert log.read(b"1-0", 10, 0) == [
        (b"2-0", {b"h": b"{}", b"p": b"[]"}),
        (b"3-0", {b"h": b"{}", b"p": b"[1]"}),
    ]
    assert [found for found, _ in log.read(b"0-0", 1, 0)] == [b"1-0"]
    assert log.read(b"3-0", 10, 5) == []


def test_what_sinks_report_comes_back(log: ChangeLog) -> None:
    told = {
        "audit": Report(Offset(2, 17, 3, whole=False, position=AT), NOW_MS),
        "timescale": Report(None, 0),
    }
    for name, report in told.items():
        log.report(name, report)

    assert log.reports() == told


def test_requests_wait_until_they_are_done(log: ChangeLog) -> None:
    first = log.request("snapshot", "me", ["fleet_fills"])
    second = log.request("restart", "me", reason="purged")

    assert log.requests() == [first, second]
    log.done(first)
    assert log.requests() == [second]
