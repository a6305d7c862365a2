"""What the streams of a node tell, written to the outbox in small batches.

Nothing is acknowledged to a venue, so what cannot be written is lost to the stream: the account's
gap opens, and the sync finds it. Gaps and suspensions themselves are kept until they are written.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import MySQLdb

from shared import telemetry
from shared.errors import Unavailable
from shared.exchanges.venue import Found
from shared.mysql.connection import transaction
from workers.reporting import Report
from workers.userstreams import store
from workers.userstreams.store import Back, Cause, Change, Lost, Refusal, Span

TASK = "userstreams.batch"
WRITTEN_SECONDS = 5.0
WAKE_SECONDS = 60.0
"""An account that trades is looked for among the quiet ones once in so long."""

_log = telemetry.log(__name__)


class Bounds(NamedTuple):
    """most_waiting: events beyond it are given up; their accounts have a gap then."""

    batch_events: int = 200
    batch_seconds: float = 0.05
    most_waiting: int = 10_000
    pause_seconds: float = 0.25
    pause_seconds_most: float = 5.0


class Told(NamedTuple):
    """An event, whose it is, and the venue's time at which it was heard."""

    account_id: int
    venue: str
    heard_ms: int
    event: Found


class Batch(NamedTuple):
    events: Sequence[Told]
    changes: Sequence[Change]
    refusals: Sequence[Refusal]


NOTHING = Batch((), (), ())


