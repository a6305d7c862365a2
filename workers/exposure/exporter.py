"""Collects what every section tells, side by side: a server that is away, or hangs, hides only
what stands in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import MySQLdb
import psycopg
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import FleetError
from shared.settings import Settings
from workers.alerts import Sample
from workers.exposure.samples import Section, tell
from workers.exposure.sections import pings, sections

EVERY_SECONDS = 5.0
DEADLINE_SECONDS = 0.9
"""What has not answered by then is told the next time; it goes on meanwhile."""
STALE_SECONDS = 15.0
"""Figures of a section that answers late are told so long; then no figure is better than an old
one."""
HANGS_SECONDS = 4.0
"""A server that answered, and now takes longer than this, is away; a busy machine answers late."""
LIVE_SECONDS = 120.0
"""A turn that hangs longer than this is not alive."""
_log = telemetry.log(__name__)


class Reading(NamedTuple):
    """What a section told. error: "" where it could be read. at: a monotonic time."""

    samples: Sequence[Sample]
    error: str
    at: float


class Reader:
    """One section, in a thread of its own: at most one reading at a time, and none that holds up
    the others.
    """

    def __init__(self, name: str, section: Section, settings: Settings) -> None:
        self.name = name
        self.section = section
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._reading: Reading | None = None
        self._said = ""

    def begin(self) -> None:
        """Unless it is still at it."""
        if self._thread is None or not self._thread.is_alive():
            self._began = time.monotonic()
            self._thread = threading.Thread(
                target=self._read, name=f"fleet-{self.name}", daemon=True
            )
            self._thread.start()

    def wait(self, seconds: float) -> Reading | None:
        """What it told last; None where that is too old, or nothing."""
        if self._thread is not None:
            self._thread.join(max(seconds, 0.0))
        found = self._reading
        if found is None or time.monotonic() - found.at > STALE_SECONDS:
            return None
        return found

    @property
    def hangs(self) -> bool:
        """It is still at it, for too long."""
        at_it = self._thread is not None and self._thread.is_alive()
        return at_it and time.monotonic() - self._began > HANGS_SECONDS

    def _read(self) -> None:
        samples: Sequence[Sample] = ()
        error = ""
        try:
            samples = tuple(self.section.read(self._settings))
        except (FleetError, RedisError, MySQLdb.Error, psycopg.Error, OSError) as found:
            # Old figures would look like good news: they go, and alerts on absence fire.
            error = f"{type(found).__name__}: {found}"
        self._reading = Reading(samples, error, time.monotonic())
        if error and error != self._said:
            _log.warning("collect_failed", section=self.name, error=error)
        self._said = error


class Exporter:
    """Collects every EVERY_SECONDS until stop(). samples: the newest, as one tuple. errors: what
    could not be read then, and why.
    """

    def __init__(
        self,
        settings: Settings,
        make_sections: Callable[[Settings], Mapping[str, Section]] = sections,
        make_pings: Callable[[Settings], Mapping[str, Section]] = pings,
    ) -> None:
        made, asked = make_sections(settings), make_pings(settings)
        self._sections = [Reader(name, one, settings) for name, one in made.items()]
        self._pings = [Reader(f"ping-{name}", one, settings) for name, one in asked.items()]
        self._stopping = threading.Event()
        self.samples: tuple[Sample, ...] = ()
        self.errors: Mapping[str, str] = {}
        self.collected = False
        self.turned_at = time.monotonic()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.turn()
            self._stopping.wait(EVERY_SECONDS)

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        return time.monotonic() - self.turned_at < LIVE_SECONDS

    def turn(self) -> tuple[Sample, ...]:
        """One collection, DEADLINE_SECONDS long at most."""
        self.turned_at = started = time.monotonic()
        readers = (*self._pings, *self._sections)
        for one in readers:
            one.begin()
        readings = {one.name: one.wait(started + DEADLINE_SECONDS - time.monotonic())
                    for one in readers}  # fmt: skip
        up = {one.section.servers[0]: _answers(one, readings[one.name]) for one in self._pings}
        found = [tell("fleet_server_up", well, server=name) for name, well in up.items()]
        # A server that is away says so by itself; this is about what no server explains.
        well = True
        for one in self._sections:
            reading = readings[one.name]
            if reading is not None:
                found += reading.samples
            if (reading is None or reading.error) and all(up[name] for name in one.section.servers):
                well = False
        found.append(tell("fleet_collect_success", well))
        found.append(tell("fleet_collect_seconds", time.monotonic() - started))
        self.errors = {name: one.error for name, one in readings.items() if one and one.error}
        self.samples = tuple(found)
        self.collected = True
        return self.samples


def _answers(ping: Reader, reading: Reading | None) -> bool:
    return not ping.hangs and reading is not None and not reading.error
