"""Roles that are drained, as real processes: each holds nothing, takes nothing, and goes on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway

from shared.settings import Settings
from tests.runtime_world import World, fill
from tests.timescale_world import Timescale
from tests.waiting import eventually
from tests.workers.fleet_env import basics, forget_rq, free_port, process
from workers import drain
from workers.alerts import ALERTS
from workers.build import all_partitions
from workers.cli import fleet
from workers.drain import DRAINABLE, Attendance, Gate, RoleDrain
from workers.drain_build import ask_to_drain, look_at_drain, undrain
from workers.jobs import operator
from workers.lease import broker_redis
from workers.page.look import last_errors
from workers.roles import ROLES, procfile_command
from workers.wiring import make_app

pytestmark = pytest.mark.any_database

PARTITIONS = "4"
START_SECONDS = 60.0


@pytest.fixture
def cli(
    settings_for: Callable[..., Settings],
    environ_for: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    for name, value in environ_for("cli", FLEET_PARTITIONS=PARTITIONS).items():
        monkeypatch.setenv(name, value)
    forget_rq()
    yield settings_for("cli", FLEET_PARTITIONS=PARTITIONS)
    forget_rq()


class Nodes:
    """One process of each role that takes work, each with its own role's rights."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.settings = settings
        self.world = world
        self.processes: dict[str, Popen[bytes]] = {}

    def start(
        self, stack: ExitStack, environ_of: Callable[[str], dict[str, str]], to: Path
    ) -> None:
        for role in DRAINABLE:
            environ = {**basics(), **environ_of(role), "FLEET_METRICS_PORT": str(free_port())}
            words = ["/bin/sh", "-c", f"exec env {procfile_command(role)}"]
            self.processes[role] = stack.enter_context(process(words, environ, to / f"{role}.log"))

    def all(self, holds: Callable[[str, RoleDrain], bool], seconds: float = START_SECONDS) -> None:
        """For each role, sooner or later; what has ended ends the test."""
        left = set(DRAINABLE)

        def done() -> bool:
            for role in sorted(left):
                if holds(role, look_at_drain(self.settings, role)):
                    left.discard(role)
            assert not left, left
            return True

        eventually(lambda: self._ended() or done(), seconds)
        assert not self._ended()

    def _ended(self) -> list[str]:
        return [role for role, one in self.processes.items() if one.poll() is not None]

    def pass_two_looks(self) -> None:
        """Every process has looked at its gate twice since now: it had the time to take work."""
        with closing(broker_redis(self.settings)) as redis:
            first = self._told(redis)
            eventually(lambda: all(
                at >= first[role] + 2000 for role, at in self._told(redis).items()
            ))  # fmt: skip

    def _told(self, redis: Redis) -> Mapping[str, int]:
        key = {role: drain.drain_key(self.settings.broker_prefix, role) for role in DRAINABLE}
        found: dict[str, Any] = {role: redis.hgetall(key[role]) for role in DRAINABLE}
        return {
            role: max(int(at.split()[0]) for name, at in fields.items() if name[:5] == b"node:")
            for role, fields in found.items()
        }


@pytest.fixture
def nodes(
    cli: Settings,
    world: World,
    environ_for: Callable[..., dict[str, str]],
    timescale: Timescale,
    tmp_path: Path,
) -> Iterator[Nodes]:
    def environ_of(role: str) -> dict[str, str]:
        return environ_for(
            role, FLEET_PARTITIONS=PARTITIONS, FLEET_TIMESCALE_URL=timescale.owner,
            CACHE_STORE="redis", CACHE_PREFIX="cache",
        )  # fmt: skip

    found = Nodes(cli, world)
    with ExitStack() as stack:
        found.start(stack, environ_of, tmp_path)
        yield found


def test_every_role_drains_holds_nothing_and_goes_on(nodes: Nodes) -> None:
    settings, world, run = nodes.settings, nodes.world, CliRunner().invoke
    nodes.all(lambda _, found: len(found.nodes) == 1)
    # What a role holds shows without anybody asking it to drain.
    everything = len(all_partitions(settings.partitions))
    nodes.all(lambda role, found: role != "streams" or found.nodes[0].holds == everything)
    assert not any(look_at_drain(settings, role).done for role in DRAINABLE)

    for role in DRAINABLE:
        ask_to_drain(settings, role, "a larger disk")
    nodes.all(lambda _, found: found.done and len(found.nodes) == 1)
    for role in DRAINABLE:
        said = run(fleet, ["drain", role])
        assert (said.exit_code, "1 processes hold nothing" in said.output) == (0, True), said.output
    assert "a larger disk" in run(fleet, ["drain"], terminal_width=200).output
    assert not world.rows("SELECT 1 FROM fleet_offsets WHERE owner IS NOT NULL")

    row = world.record(7, fill(7, 1))
    world.add(7, fill(7, 2))
    queue = f"{settings.prefix}queues:fleet"
    world.redis.rpush(queue, json.dumps({"uuid": str(uuid.uuid4()), "job": "Noop", "data": {}}))
    app = make_app(settings, "cli")
    app.send_task("fleet.prune_outbox", queue="fleet.jobs")
    app.send_task("fleet.sync", args=([],), queue="fleet.sync")
    job = operator.enqueue(settings, "replay_parked", {"entry_id": "no such"})
    seq = world.redis.xinfo_stream(f"{settings.prefix}streams:{{cdc:0}}")["last-generated-id"]
    nodes.pass_two_looks()
    with closing(broker_redis(settings)) as broker:

        def waiting(name: str) -> int:
            found: Any = broker.llen(f"{settings.broker_prefix}{name}")
            return int(found)

        assert world.one("SELECT state FROM fleet_outbox WHERE id = %s", row) == 0
        assert world.trades(7) == []
        assert world.redis.llen(queue) == 1
        assert (waiting("fleet.jobs"), waiting("fleet.sync")) == (1, 1)
        assert operator.look(settings, job).status == "queued"
        stream = world.redis.xinfo_stream(f"{settings.prefix}streams:{{cdc:0}}")
        assert stream["last-generated-id"] == seq

        for role in DRAINABLE:
            assert undrain(settings, role)
        eventually(lambda: world.trades(7) == ["1", "2"])
        eventually(lambda: world.redis.llen(queue) == 0)
        eventually(lambda: (waiting("fleet.jobs"), waiting("fleet.sync")) == (0, 0))
        eventually(lambda: operator.look(settings, job).status == "finished")
        eventually(lambda: _sinks_follow(world, settings))
    app.close()

    for one in nodes.processes.values():
        one.terminate()
    ended = {role: one.wait(ROLES[role].drain_seconds) for role, one in nodes.processes.items()}
    assert set(ended.values()) == {0}, ended
    assert not [role for role in DRAINABLE if look_at_drain(settings, role).nodes]


