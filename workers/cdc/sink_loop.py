"""The loop of a sink: entries in, whole transactions out, the offset moved with them.

    read behind the offset > decode > lock the offset > plan > write > move the offset > commit

Nothing is remembered between two turns that the sink's database does not hold, so whatever ends a
turn (a lost reply, a twin, kill -9) the next one begins where the database stands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from shared import telemetry
from shared.cdc import envelope
from shared.cdc.checkpoint import Report
from shared.cdc.errors import SourceStopped
from shared.cdc.log import ChangeLog
from shared.changes import Chunk, Offset
from shared.errors import FleetError, InvalidEvent, Unavailable
from workers.cdc.continuity import Place, Plan, Read, plan, rows_of
from workers.cdc.quarantine import write_carefully
from workers.cdc.sink import Batch, Entry, RowsRefused, Sink
from workers.drain import never

_EVERY_CHUNK = b"18446744073709551615"
_BEFORE_ALL = b"0-0"
_FIRST_COUNT = 8
"""Entries of the first read: nobody knows yet how large they are."""


@dataclass(frozen=True, slots=True)
class SinkBounds:
    """Every bound of the loop, as data. Rows and bytes are of one database transaction; a
    transaction of the source that is longer goes through the staging table.
    """

    rows: int = 2_000
    bytes: int = 8 * 1024 * 1024
    read_entries: int = 256
    gather_seconds: float = 0.02  # for more to come, before a small batch is written
    read_seconds: float = 0.1
    idle_seconds: float = 0.5
    report_seconds: float = 1.0
    gap_seconds: float = 1.0
    stopped_seconds: float = 30.0
    pause_seconds_most: float = 5.0
    stuck_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class SinkTools:
    """What the loop is given by the composition root. resting: write nothing for now."""

    connect_redis: Callable[[], Redis]
    prefix: str
    log: Callable[..., None]
    bounds: SinkBounds = SinkBounds()
    resting: Callable[[], bool] = never


class Gap(Unavailable):
    """The next entry is not in the stream: the collector reads the log again for who says so."""


class SinkLoop:
    """One sink, one thread. A twin of it does no harm, and no good."""

    def __init__(self, sink: Sink, tools: SinkTools) -> None:
        self._sink = sink
        self._tools = tools
        self._bounds = tools.bounds
        self._stopping = threading.Event()
        self._redis: Redis | None = None
        self._log: ChangeLog | None = None
        self._offset: Offset | None = None
        self._why = ""
        self._pauses = 0
        self._report_at = 0.0
        self._count = _FIRST_COUNT
        self.rests = False
        self.turned_at = time.monotonic()

    def run(self) -> None:
        """Until stop()."""
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            self.rests = self._tools.resting()
            if self.rests:
                self._stopping.wait(self._bounds.idle_seconds)
                continue
            try:
                self.turn()
            except (Unavailable, SourceStopped) as error:
                self._pause(error)
            else:
                self._pauses = 0
        self.close()

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        """The loop has turned, or written, lately."""
        return time.monotonic() - self.turned_at < self._bounds.stuck_seconds

    def ready(self) -> bool:
        """The sink knows where it stands and goes on from there, or was told to wait."""
        return self.rests or (self._offset is not None and not self._why)

    def turn(self) -> int:
        """Reads some entries and writes what is whole of them; how many entries it read.

        Raises Unavailable (Gap among them) and SourceStopped; `close` makes it begin anew.
        """
        offset = self._stand()
        reads, broken = self._gather(offset)
        if reads:
            made = self._commit(reads)
            self._note(made)
        elif broken is not None:
            raise SourceStopped(
                "malformed", broken.detail, "Nothing is skipped: cured, it goes on"
            )
        elif time.monotonic() >= self._report_at:
            self._look()
        self._tell(force=bool(reads))
        return len(reads)

    def close(self) -> None:
        self._offset = None
        self._sink.close()
        if self._redis is not None:
            redis, self._redis = self._redis, None
            self._log = None
            with suppress(RedisError):
                redis.close()

    # --- where it stands ---

    def _stand(self) -> Offset:
        if self._offset is None:
            if self._redis is None:
                self._redis = self._tools.connect_redis()
                self._log = ChangeLog(self._redis, self._tools.prefix)
            self._sink.connect()
            with self._sink.transaction():
                self._offset = self._sink.lock_offset() or self._begin()
            self._why = ""
            self._tell(force=True)
        return self._offset

    def _look(self) -> None:
        """While nothing comes: the sink's database may be another one, or have been set back, and
        what is told is what the collector begins with.
        """
        with self._sink.transaction():
            self._offset = self._sink.lock_offset()
        if self._offset is None:
            raise Unavailable("the sink's offset is gone: it begins anew")

    def _begin(self) -> Offset:
        """A sink that has nothing: from the beginning of an epoch where the stream holds it, where
        all tables are read; else from now on, and what was before is asked for as a snapshot. It is
        asked for before the offset is made, because twice does no harm.
        """
        log = self._stream
        first = log.read(_BEFORE_ALL, 1, 0)
        if first:
            chunk = envelope.decode(*first[0])
            position = chunk.position
            if chunk.kind == "control" and position is not None:
                offset = Offset(chunk.epoch, chunk.seq - 1, 0, whole=True, position=position)
                self._sink.move_offset(offset, None)
                return offset
        checkpoint = log.look()
        if checkpoint is None:
            log.report(self._sink.name, Report(None, _now_ms()))
            raise Unavailable("no collector has begun yet")
        place = checkpoint.place
        log.request("snapshot", f"new sink {self._sink.name}")
        offset = Offset(place.epoch, place.seq, 0, whole=True, position=place.position)
        self._sink.move_offset(offset, None)
        self._tools.log("sink_begins", seq=place.seq, epoch=place.epoch)
        return offset

    # --- entries ---

    def _gather(self, offset: Offset) -> tuple[list[Read], InvalidEvent | None]:
        """Entries behind the offset within the bounds; and why the one after them is none.

        In a backlog page after page; when little comes, a moment for more, which one transaction
        then writes together. What is beyond a bound is read again in the next turn.
        """
        bounds, found = self._bounds, list[Read]()
        rows = size = 0
        after, block_ms = _after(offset), int(bounds.idle_seconds * 1000)
        until, waited = 0.0, False
        while page := self._stream.read(after, self._count, block_ms):
            until = until or time.monotonic() + bounds.read_seconds
            few = len(page) < self._count
            for after, fields in page:
                try:
                    chunk = envelope.decode(after, fields)
                except InvalidEvent as broken:
                    return found, broken
                found.append(Read(chunk, _entry(chunk, fields)))
                rows += len(chunk.changes)
                size += sum(map(len, fields.values()))
                if rows >= bounds.rows or size >= bounds.bytes:
                    few = False
                    break
            fit = min(bounds.rows * len(found) // max(rows, 1), bounds.bytes * len(found) // size)
            self._count = max(1, min(bounds.read_entries, fit))
            if rows >= bounds.rows or size >= bounds.bytes or time.monotonic() >= until or waited:
                break
            block_ms = 0
            if few:
                waited = True
                self._stopping.wait(bounds.gather_seconds)
        return found, None

    # --- writing ---

    def _commit(self, reads: Sequence[Read]) -> Plan:
        """One database transaction; a second, careful one where rows were refused."""
        try:
            made, _ = self._written(reads, careful=False)
        except RowsRefused:
            made, refused = self._written_carefully(reads)
            telemetry.count("fleet_cdc_quarantined_total", refused, sink=self._sink.name)
            self._tools.log("rows_quarantined", rows=refused, until_seq=made.place.offset.seq)
        if made.gap and not made.moved:
            raise Gap(made.gap)
        return made

    def _written_carefully(self, reads: Sequence[Read]) -> tuple[Plan, int]:
        try:
            return self._written(reads, careful=True)
        except RowsRefused as refused:
            code = str(refused).partition(":")[0]  # what follows may quote values
            raise SourceStopped(
                "stand_in_refused",
                f"the database of {self._sink.name} refuses even what stands for a refused row "
                f"({code})",
                "Take away the trigger or the constraint on its tables: nothing is skipped, it "
                "goes on by itself",
            ) from refused

    def _written(self, reads: Sequence[Read], *, careful: bool) -> tuple[Plan, int]:
        sink = self._sink
        with sink.transaction():
            offset = sink.lock_offset()
            if offset is None:
                raise Unavailable("the sink's offset is gone: it begins anew")
            made = plan(Place(offset, 0 if offset.whole else sink.staged_rows()), reads)
            if not made.moved:
                return made, 0
            refused = rows = 0
            for chunks in self._pieces(made):
                if careful:
                    refused += write_carefully(sink, chunks)
                else:
                    sink.write(chunks)
                rows += rows_of(chunks)
                self.turned_at = time.monotonic()
            if made.completes or made.drops_staged:
                sink.unstage()
            if made.tail:
                sink.stage(made.tail)
            sink.move_offset(made.place.offset, _batch(offset, made, rows))
        telemetry.count("fleet_cdc_rows_total", rows, sink=sink.name)
        return made, refused

    def _pieces(self, made: Plan) -> Iterator[Sequence[Chunk]]:
        """What is whole, a bounded number of rows at a time: first from staging, then as read."""
        if made.completes:
            for page in self._sink.staged():
                yield [envelope.decode(entry.entry_id, entry.fields) for entry in page]
        piece, rows = list[Chunk](), 0
        for chunk in made.whole:
            if piece and rows + len(chunk.changes) > self._bounds.rows:
                yield piece
                piece, rows = [], 0
            piece.append(chunk)
            rows += len(chunk.changes)
        if piece:
            yield piece

    # --- what it says of itself ---

    def _note(self, made: Plan) -> None:
        self._offset = made.place.offset
        self._why = ""

    def _tell(self, *, force: bool = False) -> None:
        """The hint for the collector and for the exporter, after commits and each second."""
        now = time.monotonic()
        if self._log is None or not (force or now >= self._report_at):
            return
        self._log.report(self._sink.name, Report(self._offset, _now_ms(), self._why))
        if now >= self._report_at:
            self._report_at = now + self._bounds.report_seconds

    def _pause(self, error: FleetError) -> None:
        """Says why, and waits. The offset stays known to the collector, which can cure a gap."""
        self._why = str(error)
        self._tools.log("sink_waits", error=self._why)
        with suppress(Unavailable, SourceStopped):
            if self._offset is not None:
                self._tell(force=True)
        telemetry.gauge("fleet_cdc_sink_gap", isinstance(error, Gap), sink=self._sink.name)
        self.close()
        if isinstance(error, SourceStopped):
            seconds = self._bounds.stopped_seconds
        elif isinstance(error, Gap):
            seconds = self._bounds.gap_seconds
        else:
            self._pauses += 1
            seconds = min(0.05 * 2 ** min(self._pauses, 8), self._bounds.pause_seconds_most)
        self.turned_at = time.monotonic()
        self._stopping.wait(seconds)

    @property
    def _stream(self) -> ChangeLog:
        assert self._log is not None
        return self._log


def _after(offset: Offset) -> bytes:
    """The id behind which the next entry stands."""
    if offset.whole:
        return b"%d-%b" % (offset.seq, _EVERY_CHUNK)
    return b"%d-%d" % (offset.seq, offset.chunk)


def _entry(chunk: Chunk, fields: dict[bytes, bytes]) -> Entry:
    return Entry(chunk.epoch, chunk.seq, chunk.chunk, chunk.first_row, len(chunk.changes), fields)


def _batch(before: Offset, made: Plan, rows: int) -> Batch | None:
    if not made.whole:
        return None
    first = before.seq if made.completes else made.whole[0].seq
    return Batch(made.whole[-1].epoch, first, made.whole[-1].seq, rows)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
