"""Bybit's answers, by hand, and what the readings make of them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.exchanges.bybit_history import read_fills
from shared.exchanges.errors import Refused, UnknownMarket
from shared.exchanges.venue import Account, Market, Request
from tests.shared.exchanges.readings import (
    DAY,
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


def execution(exec_id: str = "e1", **fields: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": "o1", "orderLinkId": "", "side": "Buy",
        "orderPrice": "64000.0", "orderQty": "0.010", "leavesQty": "0",
        "createType": "CreateByUser",
        "orderType": "Limit", "execFee": "0.352", "execId": exec_id, "execPrice": "64000.00",
        "execQty": "0.010", "execType": "Trade", "execValue": "640", "execTime": str(AT),
        "feeCurrency": "", "isMaker": False, "closedSize": "0", "seq": "4688002127",
        **fields,
    }  # fmt: skip


def one_way(**fields: Any) -> Any:
    return page({"positionIdx": "0", "symbol": "BTCUSDT", "side": "", "size": "0", **fields})


def hedge() -> Any:
    sides = [{"positionIdx": index, "symbol": "BTCUSDT", "size": "0"} for index in ("1", "2")]
    return page(*sides)


def fills(account: Account, *answers: Any, cursor: Any = None) -> tuple[list[Any], Any]:
    result, _ = drive(read_fills(account, cursor or {}), in_turn(*answers))
    return checked(result.events), result


# ---- fills


def test_a_fill_is_told_with_the_venues_own_text() -> None:
    bodies, result = fills(account_of([LINEAR]), page(execution()), one_way())

    assert bodies == [
        {
            "account_id": 42, "venue": "bybit", "product": "linear", "instrument": "BTCUSDT",
            "position_side": "net", "trade_id": "e1", "order_id": "o1", "side": "buy",
            "qty": "0.010", "price": "64000.00", "contract_size": "1", "fee": "0.352",
            "fee_asset": "USDT", "settle_asset": "USDT", "base_asset": "BTC",
            "quote_asset": "USDT", "executed_at_ms": AT, "venue_seq": 4688002127, "revision": 1,
            "source": "sync", "liquidity": "taker", "kind": "normal",
        }
    ]  # fmt: skip
    assert result.through_ms == NOW


def test_executions_are_asked_for_in_windows_of_a_week_at_most() -> None:
    account = account_of([LINEAR, INVERSE], since_ms=NOW - 20 * DAY)
    _, requests = drive(read_fills(account, {}), lambda _: page())

    spans = [int(one.params["endTime"]) - int(one.params["startTime"]) for one in requests]
    assert max(spans) == 7 * DAY
    for category in ("linear", "inverse"):
        asked = [one for one in requests if one.params["category"] == category]
        assert asked[0].params["startTime"] == NOW - 20 * DAY
        assert int(asked[-1].params["endTime"]) > NOW
    assert requests[0][:3] == ("private", "GET", "v5/execution/list")
    assert requests[0].params["limit"] == 100


def test_nothing_older_than_the_venue_keeps_is_asked_for() -> None:
    account = account_of([LINEAR], since_ms=NOW - 2_000 * DAY)
    _, requests = drive(read_fills(account, {}), lambda _: page())
    assert NOW - int(requests[0].params["startTime"]) < 730 * DAY


def test_pages_go_on_until_one_is_empty() -> None:
    """The venue sends a token with the last page, too, and pages that are not full."""
    account = account_of([SPOT])
    bodies, result = fills(
        account,
        page(execution("e2"), cursor="a%3A1"),
        page(execution("e1"), cursor="a%3A2"),
        page(),
    )
    assert [body["trade_id"] for body in bodies] == ["e1", "e2"]
    assert not result.more


def test_a_cut_window_goes_on_at_the_venues_token() -> None:
    account = account_of([SPOT])
    cut, first = drive(
        read_fills(account, {}),
        lambda request: page(execution(str(len(request.params))), cursor=_next(request)),
    )
    assert cut.more
    assert len(first) == 10
    _, second = drive(read_fills(account, stored(cut)), in_turn(page()))
    assert second[0].params["cursor"] == "t10"
    assert second[0].params["startTime"] == first[0].params["startTime"]
    assert second[0].params["endTime"] == first[0].params["endTime"]


def _next(request: Request) -> str:
    return f"t{int(str(request.params.get('cursor', 't0'))[1:]) + 1}"


def test_funding_and_rows_without_quantity_are_no_fills() -> None:
    account = account_of([LINEAR])
    bodies, _ = fills(
        account,
        page(execution(execType="Funding"), execution("e2", execType="SessionSettlePnL"),
             execution("e3", execQty="0")),
    )  # fmt: skip
    assert bodies == []


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"execType": "AdlTrade"}, "adl"),
        ({"execType": "BustTrade"}, "liquidation"),
        ({"execType": "Settle"}, "settlement"),
        ({"execType": "Delivery"}, "settlement"),
        ({"createType": "CreateByLiq"}, "liquidation"),
        ({"createType": "CreateByTakeOver_PassThrough"}, "liquidation"),
        ({"createType": "CreateByAdl_PassThrough"}, "adl"),
        ({"execType": "BlockTrade", "createType": None}, "normal"),
        ({"execType": "SomethingNew"}, "normal"),
    ],
)
def test_kinds_come_from_the_venues_marks(fields: dict[str, Any], kind: str) -> None:
    bodies, _ = fills(account_of([LINEAR]), page(execution(**fields)), one_way())
    assert [body["kind"] for body in bodies] == [kind]


@pytest.mark.parametrize(
    ("side", "closed", "expected"),
    [
        ("Buy", "0", "long"), ("Buy", "0.010", "short"),
        ("Sell", "0.000", "short"), ("Sell", "0.010", "long"), ("Sell", "", "short"),
    ],
)  # fmt: skip
def test_in_hedge_mode_the_side_follows_from_what_was_closed(
    side: str, closed: str, expected: str
) -> None:
    row = execution(side=side, closedSize=closed)
    bodies, _ = fills(account_of([LINEAR]), page(row), hedge())
    assert bodies[0]["position_side"] == expected


def test_the_mode_is_asked_once_a_symbol_and_only_where_there_are_fills() -> None:
    account = account_of([LINEAR])
    result, requests = drive(
        read_fills(account, {}),
        in_turn(page(execution("e3", symbol="ETHUSDT"), execution("e2"), execution("e1")),
                hedge(), one_way()),
    )  # fmt: skip
    assert [one.params.get("symbol") for one in requests] == [None, "BTCUSDT", "ETHUSDT"]
    assert {body["instrument"]: body["position_side"] for body in checked(result.events)} == {
        "BTCUSDT": "long", "ETHUSDT": "net",
    }  # fmt: skip
    _, later = drive(read_fills(account, stored(result)), in_turn(page(execution("e1"))))
    assert len(later) == 1


def test_a_symbol_that_trades_no_more_does_not_stop_the_others() -> None:
    account = account_of([LINEAR])
    bodies, _ = fills(
        account, page(execution(symbol="LUNAUSDT")), Refused("symbol invalid", "10001")
    )
    assert bodies[0]["settle_asset"] == "USDT"
    assert bodies[0]["base_asset"] == "LUNA"
    assert bodies[0]["position_side"] == "net"


def test_an_instrument_that_nothing_tells_is_asked_for() -> None:
    account = account_of([LINEAR])
    with pytest.raises(UnknownMarket) as raised:
        fills(account, page(execution(symbol="WHAT")), one_way())
    assert raised.value.wanted == ("linear", "WHAT")


def test_a_row_that_names_its_position_is_believed() -> None:
    bodies, _ = fills(account_of([LINEAR]), page(execution(positionIdx="2")))
    assert bodies[0]["position_side"] == "short"


def test_fees_keep_their_sign_and_a_fee_that_is_not_known_is_left_out() -> None:
    rows = [
        execution("e1", execFee="-0.064", isMaker=True),
        execution("e2", execFee=""),
        execution("e3", execFee="1E-8"),
        execution("e4", execFee="0"),
    ]
    bodies, _ = fills(account_of([LINEAR]), page(*rows), one_way())
    fees = {body["trade_id"]: body.get("fee") for body in bodies}
    assert fees == {"e1": "-0.064", "e2": None, "e3": "0.00000001", "e4": "0"}
    assert "fee_asset" not in next(body for body in bodies if body["trade_id"] == "e2")


def test_a_fee_that_comes_later_is_a_second_revision_of_the_fill() -> None:
    account = account_of([LINEAR])
    result, _ = drive(read_fills(account, {}), in_turn(page(execution(execFee="")), one_way()))
    bodies, _ = fills(
        account._replace(now_ms=NOW + 60_000), page(execution()), one_way(), cursor=stored(result)
    )
    assert [(body["revision"], body["fee"]) for body in bodies] == [(2, "0.352")]


@pytest.mark.parametrize(
    ("side", "fee", "asset"),
    [
        ("Buy", "0.00001", "BTC"),
        ("Sell", "0.64", "USDT"),
        ("Buy", "-0.1", "USDT"),
        ("Sell", "-0.1", "BTC"),
    ],
)
def test_of_spot_the_fee_is_in_what_is_received(side: str, fee: str, asset: str) -> None:
    bodies, _ = fills(account_of([SPOT]), page(execution(side=side, execFee=fee)))
    assert bodies[0]["fee_asset"] == asset
    named, _ = fills(account_of([SPOT]), page(execution(side=side, execFee=fee, feeCurrency="MNT")))
    assert named[0]["fee_asset"] == "MNT"


def test_a_self_trade_keeps_both_legs() -> None:
    both = page(execution("e1", side="Buy"), execution("e1", side="Sell"))
    bodies, _ = fills(account_of([LINEAR]), both, one_way())
    assert [(body["trade_id"], body["side"]) for body in bodies] == [("e1", "sell"), ("e1", "buy")]


def test_one_id_on_two_symbols_is_two_fills() -> None:
    both = page(execution("e1"), execution("e1", symbol="ETHUSDT"))
    bodies, _ = fills(account_of([SPOT]), both)
    assert len(bodies) == 2


def test_pnl_is_taken_only_where_it_is_of_the_price_alone() -> None:
    rows = page(execution("e1", execPnl="-12.5"), execution("e2", closedPnl="9", closedSize="1"))
    bodies, _ = fills(account_of([LINEAR]), rows, one_way())
    assert [body.get("realized_pnl") for body in bodies] == [None, "-12.5"]
