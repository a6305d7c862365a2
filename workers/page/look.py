"""Looks at the fleet for the page and for the terminal: the exporter's samples, and the last errors
from every server that answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import MySQLdb
from redis.exceptions import RedisError

from shared.cdc.log import ChangeLog
from shared.errors import FleetError
from shared.masking import Mask
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers import drain
from workers.alerts import Sample
from workers.jobs import operator
from workers.lease import broker_redis
from workers.page.picture import Picture, picture
from workers.troubles import (
    SHOWN,
    Trouble,
    in_mysql,
    in_the_audit_log,
    in_the_change_stream,
    newest_first,
)

JOBS_SECONDS = 86_400.0
"""An operator job that failed longer ago is no news; whoever started it saw it."""


READ_SECONDS = 5
LOOK_SECONDS = 2.0
"""What was read is told so long before it is read again."""
WAIT_SECONDS = 0.5
"""So long a page waits for it; what comes later stands on the next one."""


class Exports(Protocol):
    """The exporter, as far as somebody looks at it. turned_at: monotonic, of its last turn."""

    @property
    def samples(self) -> tuple[Sample, ...]: ...
    @property
    def errors(self) -> Mapping[str, str]: ...
    @property
    def collected(self) -> bool: ...
    @property
    def turned_at(self) -> float: ...


class Turns(Exports, Protocol):
    """An exporter whose owner says when it looks."""

    def turn(self) -> object: ...


class LastErrors:
    """Reads the last errors when somebody looks, in a thread of its own: a server that hangs must
    not hold up the page that says so. Called from several threads.
    """

    def __init__(self, read: Callable[[], Sequence[Trouble]], mask: Mask) -> None:
        self.mask = mask
        self._read = read
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._read_at = float("-inf")
        self._found: Sequence[Trouble] = ()

    def __call__(self) -> Sequence[Trouble]:
        with self._lock:
            thread = self._thread
            if thread is None and time.monotonic() - self._read_at >= LOOK_SECONDS:
                thread = threading.Thread(target=self._look, name="fleet-errors", daemon=True)
                self._thread = thread
                thread.start()
        if thread is not None:
            thread.join(WAIT_SECONDS)
        return self._found

    def _look(self) -> None:
        try:
            self._found = self._read()
        finally:
            self._read_at = time.monotonic()
            self._thread = None


def errors_of(settings: Settings) -> LastErrors:
    """Those of this fleet."""
    return LastErrors(partial(last_errors, settings), Mask.of(settings))


def look(exporter: Exports, errors: LastErrors, now: datetime) -> Picture | None:
    """None before the first collection. now: the moment, UTC."""
    if not exporter.collected:
        return None
    age = timedelta(seconds=time.monotonic() - exporter.turned_at)
    unread = [
        Trouble("FleetCollectFails", None, f"reading {name}", errors.mask.text(why), "fleet doctor")
        for name, why in sorted(exporter.errors.items())
    ]
    return picture(now - age, exporter.samples, [*unread, *errors()])


def last_errors(settings: Settings) -> list[Trouble]:
    """A server that does not answer hides only what it holds; that it does not is a problem of its
    own (FleetServerAway).
    """
    found: list[Trouble] = []
    for read in _READERS:
        try:
            found += read(settings)
        except (FleetError, RedisError, MySQLdb.Error, OSError):
            continue
    return newest_first(iter(found), Mask.of(settings))


def _mysql(settings: Settings) -> Iterator[Trouble]:
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        yield from in_mysql(connection)


def _audit(settings: Settings) -> Iterator[Trouble]:
    with closing(connect(settings.audit, read_seconds=READ_SECONDS)) as connection:
        yield from in_the_audit_log(connection)


def _change_stream(settings: Settings) -> Iterator[Trouble]:
    with closing(control_client(settings.streams_redis, "fleet-page")) as redis:
        yield from in_the_change_stream(ChangeLog(redis, settings.prefix))


def _operator_jobs(settings: Settings) -> Iterator[Trouble]:
    oldest = time.time() - JOBS_SECONDS
    for at, job in operator.failed(settings, SHOWN):
        if at >= oldest:
            yield Trouble(
                "FleetOperatorJobsFail", datetime.fromtimestamp(at, UTC),
                f"operator job {job.name}, by {job.actor}", job.error or "it ended without a word",
                "mend the cause and run the command again",
            )  # fmt: skip


def _drained(settings: Settings) -> Iterator[Trouble]:
    """Roles that somebody told to rest: not an error, and the reason of those that follow."""
    with closing(broker_redis(settings, socket_timeout=READ_SECONDS)) as redis:
        for role, alert in drain.DRAINABLE.items():
            found = drain.asked(redis, drain.drain_key(settings.broker_prefix, role))
            if found is not None:
                since = datetime.fromtimestamp(found.since_ms / 1000, UTC)
                why = f"it was told to take no work: {found.why or 'no reason was given'}"
                yield Trouble(alert, since, f"the role {role}", why, f"fleet undrain {role}")


_READERS: tuple[Callable[[Settings], Iterator[Trouble]], ...] = (
    _mysql, _audit, _change_stream, _operator_jobs, _drained,
)  # fmt: skip
