"""A node of the role `laravel` as the Procfile starts it, beside real `php artisan`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.laravel_application import SECONDS
from tests.laravel_world import LaravelWorld
from tests.waiting import eventually
from tests.workers.fleet_env import basics, free_port, process
from workers.roles import ROLES

pytestmark = pytest.mark.database

START_SECONDS = 30


class Node(NamedTuple):
    world: LaravelWorld
    process: subprocess.Popen[bytes]
    log: Path

    def starts(self) -> int:
        return sum(str(one["event"]).endswith(" ready.") for one in self.lines())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def doctor(self) -> str:
        """`php artisan fleet:doctor`: dispatches one job and waits for its answer."""
        done = self.world.run("artisan", "fleet:doctor", "--wait=20")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def node(
    laravel: LaravelWorld, environ_for: Callable[..., dict[str, str]], tmp_path: Path
) -> Iterator[Node]:
    laravel.redis.set(f"{laravel.prefix}fleet:partitions", 8)
    environ = {
        **environ_for("laravel", CACHE_STORE="redis", CACHE_PREFIX="cache"),
        **basics(),
        "FLEET_ROLE": "laravel",
        "FLEET_METRICS_PORT": str(free_port()),
    }
    command = ROLES["laravel"].command.replace("${FLEET_SLOT:-1}", "1").split()
    log = tmp_path / "node.log"
    with process(command, environ, log) as found:
        yield Node(laravel, found, log)


def test_the_application_s_doctor_gets_its_answer_from_a_real_node(node: Node) -> None:
    said = node.doctor().splitlines()
    assert [line.split()[0] for line in said] == ["ok"] * 6
    assert re.search(r"Python ran a job: node laravel-1@\S+, fleet ", said[-1])


def test_queue_restart_begins_the_same_process_anew(node: Node) -> None:
    """In place: a supervisor sees no exit, and what was pushed meanwhile runs."""
    node.doctor()
    before = Path(f"/proc/{node.process.pid}/stat").read_text().split()
    starts = node.starts()
    node.world.artisan("queue:restart")
    eventually(lambda: node.starts() > starts, START_SECONDS)
    assert node.process.poll() is None
    after = Path(f"/proc/{node.process.pid}/stat").read_text().split()
    assert (after[0], after[21]) == (before[0], before[21])  # pid, and when it was started
    node.doctor()
    assert node.world.failed() == []
    assert node.world.lengths() == (0, 0, 0)
    assert [one for one in node.lines() if one["level"] in {"error", "critical"}] == []


def test_a_warm_stop_ends_with_nothing_reserved(node: Node) -> None:
    node.doctor()
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(SECONDS) == 0
    assert node.world.lengths() == (0, 0, 0)
    assert node.world.failed() == []


def test_cache_clear_takes_nothing_of_the_queues_or_the_fleet(node: Node) -> None:
    """Its documented effect: the application's cache is empty."""
    node.doctor()
    node.world.php("Cache::put('kept?', 1, 600); say(Cache::get('kept?'));")
    node.world.artisan("cache:clear")
    assert node.world.php("say(Cache::get('kept?'));") == [None]
    node.doctor()
    assert node.world.redis.get(f"{node.world.prefix}fleet:partitions") == b"8"
