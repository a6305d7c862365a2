"""One limiter per address and venue, in Redis, shared by every process.

Weight is reserved before a request leaves and settled by what the venue says it has counted; what
is under way counts fully until its answer is here. The arithmetic is `lua/reserve.lua`; this side
gathers the requests of one event loop and sleeps for as long as the script says.

Keys: {prefix}fleet:limits:{binanceusdm:default} and, below it, lists and marks of accounts. The
inner braces are literal, so all keys of one address lie in one cluster slot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from itertools import count
from typing import NamedTuple, TypeAlias

from redis import asyncio as aioredis
from redis.exceptions import RedisError

from shared import telemetry
from shared.endpoints import RedisSettings
from shared.errors import Unavailable
from shared.exchanges.errors import Throttled
from shared.exchanges.scripts import script
from shared.exchanges.venue import Venue
from shared.exchanges.waiting import RANKS, Priority, Waiting, Want
from shared.redis_clients import async_client

__all__ = ["Grant", "Limiter", "Limits", "Load", "Priority", "limits_client", "state_key"]

UNDER_WAY = 64
"""Requests of one process and address at a time: weight is reserved only for what leaves at once,
and a venue sees no more connections than that."""

BATCH = 32
"""Requests asked for in one round trip: other processes come in between."""

SETTLE_SECONDS = 0.01
"""An answer is told to the others after this at the latest, with the next question if one comes."""

CLOCK_READINGS = 3
"""Of the clock of Redis; the quickest counts."""

REDIS_SECONDS = 5.0

Redis: TypeAlias = "aioredis.Redis"


class Grant(NamedTuple):
    """Weight that was reserved, and the venue's window it was reserved in."""

    window: int
    weight: int


class Load(NamedTuple):
    """An address at this moment, for metrics. most: what orders and syncs may use together."""

    used: int
    under_way: int
    most: int
    paused_ms: int
    requests: int
    spent: int
    throttled: int


class _Return(NamedTuple):
    grant: Grant
    counted: int | None
    sent: bool


def limits_client(where: RedisSettings, name: str) -> Redis:
    """A client for `Limits`, of the event loop that makes it."""
    # No timeout of its own: with one the client swallows a cancellation that meets an answer
    # (wait_for of Python 3.11), and makes a task for every command. Ours is around each call.
    # No retries: a reservation that was made and not heard of is only lost; twice it would be two.
    return async_client(where, name, None)


def state_key(prefix: str, venue: Venue, egress: str) -> str:
    """Where what is known of one address at one venue stands; its list has `:address` behind."""
    return f"{prefix}fleet:limits:{{{venue.ccxt_class}:{egress}}}"


class Limits:
    """The limiters of one event loop.

    prefix: of all our keys. order_share: part of each window that only orders may use.
    """

    def __init__(self, redis: Redis, prefix: str, order_share: Decimal = Decimal("0.1")) -> None:
        self._redis = redis
        self._prefix = prefix
        self._order_share = order_share
        self._known: dict[tuple[str, str], Limiter] = {}

    def of(self, venue: Venue, egress: str) -> Limiter:
        """The limiter of one address. Products that a venue counts together share it: the pool is
        named by the ccxt class.
        """
        key = (venue.ccxt_class, egress)
        found = self._known.get(key)
        if found is None:
            state = state_key(self._prefix, venue, egress)
            kept = int(venue.weights.per_window * self._order_share)
            found = self._known[key] = Limiter(self._redis, state, venue, egress, kept)
        return found

    async def close(self) -> None:
        """Ends what the limiters have begun, and the connection."""
        for limiter in self._known.values():
            await limiter.close()
        await self._redis.aclose()


