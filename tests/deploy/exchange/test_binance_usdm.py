"""Binance USDⓈ-M as an unmodified `ccxt.binanceusdm` meets it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from deploy.exchange.server import Running

Client = Callable[..., Any]
T0 = 1_790_000_000_000
WEEK = 7 * 86_400_000
BTC: dict[str, Any] = {"product": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
def usdm(client: Client) -> Any:
    return client(ccxt.binanceusdm)


@pytest.fixture
def now(running: Running) -> int:
    return running.do(lambda desk: desk.exchange.now_ms("binance"))


@pytest.fixture
def trade(running: Running, trader: dict[str, Any]) -> Callable[..., list[int]]:
    def made(side: str, qty: str, price: str, **rest: Any) -> list[int]:
        values = {**trader, **BTC, **rest}
        return running.do(lambda desk: desk.trade(side=side, qty=qty, price=price, **values))

    return made


def test_markets(usdm: Any) -> None:
    market = usdm.load_markets()["BTC/USDT:USDT"]
    assert market["id"] == "BTCUSDT"
    assert (market["linear"], market["contractSize"]) == (True, "1")
    assert market["precision"]["price"] == "0.10"


def test_a_balance_is_the_wallet_and_says_so_in_eight_places(
    usdm: Any, trade: Callable[..., Any]
) -> None:
    trade("buy", "1", "29000", fee="11.6")
    [row] = [row for row in usdm.fetch_balance()["info"]["assets"] if row["asset"] == "USDT"]
    assert row["walletBalance"] == "9988.40000000"
    assert row["unrealizedProfit"] == "1000.00000000"
    assert row["marginBalance"] == "10988.40000000"
    assert usdm.fapiPrivateV3GetBalance()[0]["balance"] == "9988.40000000"


def test_a_snapshot_follows_the_mark_and_every_booking(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any]
) -> None:
    """Answers are kept prepared; nothing old may be among them."""

    def seen() -> tuple[str, str]:
        account = usdm.fapiPrivateV3GetAccount()
        [row] = usdm.fapiPrivateV3GetPositionRisk()
        return account["totalMarginBalance"], row["unRealizedProfit"]

    trade("buy", "1", "30000", fee="0")
    assert seen() == ("10000.00000000", "0.00000000")
    running.do(lambda desk: desk.mark("binance", "linear", "BTCUSDT", "30001"))
    assert seen() == ("10001.00000000", "1.00000000")
    running.do(lambda desk: desk.move(**trader, kind="bonus", asset="USDT", amount="5"))
    assert seen() == ("10006.00000000", "1.00000000")


def test_positions_have_signed_amounts_and_an_entry(usdm: Any, trade: Callable[..., Any]) -> None:
    trade("sell", "0.300", "30000")
    trade("sell", "0.100", "30100")
    [position] = usdm.fetch_positions()
    assert position["info"]["positionAmt"] == "-0.400"
    assert position["info"]["entryPrice"] == "30025"
    assert (position["side"], position["contracts"]) == ("short", "0.4")
    assert position["info"]["unRealizedProfit"] == "10.00000000"


def test_a_flat_position_is_missing_and_not_zero(usdm: Any, trade: Callable[..., Any]) -> None:
    trade("buy", "1", "30000")
    trade("sell", "1", "30000")
    assert usdm.fapiPrivateV3GetPositionRisk() == []
    rows = usdm.fapiPrivateV2GetPositionRisk({"symbol": "BTCUSDT"})
    assert [row["positionAmt"] for row in rows] == ["0.000"]


def test_both_legs_of_a_hedge(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any]
) -> None:
    running.do(lambda desk: desk.change_account(**trader, hedge=True))
    trade("buy", "1", "30000", position_side="long")
    trade("sell", "2", "30000", position_side="short")
    rows = usdm.fapiPrivateV3GetPositionRisk()
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [
        ("LONG", "1.000"),
        ("SHORT", "-2.000"),
    ]
    assert usdm.fapiPrivateGetPositionSideDual() == {"dualSidePosition": True}
    trade("sell", "1", "30000", position_side="long")
    amounts = [row["positionAmt"] for row in usdm.fapiPrivateV3GetPositionRisk()]
    assert amounts == ["0.000", "-2.000"]


def test_a_symbol_with_an_open_order_is_a_row_of_zero(
    running: Running, usdm: Any, trader: dict[str, Any]
) -> None:
    assert usdm.fapiPrivateV3GetPositionRisk() == []
    order = running.do(lambda desk: desk.place(**trader, **BTC, side="buy", qty="1", price="20000"))
    [row] = usdm.fapiPrivateV3GetPositionRisk()
    assert (row["positionAmt"], row["entryPrice"], row["updateTime"]) == ("0.000", "0.0", 0)
    running.do(lambda desk: desk.cancel(**trader, order_id=order))
    assert usdm.fapiPrivateV3GetPositionRisk() == []


def test_a_trade_has_its_strings_as_the_venue_writes_them(
    usdm: Any, trade: Callable[..., Any]
) -> None:
    trade("buy", "0.100", "30000.1")
    trade("sell", "0.050", "30000.3", maker=True)
    first, second = usdm.fetch_my_trades("BTC/USDT:USDT")
    assert first["info"]["realizedPnl"] == "0"
    assert second["info"]["realizedPnl"] == "0.01000000"
    assert second["info"]["quoteQty"] == "1500.01500"
    assert second["info"]["commission"] == "0.30000300"
    assert (second["side"], second["takerOrMaker"]) == ("sell", "maker")
    assert second["price"] == "30000.30"


def test_trades_go_on_from_an_id(usdm: Any, trade: Callable[..., Any]) -> None:
    ids = trade("buy", "0.001", "30000", repeat=5)
    rows = usdm.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", "fromId": ids[2], "limit": 2})
    assert [row["id"] for row in rows] == ids[2:4]


def test_an_id_and_a_time_do_not_go_together(usdm: Any, trade: Callable[..., Any]) -> None:
    trade("buy", "0.001", "30000")
    with pytest.raises(ccxt.ExchangeError, match="-1128"):
        usdm.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", "fromId": 1, "startTime": T0})


def test_trades_of_no_symbol_are_refused(usdm: Any, trader: dict[str, Any]) -> None:
    assert trader
    with pytest.raises(ccxt.BadRequest, match="-1102"):
        usdm.fapiPrivateGetUserTrades()


def test_a_window_of_trades_is_a_week(usdm: Any, trade: Callable[..., Any], now: int) -> None:
    [old] = trade("buy", "0.001", "30000", at_ms=now - 10 * 86_400_000)
    [new] = trade("buy", "0.001", "30000", at_ms=now)
    ask = usdm.fapiPrivateGetUserTrades
    assert [row["id"] for row in ask({"symbol": "BTCUSDT"})] == [new]
    from_old = {"symbol": "BTCUSDT", "startTime": now - 10 * 86_400_000}
    assert [row["id"] for row in ask(from_old)] == [old]
    with pytest.raises(ccxt.ExchangeError, match="-1127"):
        ask({**from_old, "endTime": now})


def test_a_symbol_has_ids_of_its_own(usdm: Any, trade: Callable[..., Any]) -> None:
    assert trade("buy", "0.001", "30000") == trade("buy", "0.001", "2000", symbol="ETHUSDT")
    [row] = usdm.fapiPrivateGetUserTrades({"symbol": "ETHUSDT"})
    assert row["symbol"] == "ETHUSDT"


def test_income_has_the_parts_of_a_trade_under_one_id(usdm: Any, trade: Callable[..., Any]) -> None:
    trade("buy", "1", "30000", fee="12")
    trade("sell", "1", "30010", fee="12")
    rows = usdm.fapiPrivateGetIncome({"limit": 1000})
    assert [(row["incomeType"], row["income"]) for row in rows] == [
        ("TRANSFER", "10000.00000000"),
        ("COMMISSION", "-12.00000000"),
        ("REALIZED_PNL", "10.00000000"),
        ("COMMISSION", "-12.00000000"),
    ]
    assert rows[2]["tranId"] == rows[3]["tranId"]
    assert rows[0]["tranId"] % 10**6 == rows[1]["tranId"] % 10**6  # unique in its type only
    assert rows[2]["tradeId"] == "1002"


def test_income_explains_the_wallet_after_a_storm(
    running: Running, usdm: Any, trader: dict[str, Any]
) -> None:
    running.do(lambda desk: desk.storm(5, 900, venue="binance"))
    found, start, seen, counts = Decimal(0), 0, set(), [0]
    while True:
        rows = usdm.fapiPrivateGetIncome({"startTime": start, "limit": 1000})
        fresh = [row for row in rows if (row["incomeType"], row["tranId"]) not in seen]
        seen |= {(row["incomeType"], row["tranId"]) for row in rows}
        found += sum(Decimal(row["income"]) for row in fresh if row["asset"] == "USDT")
        counts.append(len(fresh))
        if len(rows) < 1000:
            break
        assert rows[-1]["time"] > start
        start = rows[-1]["time"]
    truth = running.do(lambda desk: desk.truth(**trader))
    assert len(seen) == sum(counts) > 500
    assert found == Decimal(truth["wallets"]["linear"]["USDT"])
    [row] = [row for row in usdm.fapiPrivateV3GetBalance() if row["asset"] == "USDT"]
    assert Decimal(row["balance"]) == found


def test_funding_is_a_row_of_its_own(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any], now: int
) -> None:
    trade("buy", "1", "30000", at_ms=now - 1000)
    running.do(lambda desk: desk.fund(**trader, **BTC, rate="0.0001", at_ms=now))
    [row] = usdm.fetch_funding_history("BTC/USDT:USDT")
    assert (row["amount"], row["timestamp"], row["code"]) == ("-3.00000000", now, "USDT")


def test_every_page_of_income_comes_from_its_start(
    usdm: Any, trade: Callable[..., Any], now: int
) -> None:
    for step in range(4):
        trade("buy", "0.001", "30000", fee="1", at_ms=now - 4000 + step)
    ask = usdm.fapiPrivateGetIncome
    first = ask({"startTime": now - 4000, "endTime": now - 1, "limit": 3})
    assert [row["time"] for row in first] == [now - 4000, now - 3999, now - 3998]
    newest = ask({"endTime": now - 2000, "limit": 3})
    assert [row["time"] for row in newest] == [now - 3999, now - 3998, now - 3997]


def test_open_orders_and_their_ends(running: Running, usdm: Any, trader: dict[str, Any]) -> None:
    values = {**trader, **BTC, "side": "buy", "qty": "0.1", "price": "20000"}
    first = running.do(lambda desk: desk.place(**values))
    second = running.do(lambda desk: desk.place(**values, client_order_id="mine"))
    orders = usdm.fetch_open_orders("BTC/USDT:USDT")
    assert [(one["id"], one["clientOrderId"]) for one in orders] == [
        (str(first), f"web_{first}"),
        (str(second), "mine"),
    ]
    running.do(lambda desk: desk.cancel(**trader, order_id=first))
    assert [one["id"] for one in usdm.fetch_open_orders("BTC/USDT:USDT")] == [str(second)]
    assert usdm.fetch_order(str(first), "BTC/USDT:USDT")["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        usdm.fetch_order("1", "BTC/USDT:USDT")


def test_an_order_of_ccxt_trades_at_the_mark(usdm: Any, trader: dict[str, Any]) -> None:
    assert trader
    order = usdm.create_order("BTC/USDT:USDT", "market", "buy", "0.01")
    assert (order["status"], order["average"]) == ("closed", "30000.00000")
    resting = usdm.create_order("BTC/USDT:USDT", "limit", "buy", "0.01", "25000")
    assert resting["status"] == "open"
    assert usdm.cancel_order(resting["id"], "BTC/USDT:USDT")["status"] == "canceled"


def test_a_client_id_is_unique_among_open_orders(usdm: Any, trader: dict[str, Any]) -> None:
    assert trader
    values = ("BTC/USDT:USDT", "limit", "buy", "0.01")
    usdm.create_order(*values, "25000", {"newClientOrderId": "mine"})
    with pytest.raises(ccxt.ExchangeError, match="-4116"):
        usdm.create_order(*values, "25000", {"newClientOrderId": "mine"})
    usdm.create_order(*values, "31000", {"newClientOrderId": "done"})
    assert usdm.create_order(*values, "31000", {"newClientOrderId": "done"})["status"] == "closed"


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("liquidation", "autoclose-"),
        ("adl", "adl_autoclose"),
        ("settlement", "settlement_autoclose-"),
    ],
)
def test_the_venue_names_its_own_orders(
    usdm: Any, trade: Callable[..., Any], kind: str, begins: str
) -> None:
    trade("buy", "1", "30000")
    trade("sell", "1", "28000", kind=kind)
    row = usdm.fapiPrivateGetAllOrders({"symbol": "BTCUSDT"})[-1]
    assert row["clientOrderId"].startswith(begins)
    forced = [one["autoCloseType"] for one in usdm.fapiPrivateGetForceOrders()]
    assert forced == {"liquidation": ["LIQUIDATION"], "adl": ["ADL"]}.get(kind, [])


def test_a_listen_key_is_kept_and_ends(usdm: Any, trader: dict[str, Any]) -> None:
    assert trader
    key = usdm.fapiPrivatePostListenKey()["listenKey"]
    assert usdm.fapiPrivatePostListenKey()["listenKey"] == key
    assert usdm.fapiPrivatePutListenKey() == {"listenKey": key}
    usdm.fapiPrivateDeleteListenKey()
    with pytest.raises(ccxt.ExchangeError, match="-1125"):
        usdm.fapiPrivatePutListenKey()


def test_a_wrong_signature_an_unknown_key_and_a_stale_clock_are_told_apart(
    usdm: Any, client: Client
) -> None:
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        client(ccxt.binanceusdm, secret="wrong").fapiPrivateV3GetAccount()
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        client(ccxt.binanceusdm, api_key="nobody").fapiPrivateV3GetAccount()
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        usdm.fapiPrivateV3GetAccount({"timestamp": usdm.milliseconds() - 60_000})
    with pytest.raises(ccxt.InvalidNonce, match="ahead"):
        usdm.fapiPrivateV3GetAccount({"timestamp": usdm.milliseconds() + 60_000})


def test_weights_are_those_of_the_documentation(
    running: Running, usdm: Any, trader: dict[str, Any]
) -> None:
    def used() -> int:
        windows = running.do(lambda desk: desk.statistics())["windows"]
        return sum(windows.get("binance usdm 127.0.0.1", {}).values())

    assert trader
    costs = []
    for ask, params in (
        (usdm.fapiPublicGetTime, {}),
        (usdm.fapiPrivateV3GetAccount, {}),
        (usdm.fapiPrivateV3GetPositionRisk, {}),
        (usdm.fapiPrivateGetOpenOrders, {}),
        (usdm.fapiPrivateGetOpenOrders, {"symbol": "BTCUSDT"}),
        (usdm.fapiPrivateGetUserTrades, {"symbol": "BTCUSDT"}),
        (usdm.fapiPrivateGetIncome, {}),
        (usdm.fapiPrivateGetPositionSideDual, {}),
    ):
        before = used()
        ask(params)
        costs.append(used() - before)
    assert costs == [1, 5, 5, 40, 1, 5, 30, 30]