class Recorder:
    """Belongs to one event loop; MySQL is spoken to in a thread, by one connection.

    tell_suspended: tells Laravel, in the transaction that suspends.
    """

    def __init__(
        self,
        connect_mysql: Callable[[], Any],
        tell_suspended: Callable[[Any, int, str], object],
        report: Callable[[Report], None],
        bounds: Bounds | None = None,
    ) -> None:
        self._connect = connect_mysql
        self._tell_suspended = tell_suspended
        self._report = report
        self._bounds = bounds or Bounds()
        # Its own: the loop's default threads may all be waiting for a venue that is away.
        self._thread = ThreadPoolExecutor(1, "fleet-recorder")
        self._connection: Any = None
        self._events: list[Told] = []
        self._changes: list[Change] = []
        self._refusals: list[Refusal] = []
        self._unrecorded: dict[int, Span] = {}
        self._due: set[int] = set()
        self._traded: set[int] = set()
        self._woken: dict[int, float] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._ending = False

    # -- in the loop -------------------------------------------------------------------------------

    def told(self, account_id: int, venue: str, heard_ms: int, events: Sequence[Found]) -> None:
        """Written within `batch_seconds`, or the account's gap opens."""
        told = [Told(account_id, venue, heard_ms, event) for event in events]
        if len(self._events) + len(told) > self._bounds.most_waiting:
            self._give_up(told)
        else:
            self._events += told
        self._wake.set()

    def lost(self, account_id: int, venue: str, cause: Cause, from_ms: int) -> None:
        telemetry.count("fleet_stream_gaps_total", venue=venue, cause=cause)
        _log.info("stream_lost", account=account_id, venue=venue, cause=cause)
        self._changes.append(Lost(account_id, cause, from_ms))
        self._wake.set()

    def back(self, account_id: int, until_ms: int) -> None:
        self._changes.append(Back(account_id, until_ms))
        self._wake.set()

    def refuse(self, account_id: int, reason: str, keys_hash: str) -> None:
        self._refusals.append(Refusal(account_id, reason, keys_hash))
        self._wake.set()

    async def written(self) -> None:
        """Once nothing waits any more. Raises Unavailable after WRITTEN_SECONDS."""
        self._settled.clear()
        self._wake.set()
        try:
            await asyncio.wait_for(self._settled.wait(), WRITTEN_SECONDS)
        except TimeoutError:
            raise Unavailable("what the streams told is not written yet") from None

    async def run(self) -> None:
        """Until `end`; then what is left is written once more."""
        failures = 0
        while not self._ending or self._is_waiting():
            await self._wake.wait()
            if not self._ending and len(self._events) < self._bounds.batch_events:
                await asyncio.sleep(self._bounds.batch_seconds)
            self._wake.clear()
            batch = self._take()
            try:
                await self._in_thread(self._write, batch)
                batch = NOTHING
                await self._in_thread(self._ask)
                failures = 0
            except Unavailable as error:
                _log.warning("streams_not_recorded", error=str(error), events=len(batch.events))
                self._failed(batch)
                if self._ending:
                    break
                failures += 1
                await self._pause(failures)
            if self._is_waiting():
                self._wake.set()
            else:
                self._settled.set()
        self._thread.submit(self._drop_connection)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def end(self) -> None:
        self._ending = True
        self._wake.set()

    def _is_waiting(self) -> bool:
        return bool(
            self._events or self._changes or self._refusals or self._unrecorded
            or self._due or self._traded
        )  # fmt: skip

    async def _pause(self, failures: int) -> None:
        bounds = self._bounds
        pause = min(bounds.pause_seconds * 2 ** min(failures, 10), bounds.pause_seconds_most)
        await asyncio.sleep(pause)

    def _take(self) -> Batch:
        most = self._bounds.batch_events
        events, self._events = self._events[:most], self._events[most:]
        changes, self._changes = self._changes, []
        refusals, self._refusals = self._refusals, []
        # Another try: what is written now comes after what was dropped.
        changes += self._unrecorded.values()
        self._unrecorded = {}
        return Batch(tuple(events), tuple(changes), tuple(refusals))

    def _failed(self, batch: Batch) -> None:
        self._give_up(batch.events)
        self._changes = [*batch.changes, *self._changes]
        self._refusals = [*batch.refusals, *self._refusals]
        self._wake.set()

    def _give_up(self, told: Sequence[Told]) -> None:
        for one in told:
            span = self._unrecorded.get(one.account_id)
            if span is None:
                telemetry.count("fleet_stream_gaps_total", venue=one.venue, cause="unrecorded")
                span = Span(one.account_id, "unrecorded", one.heard_ms, one.heard_ms)
            self._unrecorded[one.account_id] = span._replace(until_ms=one.heard_ms)

    # -- in the thread -----------------------------------------------------------------------------

    def _write(self, batch: Batch) -> None:
        if batch == NOTHING:
            return
        began = time.monotonic()
        events = [one.event for one in batch.events]
        with self._mysql() as connection, transaction(connection):
            suspended = store.record(connection, events, batch.changes, batch.refusals)
            for one in suspended:
                self._tell_suspended(connection, one.account_id, one.reason)
        self._said(batch, time.monotonic() - began)
        for one in suspended:
            _log.warning("stream_suspended", account=one.account_id, reason=one.reason)
        self._due |= {one.account_id for one in batch.changes}
        now = time.monotonic()
        for told in batch.events:
            is_fill = told.event.type == "order.filled.1"
            if is_fill and now - self._woken.get(told.account_id, -WAKE_SECONDS) >= WAKE_SECONDS:
                self._woken[told.account_id] = now
                self._traded.add(told.account_id)

    def _ask(self) -> None:
        if self._due or self._traded:
            with self._mysql() as connection:
                store.ask(connection, self._due, self._traded)
            self._due, self._traded = set(), set()

    @contextmanager
    def _mysql(self) -> Iterator[Any]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except Unavailable:
            self._drop_connection()
            raise

    def _said(self, batch: Batch, seconds: float) -> None:
        by_venue = Counter(one.venue for one in batch.events)
        for venue, number in by_venue.items():
            telemetry.count("fleet_stream_events_total", number, venue=venue)
        self._report(
            Report(
                task=TASK,
                counts={"events": len(batch.events), "gaps": len(batch.changes)},
                places=tuple(by_venue),
                seconds=seconds,
                first="",
                last="",
            )
        )

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(MySQLdb.Error):
                self._connection.close()
            self._connection = None
