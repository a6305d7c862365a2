"""`fleet` as an operator types it, as the role `cli`, on real servers."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from shared.errors import SettingsError
from tests.runtime_world import World, fill
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from workers import cli

pytestmark = pytest.mark.database

def park_three(world: World) -> list[str]:
    """Two events that are no JSON and one of an unknown type, all of account 7."""
    ids = [
        world.add(7, "{"),
        world.add(7, "["),
        world.add(7, fill(7, 1), type_="order.eaten.1"),
    ]
    with world.reading():
        eventually(lambda: len(world.parked()) == 3)
    return ids


def test_status_shows_every_partition_and_its_owner(world: World, fleet: Fleet) -> None:
    world.record(7, fill(7, 1))
    with world.reading(node="streams-1") as reader:
        eventually(reader.ready)
        told = json.loads(fleet("status", "--json").output)
        shown = fleet("status")
    assert {row["partition"] for row in told["partitions"]} == {0, 1, 2, 3}
    assert all(row["owner"].startswith("streams-1/") for row in told["partitions"])
    assert told["outbox_waiting"] == 1
    assert shown.exit_code == 0
    assert "orders:3" in shown.output
    assert "1 waiting" in shown.output
    assert told["capture"]["begun"] is False
    idle = fleet("status").output
    assert "nothing is captured yet: do a collector and every sink run?" in idle
    assert "nobody" in idle
    assert "is a streams role running?" in idle


def test_status_says_that_a_partition_is_halted_and_resume_lets_it_go(
    world: World, fleet: Fleet
) -> None:
    with world.reading() as reader:
        eventually(reader.ready)
    world.run("UPDATE fleet_offsets SET halted_reason = 'out of ideas' WHERE partition_no = 1")
    assert "HALTED: out of ideas" in fleet("status").output
    assert fleet("parked", "resume").output == "1 partitions resumed\n"
    assert fleet("parked", "resume").output == "0 partitions resumed\n"
    assert "HALTED" not in fleet("status").output


def test_parked_events_are_listed_by_type_and_reason(world: World, fleet: Fleet) -> None:
    ids = park_three(world)
    everything = fleet("parked", "list").output
    assert all(entry_id in everything for entry_id in ids)
    assert "order.eaten.1" in everything
    some = fleet("parked", "list", "--reason", "unknown_type").output
    assert ids[2] in some
    assert ids[0] not in some
    assert ids[1] not in fleet("parked", "list", "--limit", "1").output


def test_one_event_is_shown_whole(world: World, fleet: Fleet) -> None:
    ids = park_three(world)
    shown = fleet("parked", "show", ids[0]).output
    assert "invalid_json" in shown
    assert "order.filled.1" in shown
    missing = fleet("parked", "show", "1-1")
    assert missing.exit_code == 1
    assert "fleet parked list" in missing.output


def test_replay_and_skip_say_what_matches_without_touching_it(world: World, fleet: Fleet) -> None:
    park_three(world)
    assert fleet("parked", "replay", "--all", "--dry-run").output == "3 events match\n"
    assert fleet("parked", "replay", "--key", "8", "--dry-run").output == "0 events match\n"
    dry = fleet("parked", "skip", "--parked-for", "invalid_json", "--dry-run")
    assert dry.output == "2 events match\n"
    assert len(world.parked()) == 3


def test_skip_needs_a_reason_and_keeps_it(world: World, fleet: Fleet) -> None:
    park_three(world)
    refused = fleet("parked", "skip", "--all")
    assert refused.exit_code == 2
    assert "--reason" in refused.output
    assert len(world.parked()) == 3
    done = fleet("parked", "skip", "--type", "order.filled.1", "--reason", "a test of mine")
    assert done.output == "2 events skipped\n"
    assert [reason for _, reason in world.parked()] == ["unknown_type"]
    kept = "SELECT DISTINCT resolved_reason FROM fleet_parked WHERE resolution = 'skipped'"
    assert world.one(kept) == "a test of mine"


@pytest.mark.parametrize("command", ["replay", "skip"])
def test_without_a_filter_it_must_be_said_that_all_are_meant(fleet: Fleet, command: str) -> None:
    refused = fleet("parked", command)
    assert refused.exit_code == 2
    assert "--all" in refused.output


def test_an_error_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    @click.command()
    def refuses() -> None:
        raise SettingsError("write DB_HOST=...")

    monkeypatch.setitem(cli.fleet.commands, "refuses", refuses)
    monkeypatch.setattr("sys.argv", ["fleet", "refuses"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "fleet: write DB_HOST=...\n"
