"""Alerts of a real Prometheus at a whole fleet: each fault is seen in time, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench.figures import Figure
from tests.chaos.breakages import BREAKAGES
from tests.chaos.own_fleet import OwnFleet, own_fleet
from tests.desk import server_values
from tests.desk_tools import Prometheus, fleet_rules, prometheus
from workers.alerts import ALERTS, Counted, Missing

TARGET_SECONDS = 60
LOOK_SECONDS = 0.25
# Identities, quality and trims are looked after once a minute.
CLEAR_SECONDS = 150
GIVEN_UP_SECONDS = 200.0
CALM_SECONDS = 240.0
FEW = (
    "streams-killed", "poison-event", "collector-killed", "metrics-killed", "redis-away",
    "timescale-away",
)  # fmt: skip


class Took(NamedTuple):
    """Seconds from the fault until the alert fires, from the cure until it does not; None: it did
    not come to that.
    """

    name: str
    firing: float | None
    clear: float | None

    def __str__(self) -> str:
        shown, clear = (
            "never" if value is None else f"{value:.0f} s" for value in (self.firing, self.clear)
        )
        return f"{self.name} {shown}/{clear}"


def alerts(*, names: Sequence[str]) -> tuple[Figure, Figure]:
    """Fault after fault, each on a fleet with traffic and without any other alert."""
    with _watched_fleet() as (fleet, server):
        took = []
        for name in names:
            _wait(_calm_for(BREAKAGES[name].alert, server), CALM_SECONDS)
            with fleet.traffic():
                took.append(_broken(name, fleet, server))
            print(f"\n  {took[-1]}", end="", flush=True)
        print()
    told = "; ".join(map(str, took))
    return (
        _figure(
            "from a fault to its alert, at Prometheus", TARGET_SECONDS,
            [one.firing for one in took], told,
        ),
        # What counts within minutes clears when these are over.
        _figure(
            "from the cure until it is clear", CLEAR_SECONDS,
            [one.clear for one in took if not _counts(BREAKAGES[one.name].alert)],
            "from the cure's beginning",
        ),
    )  # fmt: skip


def quiet(*, minutes: float) -> Figure:
    """Fills, notes and trades at exchanges, and nothing is wrong."""
    with _watched_fleet() as (fleet, server), fleet.traffic():
        calm = _wait(lambda: not server.firing(), CALM_SECONDS)
        began = time.monotonic()
        _wait(lambda: False, minutes * 60)
        seconds = int(time.monotonic() - began)
        history = f'count_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])'
        fired = sorted({_named(labels) for labels, _ in server.query(history)})
        fills = int(fleet.mysql.run("SELECT COUNT(*) FROM fleet_fills")[0][0])
    return Figure(
        "alerts while nothing is wrong",
        "none",
        ", ".join(fired) or "none" if calm is not None else "never calm",
        calm is not None and not fired,
        f"{seconds / 60:.0f} minutes of traffic, {fills:,} fills; every role, 4 partitions",
    )


@contextmanager
def _watched_fleet() -> Iterator[tuple[OwnFleet, Prometheus]]:
    with (
        TemporaryDirectory(prefix="alerts-") as folder,
        own_fleet(server_values(), Path(folder)) as fleet,
    ):
        fleet.start()
        port = fleet.port("metrics")
        assert port is not None
        with prometheus(fleet_rules(port)) as server:
            yield fleet, server


def _broken(name: str, fleet: OwnFleet, server: Prometheus) -> Took:
    row = BREAKAGES[name]
    began = time.monotonic()
    row.breaks(fleet)
    if _wait(lambda: row.alert in server.firing(), GIVEN_UP_SECONDS) is None:
        row.cures(fleet)
        return Took(name, None, None)
    firing, cured = time.monotonic() - began, time.monotonic()
    row.cures(fleet)
    when = ALERTS[row.alert].when
    window = when.minutes * 60 if isinstance(when, Counted) else 0
    gone = _wait(lambda: row.alert not in server.firing(), GIVEN_UP_SECONDS + window)
    return Took(name, firing, None if gone is None else time.monotonic() - cured)


def _calm_for(alert: str, server: Prometheus) -> Callable[[], bool]:
    """Nothing fires but what only waits for its window to be over, and not this alert."""
    return lambda: all(_counts(one) and one != alert for one in server.firing())


def _named(labels: Mapping[str, str]) -> str:
    """The alert, and of what."""
    alert = labels["alertname"]
    when = ALERTS[alert].when
    of = () if isinstance(when, Missing) else when.by
    return " ".join((alert, *(labels.get(name, "") for name in of)))


def _counts(alert: str) -> bool:
    return isinstance(ALERTS[alert].when, Counted)


def _figure(name: str, target: int, seconds: Sequence[float | None], notes: str) -> Figure:
    seen = [value for value in seconds if value is not None]
    missed = len(seconds) - len(seen)
    measured = f"{len(seen)} of {len(seconds)}"
    if seen:
        measured += f": median {median(seen):.0f}, longest {max(seen):.0f} s"
    met = not missed and max(seen, default=0) <= target
    return Figure(name, f"all, <= {target} s", measured, met, notes)


def _wait(found: Callable[[], object], seconds: float) -> float | None:
    """Seconds that it took; None: it did not come true."""
    began = time.monotonic()
    while not found():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began
