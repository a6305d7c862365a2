"""One account's run: what is read, in which order, and what an early end leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.exchanges.errors import KeyRefused, Throttled, VenueAway
from shared.exchanges.venue import KINDS, Account, Cursor, Kind, Page
from tests.workers.sync.samples import (
    NOW_MS,
    account_of,
    balance_found,
    fill_found,
    page,
    position_found,
    read,
    venue_of,
)
from workers.sync.run import REFUSED, RESTLESS, Answered, Asked, ask

QUIET: dict[Kind, Any] = {
    "positions": page(position_found()),
    "balances": page(balance_found()),
    "cash": page(through_ms=NOW_MS),
    "fills": page(fill_found(), through_ms=NOW_MS),
    "orders": page(),
}


def asked(answers: dict[Kind, Any], **more: Any) -> Answered:
    told: dict[str, Any] = {
        "account": account_of(), "venue": venue_of(answers), "due": KINDS, "cursors": {},
        "first": False, **more,
    }  # fmt: skip
    return asyncio.run(ask(Asked(**told), read))


def test_movements_are_read_after_the_snapshots_that_they_judge() -> None:
    order: list[str] = []

    def noting(kind: Kind) -> Any:
        def answer(_account: Account, _cursor: Cursor) -> Page:
            order.append(kind)
            return page()

        return answer

    asked({kind: noting(kind) for kind in reversed(KINDS)}, due=("balances",))
    assert order == ["balances", "cash", "fills"]


def test_what_was_read_before_the_venue_went_away_stands_without_snapshots() -> None:
    answered = asked({**QUIET, "orders": VenueAway("503")})
    assert answered.judged.events == [fill_found()]
    assert answered.error == "503"
    assert set(answered.cursors) == {"cash", "fills"}


def test_symbols_that_cash_names_outlive_a_run_that_could_not_read_their_fills() -> None:
    told = {**QUIET, "cash": page(wanted={"ETHUSDT": 5}), "fills": VenueAway("503")}
    answered = asked(told, cursors={"fills": {"at": 9, "wanted": {"BTCUSDT": 0}}})
    assert answered.cursors["fills"] == {"at": 9, "wanted": {"BTCUSDT": 0, "ETHUSDT": 5}}
    assert answered.again == {"fills"}
    assert answered.cursors["cash"] == {"at": 1}


def test_fills_that_are_not_due_are_read_where_something_moved() -> None:
    seen: list[Cursor] = []

    def fills(_account: Account, cursor: Cursor) -> Page:
        seen.append(cursor)
        return page(fill_found())

    answered = asked(
        {"orders": page(), "cash": page(wanted={"ETHUSDT": 5}), "fills": fills}, due=("cash",)
    )
    assert seen == [{"wanted": {"ETHUSDT": 5}}]
    assert answered.judged.events == [fill_found()]


def test_an_account_is_begun_by_one_quiet_look_at_everything() -> None:
    answered = asked(QUIET, first=True)
    types = [found.type for found in answered.judged.events]
    assert types == ["position.opened.1", "order.filled.1"]
    types = [found.type for found in answered.judged.snapshots]
    assert types == ["position.observed.1", "balance.observed.1"]
    restless = asked({**QUIET, "fills": page(fill_found(at_ms=NOW_MS + 1))}, first=True)
    assert (restless.judged.events, restless.cursors) == ([], {})
    assert restless.error == RESTLESS
    cut = asked({**QUIET, "orders": VenueAway("503")}, first=True)
    assert (cut.judged.events, cut.cursors, cut.error) == ([], {}, "503")


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_key_ends_the_run(kind: Kind) -> None:
    answered = asked({**QUIET, kind: KeyRefused("-2015 Invalid API-key", "-2015")})
    assert answered.refused == REFUSED.format("-2015 Invalid API-key")
    assert answered.error is None


def test_a_used_up_budget_is_no_failure() -> None:
    answered = asked({**QUIET, "cash": Throttled("weight", 4_000)})
    assert (answered.pause_ms, answered.refused) == (4_000, None)


def test_symbols_that_orders_name_are_read_in_the_same_run() -> None:
    """An order that is gone was filled before: the look at its fills must not wait for a turn."""
    seen: list[Cursor] = []

    def fills(_account: Account, cursor: Cursor) -> Page:
        seen.append(cursor)
        return page(fill_found(trade=len(seen)), cursor={"at": len(seen)}, through_ms=NOW_MS)

    told: dict[Kind, Any] = {**QUIET, "fills": fills, "orders": page(wanted={"BTCUSDT": 7})}
    answered = asked(told, first=True)
    assert seen == [{}, {"at": 1, "wanted": {"BTCUSDT": 7}}]
    assert answered.cursors["fills"] == {"at": 2}
    assert (answered.again, answered.error) == (set(), None)
    trades = [found for found in answered.judged.events if found.type == "order.filled.1"]
    assert trades == [fill_found(trade=1), fill_found(trade=2)]


def test_symbols_that_could_not_be_read_after_all_are_kept_for_the_next_run() -> None:
    looks = iter([page(cursor={"at": 9})])

    def fills(_account: Account, _cursor: Cursor) -> Page:
        found = next(looks, None)
        if found is None:
            raise VenueAway("503")
        return found

    told: dict[Kind, Any] = {"fills": fills, "orders": page(wanted={"ETHUSDT": 0, "BTCUSDT": 7})}
    answered = asked(told, cursors={"fills": {"wanted": {"SOLUSDT": 3}}})
    assert answered.cursors["fills"] == {"at": 9, "wanted": {"ETHUSDT": 0, "BTCUSDT": 7}}
    assert (answered.again, answered.error) == ({"fills"}, "503")


def test_a_later_time_of_a_symbol_is_not_forgotten_for_one_that_is_not_known() -> None:
    told: dict[Kind, Any] = {
        "cash": page(wanted={"ETHUSDT": 9}),
        "orders": page(wanted={"ETHUSDT": 0}),
    }
    answered = asked(told, due=("cash", "orders"))
    assert answered.cursors["fills"] == {"wanted": {"ETHUSDT": 9}}
