"""Bybit: positions, wallets, open orders, and what a key may do."""

from __future__ import annotations

from typing import Any

import pytest

from shared.exchanges.bybit import (
    BYBIT,
    read_balances,
    read_orders,
    read_permissions,
    read_positions,
)
from shared.exchanges.venue import KINDS, Market, Request
from tests.shared.exchanges.readings import (
    NOW,
    account_of,
    checked,
    drive,
    in_turn,
    stored,
)

LINEAR = Market("BTCUSDT", "linear", "BTC", "USDT", "USDT", "1")
INVERSE = Market("BTCUSD", "inverse", "BTC", "USD", "BTC", "1")
SPOT = Market("BTCUSDT", "spot", "BTC", "USDT", "USDT", "1")
AT = NOW - 60_000


def page(*rows: Any, cursor: str = "") -> Any:
    return {"retCode": "0", "result": {"list": list(rows), "nextPageCursor": cursor}}


def one_way(**fields: Any) -> Any:
    return page({"positionIdx": "0", "symbol": "BTCUSDT", "side": "", "size": "0", **fields})


# ---- what is held


def position(**fields: Any) -> dict[str, Any]:
    return {
        "positionIdx": "0", "symbol": "BTCUSDT", "side": "Buy", "size": "0.5",
        "avgPrice": "64000.12", "markPrice": "64500.00", "curRealisedPnl": "-3",
        "updatedTime": str(AT), **fields,
    }  # fmt: skip


def test_positions_are_listed_by_what_they_settle_in_and_inverse_at_once() -> None:
    account = account_of([LINEAR, INVERSE, SPOT])
    _, requests = drive(read_positions(account, {}), lambda _: page())
    asked = [(one.params["category"], one.params.get("settleCoin")) for one in requests]
    assert asked == [("linear", "USDT"), ("linear", "USDC"), ("inverse", None)]


def test_shorts_are_negative_and_sides_follow_the_index() -> None:
    rows = page(
        position(positionIdx="1"), position(positionIdx="2", side="Sell", size="0.25"),
        position(symbol="ETHUSDT", side="", size="0", avgPrice="0"),
    )  # fmt: skip
    account = account_of([LINEAR])
    result, _ = drive(read_positions(account, {}), in_turn(rows, page()))
    bodies = checked(result.events)
    assert [(body["position_side"], body["qty"], body["entry_price"]) for body in bodies] == [
        ("long", "0.5", "64000.12"), ("short", "-0.25", "64000.12"),
    ]  # fmt: skip
    assert {body["watermark_ms"] for body in bodies} == {NOW}
    assert result.through_ms is None


def test_a_position_that_moved_since_the_run_began_is_left_out_of_it() -> None:
    rows = page(position(updatedTime=str(NOW)))
    account = account_of([LINEAR])
    result, _ = drive(read_positions(account, {}), in_turn(rows, page()))
    assert result.events == []
    assert stored(result) == {"held": [["linear", "BTCUSDT", "net"]]}


def test_a_position_that_is_listed_no_more_is_asked_for_before_it_is_flat() -> None:
    account = account_of([LINEAR])
    cursor = {"held": [["linear", "BTCUSDT", "net"]]}
    flat = one_way(updatedTime=str(AT), avgPrice="0", markPrice="64500")
    result, requests = drive(read_positions(account, cursor), in_turn(page(), page(), flat))
    assert requests[-1].params == {"category": "linear", "symbol": "BTCUSDT"}
    bodies = checked(result.events)
    assert [(body["instrument"], body["qty"]) for body in bodies] == [("BTCUSDT", "0")]
    assert "entry_price" not in bodies[0]
    assert stored(result) == {"held": []}


def test_an_answer_that_says_nothing_is_not_flat() -> None:
    account = account_of([LINEAR])
    cursor = {"held": [["linear", "BTCUSDT", "net"]]}
    result, _ = drive(read_positions(account, cursor), in_turn(page(), page(), page()))
    assert result.events == []
    assert stored(result) == cursor


def test_what_the_books_hold_and_no_list_names_is_asked_for() -> None:
    account = account_of([LINEAR, SPOT], held=[("linear", "BTCUSDT"), ("spot", "BTCUSDT")])
    flat = one_way(updatedTime="0", avgPrice="0", markPrice="")
    result, requests = drive(read_positions(account, {}), in_turn(page(), page(), flat))
    assert len(requests) == 3
    assert [body["qty"] for body in checked(result.events)] == ["0"]


def wallet(coin: str, balance: str) -> dict[str, Any]:
    return {"coin": coin, "walletBalance": balance, "equity": "9", "unrealisedPnl": "1"}


def test_wallets_are_without_unrealized_pnl() -> None:
    answer = page(
        {"accountType": "UNIFIED", "coin": [wallet("USDT", "1000.5"), wallet("BTC", "0")]}
    )
    result, _ = drive(read_balances(account_of([LINEAR]), {}), in_turn(answer))
    bodies = checked(result.events)
    assert [(body["asset"], body["wallet"]) for body in bodies] == [
        ("USDT", "1000.5"),
        ("BTC", "0"),
    ]
    assert all("product" not in body for body in bodies)


