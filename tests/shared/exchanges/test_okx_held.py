"""OKX: positions, wallets, open orders, and what a key may do."""

from __future__ import annotations

from typing import Any

import pytest

from shared.exchanges.errors import Refused
from shared.exchanges.okx import OKX, read_balances, read_orders, read_permissions, read_positions
from shared.exchanges.venue import KINDS, Market, Request
from tests.shared.exchanges.readings import (
    NOW,
    account_of,
    checked,
    drive,
    in_turn,
    stored,
)

LINEAR = Market("BTC-USDT-SWAP", "linear", "BTC", "USDT", "USDT", "0.01")
INVERSE = Market("BTC-USD-SWAP", "inverse", "BTC", "USD", "BTC", "100")
DATED = Market("BTC-USDT-261225", "linear", "BTC", "USDT", "USDT", "0.01")
SPOT = Market("BTC-USDT", "spot", "BTC", "USDT", "USDT", "1")
AT = NOW - 60_000


def data(*rows: Any) -> Any:
    return {"code": "0", "msg": "", "data": list(rows)}


# ---- what is held


def position(**fields: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "posSide": "net", "pos": "-3",
        "posId": "1", "avgPx": "64000.123", "markPx": "64500", "mgnMode": "cross",
        "realizedPnl": "-9",
        "uTime": str(AT), **fields,
    }  # fmt: skip


def held(cursor: Any, *answers: Any, **fields: Any) -> tuple[list[Any], Any, list[Request]]:
    account = account_of([LINEAR, SPOT], **fields)
    result, requests = drive(read_positions(account, cursor), in_turn(*answers))
    return checked(result.events), result, requests


def test_net_positions_have_their_sign_and_shorts_of_hedged_accounts_get_one() -> None:
    sides = [position(posSide="long", pos="2"), position(posSide="short", pos="5")]
    bodies, result, requests = held({}, data(position(), *sides))
    assert [(body["position_side"], body["qty"]) for body in bodies] == [
        ("net", "-3"), ("long", "2"), ("short", "-5"),
    ]  # fmt: skip
    assert {body["contract_size"] for body in bodies} == {"0.01"}
    assert {body["entry_price"] for body in bodies} == {"64000.123"}
    assert len(requests) == 1
    assert len(stored(result)["held"]) == 3


def test_margin_and_option_positions_are_left_out() -> None:
    bodies, _, _ = held({}, data(position(instType="MARGIN"), position(instType="OPTION")))
    assert bodies == []


def test_cross_and_isolated_of_one_side_are_one_position_without_a_price() -> None:
    isolated = position(pos="2.5", mgnMode="isolated", posId="2", uTime=str(AT + 5))
    bodies, _, _ = held({}, data(position(pos="1"), isolated, isolated))
    assert [body["qty"] for body in bodies] == ["3.5"]
    assert "entry_price" not in bodies[0]


def test_a_position_that_moved_since_the_run_began_is_left_out_of_it() -> None:
    bodies, result, _ = held({}, data(position(uTime=str(NOW))))
    assert bodies == []
    assert stored(result)["held"] == [["linear", "BTC-USDT-SWAP", "net"]]


@pytest.mark.parametrize("again", [data(), data(position(pos="0", avgPx="", uTime=str(AT)))])
def test_a_position_that_is_listed_no_more_is_asked_for_before_it_is_flat(again: Any) -> None:
    cursor = {"held": [["linear", "BTC-USDT-SWAP", "net"]]}
    bodies, result, requests = held(cursor, data(), again)
    assert requests[-1].params == {"instId": "BTC-USDT-SWAP"}
    assert [(body["position_side"], body["qty"]) for body in bodies] == [("net", "0")]
    assert stored(result) == {"held": []}


def test_a_position_that_the_second_answer_has_is_held() -> None:
    cursor = {"held": [["linear", "BTC-USDT-SWAP", "net"]]}
    bodies, result, _ = held(cursor, data(), data(position()))
    assert [body["qty"] for body in bodies] == ["-3"]
    assert stored(result) == cursor


def test_what_only_the_books_hold_is_flat_on_every_side() -> None:
    bodies, _, requests = held(
        {}, data(), data(), held=[("linear", "BTC-USDT-SWAP"), ("spot", "BTC-USDT")]
    )
    assert len(requests) == 2
    assert [(body["position_side"], body["qty"]) for body in bodies] == [
        ("net", "0"), ("long", "0"), ("short", "0"),
    ]  # fmt: skip


