"""What a venue lets an address do: fixed windows of weight, pauses, and bans for who ignores them.

Windows are fixed on the clock as the venues' are. `scale` makes them shorter: 20 turns a minute
into three seconds, with the same budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

BAN_AFTER = 10
"""Requests in spite of a 429 before the address is banned."""
BAN_MS = 120_000


class Budget(NamedTuple):
    """weight: in a window of so many milliseconds (before scaling). name: of the counter.

    kept: what was used of each window is kept for the statistics.
    """

    name: str
    weight: int
    window_ms: int = 60_000
    bans: bool = True
    kept: bool = True


class Spent(NamedTuple):
    """used: in this window of the budget, with this request. status: 200, 429 or 418; retry_ms: how
    long, from at_ms on.
    """

    budget: Budget
    used: int
    at_ms: int
    status: int = 200
    retry_ms: int = 0

    @property
    def retry_after(self) -> str:
        """For the header: whole seconds, at least one."""
        return str(max(1, ceil(self.retry_ms / 1000)))


@dataclass(slots=True)
class Window:
    """One counter: of (budget, who). peaks: the most that was used in a window, by its start."""

    start: int = -1
    used: int = 0
    blocked_until: int = 0
    banned_until: int = 0
    ignored: int = 0
    totals: dict[int, int] = field(default_factory=dict)


class Limiter:
    """Counts by (budget's name, who): an address or, for per-account limits, a uid."""

    def __init__(self, clock: Callable[[], int], scale: int = 1) -> None:
        self._clock = clock
        self._scale = scale
        self.windows: dict[tuple[str, str], Window] = {}
        self.refused: Counter[str] = Counter()
        """How often each status was answered."""

    def spend(self, budget: Budget, who: str, weight: int) -> Spent:
        """Count a request; says whether it may pass. A refused one costs its weight nothing."""
        now = self._clock()
        window = self.windows.setdefault((budget.name, who), Window())
        length = max(1, budget.window_ms // self._scale)
        start = now - now % length
        if start != window.start:
            window.start, window.used, window.ignored = start, 0, 0
        if now < window.banned_until:
            return self._refuse(budget, window, 418, window.banned_until - now)
        if now < window.blocked_until:
            return self._too_many(budget, window, now, window.blocked_until)
        if window.used + weight > budget.weight:
            return self._too_many(budget, window, now, start + length)
        window.used += weight
        if budget.kept:
            window.totals[start] = window.used
        return Spent(budget, window.used, now)

    def block(self, budget: str, who: str, milliseconds: int, *, ban: bool = False) -> None:
        """Refuse everything of it for a while, as if it had used too much."""
        window = self.windows.setdefault((budget, who), Window())
        until = self._clock() + milliseconds
        if ban:
            window.banned_until = until
        else:
            window.blocked_until = until

    def _too_many(self, budget: Budget, window: Window, now: int, until: int) -> Spent:
        window.ignored += 1
        if budget.bans and window.ignored > BAN_AFTER:
            window.banned_until = now + BAN_MS // self._scale
            return self._refuse(budget, window, 418, window.banned_until - now)
        return self._refuse(budget, window, 429, until - now)

    def _refuse(self, budget: Budget, window: Window, status: int, retry_ms: int) -> Spent:
        self.refused[str(status)] += 1
        return Spent(budget, window.used, self._clock(), status, retry_ms)
