"""How the fleet is at one moment: what the exporter told, what is wrong with it, last errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from workers.alerts import ALERTS, Problem, Sample, problems
from workers.troubles import Trouble

STALE_SECONDS = 20.0
"""Older figures than these are no news: whoever collects them hangs."""


class Picture(NamedTuple):
    """at: when it was collected, UTC."""

    at: datetime
    samples: Sequence[Sample]
    problems: list[Problem]
    troubles: Sequence[Trouble]


def picture(at: datetime, samples: Sequence[Sample], troubles: Sequence[Trouble]) -> Picture:
    return Picture(at, samples, problems(samples), troubles)


class Verdict(NamedTuple):
    """well: nothing to do. wakes: whether it is worth getting up for."""

    text: str
    well: bool
    wakes: bool


def verdict(found: Picture | None, now: datetime) -> Verdict:
    """One line that can be read from the door."""
    if found is None:
        return Verdict("Nothing is known yet: the first look is under way", well=False, wakes=False)
    age = (now - found.at).total_seconds()
    if age > STALE_SECONDS:
        return Verdict(f"These figures are {age:.0f} s old: nobody looks", well=False, wakes=True)
    count = len(found.problems)
    if not count:
        return Verdict("All is well", well=True, wakes=False)
    urgent = sum(one.alert.severity == "page" for one in found.problems)
    words = f"{count} problem{'s' if count > 1 else ''}"
    waits = "none is urgent" if count > 1 else "it can wait for the morning"
    return Verdict(f"{words}, {f'{urgent} urgent' if urgent else waits}", well=False,
                   wakes=bool(urgent))  # fmt: skip


def as_json(found: Picture | None, now: datetime) -> dict[str, Any]:
    """For programs. A value that is no number is null, one without limit `inf`."""
    said = verdict(found, now)
    told: dict[str, Any] = {"verdict": said.text, "well": said.well, "wakes": said.wakes}
    if found is None:
        return told
    return {
        **told,
        "at": found.at.isoformat(),
        "age_seconds": round((now - found.at).total_seconds(), 1),
        "problems": [_problem(one) for one in found.problems],
        "errors": [
            {**one._asdict(), "at": one.at.isoformat() if one.at else None}
            for one in found.troubles
        ],
        "samples": [
            {"metric": one.metric, "labels": one.labels, "value": _number(one.value)}
            for one in found.samples
        ],
    }


def runbook(alert: str) -> str:
    """Where the page shows what to do about an alert."""
    return f"/runbooks/{ALERTS[alert].plane}#{alert}"


def _problem(found: Problem) -> dict[str, Any]:
    return {
        "name": found.name,
        "plane": found.alert.plane,
        "severity": found.alert.severity,
        "what": found.what,
        "do": found.do,
        "runbook": runbook(found.name),
        "labels": found.labels,
        "value": _number(found.value),
    }


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
