"""Change capture after a loss, for `fleet recover`: asked before the books, proved behind them.

    sinks say where they are ─> the collector is asked ─> (the books) ─> all is read ─> proved

Whether the log goes on from where stream and sinks are, the collector alone can say; where it does
not, it begins an epoch and reads every table again. What no log tells (rows loaded past it) the
proof finds, and only those tables are read again.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

from shared.cdc.checkpoint import Report, whole_seq
from shared.cdc.log import ChangeLog
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers.cdc.beginning import RECOVER, SNAPSHOT
from workers.cdc.proof_cli import Said, differing, open_sinks, proved
from workers.cdc.sinks import configured
from workers.cdc.status import CaptureStatus, capture_status
from workers.cdc.verify import TableResult
from workers.cdc.verify_sinks import SinkView

PATIENCE_SECONDS = 120.0
"""Without anything moving."""
LOOK_SECONDS = 0.3


class Proof(NamedTuple):
    """said: as `fleet cdc verify` says it. again: tables that were read again before it."""

    said: Said
    tables: Sequence[TableResult]
    again: Sequence[str]


def ask(settings: Settings, reason: str, patience: float = PATIENCE_SECONDS) -> str | None:
    """Asks the collector; the request's id. None: nothing was ever captured here.

    Raises Unavailable when a sink does not say what it has: numbers that it may have used must not
    be given again.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(_stream(settings))
        sinks = open_sinks(settings, stack)
        if stream.look() is None and not any(one.seq() for one in sinks):
            return None
        until = time.monotonic() + patience
        while silent := [one.name for one in sinks if not _has_told(stream, one)]:
            if time.monotonic() > until:
                raise Unavailable(
                    f"{' and '.join(silent)} did not say what it has within {patience:g} s: is "
                    "the role running, and its database migrated and there?"
                )
            time.sleep(LOOK_SECONDS)
        return stream.request(RECOVER, getpass.getuser(), reason=reason).id


def settle(
    settings: Settings,
    request: str,
    say: Callable[[str], object] = lambda _: None,
    patience: float = PATIENCE_SECONDS,
) -> CaptureStatus:
    """Waits until the collector has answered, every table that it asked for is read, and the sinks
    have it. Raises Unavailable when nothing has moved for so long.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(_stream(settings))
        connection = stack.enter_context(closing(connect(settings.mysql)))
        stood, moved_at, through, told = None, time.monotonic(), 0, ""
        while True:
            found = capture_status(stream, connection, configured(settings))
            left = _what_is_left(found, request)
            if not left:
                through = through or found.seq
                left = _behind(found, through)
            if not left:
                return found
            stands = (found.epoch, found.seq, found.sinks, found.snapshots, left)
            if stands != stood:
                stood, moved_at = stands, time.monotonic()
            elif time.monotonic() - moved_at > patience:
                raise Unavailable(f"{left}; nothing moved for {patience:g} s: fleet cdc status")
            if left != told:
                say(told := left)
            time.sleep(LOOK_SECONDS)


def prove(settings: Settings, say: Callable[[str], object], wait: float) -> Proof:
    """Source and sinks, row for row; what differs is read again, once. Raises Unavailable."""
    said, results = proved(settings, (), wait)
    names = [one.table for one in results if one.differs]
    if not names:
        return Proof(said, results, ())
    say(f"differing, and read again: {', '.join(names)}")
    with _stream(settings) as stream:
        asked = stream.request(SNAPSHOT, getpass.getuser(), names)
    settle(settings, asked.id, say)
    said, again = proved(settings, names, wait)
    same = [one for one in results if not one.differs]
    return Proof(said, [*same, *again], names)


def is_well(found: Proof) -> bool:
    return not differing(found.said, found.tables)


def _has_told(stream: ChangeLog, sink: SinkView) -> bool:
    """Whether it was heard of since whatever happened: its report stands between two looks."""
    before = sink.seq()
    report: Report | None = stream.reports().get(sink.name)
    if report is None:
        return False
    told = 0 if report.offset is None else whole_seq(report.offset)
    return before <= told <= sink.seq()


def _what_is_left(found: CaptureStatus, request: str) -> str:
    if found.stopped and all(one.id != request for one in found.requests):
        return f"the collector stands still: {found.stopped.what}. {found.stopped.cure}"
    if found.requests:
        return "the collector has not begun yet" if found.collector else "no collector runs"
    reading = [one.table for one in found.snapshots if one.state != "refused"]
    return f"tables are read: {', '.join(reading)}" if reading else ""


def _behind(found: CaptureStatus, through: int) -> str:
    behind = [
        one.name for one in found.sinks
        if one.epoch != found.epoch or one.seq is None or one.seq < through
    ]  # fmt: skip
    return f"{' and '.join(behind)} come along" if behind else ""


@contextmanager
def _stream(settings: Settings) -> Iterator[ChangeLog]:
    with closing(control_client(settings.streams_redis, "fleet-recover")) as redis:
        yield ChangeLog(redis, settings.prefix)
