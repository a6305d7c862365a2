"""A storm over change capture: real collectors and sinks, writers, faults drawn by a seed.

At last both sinks must equal the tables, row for row and change for change. Then, where the plan
wants it, the losses that must be told: each one stops the collector with its cure, and after the
cure all is equal again.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos import cdc_traffic
from tests.chaos.cdc_faults import CURES, FAULTS, Fault, Reach, Unreachable
from tests.chaos.cdc_losses import LOSSES, Loss
from tests.chaos.cdc_tables import SCHEMA
from tests.chaos.cdc_verdict import differences
from tests.chaos.cdc_world import CaptureWorld, capture_world, rows, struck_by
from tests.chaos.fleet import Crew, Member
from tests.desk import server_values
from tests.waiting import eventually
from workers.cdc.snapshot_marks import progress

TICK_SECONDS = 0.03
START_SECONDS = 60.0
STOP_SECONDS = 30.0
EVERY: Collection[Reach] = ("processes", "source", "redis", "sinks", "operator")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """losses: how many of those that must be told. verify: also what `fleet cdc verify` says.
    calm: seconds between two faults.
    """

    seed: int
    seconds: float
    per_second: float = 60.0
    reaches: Collection[Reach] = EVERY
    losses: int = len(LOSSES)
    calm: tuple[float, float] = (0.3, 1.6)
    without: Collection[str] = ()
    drain_seconds: float = 90.0
    verify: bool = True


@dataclass
class Outcome:
    """found: differences, empty when everything ties. told: losses, and how each was stopped."""

    plan: Plan
    struck: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    told: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    seq: int = 0
    epoch: int = 0
    recovery_seconds: float = 0.0
    logs: Path | None = None


class Storm:
    """What the faults see."""

    def __init__(self, plan: Plan, world: CaptureWorld, crew: Crew[Member]) -> None:
        self.plan = plan
        self.world = world
        self.crew = crew
        self.rng = Random(plan.seed)
        self.waiting: set[str] = set()
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._plans.append((time.monotonic() + seconds, act))

    def blow(self, struck: Counter[str]) -> None:
        faults = [
            one for one in FAULTS
            if one.reach in self.plan.reaches and one.name not in self.plan.without
        ]  # fmt: skip
        end = time.monotonic() + self.plan.seconds
        following = time.monotonic() + self.rng.uniform(*self.plan.calm)
        while (now := time.monotonic()) < end:
            self._due(now)
            if now >= following:
                fault = self.rng.choices(faults, [one.weight for one in faults])[0]
                struck[fault.name] += self._strike(fault)
                following = time.monotonic() + self.rng.uniform(*self.plan.calm)
            time.sleep(TICK_SECONDS)

    def heal(self) -> None:
        """Every fault is over, everybody runs."""
        self._due(float("inf"))
        for member in self.crew.members:
            if member.asleep:
                member.send(signal.SIGCONT)
        for cure in CURES:
            cure(self.world)
        self.crew.up()

    def _strike(self, fault: Fault) -> bool:
        try:
            return fault.strike(self) is not False
        except Unreachable:
            return False

    def _due(self, now: float) -> None:
        due = [act for at, act in self._plans if at <= now]
        self._plans = [(at, act) for at, act in self._plans if at > now]
        for act in due:
            try:
                act()
            except Unreachable:
                if now != float("inf"):
                    self.later(TICK_SECONDS * 10, act)


def run(plan: Plan, say: Say = lambda _: None) -> Outcome:
    """From empty servers to the verdict. Nothing is left running."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan, logs=folder)
    with capture_world(server_values(), folder) as world:
        cdc_traffic.prepare(world.mysql)
        world.make_users()
        crew = world.crew()
        try:
            _run(Storm(plan, world, crew), outcome, say)
        finally:
            crew.down(signal.SIGKILL)
    if not outcome.found:
        shutil.rmtree(folder)
        outcome.logs = None
    return outcome


def _run(storm: Storm, outcome: Outcome, say: Say) -> None:
    plan, world, crew = storm.plan, storm.world, storm.crew
    traffic = cdc_traffic.Traffic(world.mysql, plan.seed, plan.per_second)
    crew.up()
    traffic.start()
    eventually(lambda: _has_begun(world), START_SECONDS)
    traffic.follows()
    say("  both sinks have begun")
    storm.blow(outcome.struck)
    storm.heal()
    outcome.found += traffic.end()
    outcome.written = traffic.done
    say(f"  storm over: {sum(outcome.struck.values())} faults, {sum(traffic.done.values())} writes")
    if _is_settled(storm, outcome, "the storm", strict=True, say=say):
        for loss in storm.rng.sample(LOSSES, plan.losses):
            if not _lose(storm, outcome, loss, say):
                break
    outcome.found += crew.end()
    outcome.found += [f"ended by itself: {text}" for text in struck_by(crew)]
    outcome.said = crew.said()


