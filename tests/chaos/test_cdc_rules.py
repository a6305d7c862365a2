"""Each rule of change capture is taken out, here in the test alone, and a scripted schedule must go
wrong. Without that the schedules would prove nothing. No setting can take a rule out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

import MySQLdb
import orjson
import pytest
from redis import Redis

from shared.cdc.checkpoint import Checkpoint, Place
from shared.cdc.log import ChangeLog, Entry
from shared.changes import Chunk, Offset
from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.change_world import ORDERS, ChangeStream, created, order
from tests.collector_world import QUICK, CollectorWorld
from tests.sink_world import AuditUnderTest, DyingSink, Killed, LoopWorld
from tests.waiting import eventually
from workers.cdc.appender import Appender, BatchBounds
from workers.cdc.audit import AuditSink
from workers.cdc.ports import Bounds

pytestmark = pytest.mark.database

Patch = pytest.MonkeyPatch
LONG = 1_700
ONE_BY_ONE = Bounds(
    batch=BatchBounds(entries=1), look_seconds=QUICK.look_seconds,
    full_seconds=QUICK.full_seconds, pause_seconds_most=QUICK.pause_seconds_most,
)  # fmt: skip


class Parts(NamedTuple):
    """What the schedules are made of."""

    collector: CollectorWorld
    sink: LoopWorld
    stream: ChangeStream


@pytest.fixture
def parts(  # noqa: PLR0917 - fixtures
    servers: Any,
    redis_root: Any,
    redis_prefix: str,
    settings_for: Callable[..., Settings],
    mysql_root: MySQLSettings,
    fleet_schema: str,
) -> Iterator[Parts]:
    def client() -> Redis:
        return Redis(host=servers["REDIS_HOST"], port=int(servers["REDIS_PORT"]),
                     password=servers.get("REDIS_PASSWORD"))  # fmt: skip

    collector = CollectorWorld(client, f"{redis_prefix}c:")
    collector.new_sinks()
    with closing(connect(mysql_root, fleet_schema)) as root:
        under = AuditUnderTest(settings_for, root)
        stream = ChangeStream(redis_root, redis_prefix)
        yield Parts(collector, LoopWorld(under, settings_for("audit")), stream)
    collector.stream.redis.close()


# -- schedules: what is wrong at their end ---------------------------------------------------------


def redis_set_back(parts: Parts) -> list[str]:
    """To what it was before the last entries, while the collector runs."""
    world = parts.collector
    redis: Any = world.stream.redis
    keys = world.stream.keys
    with world.collecting():
        eventually(world.stream.look)
        world.source.many(3)
        world.until_caught_up()
        copies = [(key, redis.dump(key)) for key in (keys.stream, keys.checkpoint)]
        world.source.many(3)
        world.until_caught_up()
        with redis.pipeline(transaction=True) as pipe:
            for key, copy in copies:
                pipe.restore(key, 0, copy, replace=True)
            pipe.execute()
        world.source.many(2)
        world.until_caught_up()
    return _unlike(world)


def lost_inside_a_transaction(parts: Parts) -> list[str]:
    """Redis has taken its first chunk, and the collector begins again."""
    world = parts.collector

    class Once(ChangeLog):
        lost = False

        def append(
            self, known: Checkpoint, entries: Sequence[Entry], place: Place | None, now_ms: int
        ) -> Checkpoint:
            found = super().append(known, entries, place, now_ms)
            if not Once.lost and any(one.id.endswith(b"-1") for one in entries):
                Once.lost = True
                raise Unavailable("Redis: the connection was lost")
            return found

    with world.collecting(
        connect=lambda: Once(world.connect(), world.prefix), bounds=ONE_BY_ONE
    ):
        eventually(world.stream.look)
        world.source.many(1)
        world.source.many(1, rows=LONG)
        world.source.many(1)
        world.until_caught_up()
    assert Once.lost
    return _unlike(world)


def sink_killed_after_its_rows(parts: Parts) -> list[str]:
    stream, sink = parts.stream, parts.sink
    stream.control()
    for number in range(5):
        stream.commit(created(ORDERS, order(number)))
    stream.append_all()
    dying = DyingSink(sink.under.make(), "write")
    with suppress(Killed):
        sink.catch_up(dying)
    assert dying.died
    try:
        sink.catch_up()
    except MySQLdb.Error as error:
        return [str(error)]
    found = [seq for _, seq, *_ in sink.under.events()]
    wanted = list(range(2, 7))
    return [] if found == wanted else [f"{found}, not {wanted}"]


def _unlike(world: CollectorWorld) -> list[str]:
    """Rows of the stream, against those of the log."""
    chunks: list[Chunk] = world.chunks()
    found = [
        (str(change.after[0]), str(change.after[1]))
        for chunk in chunks for change in chunk.changes if change.after
    ]  # fmt: skip
    wanted = [tuple(orjson.loads(row)[3]) for one in world.source.log for row in one.rows]
    return [] if found == wanted else [f"{len(found)} rows in the stream, {len(wanted)} in the log"]


# -- rules taken out -------------------------------------------------------------------------------

COMPARED = (
    "if held[2] ~= ARGV[2] then return {'lost', held[2] or ''} end\n",
    "if last ~= ARGV[2] then return {'lost', last} end\n",
)


def without_compare_and_set(patch: Patch) -> None:
    script = ChangeLog._script

    def bare(self: ChangeLog, name: str) -> tuple[str, str]:
        text, sha = script(self, name)
        if name != "append":
            return text, sha
        for line in COMPARED:
            assert line in text
            text = text.replace(line, "")
        return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    patch.setattr(ChangeLog, "_script", bare)


def place_moves_with_the_first_chunk(patch: Patch) -> None:
    entries_of = Appender._entries_of

    def early(self: Appender, header: Any, found: Any, skipped: int) -> None:
        self.place = self.place._replace(seq=header.seq, position=found.ends)
        entries_of(self, header, found, skipped)

    patch.setattr(Appender, "_entries_of", early)


def offset_before_rows(patch: Patch) -> None:
    write = AuditSink.write

    def early(self: AuditSink, chunks: Sequence[Chunk]) -> None:
        last = chunks[-1]
        assert last.position is not None
        offset = Offset(last.epoch, last.seq, last.chunk, last.last, last.position)
        self.move_offset(offset, None)
        self._open.commit()
        write(self, chunks)

    patch.setattr(AuditSink, "write", early)


def offset_after_rows(patch: Patch) -> None:
    write = AuditSink.write

    def late(self: AuditSink, chunks: Sequence[Chunk]) -> None:
        write(self, chunks)
        self._open.commit()

    patch.setattr(AuditSink, "write", late)


class Rule(NamedTuple):
    """A schedule, and the removal that it must notice."""

    schedule: Callable[[Parts], list[str]]
    removed: Callable[[Patch], None]


RULES = [
    Rule(redis_set_back, without_compare_and_set),
    Rule(lost_inside_a_transaction, place_moves_with_the_first_chunk),
    Rule(sink_killed_after_its_rows, offset_before_rows),
    Rule(sink_killed_after_its_rows, offset_after_rows),
]
SCHEDULES = list(dict.fromkeys(rule.schedule for rule in RULES))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.__name__)
def test_with_every_rule_in_force_the_schedule_ends_exact(
    parts: Parts, schedule: Callable[[Parts], list[str]]
) -> None:
    assert schedule(parts) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one.removed.__name__)
def test_without_the_rule_the_schedule_goes_wrong(
    parts: Parts, monkeypatch: Patch, rule: Rule
) -> None:
    rule.removed(monkeypatch)
    assert rule.schedule(parts)