def test_wallets_are_cash_balances() -> None:
    row = {"ccy": "USDT", "cashBal": "94.42612990333333", "eq": "99.8", "uTime": str(AT)}
    moved = {"ccy": "BTC", "cashBal": "1", "eq": "1", "uTime": str(NOW)}
    answer = data({"totalEq": "1", "details": [row, moved]})
    result, requests = drive(read_balances(account_of([LINEAR]), {}), in_turn(answer))
    bodies = checked(result.events)
    assert [(body["asset"], body["wallet"]) for body in bodies] == [("USDT", "94.42612990333333")]
    assert requests[0].params == {}


def test_a_wallet_that_is_listed_no_more_is_asked_for_by_its_name() -> None:
    cursor = {"assets": {"BTC": 3, "USDT": 3}}
    usdt = {"ccy": "USDT", "cashBal": "1", "uTime": str(AT)}
    result, requests = drive(
        read_balances(account_of([LINEAR]), cursor),
        in_turn(data({"details": [usdt]}), data({"details": []})),
    )
    assert requests[-1].params == {"ccy": "BTC"}
    assert {body["asset"]: body["wallet"] for body in checked(result.events)} == {
        "USDT": "1", "BTC": "0",
    }  # fmt: skip
    assert stored(result) == {"assets": {"BTC": 2, "USDT": 3}}


# ---- orders


def order(order_id: str = "7", **fields: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ordId": order_id, "clOrdId": "web7",
        "px": "60000", "sz": "3", "side": "buy", "ordType": "limit", "state": "live",
        "reduceOnly": "false", "cTime": str(AT), "uTime": str(AT + 5), "tgtCcy": "",
        "cancelSourceReason": "", **fields,
    }  # fmt: skip


def orders(cursor: Any, *answers: Any) -> tuple[list[Any], Any, list[Request]]:
    account = account_of([LINEAR, SPOT])
    result, requests = drive(read_orders(account, cursor), in_turn(*answers))
    checked(result.events)
    return list(result.events), result, requests


def test_open_orders_are_told_once() -> None:
    spot = order("8", instType="SPOT", instId="BTC-USDT", tgtCcy="quote_ccy", px="")
    found, result, _ = orders({}, data(order(), spot, order("9", instType="MARGIN")))
    assert [(event.type, event.body["order_id"]) for event in found] == [
        ("order.placed.1", "7"), ("order.placed.1", "8"),
    ]  # fmt: skip
    assert found[0].body["reduce_only"] is False
    assert "qty" not in found[1].body
    same, _, _ = orders(stored(result), data(order(state="partially_filled"), spot))
    assert same == []


@pytest.mark.parametrize(
    ("state", "types"),
    [("canceled", ["order.canceled.1"]), ("mmp_canceled", ["order.canceled.1"]), ("filled", [])],
)
def test_the_end_of_an_order_that_vanished_is_asked_for(state: str, types: list[str]) -> None:
    _, result, _ = orders({}, data(order()))
    ended = order(state=state, cancelSourceReason="by the user")
    found, result, requests = orders(stored(result), data(), data(ended))
    assert [event.type for event in found] == types
    assert requests[-1][2:4] == ("trade/order", {"instId": "BTC-USDT-SWAP", "ordId": "7"})
    assert stored(result) == {"open": {}}


def test_an_order_that_the_venue_forgot_is_open_no_more() -> None:
    _, result, _ = orders({}, data(order()))
    gone = Refused("Order does not exist", "51603", missing=True)
    found, _, _ = orders(stored(result), data(), gone)
    assert [event.type for event in found] == ["order.canceled.1"]
    with pytest.raises(Refused):
        orders(stored(result), data(), Refused("something else", "50000"))


def test_open_orders_are_paged_behind_the_last_id() -> None:
    full = [order(str(1_000 - n)) for n in range(100)]
    found, _, requests = orders({}, data(*full), data(order("5")))
    assert len(found) == 101
    assert requests[1].params["after"] == "901"


# ---- the row


@pytest.mark.parametrize(
    ("perm", "expected"),
    [
        ("read_only,withdraw,trade", (True, True)), ("read_only,trade", (False, True)),
        ("read_only", (False, False)), ("", (None, None)),
    ],
)  # fmt: skip
def test_permissions(perm: str, expected: tuple[bool | None, bool | None]) -> None:
    permissions, requests = drive(read_permissions(), in_turn(data({"perm": perm, "uid": "10"})))
    assert permissions == (*expected, "10")
    assert requests[0].path == "account/config"


def test_the_row_reads_every_kind() -> None:
    assert set(OKX.readings) == set(KINDS)
    assert OKX.ccxt_class == "okx"
