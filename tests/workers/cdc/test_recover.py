"""What `fleet recover` asks of change capture, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.cdc.checkpoint import NOTHING, Checkpoint, Place, Report, Stopped
from shared.cdc.log import ChangeLog
from shared.changes import Offset, Position
from shared.errors import Unavailable
from shared.settings import Settings
from workers.cdc import recover

pytestmark = pytest.mark.database

AT = Position("server", "log.000001", 700, "0-1-7", "1")
NOW_MS = 1_764_144_000_000


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    return settings_for("cli", FLEET_TIMESCALE_URL="")


@pytest.fixture
def stream(settings: Settings, redis_root: Any) -> ChangeLog:
    return ChangeLog(redis_root, settings.prefix)


@pytest.fixture
def begun(stream: ChangeLog) -> Checkpoint:
    return stream.rewind(None, NOTHING, Place(2, 40, AT, "f"), NOW_MS)


def test_where_nothing_was_ever_captured_nothing_is_asked(
    settings: Settings, stream: ChangeLog
) -> None:
    assert recover.ask(settings, "why") is None
    assert stream.requests() == []


@pytest.mark.usefixtures("begun")
def test_a_sink_that_has_not_said_what_it_has_is_waited_for(
    settings: Settings, stream: ChangeLog
) -> None:
    with pytest.raises(Unavailable, match="audit did not say"):
        recover.ask(settings, "why", patience=0)
    stream.report("audit", Report(Offset(2, 40, 0, whole=True, position=AT), NOW_MS))
    with pytest.raises(Unavailable, match="audit did not say"):  # its database has less
        recover.ask(settings, "why", patience=0)
    stream.report("audit", Report(None, NOW_MS))
    asked = recover.ask(settings, "restored", patience=0)
    assert [(one.id, one.kind, one.reason) for one in stream.requests()] == [
        (asked, "recover", "restored")
    ]


def test_it_says_what_it_waits_for(
    settings: Settings, stream: ChangeLog, begun: Checkpoint
) -> None:
    asked = stream.request("recover", "me", reason="why")
    with pytest.raises(Unavailable, match="no collector runs"):
        recover.settle(settings, asked.id, patience=0)
    stream.done(asked)
    stream.stop(begun.fence, Stopped("purged", "the log is gone", "do this", NOW_MS))
    with pytest.raises(Unavailable, match=r"the log is gone\. do this"):
        recover.settle(settings, asked.id, patience=0)
    stream.stop(begun.fence, None)
    with pytest.raises(Unavailable, match="audit come along"):
        recover.settle(settings, asked.id, patience=0)
    stream.report("audit", Report(Offset(2, 40, 0, whole=True, position=AT), NOW_MS))
    assert recover.settle(settings, asked.id, patience=0).seq == 40
