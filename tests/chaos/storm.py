"""One storm: a fleet of real processes, a producer, faults drawn by a seed, and the verdict."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import MySQLdb
from redis.exceptions import RedisError

from shared.errors import Unavailable
from tests.chaos.faults import FAULTS, QUEUE, Fault, Reach
from tests.chaos.feed import Feed, laravel_jobs, tell
from tests.chaos.fleet import Fleet
from tests.chaos.gates import Gates
from tests.chaos.verdict import differences, miscounted, status_of, what_is_left
from tests.desk import Desk, make_desk
from tests.waiting import eventually

TICK_SECONDS = 0.05
START_SECONDS = 30.0
CALM = (0.6, 2.2)  # seconds between two faults


@dataclass(frozen=True)
class Plan:
    """direct: half of the events by XADD, and no fault destroys data of Redis."""

    seed: int
    seconds: float
    per_second: int
    reaches: Collection[Reach]
    direct: bool
    nodes: int = 3
    relays: int = 2
    partitions: int = 8
    drain_seconds: float = 90.0


@dataclass
class Outcome:
    """found: differences, empty when everything ties."""

    plan: Plan
    struck: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    events: int = 0
    repeated: int = 0
    resent: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    takeovers: int = 0
    recovery_seconds: float = 0.0
    logs: Path | None = None


def full_plan(seed: int, seconds: float, per_second: int) -> Plan:
    """Even seeds destroy data of Redis, odd ones keep it and send half of the events directly."""
    direct = seed % 2 == 1
    reaches: set[Reach] = (
        {"ours", "servers"} if direct else {"ours", "servers", "loss", "ours_loss"}
    )
    return Plan(seed, seconds, per_second, reaches, direct)


class Storm:
    """The World of the faults."""

    def __init__(self, plan: Plan, desk: Desk, fleet: Fleet) -> None:
        self.plan = plan
        self.desk = desk
        self.fleet = fleet
        self.rng = Random(plan.seed)
        self.emptied = False
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._plans.append((time.monotonic() + seconds, act))

    def blow(self, struck: Counter[str]) -> None:
        """Faults until the time is over."""
        faults = [fault for fault in FAULTS if fault.reach in self.plan.reaches]
        end = time.monotonic() + self.plan.seconds
        following = time.monotonic() + self.rng.uniform(*CALM)
        while (now := time.monotonic()) < end:
            self._due(now)
            if now >= following:
                fault = _drawn(self.rng, faults)
                struck[fault.name] += fault.strike(self) is not False
                following = time.monotonic() + self.rng.uniform(*CALM)
            time.sleep(TICK_SECONDS)

    def heal(self) -> None:
        """Every fault is over, everybody runs."""
        self._due(float("inf"))
        for member in self.fleet.members:
            member.mysql.heal()
            member.redis.heal()
            if member.asleep:
                member.send(signal.SIGCONT)
        self.fleet.up()

    def _due(self, now: float) -> None:
        due = [act for at, act in self._plans if at <= now]
        self._plans = [(at, act) for at, act in self._plans if at > now]
        for act in due:
            act()


def _drawn(rng: Random, faults: Sequence[Fault]) -> Fault:
    return rng.choices(faults, [fault.weight for fault in faults])[0]


def run(plan: Plan, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """One storm from an empty desk to the verdict. Nothing is left running."""
    desk = make_desk(f"fleet_chaos_{os.getpid()}_{plan.seed}", partitions=plan.partitions)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan, logs=folder)
    gates = Gates()
    fleet = Fleet(desk, gates, folder, plan.nodes, plan.relays)
    try:
        _run(plan, desk, fleet, outcome, say)
    finally:
        fleet.down(signal.SIGKILL)
        gates.close()
    if not outcome.found:
        desk.remove()
        shutil.rmtree(folder)
        outcome.logs = None
    return outcome


def _run(
    plan: Plan, desk: Desk, fleet: Fleet, outcome: Outcome, say: Callable[[str], None]
) -> None:
    told = tell(plan.seed, int(plan.per_second * plan.seconds), plan.partitions, direct=plan.direct)
    outcome.events = len(told)
    jobs = laravel_jobs(plan.seed)
    with closing(desk.redis()) as redis:
        redis.rpush(f"{desk.prefix}{QUEUE}", *jobs)
    storm = Storm(plan, desk, fleet)
    feed = Feed(desk, told, per_second=len(told) / plan.seconds)
    fleet.up()
    eventually(lambda: _is_owned(desk), START_SECONDS)
    feed.start()
    try:
        storm.blow(outcome.struck)
    finally:
        storm.heal()
    say(f"  storm over: {sum(outcome.struck.values())} faults, {feed.sent:,} of {len(told):,} sent")
    healed = time.monotonic()
    left = _drain(desk, feed, healed + plan.drain_seconds, say)
    outcome.recovery_seconds = time.monotonic() - healed
    outcome.repeated = feed.repeated
    if feed.failure:
        outcome.found.append(f"the producer failed: {feed.failure!r}")
    outcome.found += [f"after {plan.drain_seconds:.0f} s: {text}" for text in left]
    outcome.found += fleet.end()
    outcome.found += differences(desk, told, None if storm.emptied else jobs)
    _note(desk, fleet, outcome)


def _is_owned(desk: Desk) -> bool:
    partitions = status_of(desk).partitions
    return bool(partitions) and all(one.epoch for one in partitions)


def _drain(desk: Desk, feed: Feed, limit: float, say: Callable[[str], None]) -> list[str]:
    """Wait until everything is booked; what is left when the time is over."""
    told = time.monotonic()
    while True:
        left = ["the producer"] if feed.is_alive() else []
        try:
            left += what_is_left(status_of(desk))
            if not left:  # owners correct the counter behind the lag within check_seconds
                left += miscounted(desk)
        except (Unavailable, MySQLdb.Error, RedisError) as error:
            left.append(f"servers do not answer: {error}")
        if not left or time.monotonic() > limit:
            return left
        if time.monotonic() > told + 2:
            told = time.monotonic()
            say(f"  waiting for {', '.join(left)}")
        time.sleep(TICK_SECONDS * 4)


def _note(desk: Desk, fleet: Fleet, outcome: Outcome) -> None:
    outcome.said = fleet.said()
    for member in fleet.members:
        outcome.deaths.update(member.own_deaths)
    with closing(desk.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT SUM(epoch) FROM fleet_offsets")
        outcome.takeovers = _number(cursor.fetchone()[0])
        cursor.execute("SELECT SUM(sends - 1) FROM fleet_outbox WHERE sends > 1")
        outcome.resent = _number(cursor.fetchone()[0])


def _number(value: Any) -> int:
    return int(value or 0)