def _sinks_follow(world: World, settings: Settings) -> bool:
    """Both sinks have what the collector read since."""
    key = f"{settings.prefix}streams:{{cdc:0}}"
    last = world.redis.xinfo_stream(key)["last-generated-id"].split(b"-")[0]
    reports: Any = world.redis.hgetall(f"{key}:sinks")
    return len(reports) == 2 and all(last in told for told in reports.values())


def test_a_process_that_starts_while_its_role_is_drained_takes_nothing(
    cli: Settings, world: World, settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for("streams")
    ask_to_drain(cli, "streams", "")
    gate = Gate()
    world.add_fills(7, [1])
    with world.reading(resting=gate.is_closed, lanes=2) as reader:
        attendance = _attendance(settings, gate, "late")
        gate.held = reader.held
        attendance.turn()
        assert gate.closed
        eventually(lambda: reader.held() == 0)
        attendance.turn()
        attendance.turn()
        assert look_at_drain(cli, "streams").done
        assert undrain(cli, "streams")
        attendance.turn()
        eventually(lambda: world.trades(7) == ["1"])
        assert reader.held() == world.partitions


def test_a_loop_just_behind_the_gate_is_waited_for(
    cli: Settings, settings_for: Callable[..., Settings]
) -> None:
    """One look that finds nothing is no proof: two in a row are."""
    gate, holds = Gate(), [0]
    gate.held = lambda: holds[0]
    attendance = _attendance(settings_for("streams"), gate, "one")
    ask_to_drain(cli, "streams", "")
    told = []
    for now in (0, 0, 3, 0, 0):
        holds[0] = now
        attendance.turn()
        told.append(look_at_drain(cli, "streams").done)
    assert told == [False, False, False, False, True]


def test_who_looks_at_night_is_told_what_rests_since_when_and_why(
    cli: Settings, settings_for: Callable[..., Settings]
) -> None:
    asked = ask_to_drain(cli, "streams", "a larger disk")
    (found,) = last_errors(settings_for("metrics"))
    assert (found.where, found.do) == ("the role streams", "fleet undrain streams")
    assert found.why.endswith("a larger disk")
    assert found.at is not None
    assert found.at.timestamp() == asked.since_ms / 1000
    assert set(DRAINABLE.values()) <= set(ALERTS)


def test_two_who_ask_are_one_drain_and_the_first_reason_stands(cli: Settings) -> None:
    first = ask_to_drain(cli, "relay", "disk")
    assert ask_to_drain(cli, "relay", "again") == first
    assert look_at_drain(cli, "relay").asked == first
    assert undrain(cli, "relay")
    assert not undrain(cli, "relay")


def test_while_redis_is_away_everybody_stays_as_they_were(
    cli: Settings, settings_for: Callable[..., Settings]
) -> None:
    gate, logs = Gate(), list[str]()
    attendance = _attendance(settings_for("streams"), gate, "one")
    ask_to_drain(cli, "streams", "")
    attendance.turn()

    def away() -> Redis:
        raise RedisAway("gone")

    alone = Attendance(
        away, "k", "one", gate, log=lambda event, **_: logs.append(event), look_seconds=0.01
    )
    alone.start()
    eventually(lambda: logs)
    alone.stop()
    alone.join(5)
    assert gate.closed
    assert logs == ["drain_unknown"]  # once, however often it tries


def test_the_silent_are_not_waited_for() -> None:
    fields = {
        b"asked": b'{"since_ms": "5", "why": "disk"}',
        b"node:dead": b"1000 0 9",
        b"node:here": b"19000 1 0",
    }
    assert drain.read(fields, 20_000).done
    assert not drain.read(fields, 11_000).done
    assert not drain.read({b"node:here": b"19000 0 0"}, 20_000).done


@pytest.mark.parametrize("role", sorted(set(ROLES) - set(DRAINABLE)))
def test_what_takes_no_work_is_just_stopped(role: str) -> None:
    said = CliRunner().invoke(fleet, ["drain", role], env={"FLEET_ENV_FILE": "none"})
    assert said.exit_code == 1


def _attendance(settings: Settings, gate: Gate, name: str) -> Attendance:
    key = drain.drain_key(settings.broker_prefix, "streams")
    return Attendance(lambda: broker_redis(settings), key, name, gate, log=lambda *_, **__: None)
