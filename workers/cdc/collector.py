"""The collector: the log of the source becomes entries of the change stream, each once, in order.

    lease ─> fence ─> where to begin ─> read: number, encode, batch ─> append by compare-and-set
      ^                    ^                                             │
      └── standby          └──── anything that went wrong ───────────────┘

Whatever goes wrong, what was read and not appended is dropped, and it begins again at what Redis
and the sinks hold. Nothing is skipped: what cannot be followed stops it, loudly, until it is cured.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import MySQLdb

from shared import telemetry
from shared.cdc.checkpoint import Stopped
from shared.cdc.errors import SourceStopped
from shared.cdc.log import ChangeLog, Extent, Lost
from shared.cdc.transaction import Quiet, SourceTransaction
from shared.errors import Fenced, FleetError, Unavailable
from shared.mysql.connection import classify
from workers.cdc import upkeep
from workers.cdc.appender import Appender, Renumbered
from workers.cdc.beginning import OF_BEGINNINGS, Beginning
from workers.cdc.heartbeat import Reading
from workers.cdc.ports import Tools
from workers.cdc.resume import Wait
from workers.cdc.upkeep import BeginAgain, Lag

READY = frozenset({"standby", "reading", "full"})


class Collector:
    """Any number may run: one reads, the others stand by."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._bounds = tools.bounds
        self._stopping = threading.Event()
        self._stream: ChangeLog | None = None
        self._renumber = ""
        self._next_look = 0.0
        self._lag = Lag()
        self._pauses = 0
        self._file: str | None = None
        self.state = "standby"
        self.words: dict[str, object] = {}  # what is told with the state
        self.turned_at = time.monotonic()

    # --- from any thread ---

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        return time.monotonic() - self.turned_at < self._bounds.stuck_seconds

    def ready(self) -> bool:
        """It reads, or stands by for one that does."""
        return self.state in READY

    def reading(self) -> Reading | None:
        """None: it does not read."""
        if self._file is None:
            return None
        return Reading(self._file, self._lag.seconds(self._tools.now_us()))

    # --- the loop ---

    def run(self) -> None:
        """Until stop()."""
        try:
            while not self._stopping.is_set():
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        self.turned_at = time.monotonic()
        if not self._tools.owned():
            self._become("standby")
            self._file = None
            self._stopping.wait(self._bounds.full_seconds)
            return
        try:
            self._collect()
        except BeginAgain as error:
            self._tools.log("cdc_begins_again", why=str(error))
        except Fenced as error:
            # Both had the lease for a moment, or one slept: the lease decides who goes on.
            self._pause("fenced", error)
        except Lost as error:
            self._pause("lost", error)
        except Renumbered as error:
            self._renumber = str(error)
            self._pause("renumbered", error)
        except Unavailable as error:
            self._pause("unavailable", error)
        except MySQLdb.Error as error:
            known = classify(error)
            if known is None:
                raise
            self._pause("unavailable", known)
        except SourceStopped as error:
            self._stand_still(error)

    def _collect(self) -> None:
        """From what Redis and the sinks hold, until stopped, replaced or disturbed."""
        stream = self._log()
        appender = Beginning(self._tools, stream, self._between).begin(self._renumber)
        if isinstance(appender, Wait):
            self._become("waiting", why=appender.why)
            self._stopping.wait(self._bounds.full_seconds)
            return
        self._renumber = ""
        self._file = appender.place.position.file
        self._become("beginning", at=appender.place.position._asdict())
        # Also at the memory limit: what the sinks have is what can be freed.
        upkeep.trim(self._tools, stream, appender, stream.reports())
        self._next_look = 0.0
        reading = self._tools.source.read(appender.place.position)
        try:
            for found in reading:
                self._take(appender, found)
                if time.monotonic() >= self._next_look:
                    self._look(appender)
                if self._stopping.is_set() or not self._tools.owned():
                    break
        finally:
            _end(reading)
        appender.leave()

    def _take(self, appender: Appender, found: SourceTransaction | Quiet) -> None:
        if isinstance(found, Quiet):
            appender.moved(found.position)
            appender.flush()
            self._tools.snapshots.step()
            return
        tools = self._tools
        try:
            found = tools.standings.passed(found, appender.place.seq + 1)
            appender.transaction(found)
            behind = tools.snapshots.passed(found, appender.place.seq + 1)
        finally:
            found.rows.close()
        if found.noted:
            self._lag.note(found.noted, tools.now_us())
        for one in behind:
            appender.snapshot(tools.standings.snapshot(one))
        if behind or appender.full():
            appender.flush()
            tools.snapshots.step()

    # --- once a second ---

    def _look(self, appender: Appender) -> None:
        """Only when something was read: so a source that stops at once never looks cured."""
        self._pauses = 0
        appender.flush()
        self._file = appender.place.position.file
        stream, checkpoint = self._log(), appender.checkpoint
        if checkpoint.stopped:
            stream.stop(checkpoint.fence, None)
            appender.checkpoint = checkpoint._replace(stopped=None)
        if self.state not in READY:
            self._become("reading")
        upkeep.serve(self._tools, stream)
        self._between(appender)
        self._next_look = time.monotonic() + self._bounds.look_seconds

    def _between(self, appender: Appender) -> None:
        """While the stream is full the log waits at the source, never inside a transaction: one
        that was begun is appended to its end.
        """
        stream = self._log()
        while True:
            self.turned_at = time.monotonic()
            extent = upkeep.trimmed(self._tools, stream, appender)
            upkeep.expose(appender)
            if not self._is_full(stream, extent) or not self._tools.owned():
                return
            if self._stopping.wait(self._bounds.full_seconds):
                return

    def _is_full(self, stream: ChangeLog, extent: Extent) -> bool:
        limit = self._tools.limit_bytes(stream)
        full = extent.bytes >= (limit * self._bounds.room if self.state == "full" else limit)
        if full or self.state == "full":
            self._become("full" if full else "reading", bytes=extent.bytes, limit=limit)
        return full

    # --- what goes wrong ---

    def _pause(self, what: str, error: FleetError) -> None:
        self._become(what, error=str(error))
        telemetry.count("fleet_cdc_disturbed_total", what=what)
        self._close()
        self._pauses += 1
        longest = self._bounds.pause_seconds_most
        self._stopping.wait(min(0.05 * 2 ** min(self._pauses, 6), longest))

    def _stand_still(self, error: SourceStopped) -> None:
        """Says so where everybody looks, and tries again by and by; asked to restart, at once."""
        self._become("stopped", reason=error.reason, what=error.what, cure=error.cure)
        self._close()
        until = time.monotonic() + self._bounds.stopped_seconds
        said = False
        while time.monotonic() < until and not self._stopping.is_set() and self._tools.owned():
            self.turned_at = time.monotonic()
            try:
                said = said or self._say_stopped(error)
                if any(one.kind in OF_BEGINNINGS for one in self._log().requests()):
                    return
            except FleetError as second:  # Redis is what stopped us, or is away as well
                self._tools.log("cdc_stopped_unsaid", error=str(second))
                self._close()
            self._stopping.wait(self._bounds.full_seconds)

    def _say_stopped(self, error: SourceStopped) -> bool:
        checkpoint = self._log().look()
        if checkpoint is not None:
            before = checkpoint.stopped
            since_ms = before.since_ms if before else self._tools.now_ms()
            told = Stopped(error.reason, error.what, error.cure, since_ms)
            self._log().stop(checkpoint.fence, told)
        return True

    def _become(self, state: str, **words: object) -> None:
        before, self.state, self.words = self.state, state, words
        if state != before:
            self._tools.log(f"cdc_{state}", before=before, **words)

    def _log(self) -> ChangeLog:
        if self._stream is None:
            self._stream = self._tools.connect()
        return self._stream

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.redis.close()
        self._tools.snapshots.close()


def _end(reading: Iterator[SourceTransaction | Quiet]) -> None:
    """Its connection goes with it."""
    if isinstance(reading, Generator):
        reading.close()
