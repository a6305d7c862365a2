"""Windows of weight: 429 until the window ends, 418 for who does not listen."""

from __future__ import annotations

from deploy.exchange.limits import BAN_AFTER, Budget, Limiter

MINUTE = 60_000
BUDGET = Budget("venue", 100)


class Clock:
    def __init__(self) -> None:
        self.now = 10 * MINUTE + 1_000

    def __call__(self) -> int:
        return self.now


def test_a_window_ends_with_the_minute_of_the_clock() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    assert limiter.spend(BUDGET, "a", 60).used == 60
    refused = limiter.spend(BUDGET, "a", 41)
    assert (refused.status, refused.used, refused.retry_after) == (429, 60, "59")
    assert limiter.spend(BUDGET, "a", 40).used == 100
    clock.now += 59_000
    assert limiter.spend(BUDGET, "a", 40).used == 40


def test_every_address_has_a_budget_of_its_own() -> None:
    limiter = Limiter(Clock())
    limiter.spend(BUDGET, "a", 100)
    assert limiter.spend(BUDGET, "b", 100).status == 200
    assert limiter.spend(Budget("other", 100), "a", 100).status == 200


def test_who_goes_on_after_a_429_is_banned() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    limiter.spend(BUDGET, "a", 100)
    statuses = [limiter.spend(BUDGET, "a", 1).status for _ in range(BAN_AFTER + 1)]
    assert statuses == [429] * BAN_AFTER + [418]
    clock.now += MINUTE
    assert limiter.spend(BUDGET, "a", 1).status == 418
    clock.now += 2 * MINUTE
    assert limiter.spend(BUDGET, "a", 1).status == 200
    assert limiter.refused == {"429": BAN_AFTER, "418": 2}


def test_a_scale_makes_windows_shorter_and_keeps_the_budget() -> None:
    clock = Clock()
    limiter = Limiter(clock, scale=20)
    assert limiter.spend(BUDGET, "a", 100).status == 200
    assert limiter.spend(BUDGET, "a", 1).retry_after == "2"
    clock.now += 2_000
    assert limiter.spend(BUDGET, "a", 100).status == 200


def test_a_blocked_address_waits_as_long_as_it_was_told() -> None:
    clock = Clock()
    limiter = Limiter(clock)
    limiter.block("venue", "a", 7_000)
    clock.now += 3_000
    # The window goes on longer than the pause, and its budget is there.
    assert limiter.spend(BUDGET, "a", 1).status == 429
    clock.now += 4_000
    assert limiter.spend(BUDGET, "a", 1).status == 200
