"""`fleet laravel` and what `fleet status` says of Laravel's queues, as an operator types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.mysql.connection import connect
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from tests.workers.laravel.jobs import Worked, note
from workers.laravel.quarantine import drain

pytestmark = pytest.mark.database

BROKEN = b'{"uuid": "uuid-a", "job": "Illuminate\xff'
TOKEN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def aside(worked: Worked) -> Worked:
    """One payload in quarantine in MySQL."""
    redis = worked.world.redis
    redis.rpush(worked.queue.keys.quarantine, b"%b\nno JSON\n%b" % (TOKEN.encode(), BROKEN))
    connection = connect(worked.settings.mysql)
    assert drain(redis, connection, worked.settings.prefix, ["fleet"]) == 1
    connection.close()
    return worked


def test_status_counts_what_waits_and_what_is_in_quarantine(aside: Worked, fleet: Fleet) -> None:
    aside.push("a", "b")
    said = fleet("status").output
    assert re.search(r"fleet\s+│\s+2\s+│\s+0\s+│\s+0", said), said
    assert "quarantine: 1 payloads: `fleet laravel quarantine list`" in said
    counts = json.loads(fleet("status", "--json").output)["laravel"]
    assert counts["quarantined"] == 1
    assert counts["queues"][0]["ready"] == 2


@pytest.mark.usefixtures("aside")
def test_the_quarantine_lists_where_a_payload_came_from_and_why(fleet: Fleet) -> None:
    (line,) = [one for one in fleet("laravel", "quarantine", "list").output.splitlines()
               if TOKEN in one]  # fmt: skip
    assert [part.strip() for part in line.strip("│").split("│")][1:4] == [
        "fleet", "no JSON", BROKEN.decode("utf-8", "backslashreplace"),
    ]  # fmt: skip


@pytest.mark.usefixtures("aside")
def test_a_payload_is_shown_with_its_own_bytes(fleet: Fleet) -> None:
    assert fleet("laravel", "quarantine", "show", TOKEN).stdout_bytes == BROKEN


def test_a_mended_payload_goes_back_to_its_queue_and_runs(
    aside: Worked, fleet: Fleet, tmp_path: Path
) -> None:
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps(note("a")))
    done = fleet("laravel", "quarantine", "requeue", TOKEN, "--file", str(mended))
    assert done.output == "pushed onto fleet\n"
    with aside.working():
        eventually(lambda: aside.answered() == {"uuid-a": 1})
    assert TOKEN not in fleet("laravel", "quarantine", "list").output


@pytest.mark.usefixtures("aside")
def test_dropping_asks_first(fleet: Fleet) -> None:
    assert fleet("laravel", "quarantine", "drop", TOKEN, given="n\n").exit_code == 1
    assert TOKEN in fleet("laravel", "quarantine", "list").output
    assert fleet("laravel", "quarantine", "drop", TOKEN, given="y\n").exit_code == 0
    assert TOKEN not in fleet("laravel", "quarantine", "list").output


@pytest.mark.parametrize("command", ["show", "requeue"])
def test_an_unknown_token_says_where_to_look(aside: Worked, fleet: Fleet, command: str) -> None:
    done = fleet("laravel", "quarantine", command, "nobody")
    assert done.exit_code == 1
    assert "no nobody; `fleet laravel quarantine list` shows them" in done.output
    assert aside.queue.lengths()[0] == 0


def test_job_classes_are_written_where_the_application_wants_them(
    worked: Worked, fleet: Fleet, tmp_path: Path
) -> None:
    del worked
    done = fleet("laravel", "jobs", "--out", str(tmp_path / "Fleet"))
    assert done.exit_code == 0
    written = {path.name for path in (tmp_path / "Fleet").iterdir()}
    assert {"SyncAccount.php", "RebuildPnl.php", "ReplayParked.php"} <= written
    assert {Path(line).name for line in done.output.split()} == written
