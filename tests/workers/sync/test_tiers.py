"""How often an account is asked."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges.venue import KINDS
from workers.sync.tiers import (
    ACTIVE_MS,
    DORMANT_MS,
    EVERY,
    JITTER,
    RETRY_MOST,
    due_kinds,
    next_in,
    retry_in,
    tier_of,
)

NOW_MS = 1_764_000_000_000
ACCOUNTS = st.integers(min_value=1, max_value=2**63)


def test_who_holds_or_traded_lately_is_active_and_who_was_quiet_for_a_month_dormant() -> None:
    assert tier_of(NOW_MS, NOW_MS - DORMANT_MS, holds=True) == "active"
    assert tier_of(NOW_MS, NOW_MS - ACTIVE_MS + 1, holds=False) == "active"
    assert tier_of(NOW_MS, NOW_MS - ACTIVE_MS, holds=False) == "idle"
    assert tier_of(NOW_MS, NOW_MS - DORMANT_MS, holds=False) == "dormant"
    assert tier_of(NOW_MS, None, holds=False) == "idle"  # nobody knows how long


@given(ACCOUNTS, st.integers(min_value=0, max_value=2**31), st.sampled_from(KINDS))
def test_a_turn_comes_a_little_early_and_never_late(account: int, version: int, kind: str) -> None:
    for tier, every in EVERY.items():
        wait = next_in(tier, kind, account, version)  # type: ignore[arg-type] # sampled text
        assert every[kind] * (1 - JITTER) <= wait <= every[kind]  # type: ignore[index]


def test_accounts_linked_together_drift_apart() -> None:
    waits = {next_in("active", "fills", account, 0) for account in range(1, 200)}
    assert len(waits) > 190


@given(st.integers(min_value=0, max_value=10**6))
def test_a_failing_account_is_asked_more_and_more_rarely_up_to_a_bound(failures: int) -> None:
    assert timedelta() < retry_in(failures) <= retry_in(failures + 1) <= RETRY_MOST


def test_kinds_that_are_nearly_due_go_with_those_that_are() -> None:
    every = EVERY["active"]
    left = {kind: every[kind] for kind in KINDS}
    assert due_kinds(left, "active") == ()
    left |= {"fills": timedelta(seconds=-1), "cash": every["cash"] * 0.1}
    assert due_kinds(left, "active") == ("cash", "fills")
    assert due_kinds({}, "active") == KINDS  # never asked
