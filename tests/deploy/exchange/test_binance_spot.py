"""Binance spot as an unmodified `ccxt.binance` meets it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from deploy.exchange.server import Running

Client = Callable[..., Any]
DAY = 86_400_000
BTC: dict[str, Any] = {"product": "spot", "symbol": "BTCUSDT"}


@pytest.fixture
def spot(client: Client) -> Any:
    return client(ccxt.binance)


@pytest.fixture
def now(running: Running) -> int:
    return running.do(lambda desk: desk.exchange.now_ms("binance"))


@pytest.fixture
def trade(running: Running, trader: dict[str, Any]) -> Callable[..., list[int]]:
    def made(side: str, qty: str, price: str, **rest: Any) -> list[int]:
        values = {**trader, **BTC, **rest}
        return running.do(lambda desk: desk.trade(side=side, qty=qty, price=price, **values))

    return made


def balances(spot: Any) -> dict[str, tuple[str, str]]:
    rows = spot.privateGetAccount({"omitZeroBalances": "true"})["balances"]
    return {row["asset"]: (row["free"], row["locked"]) for row in rows}


def test_markets_of_spot_and_futures(spot: Any) -> None:
    markets = spot.load_markets()
    assert markets["BTC/USDT"]["spot"]
    assert markets["BTC/USDT:USDT"]["linear"]
    assert markets["ETH/BTC"]["quote"] == "BTC"


def test_a_wallet_is_what_is_free_and_what_an_order_holds_back(
    running: Running, spot: Any, trader: dict[str, Any], trade: Callable[..., Any]
) -> None:
    trade("buy", "0.1", "30000")
    running.do(lambda desk: desk.place(**trader, **BTC, side="sell", qty="0.02", price="40000"))
    assert balances(spot) == {
        "USDT": ("7000.00000000", "0.00000000"),
        "BTC": ("0.07995000", "0.02000000"),
    }
    assert spot.fetch_balance()["BTC"]["total"] == "0.09995"


def test_a_trade_has_eight_places_and_its_fee_in_what_was_received(
    spot: Any, trade: Callable[..., Any]
) -> None:
    trade("buy", "0.1", "30000")
    trade("sell", "0.05", "31000", fee="0.002", fee_asset="BNB")
    buy, sell = spot.fetch_my_trades("BTC/USDT")
    assert buy["info"]["qty"] == "0.10000000"
    assert buy["info"]["quoteQty"] == "3000.00000000"
    assert (buy["info"]["commission"], buy["info"]["commissionAsset"]) == ("0.00005000", "BTC")
    assert sell["fee"] == {"currency": "BNB", "cost": "0.00200000"}
    assert (buy["info"]["isBuyer"], sell["side"]) == (True, "sell")


def test_trades_go_on_from_an_id_or_in_a_day(
    spot: Any, trade: Callable[..., Any], now: int
) -> None:
    [old] = trade("buy", "0.1", "30000", at_ms=now - 3 * DAY)
    [new] = trade("buy", "0.1", "30000", at_ms=now)
    ask = spot.privateGetMyTrades
    assert [row["id"] for row in ask({"symbol": "BTCUSDT"})] == [old, new]
    assert [row["id"] for row in ask({"symbol": "BTCUSDT", "fromId": new})] == [new]
    start = {"symbol": "BTCUSDT", "startTime": now - 3 * DAY}
    assert [row["id"] for row in ask(start)] == [old]
    with pytest.raises(ccxt.ExchangeError, match="interval"):
        ask({**start, "endTime": now})


def test_what_came_in_and_went_out_explains_the_wallet(
    running: Running, spot: Any, trader: dict[str, Any], trade: Callable[..., Any]
) -> None:
    trade("buy", "0.1", "30000")
    running.do(lambda desk: desk.move(**trader, kind="deposit", asset="BTC", amount="0.5",
                                      product="spot"))  # fmt: skip
    running.do(lambda desk: desk.move(**trader, kind="withdrawal", asset="USDT", amount="-100",
                                      fee="1.5", product="spot"))  # fmt: skip
    running.do(lambda desk: desk.transfer(**trader, asset="USDT", amount="40", from_="spot",
                                          to="linear"))  # fmt: skip
    came = {one["currency"]: one["amount"] for one in spot.fetch_deposits()}
    [gone] = spot.fetch_withdrawals()
    assert came == {"USDT": "10000", "BTC": "0.5"}
    assert (gone["amount"], gone["fee"]["cost"]) == ("100", "1.5")
    out = spot.sapiGetAssetTransfer({"type": "MAIN_UMFUTURE"})
    assert [(row["asset"], row["amount"]) for row in out["rows"]] == [("USDT", "40")]
    assert balances(spot)["USDT"][0] == "6858.50000000"
    assert balances(spot)["BTC"][0] == "0.59995000"


def test_trades_and_moves_explain_the_wallets_after_a_storm(
    running: Running, spot: Any, trader: dict[str, Any]
) -> None:
    running.do(lambda desk: desk.storm(3, 800, venue="binance"))
    found: dict[str, Decimal] = {}

    def add(asset: str, amount: Any, sign: int = 1) -> None:
        found[asset] = found.get(asset, Decimal(0)) + sign * Decimal(amount)

    for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ETHBTC", "BTCUSDC"):
        quote = symbol[-3:] if symbol == "ETHBTC" else symbol[-4:]
        for row in spot.privateGetMyTrades({"symbol": symbol, "fromId": 0, "limit": 1000}):
            sign = 1 if row["isBuyer"] else -1
            add(symbol.removesuffix(quote), row["qty"], sign)
            add(quote, row["quoteQty"], -sign)
            add(row["commissionAsset"], row["commission"], -1)
    for row in spot.sapiGetCapitalDepositHisrec():
        add(row["coin"], row["amount"])
    for row in spot.sapiGetCapitalWithdrawHistory():
        add(row["coin"], Decimal(row["amount"]) + Decimal(row["transactionFee"]), -1)
    truth = running.do(lambda desk: desk.truth(**trader))
    assert {asset: Decimal(amount) for asset, amount in truth["wallets"]["spot"].items()} == found
    assert min(found.values()) >= 0
    assert len(found) > 4


def test_a_key_says_whether_it_may_withdraw(
    running: Running, spot: Any, trader: dict[str, Any]
) -> None:
    assert spot.sapiGetAccountApiRestrictions()["enableWithdrawals"] is False
    running.do(lambda desk: desk.change_account(**trader, withdraw=True))
    assert spot.sapiGetAccountApiRestrictions()["enableWithdrawals"] is True


def test_an_order_of_ccxt_trades_at_the_mark(spot: Any, trader: dict[str, Any]) -> None:
    assert trader
    order = spot.create_order("BTC/USDT", "market", "buy", "0.01")
    assert (order["status"], order["filled"]) == ("closed", "0.01000000")
    assert spot.fetch_open_orders("BTC/USDT") == []


def test_spot_and_futures_have_budgets_of_their_own(
    spot: Any, client: Client, running: Running
) -> None:
    spot.privateGetAccount()
    assert int(spot.last_response_headers["X-MBX-USED-WEIGHT-1M"]) == 20
    client(ccxt.binanceusdm).fapiPrivateV3GetAccount()
    spot.sapiGetAccountApiRestrictions()
    assert spot.last_response_headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
    windows = running.do(lambda desk: desk.statistics())["windows"]
    used = {name: sum(window.values()) for name, window in windows.items()}
    assert used == {
        "binance spot 127.0.0.1": 20,
        "binance usdm 127.0.0.1": 5,
        "binance sapi 127.0.0.1": 1,
    }
