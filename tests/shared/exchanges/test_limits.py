"""The limiter on a real Redis: its arithmetic is a script that fakeredis cannot run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import redis as redis_py

from shared.endpoints import RedisSettings
from shared.errors import Unavailable
from shared.exchanges.limits import Grant, Limits, limits_client
from shared.exchanges.venue import Venue, Weights
from tests.shared.exchanges.limited import (
    HEADER,
    KEPT,
    NOON,
    PER_WINDOW,
    WINDOW_MS,
    Limited,
    no_permissions,
    venue_with,
)
from tests.workers.fleet_env import free_port

OURS = PER_WINDOW - KEPT
MIDDLE = NOON + WINDOW_MS // 2
EARLY_MS = 50  # the question was asked a little after the moment that was set
SLACK_MS = 2_000  # what a slow machine may need between two questions

Making = Callable[..., Limited]


@pytest.fixture
def making(redis_where: RedisSettings, redis_prefix: str) -> Making:
    return lambda venue=None: Limited(redis_where, redis_prefix, venue)


@asynccontextmanager
async def limited(making: Making, venue: Venue | None = None) -> AsyncIterator[Limited]:
    found = making(venue)
    try:
        await found.at(MIDDLE)
        yield found
    finally:
        await found.limits.close()


def scenario(
    making: Making, test: Callable[[Limited], Awaitable[None]], venue: Venue | None = None
) -> None:
    async def run() -> None:
        async with limited(making, venue) as found:
            await test(found)

    asyncio.run(run())


# -- windows of the venue --------------------------------------------------------------------------


def test_weight_is_given_until_the_share_of_orders_begins(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(OURS - 5)
        assert await here.refused(6) > 0
        await here.granted(5)
        assert await here.refused(1) > 0
        await here.granted(KEPT, "order")
        assert await here.refused(1, "order") > 0

    scenario(making, test)


def test_the_next_window_begins_by_the_venues_clock(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS, OURS)
        wait = await here.refused(1)
        assert WINDOW_MS // 2 - SLACK_MS < wait <= WINDOW_MS // 2 + 100
        await here.at(MIDDLE + wait + EARLY_MS)
        await here.granted(1)

    scenario(making, test)


def test_what_the_venue_has_counted_for_others_is_not_ours(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(5, OURS - 10)
        assert await here.refused(11) > 0
        await here.granted(10)

    scenario(making, test)


def test_a_figure_below_the_reservation_frees_the_difference(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS, 1)
        await here.granted(OURS - 1)

    scenario(making, test)


def test_a_figure_never_takes_away_what_is_under_way(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(400)
        await here.used(10, 10)  # answered before the venue saw the other one
        assert await here.refused(OURS - 400 - 10 + 1) > 0
        await here.granted(OURS - 400 - 10)

    scenario(making, test)


def test_a_late_lower_figure_does_not_lower_what_is_known(making: Making) -> None:
    async def test(here: Limited) -> None:
        slow, quick = await here.granted(10), await here.granted(10)
        here.limiter.settle(quick, OURS - 10)
        here.limiter.settle(slow, 10)
        assert await here.refused(11) > 0

    scenario(making, test)


def test_an_answer_without_a_figure_counts_as_documented(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS - 10, None)
        assert await here.refused(11) > 0
        await here.granted(10)

    scenario(making, test)


def test_what_never_left_costs_nothing(making: Making) -> None:
    async def test(here: Limited) -> None:
        here.limiter.settle(await here.granted(OURS), None, sent=False)
        await here.granted(OURS)

    scenario(making, test)


def test_a_request_that_crosses_a_boundary_counts_in_both(making: Making) -> None:
    async def test(here: Limited) -> None:
        slow = await here.granted(300)
        await here.at(MIDDLE + WINDOW_MS)
        assert await here.refused(OURS - 299) > 0
        here.limiter.settle(slow, 300)  # of which window, nobody knows
        assert await here.refused(OURS - 299) > 0
        await here.used(10, 10)  # it was the other one, or it came after this
        assert await here.refused(OURS - 309) > 0
        await here.granted(OURS - 310)

    scenario(making, test)


@pytest.mark.parametrize("late_is_answered_first", [True, False])
def test_a_figure_told_before_a_late_request_came_does_not_hold_it(
    making: Making, late_is_answered_first: bool  # noqa: FBT001 - drawn
) -> None:
    async def test(here: Limited) -> None:
        late = await here.granted(300)
        await here.at(MIDDLE + WINDOW_MS)
        answers = [(await here.granted(200), 200), (late, 500)]
        for grant, told in reversed(answers) if late_is_answered_first else answers:
            here.limiter.settle(grant, told)
            await here.limiter.load()
        assert await here.refused(OURS - 499) > 0
        await here.granted(OURS - 500)

    scenario(making, test)


def test_what_a_dead_process_had_under_way_is_forgotten_a_window_later(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(OURS)
        await here.at(MIDDLE + WINDOW_MS)
        assert await here.refused(1) > 0
        await here.at(MIDDLE + 2 * WINDOW_MS)
        await here.granted(OURS)

    scenario(making, test)


def test_a_new_window_is_entered_only_when_it_has_surely_begun(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS - 100, OURS - 100)
        await here.at(NOON + WINDOW_MS + 300, doubt_ms=1_000)
        await here.granted(100)  # even the old one has room for it
        assert 0 < await here.refused(10) <= 1_000
        await here.at(NOON + WINDOW_MS + 1_100, doubt_ms=1_000)
        await here.granted(OURS - 100)

    scenario(making, test)


def test_what_was_answered_near_a_boundary_may_be_in_the_new_window(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.at(NOON + WINDOW_MS - 500, doubt_ms=1_000)
        await here.used(OURS - 10, OURS - 10)
        await here.at(NOON + WINDOW_MS + 1_100, doubt_ms=1_000)
        assert await here.refused(11) > WINDOW_MS // 2
        await here.granted(10)

    scenario(making, test)


def test_a_figure_of_the_old_window_is_not_taken_for_one_of_the_new(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(500, 500)
        await here.at(NOON + WINDOW_MS + 300, doubt_ms=1_000)
        early = await here.granted(10)
        await here.at(NOON + WINDOW_MS + 1_100, doubt_ms=1_000)
        here.limiter.settle(early, 510)  # the venue's clock was behind
        await here.granted(OURS - 10)

    scenario(making, test)


def test_a_clock_set_back_does_not_open_the_window_again(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.at(NOON + 1_000)
        await here.used(OURS, OURS)
        await here.at(NOON - 1_000)
        assert await here.refused(1) > 0
        await here.at(NOON + 2_000)
        assert await here.refused(1) > 0

    scenario(making, test)


def test_a_request_heavier_than_the_budget_is_not_refused_for_ever(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(OURS + 1)

    scenario(making, test)


# -- backfills -------------------------------------------------------------------------------------


def test_a_backfill_leaves_room_for_what_is_fresh(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS // 2, OURS // 2)
        assert await here.refused(200, "backfill") > 0
        await here.granted(200, "fresh")

    scenario(making, test)


def test_a_backfill_is_told_when_its_turn_comes(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(OURS // 2, "backfill")
        wait = await here.refused(OURS // 4, "backfill")
        assert 0 < wait < WINDOW_MS // 2
        await here.at(MIDDLE + wait + EARLY_MS)
        await here.granted(OURS // 4, "backfill")

    scenario(making, test)


def test_a_backfill_gets_a_tenth_however_busy_the_others_are(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS - 100, OURS - 100)
        await here.granted(OURS // 20, "backfill")
        assert await here.refused(20, "backfill") > 0

    scenario(making, test)


# -- pauses ----------------------------------------------------------------------------------------


def test_a_pause_holds_every_process_and_orders_too(making: Making) -> None:
    async def test(here: Limited) -> None:
        there = making()
        await here.limiter.pause(7_000)
        for one in (here, there):
            assert 7_000 - SLACK_MS < await one.refused(1) <= 7_000
            assert await one.refused(1, "order") > 0
        await here.at(MIDDLE + 7_000)  # the clock was read again: the pause goes on
        assert await there.refused(1) > 7_000 - SLACK_MS
        await there.limits.close()

    scenario(making, test)


def test_a_short_pause_does_not_end_a_long_one(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.limiter.pause(600_000)
        await here.limiter.pause(1_000)
        assert await here.refused(1) > 600_000 - SLACK_MS
        assert (await here.limiter.load()).throttled == 2

    scenario(making, test)


def test_an_account_that_pauses_disturbs_no_other(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.limiter.pause(2_000, account_id=1)
        assert 0 < await here.refused(1, account_id=1) <= 2_000
        await here.granted(1, account_id=2)

    scenario(making, test, venue_with(x=(10, 1_000)))


# -- venues that limit accounts, and tell no weight ------------------------------------------------


def test_an_account_has_a_limit_of_its_own_on_a_path(making: Making) -> None:
    async def test(here: Limited) -> None:
        for _ in range(3):
            await here.granted(1)
        assert 0 < await here.refused(1) <= 10_100
        await here.granted(1, path="y")
        await here.granted(1, account_id=2)

    scenario(making, test, venue_with(x=(3, 10_000)))


def test_a_limit_over_all_paths_is_one_limit(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(1, path="x")
        await here.granted(1, path="y")
        assert await here.refused(1, path="z") > 0

    scenario(making, test, venue_with(all_=(2, 10_000)))


def test_what_an_account_may_not_takes_no_weight_of_the_address(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.granted(OURS - 10)
        await here.refused(5)
        await here.granted(10, account_id=2)

    scenario(making, test, venue_with(x=(1, 10_000)))


def test_without_a_figure_the_window_rolls(making: Making) -> None:
    async def test(here: Limited) -> None:
        for part in range(3):
            await here.at(NOON + part * WINDOW_MS // 3)
            here.limiter.settle(await here.granted(OURS // 3), None)
        assert await here.refused(1) <= WINDOW_MS // 3 + 100
        await here.at(NOON + WINDOW_MS + 100)  # the first third is gone, the others are not
        await here.granted(OURS // 3)
        assert await here.refused(1) > 0
        await here.granted(KEPT, "order")

    scenario(making, test, venue_with(header=""))


def test_a_venue_without_a_limit_of_the_address_has_none(making: Making) -> None:
    async def test(here: Limited) -> None:
        for _ in range(3):
            await here.granted(100_000)

    scenario(making, test, venue_with(per_window=0, header=""))


# -- many at once ----------------------------------------------------------------------------------


class Storm:
    """Threads with a limiter each, and a venue whose counts are in Redis, by its own clock."""

    window_ms, per_window, skew_ms, weight = 1_000, 600, 7_300, 5

    def __init__(self, where: RedisSettings, prefix: str, seconds: float) -> None:
        self._where, self._prefix, self._ends = where, prefix, time.monotonic() + seconds
        self.sent: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        weights = Weights(self.per_window, self.window_ms, HEADER)
        self._venue = Venue("testing", ("linear",), "testing", weights, {}, no_permissions)

    def run(self, threads: int, tasks: int) -> None:
        running = [
            threading.Thread(target=asyncio.run, args=(self._thread(number, tasks),))
            for number in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    async def _thread(self, number: int, tasks: int) -> None:
        limits = Limits(limits_client(self._where, "storm"), self._prefix, Decimal("0.1"))
        limiter = limits.of(self._venue, "default")
        await limiter.set_clock(self._now, 5)
        counter = limits_client(self._where, "venue")

        async def one() -> None:
            while time.monotonic() < self._ends:
                grant = await limiter.reserve(self.weight, "fresh", 1, "x", 10_000)
                window = self._now() // self.window_ms
                used = await counter.hincrby(f"{self._prefix}venue", str(window), self.weight)
                self.sent[number] += 1
                self.most[window] = max(self.most[window], used)
                limiter.settle(grant, used)

        await asyncio.gather(*(one() for _ in range(tasks)))
        await counter.aclose()
        await limits.close()

    def _now(self) -> int:
        return int(time.time() * 1000) + self.skew_ms


def test_nearly_all_of_the_budget_is_used_and_never_more(
    redis_where: RedisSettings, redis_prefix: str
) -> None:
    storm = Storm(redis_where, redis_prefix, seconds=4.5)
    storm.run(threads=3, tasks=20)
    ours = storm.per_window * 9 // 10
    # The first and the last window were not ours alone, and the second may hold late requests.
    whole = sorted(storm.most)[2:-1]
    assert len(whole) >= 2
    assert max(storm.most.values()) <= ours
    assert min(storm.most[window] for window in whole) >= 0.95 * ours
    fair = sum(storm.sent.values()) / 3
    assert all(sent > fair / 3 for sent in storm.sent.values())


def test_who_waits_asks_seldom(making: Making, redis_root: redis_py.Redis) -> None:
    async def test(here: Limited) -> None:
        await here.used(OURS, OURS)
        before = evaluations(redis_root)
        waiting = [
            asyncio.create_task(here.limiter.reserve(1, "fresh", 1, "x", 10 * WINDOW_MS))
            for _ in range(200)
        ]
        await asyncio.wait(waiting, timeout=0.5)
        assert not any(task.done() for task in waiting)
        assert evaluations(redis_root) - before < 50  # 200 that poll each 20 ms would be 5,000
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    scenario(making, test)


def evaluations(redis: redis_py.Redis) -> int:
    statistics = redis.info("commandstats")  # of every test that runs now, so bounds are wide
    assert isinstance(statistics, dict)
    return int(statistics.get("cmdstat_evalsha", {}).get("calls", 0))


def test_a_caller_that_goes_away_gives_its_weight_back(making: Making) -> None:
    async def test(here: Limited) -> None:
        gone = asyncio.create_task(here.limiter.reserve(OURS, "fresh", 1, "x", 1_000))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        found = await here.limiter.reserve(OURS, "fresh", 1, "x", 5_000)
        assert isinstance(found, Grant)

    scenario(making, test)


# -- Redis -----------------------------------------------------------------------------------------


def test_keys_expire(making: Making, redis_root: redis_py.Redis, redis_prefix: str) -> None:
    async def test(here: Limited) -> None:
        await here.granted(1)
        await here.limiter.pause(2_000, account_id=1)

    scenario(making, test, venue_with(x=(10, 1_000)))
    keys = list(redis_root.scan_iter(match=f"{redis_prefix}*"))
    assert len(keys) >= 2
    assert all(b"{testing:default}" in key for key in keys)
    assert all(redis_root.pttl(key) != -1 for key in keys)  # -1: for ever; -2: gone already


def test_a_pause_outlives_the_key(
    making: Making, redis_root: redis_py.Redis, redis_prefix: str
) -> None:
    async def test(here: Limited) -> None:
        await here.limiter.pause(3 * 86_400_000)

    scenario(making, test)
    (key,) = redis_root.scan_iter(match=f"{redis_prefix}*")
    assert redis_root.pttl(key) > 2 * 86_400_000


def test_without_redis_nothing_is_given(redis_prefix: str) -> None:
    async def run() -> None:
        here = Limited(RedisSettings(port=free_port()), redis_prefix)
        with pytest.raises(Unavailable, match="nothing was sent"):
            await here.limiter.reserve(1, "fresh", 1, "x", 60_000)
        with pytest.raises(Unavailable, match="Redis is away"):
            await here.limiter.pause(1_000)
        await here.limits.close()

    asyncio.run(run())


def test_its_load_is_told(making: Making) -> None:
    async def test(here: Limited) -> None:
        await here.used(10, 40)
        await here.granted(20)
        load = await here.limiter.load()
        assert (load.used, load.under_way, load.most) == (60, 20, PER_WINDOW)
        assert (load.requests, load.spent, load.paused_ms) == (2, 30, 0)

    scenario(making, test)