def _lose(storm: Storm, outcome: Outcome, loss: Loss, say: Say) -> bool:
    """A loss that nobody can cure but by saying so."""
    world = storm.world
    traffic = cdc_traffic.Traffic(world.mysql, storm.plan.seed + 1, storm.plan.per_second)
    loss.strike(storm)
    if not _until(lambda: _stopped(world) is not None, STOP_SECONDS):
        outcome.found.append(f"{loss.name}: nobody stopped within {STOP_SECONDS:.0f} s")
        return False
    stopped = _stopped(world)
    outcome.told[loss.name] = f"{stopped.reason}: {stopped.what}. {stopped.cure}"
    if stopped.reason not in loss.reasons or "fleet cdc restart --reason" not in stopped.cure:
        outcome.found.append(f"{loss.name}: {outcome.told[loss.name]}")
    traffic.start()
    done = world.fleet("cdc", "restart", "--reason", loss.name)
    if done.returncode:
        outcome.found.append(f"fleet cdc restart: {done.stderr}")
    _until(lambda: _stopped(world) is None, STOP_SECONDS)
    traffic.follows()
    outcome.found += traffic.end()
    return _is_settled(storm, outcome, loss.name, strict=False, say=say)


def _is_settled(storm: Storm, outcome: Outcome, what: str, *, strict: bool, say: Say) -> bool:
    """Waits until both sinks have everything, and judges."""
    world, begun = storm.world, time.monotonic()
    token = storm.rng.randrange(2**31)
    mark = f"INSERT INTO transfers VALUES ({-token - 1}, 0)"  # noqa: S608 - a number
    world.mysql.run(mark, database=SCHEMA)
    left: list[str] = []

    def settled() -> bool:
        left[:] = what_is_left(world, -token - 1)
        return not left

    if not _until(settled, storm.plan.drain_seconds):
        outcome.found += [f"after {what}: {text}" for text in left]
        return False
    outcome.recovery_seconds = max(outcome.recovery_seconds, time.monotonic() - begun)
    found = [f"after {what}: {text}" for text in differences(world, strict=strict)]
    if storm.plan.verify:
        found += [f"after {what}: fleet cdc verify: {text}" for text in verified(world)]
    outcome.epoch, outcome.seq = rows_of_offset(world)
    say(f"  after {what}: {outcome.seq} transactions, epoch {outcome.epoch},"
        f" {time.monotonic() - begun:.1f} s, {len(found)} differences")  # fmt: skip
    outcome.found += found
    return True


def what_is_left(world: CaptureWorld, mark: int) -> list[str]:
    """Until every sink has the row `mark` and everything that was asked for is done."""
    try:
        stream = world.stream()
        with closing(stream.redis):
            checkpoint, asked = stream.look(), stream.requests()
        with closing(world.mysql.connection()) as connection:
            reading = [one for one in progress(connection) if one.state != "refused"]
            has = rows(connection, "SELECT 1 FROM fleet_change_log WHERE row_key = %s LIMIT 1",
                       f"[{mark}]")  # fmt: skip
            audit = rows(connection, "SELECT epoch, seq, whole FROM fleet_cdc_offset"
                                     " WHERE sink = 'audit'")  # fmt: skip
        known: Any = world.timescale.run("SELECT epoch, seq, whole FROM fleet.cdc_offset")
        there = world.timescale.run(
            "SELECT 1 FROM fleet.row_state"  # noqa: S608 - a number
            f" WHERE table_name = 'transfers' AND row_key = '[{mark}]'"
        )
    except Unreachable as error:
        return [f"servers do not answer: {error}"]
    if checkpoint is None:
        return ["no checkpoint"]
    left = [f"{one.kind} asked" for one in asked]
    left += [f"snapshot of {one.table} is {one.state}" for one in reading]
    left += [] if has and there else ["the last row"]
    at = (checkpoint.place.epoch, checkpoint.place.seq, 1)
    left += [
        f"{name} has {found}, the stream {at}, stopped: {checkpoint.stopped}"
        for name, found in (("audit", audit), ("timescale", known))
        if not found or tuple(map(int, found[0])) != at
    ]
    return left


def rows_of_offset(world: CaptureWorld) -> tuple[int, int]:
    found = world.mysql.run("SELECT epoch, seq FROM fleet_cdc_offset WHERE sink = 'audit'")
    return found[0][0], found[0][1]


def verified(world: CaptureWorld) -> list[str]:
    """What `fleet cdc verify` finds; empty where it says that all is well."""
    done = world.fleet("cdc", "verify", "--json")
    try:
        said = json.loads(done.stdout)
    except json.JSONDecodeError:
        return [f"exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-600:]}"]
    found = [f"missing in {sink}: {spans}" for sink, spans in said["missing"].items() if spans]
    found += [said["audit"]] if said["audit"] else []
    for table in said["tables"]:
        if table["refused"]:
            found.append(f"{table['table']}: {table['refused']}")
        found += [f"{table['table']}: {one}" for one in table["sinks"]
                  if one["differing"] or one["why"]]  # fmt: skip
    if bool(done.returncode) != bool(found):
        found.append(f"exit {done.returncode}")
    return found


def _has_begun(world: CaptureWorld) -> bool:
    """Both sinks have something."""
    known = world.timescale.run("SELECT seq FROM fleet.cdc_offset WHERE seq IS NOT NULL")
    return bool(known and world.mysql.run("SELECT 1 FROM fleet_cdc_offset WHERE epoch > 0"))


def _stopped(world: CaptureWorld) -> Any:
    stream = world.stream()
    with closing(stream.redis):
        found = stream.look()
    return found.stopped if found else None


def _until(fn: Callable[[], bool], seconds: float) -> bool:
    try:
        eventually(fn, seconds)
    except AssertionError:
        return False
    return True
