"""A collector over a fake source and a real Redis, sinks that are told what they have, a reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from redis import Redis

from shared.cdc import envelope
from shared.cdc.checkpoint import Checkpoint, Report
from shared.cdc.log import ChangeLog
from shared.changes import Chunk, Offset
from tests.fake_source import FakeSnapshots, FakeSource, FakeStandings
from tests.runtime_world import running
from tests.waiting import eventually
from workers.cdc.appender import BatchBounds
from workers.cdc.collector import Collector
from workers.cdc.ports import Bounds, Tools

QUICK = Bounds(
    batch=BatchBounds(place_seconds=0.02), look_seconds=0.02, full_seconds=0.01,
    pause_seconds_most=0.05, stopped_seconds=0.2,
)  # fmt: skip


@dataclass
class CollectorWorld:
    """connect: a client of the Redis that is tested."""

    connect: Callable[[], Redis]
    prefix: str
    source: FakeSource = field(default_factory=FakeSource)
    snapshots: FakeSnapshots = field(default_factory=FakeSnapshots)
    standings: FakeStandings = field(default_factory=FakeStandings)
    sinks: tuple[str, ...] = ("audit",)
    selection: str = "filter-1"
    limit: int = 1 << 30
    owned: bool = True
    logs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    examined: list[BaseException] = field(default_factory=list)  # raised by examine, one each

    def __post_init__(self) -> None:
        self.stream = ChangeLog(self.connect(), self.prefix)

    def tools(self, **more: Any) -> Tools:
        tools = Tools(
            connect=lambda: ChangeLog(self.connect(), self.prefix),
            source=self.source,
            examine=self._examine,
            snapshots=self.snapshots,
            standings=self.standings,
            sinks=self.sinks,
            selection=self.selection,
            limit_bytes=lambda _: self.limit,
            owned=lambda: self.owned,
            now_us=lambda: time.time_ns() // 1000,
            log=lambda event, **words: self.logs.append((event, words)),
            bounds=QUICK,
        )
        return replace(tools, **more)

    def _examine(self) -> None:
        if self.examined:
            raise self.examined.pop()

    @contextmanager
    def collecting(self, **more: Any) -> Iterator[Collector]:
        with running(Collector(self.tools(**more))) as collector:
            yield collector

    def collect(self, **more: Any) -> list[Chunk]:
        """Until everything that is in the source's log is in the stream, then stops."""
        with self.collecting(**more):
            self.until_caught_up()
        return self.chunks()

    def until_caught_up(self) -> Checkpoint:
        def caught_up() -> Checkpoint:
            found = self.stream.look()
            assert found is not None
            assert found.place.position.pos == self.source.position().pos
            return found

        return eventually(caught_up)

    def new_sinks(self) -> None:
        """They run and have nothing."""
        for name in self.sinks:
            self.stream.report(name, Report(None, 1))

    def has(self, name: str, chunk: Chunk, *, whole: bool = True, position: Any = None) -> Offset:
        """A sink says that it has everything up to here."""
        where = position or chunk.position
        assert where is not None
        offset = Offset(chunk.epoch, chunk.seq, chunk.chunk, whole, where)
        self.stream.report(name, Report(offset, 1))
        return offset

    def chunks(self) -> list[Chunk]:
        found: Any = self.stream.redis.xrange(self.stream.keys.stream)
        return [envelope.decode(entry_id, fields) for entry_id, fields in found]

    def raw(self) -> dict[bytes, bytes]:
        """Id -> payload, whatever its encoding."""
        found: Any = self.stream.redis.xrange(self.stream.keys.stream)
        return {entry_id: fields.get(b"p") or fields[b"z"] for entry_id, fields in found}

    def empty(self) -> None:
        """Redis loses everything of ours but what running sinks say again."""
        self.stream.redis.delete(*self.stream.keys)


def seqs(chunks: list[Chunk]) -> list[int]:
    """Of the transactions, in order; checks that each is whole and without a gap inside."""
    found: list[int] = []
    expected, rows = 0, 0
    for chunk in chunks:
        assert (chunk.chunk, chunk.first_row) == (expected, rows), chunk.entry_id
        expected, rows = chunk.chunk + 1, rows + len(chunk.changes)
        if chunk.last:
            found.append(chunk.seq)
            expected = rows = 0
    return found
