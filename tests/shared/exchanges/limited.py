"""A limiter at a moment that the test chooses, and a venue that counts by a clock of its own."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import NamedTuple, NoReturn

from shared.endpoints import RedisSettings
from shared.exchanges.errors import Throttled
from shared.exchanges.limits import Grant, Limits, Priority, limits_client
from shared.exchanges.venue import Venue, Weights

WINDOW_MS = 100_000  # long enough that no test crosses a boundary by itself
NOON = 17_640_000 * WINDOW_MS
PER_WINDOW, KEPT = 1_000, 100
HEADER = "X-Used"


def no_permissions() -> NoReturn:
    raise NotImplementedError


def venue_with(
    per_window: int = PER_WINDOW, header: str = HEADER, **per_account: tuple[int, int]
) -> Venue:
    """per_account: of a path; `all_` is every path."""
    limits = {"" if path == "all_" else path: limit for path, limit in per_account.items()}
    weights = Weights(per_window, WINDOW_MS, header)
    return Venue("testing", ("linear",), "testing", weights, {}, no_permissions, limits)


class Limited:
    """One process' limiter of one address. Every request of it waits for nothing."""

    def __init__(self, where: RedisSettings, prefix: str, venue: Venue | None = None) -> None:
        self.limits = Limits(limits_client(where, "test"), prefix, Decimal(KEPT) / PER_WINDOW)
        self.limiter = self.limits.of(venue or venue_with(), "default")
        self._clock = (NOON, 0)

    async def at(self, ms: int, doubt_ms: int = 0) -> None:
        """The venue's clock shows this, and stands still for the questions of a test."""
        self._clock = (ms, doubt_ms)
        await self.limiter.set_clock(lambda: ms, doubt_ms)

    async def ask(
        self, weight: int, priority: Priority = "fresh", account_id: int = 1, path: str = "x"
    ) -> Grant | int:
        """A grant, or the milliseconds that it would have to wait."""
        await self.at(*self._clock)
        try:
            return await self.limiter.reserve(weight, priority, account_id, path, 0)
        except Throttled as no:
            return no.retry_after_ms

    async def granted(
        self, weight: int, priority: Priority = "fresh", account_id: int = 1, path: str = "x"
    ) -> Grant:
        found = await self.ask(weight, priority, account_id, path)
        assert isinstance(found, Grant), f"refused for {found} ms"
        return found

    async def refused(
        self, weight: int, priority: Priority = "fresh", account_id: int = 1, path: str = "x"
    ) -> int:
        """For how long (ms)."""
        found = await self.ask(weight, priority, account_id, path)
        assert isinstance(found, int), "granted"
        return found

    async def used(self, weight: int, counted: int | None = None) -> None:
        """Asked and answered at once. counted: as the venue tells; None: the header is missing."""
        self.limiter.settle(await self.granted(weight), counted)
        await self.limiter.load()


class Counted(NamedTuple):
    """A request that the venue has counted: what its answer tells."""

    grant: Grant
    told: int


class CountingVenue:
    """Fixed windows by a clock that differs from what we believe by `error_ms`."""

    def __init__(self, error_ms: int) -> None:
        self._error_ms = error_ms
        self.counts: Counter[int] = Counter()

    def window(self, believed_ms: int) -> int:
        return (believed_ms + self._error_ms) // WINDOW_MS

    def receive(self, grant: Grant, believed_ms: int) -> Counted:
        window = self.window(believed_ms)
        self.counts[window] += grant.weight
        return Counted(grant, self.counts[window])
