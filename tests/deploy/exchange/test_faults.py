"""Each fault, as ccxt or a bare request meets it, and how it ends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import ccxt
import pytest
import requests

from deploy.exchange.server import Running, new_exchange

Client = Callable[..., Any]
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


def trades(usdm: Any, **params: Any) -> list[Any]:
    found: list[Any] = usdm.fapiPrivateGetUserTrades({"symbol": "BTCUSDT", **params})
    return found


def fault(running: Running, kind: str, **rest: Any) -> None:
    running.do(lambda desk: desk.fault(kind, **rest))


# -- rows ------------------------------------------------------------------------------------------


def test_a_page_may_end_inside_one_millisecond(
    usdm: Any, trade: Callable[..., Any], now: int
) -> None:
    ids = trade("buy", "0.001", "30000", repeat=1500, at_ms=now)
    by_time = trades(usdm, startTime=now, limit=1000)
    assert [row["id"] for row in by_time] == ids[:1000]
    assert trades(usdm, startTime=now, limit=1000) == by_time
    assert [row["id"] for row in trades(usdm, fromId=ids[1000], limit=1000)] == ids[1000:]


def test_a_self_trade_has_two_rows_with_one_id(usdm: Any, trade: Callable[..., Any]) -> None:
    [trade_id] = trade("buy", "0.1", "30000", self_trade=True)
    rows = [(row["id"], row["side"]) for row in trades(usdm)]
    assert rows == [(trade_id, "BUY"), (trade_id, "SELL")]


def test_a_row_may_come_twice(running: Running, usdm: Any, trade: Callable[..., Any]) -> None:
    ids = trade("buy", "0.001", "30000", repeat=2)
    fault(running, "duplicate", path="userTrades")
    assert [row["id"] for row in trades(usdm)] == [*ids, ids[-1]]
    assert [row["id"] for row in trades(usdm)] == ids


def test_a_row_may_come_late_with_its_old_time(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any], now: int
) -> None:
    [late] = trade("buy", "0.001", "30000", at_ms=now - 50, hidden=True)
    [seen] = trade("buy", "0.001", "30000", at_ms=now)
    assert [row["id"] for row in trades(usdm)] == [seen]
    assert len(usdm.fapiPrivateGetIncome({"incomeType": "COMMISSION"})) == 1
    assert running.do(lambda desk: desk.show_late(**trader)) == 2
    assert [(row["id"], row["time"]) for row in trades(usdm)] == [(late, now - 50), (seen, now)]
    assert len(usdm.fapiPrivateGetIncome({"incomeType": "COMMISSION"})) == 2


def test_a_row_may_change_when_its_commission_is_known(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any]
) -> None:
    trade("buy", "0.001", "30000", fee_known=False)
    [before] = trades(usdm)
    assert "commission" not in before
    assert running.do(lambda desk: desk.settle_fees(**trader, fee="0.012")) == 1
    [after] = trades(usdm)
    assert after == before | {"commission": "0.01200000", "commissionAsset": "USDT"}
    [row] = usdm.fapiPrivateGetIncome({"incomeType": "COMMISSION"})
    assert row["income"] == "-0.01200000"


def test_a_snapshot_may_stand_between_two_fills_of_one_millisecond(
    running: Running, usdm: Any, trader: dict[str, Any], trade: Callable[..., Any], now: int
) -> None:
    trade("buy", "1", "30000", at_ms=now, fee="1")
    running.do(lambda desk: desk.freeze_snapshot(**trader))
    trade("buy", "1", "30000", at_ms=now, fee="1")
    [position] = usdm.fapiPrivateV3GetPositionRisk()
    assert (position["positionAmt"], position["updateTime"]) == ("1.000", now)
    assert usdm.fapiPrivateV3GetAccount()["totalWalletBalance"] == "9999.00000000"
    assert len(trades(usdm)) == 2
    running.do(lambda desk: desk.thaw_snapshot(**trader))
    [position] = usdm.fapiPrivateV3GetPositionRisk()
    assert (position["positionAmt"], position["updateTime"]) == ("2.000", now)


# -- answers ---------------------------------------------------------------------------------------


def test_json_may_be_cut(running: Running, usdm: Any, trade: Callable[..., Any]) -> None:
    trade("buy", "0.001", "30000")
    fault(running, "truncated", path="userTrades")
    cut = trades(usdm)
    assert isinstance(cut, str)  # ccxt hands on what it cannot read
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert len(trades(usdm)) == 1


def test_an_answer_may_be_empty(running: Running, usdm: Any) -> None:
    fault(running, "empty", path="time")
    answer = requests.get(f"{running.url}/fapi/v1/time", timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert usdm.fapiPublicGetTime()["serverTime"] > 0


def test_amounts_may_be_numbers(running: Running, usdm: Any, trade: Callable[..., Any]) -> None:
    trade("buy", "0.001", "30000.10", client_order_id="12345")
    fault(running, "unquoted", path="userTrades", times=2)
    [row] = trades(usdm)
    assert row["price"] == 30000.1
    usdm.on_json_response = lambda text: json.loads(text, parse_float=str, parse_int=str)
    [row] = trades(usdm)
    assert (row["price"], row["realizedPnl"], row["symbol"]) == ("30000.10", "0", "BTCUSDT")


def test_an_error_before_the_effect_has_none(running: Running, usdm: Any) -> None:
    usdm.apiKey = "key-1"
    fault(running, "status", value=503, path="listenKey")
    with pytest.raises(ccxt.NetworkError):
        usdm.fapiPrivatePostListenKey()
    assert running.do(lambda desk: len(desk.exchange.listen_keys)) == 0


def test_an_error_after_the_effect_leaves_it_done(
    running: Running, usdm: Any, trader: dict[str, Any]
) -> None:
    usdm.load_markets()
    fault(running, "late_status", value=504, path="order")
    with pytest.raises(ccxt.NetworkError):
        usdm.create_order(
            "BTC/USDT:USDT", "market", "buy", "0.1", None, {"newClientOrderId": "once"}
        )
    truth = running.do(lambda desk: desk.truth(**trader))
    assert [one["qty"] for one in truth["positions"]] == ["0.1"]
    known = {"symbol": "BTCUSDT", "origClientOrderId": "once"}
    assert usdm.fapiPrivateGetOrder(known)["status"] == "FILLED"


def test_an_answer_may_be_late(running: Running, usdm: Any) -> None:
    fault(running, "delayed", value=400, path="time")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{running.url}/fapi/v1/time", timeout=0.1)
    assert usdm.fapiPublicGetTime()["serverTime"] > 0


def test_a_connection_may_be_cut(running: Running) -> None:
    fault(running, "dropped", path="time")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{running.url}/fapi/v1/time", timeout=5)


# -- limits, keys and clocks -----------------------------------------------------------------------


def test_a_429_holds_for_its_address_until_the_seconds_are_over(
    running: Running, usdm: Any, client: Client, trade: Callable[..., Any]
) -> None:
    trade("buy", "0.001", "30000")
    fault(running, "limited", value=7, path="userTrades")
    with pytest.raises(ccxt.DDoSProtection):
        trades(usdm)
    assert usdm.last_response_headers["Retry-After"] == "7"
    other = client(ccxt.binanceusdm)
    with pytest.raises(ccxt.DDoSProtection):
        other.fapiPublicGetTime()
    assert from_address(running, "127.0.0.2", "/fapi/v1/time") == 200
    assert from_address(running, "127.0.0.1", "/fapi/v1/time") == 429
    assert running.do(lambda desk: desk.statistics())["refused"] == {"429": 3}


def from_address(running: Running, address: str, path: str) -> int:
    """The status that a client bound to this address gets."""
    host, port = running.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), source_address=(address, 0))
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_address_may_be_banned(running: Running, usdm: Any) -> None:
    fault(running, "banned", value=60, path="time")
    with pytest.raises(ccxt.DDoSProtection, match="418"):
        usdm.fapiPublicGetTime()
    assert usdm.last_response_headers["Retry-After"] == "60"


def test_a_budget_that_is_used_up_answers_429_by_itself() -> None:
    """Of one address: 240 times 10 are the 2,400 of a minute."""
    with Running(new_exchange(clock=lambda: 1_790_000_000_000)) as stopped:
        seen = [from_address(stopped, "127.0.0.3", "/fapi/v1/premiumIndex") for _ in range(241)]
        assert seen == [200] * 240 + [429]
        assert from_address(stopped, "127.0.0.4", "/fapi/v1/premiumIndex") == 200


def test_a_clock_may_be_off_and_a_client_may_follow_it(running: Running, usdm: Any) -> None:
    running.do(lambda desk: desk.skew("binance", 20_000))
    with pytest.raises(ccxt.InvalidNonce):
        usdm.fapiPrivateV3GetAccount()
    usdm.options["adjustForTimeDifference"] = True
    usdm.load_time_difference()
    assert usdm.fapiPrivateV3GetAccount()["totalWalletBalance"] == "10000.00000000"
    running.do(lambda desk: desk.clear_faults())
    with pytest.raises(ccxt.InvalidNonce):
        usdm.fapiPrivateV3GetAccount()


def test_a_key_may_be_revoked_and_rotated(
    running: Running, usdm: Any, client: Client, trader: dict[str, Any]
) -> None:
    running.do(lambda desk: desk.change_account(**trader, revoked=True))
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        usdm.fapiPrivateV3GetAccount()
    running.do(lambda desk: desk.rotate_key(**trader, new_key="key-2", secret="secret-2"))
    fresh = client(ccxt.binanceusdm, api_key="key-2", secret="secret-2")
    assert fresh.fapiPrivateV3GetAccount()["totalWalletBalance"] == "10000.00000000"


def test_a_frozen_account_answers_and_takes_no_orders(
    running: Running, usdm: Any, trader: dict[str, Any]
) -> None:
    running.do(lambda desk: desk.change_account(**trader, frozen=True))
    assert usdm.fapiPrivateV3GetAccount()["totalWalletBalance"] == "10000.00000000"
    with pytest.raises(ccxt.ExchangeError):
        usdm.create_order("BTC/USDT:USDT", "market", "buy", "0.1")


def test_a_fault_is_for_whom_it_names(running: Running, usdm: Any, client: Client) -> None:
    fault(running, "status", value=500, api_key="somebody-else", times=None)
    fault(running, "status", value=500, venue="bybit", times=None)
    assert usdm.fapiPrivateV3GetAccount()["assets"]
    fault(running, "status", value=500, api_key="key-1", times=None)
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeNotAvailable):
            usdm.fapiPrivateV3GetAccount()
    running.do(lambda desk: desk.clear_faults())
    assert client(ccxt.binanceusdm).fapiPrivateV3GetAccount()["assets"]


def test_an_unknown_fault_is_refused(running: Running) -> None:
    with pytest.raises(ValueError, match="no fault earthquake"):
        fault(running, "earthquake")
