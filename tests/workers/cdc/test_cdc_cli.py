"""`fleet cdc` as an operator types it, as the role `cli`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.cdc.checkpoint import NOTHING, Place, Report, Stopped
from shared.cdc.log import ChangeLog
from shared.changes import Offset, Position
from tests.workers.conftest import Fleet
from workers.cdc import cli
from workers.cdc.heartbeat import Mark

AT = Position("server", "log.000001", 700, "0-1-7", "1")
NOW_MS = 1_764_144_000_000


@pytest.fixture
def stream(redis_root: Any, redis_prefix: str, monkeypatch: pytest.MonkeyPatch) -> ChangeLog:
    monkeypatch.setattr(cli.console, "width", 300)
    return ChangeLog(redis_root, redis_prefix)


@pytest.mark.usefixtures("stream")
def test_before_anything_runs_it_says_what_is_missing(fleet: Fleet) -> None:
    found = fleet("cdc", "status")

    assert found.exit_code == 0, found.output
    assert "nothing is captured yet" in found.output
    assert "nothing yet: does it run?" in found.output


def test_where_everybody_is_and_why_it_stopped(fleet: Fleet, stream: ChangeLog) -> None:
    begun = stream.rewind(None, NOTHING, Place(2, 40, AT, "f"), NOW_MS)
    stream.stop(begun.fence, Stopped("purged", "the log is gone", "fleet cdc restart", NOW_MS))
    stream.report("audit", Report(Offset(2, 33, 0, whole=True, position=AT), NOW_MS, "it rains"))
    stream.request("snapshot", "me", ["fleet_fills"])

    told = fleet("cdc", "status").output
    found = json.loads(fleet("cdc", "status", "--json").output)

    assert "epoch 2, transaction 40 at log.000001:700 0-1-7" in told
    assert "STOPPED" in told
    assert "fleet cdc restart" in told
    assert "fleet_fills" in told
    assert "audit waits: it rains" in told
    audit = next(one for one in found["sinks"] if one["name"] == "audit")
    assert (audit["seq"], audit["behind"]) == (33, 7)
    assert found["stopped"]["reason"] == "purged"
    assert found["collector"] is None


def test_while_no_collector_runs_capture_falls_behind() -> None:
    assert Mark(1.5, 7200.0, 0.4).behind_seconds == 1.5
    assert Mark(1.5, 7200.0, 62.0).behind_seconds == 61.5


def test_a_restart_needs_a_reason_and_waits_for_the_collector(
    fleet: Fleet, stream: ChangeLog
) -> None:
    assert fleet("cdc", "restart").exit_code != 0

    assert fleet("cdc", "restart", "--reason", "the log was purged").exit_code == 0

    (asked,) = stream.requests()
    assert (asked.kind, asked.reason) == ("restart", "the log was purged")


def test_only_what_is_captured_is_read_again(fleet: Fleet, stream: ChangeLog) -> None:
    refused = fleet("cdc", "resync", "sessions")
    assert refused.exit_code != 0
    assert "FLEET_CDC_TABLES" in refused.output

    found = fleet("cdc", "resync", "fleet_positions")

    assert found.exit_code == 0, found.output
    (asked,) = stream.requests()
    assert (asked.kind, asked.tables) == ("snapshot", ("fleet_positions",))
