"""One breakage after the other, each on a fleet that is well: broken, seen, cured, well again."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import MySQLdb

from tests.chaos.breakages import BREAKAGES, Breakage
from tests.chaos.own_fleet import EVERY_ROLE, OwnFleet, own_fleet
from tests.chaos.watching import Watch
from tests.desk import server_values
from workers.alerts import ALERTS

SEEN_SECONDS = 60.0
CLEAR_SECONDS = 150.0  # the identities and the trim are looked after once a minute
CALM_SECONDS = 90.0


class Seen(NamedTuple):
    """shown, clear: seconds after the breakage, and after the cure; None: not in time. others:
    alerts that showed as well, and that nobody expected.
    """

    name: str
    shown: float | None
    clear: float | None
    others: frozenset[str] = frozenset()

    @property
    def found(self) -> list[str]:
        """What went wrong."""
        alert = BREAKAGES[self.name].alert
        wrong = []
        if self.shown is None:
            wrong.append(f"{self.name}: {alert} did not show")
        elif self.clear is None:
            wrong.append(f"{self.name}: {alert} is still there after the cure")
        wrong += [f"{self.name}: {other} showed as well" for other in sorted(self.others)]
        return wrong


@dataclass
class Outcome:
    """found: empty when every alert showed and went. logs: kept where something was found."""

    seen: list[Seen] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    logs: Path | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="the ways to break a fleet")
    parser.add_argument("--break", dest="one", metavar="NAME", choices=[*BREAKAGES],
                        help="one of them; waits for Enter before the cure")  # fmt: skip
    parser.add_argument("--cure", action="store_true", help="at once")
    parser.add_argument("--breakages", nargs="*", metavar="NAME", choices=[*BREAKAGES],
                        help="these, or all of them, one after the other, each cured")  # fmt: skip


def show(say: Callable[[str], None]) -> None:
    for name in BREAKAGES:
        say("\n".join(describe(name)))


def command(
    one: str | None, several: Sequence[str], *, at_once: bool, say: Callable[[str], None]
) -> int:
    """`--break NAME`, or several (none named: all); the exit code."""
    if one is not None:
        found = break_one(one, say, None if at_once else _until_enter)
        logs = None
    else:
        outcome = run(several or tuple(BREAKAGES), say)
        found, logs = outcome.found, outcome.logs
    for line in found:
        say(f"  DIFFERENCE {line}")
    say(f"{len(found)} differences" + (f"; logs in {logs}" if logs else ""))
    return 1 if found else 0


def _by_hand(fleet: OwnFleet) -> list[str]:
    """How whoever practises does what the runbook says."""
    fleet.write_env_files()
    role = f"FLEET_ENV_FILE={fleet.folder}/ROLE.env .venv/bin/python -m workers.start ROLE"
    return [
        f"yours to cure: FLEET_ENV_FILE={fleet.folder}/cli.env .venv/bin/fleet …",
        f"      a role:  {role}",
        f"      servers: their addresses, and MySQL's administrator, in {fleet.folder}/migrate.env",
    ]


def _until_enter() -> None:
    with suppress(EOFError):  # nobody sits there
        input("Enter, when you have: it is cured for you if it is not ")


def describe(name: str) -> list[str]:
    """A breakage in a few lines; what an operator reads."""
    row = BREAKAGES[name]
    alert = ALERTS[row.alert]
    return [
        f"{name}: {row.what}",
        f"    shows  {row.alert} ({alert.severity}), deploy/runbooks/{alert.runbook}",
        f"    cure   {row.cure}",
    ]


def break_one(
    name: str, say: Callable[[str], None], wait: Callable[[], object] | None
) -> list[str]:
    """A whole fleet under traffic is broken once. wait: until somebody has looked; None: at once.
    What went wrong.
    """
    row = BREAKAGES[name]
    with TemporaryDirectory(prefix="breakages-") as folder, own_fleet(
        server_values(), Path(folder)
    ) as fleet:
        watch = begin(fleet, say)
        with fleet.traffic():
            row.breaks(fleet)
            shown = watch.wait_for(row.alert, SEEN_SECONDS)
            say(f"broken: {row.what}" if shown is None else f"{row.alert} after {shown:.0f} s")
            for one in watch.firing():
                say(f"  {one.alert.severity:6} {one.name}: {one.what}. {one.do}")
            if wait is not None:
                say(f"cure: {row.cure}")
                for line in _by_hand(fleet):
                    say(line)
                wait()
                if not any(one.name == row.alert for one in watch.firing()):
                    say(f"{row.alert} is gone: cured")
                    return []
            return _cure(name, fleet, watch, shown, say).found


def run(names: Sequence[str], say: Callable[[str], None]) -> Outcome:
    """Each in turn, on one fleet under traffic."""
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="breakages-"))
    with own_fleet(server_values(), folder) as fleet:
        watch = begin(fleet, say)
        for name in names:
            try:
                with fleet.traffic():
                    seen = break_and_cure(name, fleet, watch, say)
                outcome.seen.append(seen)
                outcome.found += seen.found
            except (AssertionError, MySQLdb.Error) as error:  # the others are tried nevertheless
                outcome.found.append(f"{name}: {error}")
            left = watch.wait_quiet(CALM_SECONDS)
            outcome.found += [f"after {name}: {one.name}, {one.what}" for one in left]
    if outcome.found:
        outcome.logs = folder
    else:
        shutil.rmtree(folder)
    return outcome


def begin(fleet: OwnFleet, say: Callable[[str], None], roles: Sequence[str] = EVERY_ROLE) -> Watch:
    """Started, and nothing is wrong. AssertionError: something is."""
    say(f"starting {len(roles)} roles on servers of their own")
    fleet.start(*roles)
    say(f"status page: http://127.0.0.1:{fleet.port('metrics')}/")
    watch = Watch(fleet)
    left = watch.wait_quiet(CALM_SECONDS)
    assert not left, f"not well before anything was broken: {left}"
    return watch


def break_and_cure(
    name: str, fleet: OwnFleet, watch: Watch, say: Callable[[str], None] = lambda _: None
) -> Seen:
    """On a fleet that is well and runs what the row needs."""
    row = BREAKAGES[name]
    watch.mark()
    row.breaks(fleet)
    shown = watch.wait_for(row.alert, SEEN_SECONDS)
    return _cure(name, fleet, watch, shown, say)


def _cure(
    name: str, fleet: OwnFleet, watch: Watch, shown: float | None, say: Callable[[str], None]
) -> Seen:
    row = BREAKAGES[name]
    others = {one.name for one in watch.firing()} - expected(row)
    row.cures(fleet)
    clear = watch.wait_without(row.alert, CLEAR_SECONDS)
    seen = Seen(name, shown, clear, frozenset(others))
    say(f"  {name:22} {row.alert:24} shown {_seconds(shown)}, clear {_seconds(clear)}")
    return seen


def expected(row: Breakage) -> set[str]:
    """What is wrong is seen by a check of the data as well, a minute later or sooner."""
    return {row.alert, *row.also, "FleetQualityMissed"}


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"after {value:.0f} s"
