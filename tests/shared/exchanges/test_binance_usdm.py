"""Binance USDⓈ-M: the ledger of cash, and what is held."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.errors import LimitReached
from shared.exchanges.binance_usdm import (
    FORCED_MS,
    INCOME_MS,
    INCOME_TYPES,
    read_balances,
    read_cash,
    read_permissions,
    read_positions,
)
from shared.exchanges.errors import Refused
from shared.exchanges.venue import Cursor, Found, Page, Request
from tests.binance_answers import MINUTE_MS, START_MS, Venue, account, drive, income, trade

DAY_MS = 86_400_000
NOW = START_MS + MINUTE_MS


def read(
    venue: Venue, cursor: Cursor, limit: int = 1_000, pages: int = 10, since_ms: int = START_MS
) -> tuple[list[Found], Cursor, dict[str, int]]:
    """Reads until nothing is left: what was told, the cursor as it is kept, the wanted symbols."""
    found: list[Found] = []
    wanted: dict[str, int] = {}
    for _ in range(2_000):
        asking = account(venue.now_ms, since_ms, held=HELD)
        reading = read_cash(asking, cursor, limit=limit, pages=pages)
        page = drive(reading, venue.answer)
        found += page.events
        wanted |= page.wanted
        assert page.through_ms is not None
        assert page.through_ms >= cursor.get("through_ms", 0)
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            assert page.through_ms == venue.now_ms
            return found, cursor, wanted
    raise AssertionError("it does not come to an end")


def identities(found: list[Found]) -> Counter[tuple[str, ...]]:
    return Counter(
        (one.body["venue_type"], one.body["ref"], one.body["asset"], one.body["instrument"])
        for one in found
    )


def of_rows(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    return Counter((row["incomeType"], row["tranId"], row["asset"], row["symbol"]) for row in rows)


# -- every row exactly once ------------------------------------------------------------------------

KINDS = st.sampled_from(["COMMISSION", "REALIZED_PNL", "FUNDING_FEE", "TRANSFER"])
HELD = tuple(("linear", symbol) for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT"))
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 700, 30_000, 2 * DAY_MS, 8 * DAY_MS]),
        st.sampled_from([0, 0, 0, 1, 5_000, 8 * MINUTE_MS]),
        KINDS,
        st.sampled_from(["BTCUSDT", "ETHUSDT", "XRPUSDT"]),
    ),
    max_size=24,
)


@given(ROWS, st.integers(9, 14), st.integers(1, 4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_every_row_is_told_exactly_once(
    made: list[tuple[int, int, str, str]], limit: int, pages: int, oldest_first: bool  # noqa: FBT001
) -> None:
    rows, at_ms = [], START_MS
    for number, (gap, late, kind, symbol) in enumerate(made):
        at_ms += gap
        rows.append(income(number, at_ms, kind, symbol=symbol, shown_ms=at_ms + late))
    alike = Counter((row["time"], row["incomeType"], row["symbol"]) for row in rows)
    assume(max(alike.values(), default=0) < limit)  # what cannot be told apart is loud, see below
    venue = Venue(rows, oldest_first=oldest_first)
    cursor: Cursor = {}
    found: list[Found] = []
    for now_ms in sorted({row["shown_ms"] for row in rows} | {at_ms + 9 * MINUTE_MS}):
        venue.now_ms = now_ms
        told, cursor, _ = read(venue, cursor, limit, pages)
        found += told
        assert identities(found) == of_rows(venue.shown())


def test_a_tran_id_is_unique_in_its_type_only() -> None:
    rows = [income(1, START_MS), income(1, START_MS, "REALIZED_PNL")]
    found, _, _ = read(Venue(rows, now_ms=NOW), {})
    assert identities(found) == of_rows(rows)


def test_a_millisecond_with_more_than_a_page_is_read_by_type_and_symbol() -> None:
    rows = [
        income(number, START_MS, kind, symbol=symbol)
        for kind, count in (("COMMISSION", 12), ("REALIZED_PNL", 6), ("FUNDING_FEE", 3))
        for symbol in ("BTCUSDT", "ETHUSDT")
        for number in range(hash_of(kind, symbol), hash_of(kind, symbol) + count)
    ]
    found, _, _ = read(Venue(rows, now_ms=NOW), {}, limit=20)
    assert identities(found) == of_rows(rows)


def hash_of(kind: str, symbol: str) -> int:
    """Where the numbers of a kind and a symbol begin."""
    return 1_000 * (INCOME_TYPES.index(kind) * 2 + (symbol == "ETHUSDT"))


def test_a_millisecond_that_cannot_be_told_apart_is_loud() -> None:
    rows = [income(number, START_MS) for number in range(20)]
    with pytest.raises(LimitReached, match=str(START_MS)):
        read(Venue(rows, now_ms=NOW), {}, limit=10)


def test_rows_that_came_after_the_run_began_are_told_too() -> None:
    """They say which snapshots of this run are none."""
    rows = [income(1, NOW + 40, shown_ms=NOW)]
    found, cursor, _ = read(Venue(rows, now_ms=NOW), {})
    assert identities(found) == of_rows(rows)
    assert read(Venue(rows, now_ms=NOW + 60), cursor)[0] == []


def test_the_venue_s_horizon_bounds_the_first_reading() -> None:
    venue = Venue(now_ms=START_MS)
    read(venue, {}, since_ms=START_MS - 3_000 * DAY_MS)
    first = min(int(request.params["startTime"]) for request in venue.asked)
    assert first == START_MS - INCOME_MS
    assert len(venue.asked) <= 15


def test_a_quiet_account_costs_one_request() -> None:
    venue = Venue([income(1, START_MS)], now_ms=NOW)
    _, cursor, _ = read(venue, {})
    venue.asked = []
    venue.now_ms += MINUTE_MS
    read(venue, cursor)
    assert [request.weight for request in venue.asked] == [30]


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue_type", "amount", "kind"),
    [
        ("REALIZED_PNL", "-1", "realized"),
        ("COMMISSION", "-1", "commission"),
        ("FUNDING_FEE", "1", "funding"),
        ("TRANSFER", "1", "transfer_in"),
        ("TRANSFER", "-1", "transfer_out"),
        ("INTERNAL_TRANSFER", "-1", "transfer_out"),
        ("INSURANCE_CLEAR", "-1", "liquidation_fee"),
        ("INSURANCE_CLEAR", "1", "insurance"),
        ("WELCOME_BONUS", "1", "bonus"),
        ("API_REBATE", "1", "rebate"),
        ("AUTO_EXCHANGE", "-1", "conversion"),
        ("BFUSD_REWARD", "1", "interest"),
        ("SOMETHING_NEW", "1", "other"),
    ],
)
def test_every_type_has_its_kind_and_keeps_its_name(
    venue_type: str, amount: str, kind: str
) -> None:
    row = income(1, START_MS, venue_type, income=f"{amount}.00000000", symbol="", asset="BNFCR")
    venue = Venue([row], now_ms=NOW)
    (found,), _, _ = read(venue, {})
    assert found.body == {
        "account_id": 7, "venue": "binance", "product": "linear", "asset": "BNFCR",
        "amount": f"{amount}.00000000", "kind": kind, "venue_type": venue_type,
        "ref": row["tranId"], "instrument": "", "at_ms": START_MS,
    }  # fmt: skip


def test_what_trading_moved_names_the_symbols_to_read() -> None:
    rows = [
        income(1, START_MS),
        income(2, START_MS + 5, "REALIZED_PNL"),
        income(3, START_MS + 9, "FUNDING_FEE", symbol="ETHUSDT"),
        income(4, START_MS + 9, "TRANSFER", symbol=""),
    ]
    assert read(Venue(rows, now_ms=NOW), {})[2] == {"BTCUSDT": START_MS + 5}


class Liquidated(Venue):
    """Also answers forceOrders."""

    def answer(self, request: Request) -> list[dict[str, Any]]:
        if request.path == "forceOrders":
            self.asked.append(request)
            return [
                {"symbol": "BTCUSDT", "orderId": "9005", "updateTime": str(START_MS),
                 "clientOrderId": "autoclose-1", "autoCloseType": "LIQUIDATION"},
                {"symbol": "BTCUSDT", "orderId": "9006", "updateTime": str(START_MS),
                 "clientOrderId": "adl_autoclose", "autoCloseType": "ADL"},
                {"symbol": "GONEUSDT", "orderId": "9007", "updateTime": str(START_MS),
                 "clientOrderId": "autoclose-2", "autoCloseType": "LIQUIDATION"},
            ]  # fmt: skip
        if request.path == "userTrades":
            self.asked.append(request)
            number = int(request.params["orderId"]) - 9_000
            return [trade(number, START_MS)]
        return super().answer(request)


def test_fills_of_liquidations_and_adl_are_told_with_their_kind() -> None:
    rows = [income(1, START_MS, "INSURANCE_CLEAR"), income(2, START_MS)]
    venue = Liquidated(rows, now_ms=NOW)
    found, cursor, _ = read(venue, {})
    kinds = {
        one.body["trade_id"]: one.body["kind"] for one in found if one.type == "order.filled.1"
    }
    assert kinds == {"5": "liquidation", "6": "adl"}
    assert read(venue, cursor)[0] == []


def test_forced_orders_are_asked_for_seldom_and_only_where_something_traded() -> None:
    venue = Liquidated([income(1, START_MS)], now_ms=NOW)
    _, cursor, _ = read(venue, {})
    assert not [request for request in venue.asked if request.path == "forceOrders"]
    venue.now_ms += FORCED_MS
    _, cursor, _ = read(venue, cursor)
    assert not [request for request in venue.asked if request.path == "forceOrders"]
    venue.rows.append(income(2, venue.now_ms))
    _, cursor, _ = read(venue, cursor)
    assert len([request for request in venue.asked if request.path == "forceOrders"]) == 1


# -- what is held ----------------------------------------------------------------------------------


def risk(symbol: str, amount: str, side: str = "BOTH", **more: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "positionSide": side, "positionAmt": amount, "markPrice": "101.5",
        "entryPrice": "100.0" if amount.strip("-0.") else "0.0", "marginAsset": "USDT",
        "updateTime": str(START_MS),
    } | more  # fmt: skip


def held(
    listed: list[dict[str, Any]], cursor: Cursor, by_symbol: Any = None, **more: Any
) -> tuple[Page, list[str]]:
    """The page, and the symbols that were asked for by name."""
    asked: list[str] = []

    def answer(request: Request) -> Any:
        if "symbol" not in request.params:
            assert request.section == "fapiPrivateV3"
            return listed
        asked.append(str(request.params["symbol"]))
        assert request.section == "fapiPrivateV2"
        return by_symbol

    return drive(read_positions(account(NOW, **more), cursor), answer), asked


def reports(page: Page) -> list[tuple[str, ...]]:
    return sorted(
        (one.body["instrument"], one.body["position_side"], one.body["qty"])
        for one in page.events
    )


def test_a_position_that_vanished_is_flat_only_if_the_venue_says_so() -> None:
    page, asked = held([risk("BTCUSDT", "-3.0")], {})
    assert (reports(page), asked) == ([("BTCUSDT", "net", "-3.0")], [])
    gone, asked = held([], page.cursor, by_symbol=[])
    assert (reports(gone), asked) == ([], ["BTCUSDT"])
    flat, asked = held([], gone.cursor, by_symbol=[risk("BTCUSDT", "0.000")])
    assert (reports(flat), asked) == ([("BTCUSDT", "net", "0.000")], ["BTCUSDT"])
    assert held([], flat.cursor, by_symbol=[])[1] == []


def test_a_position_that_is_still_there_when_asked_for_is_reported() -> None:
    page, _ = held([risk("BTCUSDT", "3")], {})
    page, _ = held([], page.cursor, by_symbol=[risk("BTCUSDT", "3")])
    assert reports(page) == [("BTCUSDT", "net", "3")]


def test_one_leg_of_a_hedge_that_vanished_is_asked_for() -> None:
    both = [risk("BTCUSDT", "3", "LONG"), risk("BTCUSDT", "-2", "SHORT")]
    page, _ = held(both, {})
    assert reports(page) == [("BTCUSDT", "long", "3"), ("BTCUSDT", "short", "-2")]
    by_symbol = [both[0], risk("BTCUSDT", "0", "SHORT"), risk("BTCUSDT", "0")]
    page, asked = held(both[:1], page.cursor, by_symbol=by_symbol)
    assert asked == ["BTCUSDT"]
    assert reports(page) == [("BTCUSDT", "long", "3"), ("BTCUSDT", "short", "0")]


def test_after_a_change_of_mode_the_sides_of_the_other_are_flat() -> None:
    page, _ = held([risk("BTCUSDT", "3", "LONG")], {})
    page, _ = held([], page.cursor, by_symbol=[risk("BTCUSDT", "0")])
    assert reports(page) == [("BTCUSDT", "long", "0"), ("BTCUSDT", "net", "0")]


def test_what_moved_since_the_run_began_is_left_to_the_next() -> None:
    page, _ = held([risk("BTCUSDT", "3", updateTime=str(NOW)), risk("ETHUSDT", "1")], {})
    assert reports(page) == [("ETHUSDT", "net", "1")]
    _, asked = held([], page.cursor, by_symbol=[])
    assert asked == ["BTCUSDT", "ETHUSDT"]


def test_a_symbol_that_trades_no_more_holds_nothing() -> None:
    page, _ = held([risk("BTCUSDT", "3")], {})
    gone = Refused("Invalid symbol.", "-1121", missing=True)
    assert reports(held([], page.cursor, by_symbol=gone)[0]) == [("BTCUSDT", "net", "0")]
    with pytest.raises(Refused):
        held([], page.cursor, by_symbol=Refused("no", "-1"))


def test_a_position_that_moved_wants_its_fills() -> None:
    """A trade that opens and costs nothing leaves no row in the ledger."""
    page, _ = held([risk("BTCUSDT", "3")], {})
    assert page.wanted == {"BTCUSDT": START_MS}
    page, _ = held([risk("BTCUSDT", "3")], page.cursor)
    assert page.wanted == {}
    page, _ = held([risk("BTCUSDT", "4", updateTime=str(START_MS + 9))], page.cursor)
    assert page.wanted == {"BTCUSDT": START_MS + 9}


def balance(asset: str, amount: str, **more: Any) -> dict[str, Any]:
    return {"asset": asset, "balance": amount, "crossUnPnl": "5", "accountAlias": "SgsR",
            "updateTime": "0", **more}  # fmt: skip


def test_wallets_are_without_unrealized_profit_and_those_never_used_are_left_out() -> None:
    rows = [balance("USDT", "12.50000000"), balance("BNB", "0.00000000")]
    page = drive(read_balances(account(NOW), {}), lambda _: rows)
    assert [one.body for one in page.events] == [
        {"account_id": 7, "venue": "binance", "product": "linear", "asset": "USDT",
         "wallet": "12.50000000", "watermark_ms": NOW},
    ]  # fmt: skip
    emptied = [balance("USDT", "0.00000000"), balance("BNB", "1", updateTime=str(NOW))]
    page = drive(read_balances(account(NOW), page.cursor), lambda _: emptied)
    assert [(one.body["asset"], one.body["wallet"]) for one in page.events] == [
        ("USDT", "0.00000000")
    ]


def test_a_key_says_what_it_may_do() -> None:
    answers = {
        "account/apiRestrictions": {"enableWithdrawals": True, "enableFutures": False},
        "balance": [balance("USDT", "1")],
    }
    may = drive(read_permissions(), lambda request: answers[request.path])
    assert may == (True, False, "SgsR")