class Limiter:
    """Reserves weight at one venue for one address. Not thread-safe: of one event loop."""

    def __init__(self, redis: Redis, state: str, venue: Venue, egress: str, kept: int) -> None:
        self._redis = redis
        self._state = state
        self._venue = venue
        self._egress = egress
        self._kept = kept
        self._by_header = bool(venue.weights.used_header)
        self._reserve = redis.register_script(script("reserve"))
        self._pause = redis.register_script(script("pause"))
        self._clock = redis.register_script(script("clock"))
        self._look = redis.register_script(script("look"))
        self._waiting: Waiting[asyncio.Future[Grant]] = Waiting()
        self._numbers = count()
        self._returns: list[_Return] = []
        self._tell_ms = 0.0
        self._under_way = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def reserve(
        self, weight: int, priority: Priority, account_id: int, path: str, patience_ms: int
    ) -> Grant:
        """Waits for weight. Every Grant must be settled.

        Raises Throttled when that would take longer than patience_ms, Unavailable without Redis.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"limits {self._state}")
        now_ms = _monotonic_ms()
        future: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        want = Want(
            RANKS[priority], next(self._numbers), weight, account_id, path,
            now_ms + patience_ms, future,
        )  # fmt: skip
        wait = self._waiting.add(want, now_ms)
        if wait is not None:
            raise self._too_long(wait)
        self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.settle(future.result(), None, sent=False)
            raise

    def settle(self, grant: Grant, counted: int | None, *, sent: bool = True) -> None:
        """The request has ended. counted: the venue's own figure for this window, if it told one.

        sent: False when it never reached the venue, so nothing was counted.
        """
        self._under_way -= 1
        if self._by_header and not self._returns:
            self._tell_ms = _monotonic_ms() + SETTLE_SECONDS * 1000
            self._wake.set()
        if self._by_header:
            self._returns.append(_Return(grant, counted, sent))
        if self._waiting:
            self._waiting.reopen()
            self._wake.set()

    async def pause(self, ms: int, account_id: int | None = None) -> None:
        """Nobody asks for so long: from this address, or for one account, in any process."""
        keys = [self._state] if account_id is None else [self._state, self._mark(account_id)]
        telemetry.count(
            "fleet_exchange_throttled_total", venue=self._venue.name, egress=self._egress
        )
        async with _redis_away():
            await self._pause(keys=keys, args=[ms])

    async def set_clock(self, now_ms: Callable[[], int], doubt_ms: int) -> None:
        """For every process. now_ms: the venue's clock, which may be wrong by doubt_ms."""
        async with _redis_away():
            took, offset = min([await self._offset(now_ms) for _ in range(CLOCK_READINGS)])
            await self._clock(keys=[self._state], args=[offset, doubt_ms + took // 2 + 1])
        self._waiting.reopen_all()
        self._wake.set()

    async def _offset(self, now_ms: Callable[[], int]) -> tuple[int, int]:
        """(duration, the venue's clock minus that of Redis), both in ms."""
        before = now_ms()
        seconds, micros = await self._redis.time()
        after = now_ms()
        return after - before, (before + after) // 2 - seconds * 1000 - micros // 1000

    async def load(self) -> Load:
        """What has been used, for metrics and the command line."""
        weights = self._venue.weights
        async with _redis_away():
            if self._returns:
                await self._ask([])
            keys = [self._state, f"{self._state}:address"]
            found = await self._look(keys=keys, args=[weights.window_ms])
        used, under_way, paused_ms, requests, spent, throttled = map(int, found)
        return Load(used, under_way, weights.per_window, paused_ms, requests, spent, throttled)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._returns:
            with suppress(RedisError, OSError):
                await self._ask([])

    # -- the loop ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                await self._something_to_do()
                self._wake.clear()
                await self._next_round()
        finally:
            self._all_fail(self._waiting.drop_all(), "the limiter was closed")

    async def _next_round(self) -> None:
        """One question for all who may ask now, and what came back meanwhile."""
        asked = self._waiting.take(_monotonic_ms(), min(BATCH, UNDER_WAY - self._under_way))
        if not asked and not self._telling_is_due():
            return
        try:
            reply = await self._ask(asked)
        except (RedisError, OSError) as error:
            # Without the limiter nobody asks a venue: a ban costs more than a late sync.
            why = f"the limiter's Redis is away ({type(error).__name__}); nothing was sent"
            self._all_fail([*asked, *self._waiting.drop_all()], why)
        else:
            self._hand_out(asked, reply)

    async def _something_to_do(self) -> None:
        """Until somebody may ask, or an answer has waited long enough to be told."""
        moments = [self._tell_ms] if self._returns else []
        next_ms = self._waiting.next_ms()
        if next_ms is not None and self._under_way < UNDER_WAY:
            moments.append(next_ms)
        if not moments:
            await self._wake.wait()
            return
        seconds = (min(moments) - _monotonic_ms()) / 1000
        if seconds <= 0:
            # Whoever becomes ready in this round of the loop is asked for in the same question.
            await asyncio.sleep(0)
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await self._wake.wait()
        timer.cancel()

    def _telling_is_due(self) -> bool:
        return bool(self._returns) and _monotonic_ms() >= self._tell_ms

    async def _ask(self, asked: Sequence[Want[asyncio.Future[Grant]]]) -> list[int]:
        returns, self._returns = _summed(self._returns), []
        weights = self._venue.weights
        keys = [self._state, f"{self._state}:address"]
        places: dict[str, int] = {}
        args: list[int] = [
            weights.per_window if self._by_header else 0,
            weights.window_ms, self._kept, len(returns), len(asked),
        ]  # fmt: skip
        for one in returns:
            args += one
        for want in asked:
            limits = self._limits(want)
            args += (want.weight, want.rank, len(limits))
            for key, most, ms in limits:
                if key not in places:
                    places[key] = 2 if key == keys[1] else len(keys) + 1
                    keys += [key] if places[key] > len(keys) else []
                args += (places[key], most, ms)
        async with asyncio.timeout(REDIS_SECONDS):
            numbers = " ".join(map(str, args))
            return [int(one) for one in await self._reserve(keys=keys, args=[numbers])]

    def _limits(self, want: Want[asyncio.Future[Grant]]) -> list[tuple[str, int, int]]:
        """(key, most, ms) of what limits it beside the venue's windows."""
        found: list[tuple[str, int, int]] = []
        weights = self._venue.weights
        if weights.per_window and not self._by_header:
            most = weights.per_window - (self._kept if want.rank else 0)
            found.append((f"{self._state}:address", most, weights.window_ms))
        if self._venue.per_account:
            found.append((self._mark(want.account_id), 0, 0))
        for path in dict.fromkeys(("", want.path)):
            limit = self._venue.per_account.get(path)
            if limit is not None:
                found.append((f"{self._mark(want.account_id)}:{path}", *limit))
        return found

    def _mark(self, account_id: int) -> str:
        return f"{self._state}:{account_id}"

    def _hand_out(
        self, asked: Sequence[Want[asyncio.Future[Grant]]], reply: Sequence[int]
    ) -> None:
        window, *waits = reply
        granted, refused = self._waiting.answered(asked, waits, _monotonic_ms())
        for want in granted:
            self._under_way += 1
            grant = Grant(window, want.weight)
            if want.ticket.cancelled():
                self.settle(grant, None, sent=False)
            else:
                want.ticket.set_result(grant)
        for want, wait in refused:
            if not want.ticket.done():
                want.ticket.set_exception(self._too_long(wait))

    def _all_fail(self, wants: Sequence[Want[asyncio.Future[Grant]]], why: str) -> None:
        for want in wants:
            if not want.ticket.done():
                want.ticket.set_exception(Unavailable(why))

    def _too_long(self, wait_ms: int) -> Throttled:
        return Throttled(f"{self._venue.name}: no weight left for this address or account", wait_ms)


def _summed(returns: Sequence[_Return]) -> list[tuple[int, int, int, int, int]]:
    """Per window: (window, weight, of it sent, of that not told, highest figure told or -1)."""
    found: dict[int, list[int]] = {}
    for grant, counted, sent in returns:
        sums = found.setdefault(grant.window, [0, 0, 0, -1])
        sums[0] += grant.weight
        sums[1] += grant.weight if sent else 0
        sums[2] += grant.weight if sent and counted is None else 0
        sums[3] = max(sums[3], -1 if counted is None else counted)
    return [(window, *sums) for window, sums in found.items()]  # type: ignore[misc]


@asynccontextmanager
async def _redis_away() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"the limiter's Redis is away ({type(error).__name__})") from None


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