def test_a_wallet_that_is_listed_no_more_is_asked_for_some_more_times() -> None:
    account = account_of([LINEAR])
    empty = page({"coin": []})
    first = page({"coin": [wallet("USDT", "5")]})
    result, _ = drive(read_balances(account, {}), in_turn(first))
    told = []
    for _ in range(4):
        result, requests = drive(read_balances(account, stored(result)), lambda _: empty)
        told.append([(body["asset"], body["wallet"]) for body in checked(result.events)])
        assert len(requests) == (2 if told[-1] else 1)
    assert told == [[("USDT", "0")], [("USDT", "0")], [("USDT", "0")], []]


# ---- orders


def order(order_id: str = "o1", **fields: Any) -> dict[str, Any]:
    return {
        "orderId": order_id, "orderLinkId": "web-7", "symbol": "BTCUSDT", "price": "60000.0",
        "qty": "0.010", "side": "Buy", "positionIdx": "0", "orderStatus": "New",
        "cancelType": "", "rejectReason": "EC_NoError", "orderType": "Limit", "triggerPrice": "",
        "reduceOnly": False, "createdTime": str(AT), "updatedTime": str(AT + 5), **fields,
    }  # fmt: skip


def orders(cursor: Any, *answers: Any) -> tuple[list[Any], Any, list[Request]]:
    result, requests = drive(read_orders(account_of([SPOT]), cursor), in_turn(*answers))
    checked(result.events)
    return list(result.events), result, requests


def test_an_open_order_is_told_once_and_again_when_it_was_amended() -> None:
    found, result, _ = orders({}, page(order()))
    assert [event.type for event in found] == ["order.placed.1"]
    assert found[0].body["at_ms"] == AT
    assert found[0].body["client_order_id"] == "web-7"
    assert "reason" not in found[0].body

    same, result, _ = orders(stored(result), page(order(orderStatus="PartiallyFilled")))
    assert same == []
    amended, _, _ = orders(stored(result), page(order(price="60100.0")))
    assert [event.body["price"] for event in amended] == ["60100.0"]


@pytest.mark.parametrize(
    ("status", "types"),
    [
        ("Cancelled", ["order.canceled.1"]), ("PartiallyFilledCanceled", ["order.canceled.1"]),
        ("Deactivated", ["order.canceled.1"]), ("Rejected", ["order.rejected.1"]), ("Filled", []),
        ("Triggered", []),
    ],
)  # fmt: skip
def test_the_end_of_an_order_that_vanished_is_asked_for(status: str, types: list[str]) -> None:
    _, result, _ = orders({}, page(order()))
    ended = order(orderStatus=status, cancelType="CancelByUser")
    found, result, requests = orders(stored(result), page(), page(ended))
    assert [event.type for event in found] == types
    assert requests[-1].params["orderId"] == "o1"
    assert bool(stored(result)["open"]) == (status == "Triggered")
    if found:
        assert found[0].body["at_ms"] == AT + 5
        assert found[0].body["reason"] == ("EC_NoError" if status == "Rejected" else "CancelByUser")


def test_an_order_that_the_venue_does_not_know_is_open_no_more() -> None:
    _, result, _ = orders({}, page(order()))
    found, result, requests = orders(stored(result), page(), page(), page())
    assert [event.type for event in found] == ["order.canceled.1"]
    assert "does not know" in found[0].body["reason"]
    assert [one.path for one in requests] == [
        "v5/order/realtime", "v5/order/realtime", "v5/order/history",
    ]  # fmt: skip
    assert stored(result) == {"open": {}}


def test_a_list_that_was_cut_off_lets_no_order_vanish() -> None:
    _, result, _ = orders({}, page(order("gone")))
    full = [page(*[order(f"p{n}-{m}") for m in range(50)], cursor=f"c{n}") for n in range(10)]
    found, result, requests = orders(stored(result), *full)
    assert len(requests) == 10
    assert {event.type for event in found} == {"order.placed.1"}


def test_only_so_many_ends_are_asked_for_at_once() -> None:
    _, result, _ = orders({}, page(*[order(f"o{n:02}") for n in range(30)]))
    found, result, _ = orders(
        stored(result),
        page(),
        *[page(order(f"o{n:02}", orderStatus="Cancelled")) for n in range(20)],
    )
    assert len(found) == 20
    assert result.more
    found, result, _ = orders(
        stored(result),
        page(),
        *[page(order(f"o{n:02}", orderStatus="Cancelled")) for n in range(20, 30)],
    )
    assert len(found) == 10
    assert not result.more


# ---- the row


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {"permissions": {"Wallet": ["AccountTransfer", "Withdraw"], "Spot": ["SpotTrade"]}},
            (True, True),
        ),
        ({"permissions": {"Wallet": ["AccountTransfer"], "Spot": []}}, (False, False)),
        ({"permissions": {"Spot": ["SpotTrade"]}, "readOnly": "1"}, (False, False)),
        ({}, (None, None)),
    ],
)
def test_permissions(result: dict[str, Any], expected: tuple[bool | None, bool | None]) -> None:
    answer = {"result": {"userID": "1448939", **result}}
    permissions, requests = drive(read_permissions(), in_turn(answer))
    assert permissions[:2] == expected
    assert permissions.uid == "1448939"
    assert requests[0].path == "v5/user/query-api"


def test_the_row_reads_every_kind() -> None:
    assert set(BYBIT.readings) == set(KINDS)
    assert BYBIT.ccxt_class == "bybit"
