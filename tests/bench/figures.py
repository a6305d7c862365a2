"""What a benchmark hands back, and how ratios of alternating runs become one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """One row of the table. met: whether the target is reached; notes: what else is to be known."""

    name: str
    target: str
    measured: str
    met: bool
    notes: str = ""


class Ratio(NamedTuple):
    """Medians over the rounds; the ratio is the median of each round's own ratio."""

    ours: float
    peer: float
    ratio: float
    spread: str


def alternate(ours: Callable[[], float], peer: Callable[[], float], rounds: int) -> Ratio:
    """Rates of A and B in turns, A first in even rounds: what else the machine does hits both."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            other = peer()
            pairs.append((ours(), other))
        else:
            mine = ours()
            pairs.append((mine, peer()))
    return ratio_of(pairs)


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """Of rates of A and B that belong together."""
    ratios = sorted(mine / other for mine, other in pairs)
    return Ratio(
        median(mine for mine, _ in pairs),
        median(other for _, other in pairs),
        median(ratios),
        f"{ratios[0]:.2f}..{ratios[-1]:.2f}",
    )


def at_least(name: str, target: float, found: Ratio, unit: str, notes: str = "") -> Figure:
    measured = (
        f"{found.ratio:.2f} ({found.spread}); {found.ours:,.0f} against {found.peer:,.0f} {unit}"
    )
    return Figure(name, f">= {target:g}", measured, found.ratio >= target, notes)


def peak_mb() -> float:
    """Of this process. getrusage would answer with the peak of whoever started it, if larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
