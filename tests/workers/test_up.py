from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually
from tests.workers.fleet_env import ROOT, free_port
from workers import up
from workers.processes import group_members, identify, is_alive
from workers.up import Fleet

ROLE = f"{sys.executable} -m tests.workers.role_of_up"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FLEET_METRICS_PORT", str(free_port()))
    monkeypatch.setenv("FLOWER_PORT", str(free_port()))
    monkeypatch.delenv("FLEET_FLOWER_AUTH", raising=False)
    found = Fleet(tmp_path / "Procfile", tmp_path / ".fleet")
    yield found
    up.stop(found)


def write(fleet: Fleet, *lines: str) -> None:
    fleet.procfile.write_text("\n".join(lines) + "\n", encoding="utf-8")


def pids(fleet: Fleet) -> list[int]:
    found = [fleet.role(line.name).process for line in fleet.lines()]
    return [process.pid for process in found if process is not None]


def test_start_returns_when_all_are_ready_and_stop_leaves_nothing(fleet: Fleet) -> None:
    write(fleet, f"one: {ROLE} good one", "", "# two lines", f"two: X=1 {ROLE} good ${{NO:-two}}")
    assert up.start(fleet, 30) == 0
    assert up.status(fleet) == 0
    running = pids(fleet)
    assert len(running) == 2
    assert up.start(fleet, 30) == 0  # again: nothing changes
    assert pids(fleet) == running
    assert up.stop(fleet) == 0
    assert not [pid for pid in running if identify(pid)]
    assert up.status(fleet) == 1
    assert up.stop(fleet) == 0


def test_a_role_that_dies_stops_everything_and_shows_its_last_lines(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    write(fleet, f"one: {ROLE} good one", f"two: {ROLE} dies two")
    assert up.start(fleet, 30) == 1
    said = capsys.readouterr().out
    assert "two ended with 3" in said
    assert "no such table" in said
    assert not pids(fleet)
    assert fleet.keeper.process is None


def test_a_role_that_never_gets_ready_is_named(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    write(fleet, f"slow: {ROLE} never slow")
    assert up.start(fleet, 3) == 1
    assert "slow is not ready after 3 s" in capsys.readouterr().out
    assert not pids(fleet)


def test_a_role_that_ends_is_started_again(fleet: Fleet) -> None:
    write(fleet, f"one: {ROLE} good one")
    assert up.start(fleet, 30) == 0
    (first,) = pids(fleet)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: pids(fleet) not in ([], [first]) and up.is_ready(fleet, "one"), 20)
    assert fleet.role("one").exits == 1
    assert up.start(fleet, 30) == 0  # past deaths do not count


def test_a_deaf_role_and_its_children_are_killed_after_the_drain_time(fleet: Fleet) -> None:
    write(fleet, f"metrics: {ROLE} deaf metrics")  # drains for 10 s
    assert up.start(fleet, 30) == 0
    (group,) = pids(fleet)
    assert len(group_members(group)) > 1
    assert up.stop(fleet) == 0
    assert not group_members(group)


def test_roles_whose_keeper_was_killed_are_stopped_too(fleet: Fleet) -> None:
    write(fleet, f"one: {ROLE} good one")
    assert up.start(fleet, 30) == 0
    keeper, running = fleet.keeper.process, pids(fleet)
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)
    assert eventually(lambda: not is_alive(keeper))
    assert up.stop(fleet) == 0
    assert not [pid for pid in running if identify(pid)]


def test_the_fleet_survives_the_command_that_started_it(fleet: Fleet) -> None:
    write(fleet, f"one: {ROLE} good one")
    command = [sys.executable, "-m", "workers.up", "--procfile", str(fleet.procfile)]
    started = subprocess.run([*command, "--home", str(fleet.home), "start"], check=False)
    assert started.returncode == 0
    assert up.is_ready(fleet, "one")


def test_flowers_password_is_generated_once_and_readable_by_its_owner_only(fleet: Fleet) -> None:
    write(fleet, f"one: {ROLE} good one")
    assert up.start(fleet, 30) == 0
    path = fleet.home / "flower.auth"
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first) > 20
    (pid,) = pids(fleet)
    # Only Flower needs it.
    assert first.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    up.stop(fleet)
    assert up.start(fleet, 30) == 0
    assert path.read_text() == first
