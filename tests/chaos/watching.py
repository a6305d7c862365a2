"""What the alerts of the table say of a fleet, hold times left out: from its exporter, and of what
only processes tell (counters), from all of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from prometheus_client.parser import text_string_to_metric_families

from shared.metrics import FLEET
from tests.chaos.own_fleet import OwnFleet
from workers.alerts import ALERTS, Above, Below, Counted, Missing, Problem, Sample, problems

LOOK_SECONDS = 0.5
Series = tuple[str, tuple[tuple[str, str], ...]]


class Watch:
    """mark(): counters count from now on."""

    def __init__(self, fleet: OwnFleet) -> None:
        self._fleet = fleet
        self._before: dict[str, dict[Series, float]] = {}

    def mark(self) -> None:
        self._before = self._counters()

    def firing(self) -> list[Problem]:
        """What is wrong now. Counters of a process that was started since count from zero."""
        told = self.exported()
        if told is None:
            alert = ALERTS["FleetMetricsMissing"]
            return [Problem("FleetMetricsMissing", alert, {}, 0)]
        found = problems(told)
        names = {one.metric for one in told}
        found += [
            Problem(name, alert, {}, 0)
            for name, alert in ALERTS.items()
            if isinstance(alert.when, Missing) and alert.when.metric not in names
        ]
        return found + list(self._of_processes())

    def exported(self) -> list[Sample] | None:
        """None: the exporter does not answer."""
        text = self._fleet.ask("metrics", "/metrics")
        return None if text is None else list(_samples(text.decode()))

    def wait_for(self, alert: str, seconds: float) -> float | None:
        """Seconds until it shows; None: it did not."""
        return self._wait(lambda: any(one.name == alert for one in self.firing()), seconds)

    def wait_without(self, alert: str, seconds: float) -> float | None:
        """Seconds until it is gone. One that counts is gone once it counts no more."""

        def gone() -> bool:
            rising = any(one.name == alert for one in self.firing())
            self.mark()
            return not rising

        return self._wait(gone, seconds)

    def wait_quiet(self, seconds: float) -> list[Problem]:
        """What is still wrong when the time is over."""
        self.mark()
        self._wait(lambda: not self.firing(), seconds)
        return self.firing()

    def _wait(self, found: Callable[[], bool], seconds: float) -> float | None:
        started = time.monotonic()
        while not found():
            if time.monotonic() - started > seconds:
                return None
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - started

    def _of_processes(self) -> Iterator[Problem]:
        now = self._counters()
        for name, alert in ALERTS.items():
            when = alert.when
            if isinstance(when, Counted):
                rose: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
                for process, series in now.items():
                    before = self._before.get(process, {})
                    for (metric, labels), value in series.items():
                        if metric == when.metric and set(when.where) <= set(labels):
                            by = tuple((one, dict(labels)[one]) for one in when.by)
                            rose[by] += max(value - before.get((metric, labels), 0), 0)
                yield from (
                    Problem(name, alert, dict(by), risen)
                    for by, risen in rose.items()
                    if risen > when.limit
                )
            elif isinstance(when, Above | Below) and when.metric not in FLEET:
                values = [
                    value
                    for series in now.values()
                    for (metric, _), value in series.items()
                    if metric == when.metric
                ]
                worst = (max if isinstance(when, Above) else min)(values, default=when.limit)
                beyond = worst > when.limit if isinstance(when, Above) else worst < when.limit
                if beyond:
                    yield Problem(name, alert, dict.fromkeys(when.by, "?"), worst)

    def _counters(self) -> dict[str, dict[Series, float]]:
        """What each process tells itself, by `role:pid`: a new process counts from zero."""
        wanted = {
            alert.when.metric
            for alert in ALERTS.values()
            if not isinstance(alert.when, Missing) and alert.when.metric not in FLEET
        }
        found: dict[str, dict[Series, float]] = {}
        for role, port in self._fleet.targets().items():
            if text := self._fleet.ask(role, "/metrics"):
                found[f"{role}:{port}:{self._fleet.exits(role)}"] = {
                    (one.metric, tuple(sorted(one.labels.items()))): one.value
                    for one in _samples(text.decode())
                    if one.metric in wanted
                }
        return found


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            yield Sample(one.name, one.labels, one.value)
