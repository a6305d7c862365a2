"""Bybit v5 as an unmodified `ccxt.bybit` meets it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from deploy.exchange.desk import Desk
from deploy.exchange.server import Running

ME = {"venue": "bybit", "api_key": "key-1"}
SWAP = {"type": "swap", "subType": "linear"}
WEEK = 7 * 86_400_000
Do = Callable[..., Any]


@pytest.fixture
def me(running: Running) -> dict[str, str]:
    """An account with 10,000 USDT and a bitcoin; names it for the desk's verbs."""
    account = {
        **ME, "uid": "11", "secret": "secret-1", "products": ["linear", "inverse", "spot"],
        "wallets": {"linear": {"USDT": "10000", "BTC": "1"}},
    }  # fmt: skip
    running.do(lambda desk: desk.add_accounts([account]))
    return dict(ME)


@pytest.fixture
def desk(running: Running, me: dict[str, str]) -> Do:
    """A verb of the desk for the account: `desk("trade", …)`."""

    def do(verb: str, **arguments: Any) -> Any:
        return running.do(lambda desk: desk.do(verb, {**me, **arguments}))

    return do


@pytest.fixture
def bybit(connect: Do, me: dict[str, str]) -> Any:
    return connect(ccxt.bybit, apiKey=me["api_key"], secret="secret-1")


@pytest.fixture
def trade(desk: Do) -> Do:
    def made(side: str, qty: str, price: str, **rest: Any) -> Any:
        return desk(
            "trade", **{"product": "linear", "symbol": "BTCUSDT"} | rest, side=side, qty=qty,
            price=price,
        )  # fmt: skip

    return made


@pytest.fixture
def now(running: Running) -> int:
    return running.do(lambda desk: desk.exchange.now_ms("bybit"))


def executions(bybit: Any, **params: Any) -> list[dict[str, Any]]:
    answer = bybit.privateGetV5ExecutionList({"category": "linear", **params})
    found: list[dict[str, Any]] = answer["result"]["list"]
    return found


def log(bybit: Any, **params: Any) -> list[dict[str, Any]]:
    answer = bybit.privateGetV5AccountTransactionLog({"limit": 50, **params})
    found: list[dict[str, Any]] = answer["result"]["list"]
    return found


def coin(bybit: Any, name: str, **params: Any) -> dict[str, Any]:
    answer = bybit.privateGetV5AccountWalletBalance({"accountType": "UNIFIED", **params})
    return next(row for row in answer["result"]["list"][0]["coin"] if row["coin"] == name)


# -- what is held ----------------------------------------------------------------------------------


def test_markets_of_each_category(bybit: Any) -> None:
    markets = bybit.load_markets()
    assert markets["BTC/USDT:USDT"]["linear"]
    assert markets["BTC/USDC:USDC"]["settle"] == "USDC"
    assert markets["BTC/USD:BTC"]["inverse"]
    assert markets["BTC/USDT"]["spot"]


def test_a_wallet_is_without_unrealized_pnl_and_equity_with_it(bybit: Any, trade: Do) -> None:
    trade("buy", "1", "63000", fee="34.65")
    row = coin(bybit, "USDT")
    assert (row["walletBalance"], row["unrealisedPnl"], row["equity"]) == (
        "9965.35", "1000", "10965.35",
    )  # fmt: skip
    assert bybit.fetch_balance()["info"]["result"]["list"][0]["coin"][1] == row


def test_a_coin_that_is_gone_is_missing_unless_it_is_named(bybit: Any, desk: Do) -> None:
    desk("move", kind="withdrawal", asset="BTC", amount="-1")
    with pytest.raises(StopIteration):
        coin(bybit, "BTC")
    assert coin(bybit, "BTC", coin="BTC")["walletBalance"] == "0"


def test_open_positions_by_settle_coin_and_flat_ones_only_by_symbol(bybit: Any, trade: Do) -> None:
    trade("sell", "0.3", "64000")
    trade("buy", "0.3", "63000")
    trade("sell", "0.2", "3200", symbol="ETHUSDT")
    [position] = bybit.fetch_positions()
    assert (position["symbol"], position["side"], position["contracts"]) == (
        "ETH/USDT:USDT", "short", "0.2",
    )  # fmt: skip
    [flat] = bybit.privateGetV5PositionList({"category": "linear", "symbol": "BTCUSDT"})["result"][
        "list"
    ]
    assert (flat["size"], flat["side"], flat["avgPrice"]) == ("0", "", "0")
    with pytest.raises(ccxt.BadRequest, match="settleCoin"):
        bybit.privateGetV5PositionList({"category": "linear"})


def test_a_hedged_account_has_a_row_for_each_side(bybit: Any, trade: Do, desk: Do) -> None:
    desk("change_account", hedge=True)
    trade("buy", "0.3", "64000", position_side="long")
    trade("sell", "0.1", "64100", position_side="short")
    rows = bybit.privateGetV5PositionList({"category": "linear", "symbol": "BTCUSDT"})
    assert [(row["positionIdx"], row["side"], row["size"]) for row in rows["result"]["list"]] == [
        (1, "Buy", "0.300"), (2, "Sell", "0.100"),
    ]  # fmt: skip


def test_positions_come_in_pages(bybit: Any, trade: Do) -> None:
    for symbol, price in (("BTCUSDT", "64000"), ("ETHUSDT", "3200"), ("XRPUSDT", "0.6")):
        trade("buy", "1", price, symbol=symbol)
    found, cursor = [], None
    while cursor != "":
        params = {"category": "linear", "settleCoin": "USDT", "limit": 2}
        params |= {"cursor": cursor} if cursor else {}
        result = bybit.privateGetV5PositionList(params)["result"]
        cursor = result["nextPageCursor"]
        found += [row["symbol"] for row in result["list"]]
    assert sorted(found) == ["BTCUSDT", "ETHUSDT", "XRPUSDT"]


def test_a_snapshot_may_be_older_than_the_newest_fill(bybit: Any, trade: Do, desk: Do) -> None:
    trade("buy", "0.1", "64000", fee="1")
    desk("freeze_snapshot")
    trade("buy", "0.2", "64000", fee="1")
    assert bybit.fetch_positions()[0]["contracts"] == "0.1"
    assert coin(bybit, "USDT")["walletBalance"] == "9999"
    assert len(executions(bybit)) == 2
    desk("thaw_snapshot")
    assert bybit.fetch_positions()[0]["contracts"] == "0.3"


def test_a_key_says_whether_it_may_withdraw(bybit: Any, desk: Do) -> None:
    assert "Withdraw" not in bybit.privateGetV5UserQueryApi()["result"]["permissions"]["Wallet"]
    desk("change_account", withdraw=True)
    assert "Withdraw" in bybit.privateGetV5UserQueryApi()["result"]["permissions"]["Wallet"]


# -- arithmetic, by hand ---------------------------------------------------------------------------


def test_inverse_averages_harmonically_and_pays_in_coins(bybit: Any, trade: Do) -> None:
    """The venue's own example: 1000 at 5000 and 2000 at 6000 are 0.2 + 0.3333… BTC, 5625."""
    inverse = {"product": "inverse", "symbol": "BTCUSD", "fee": "0"}
    trade("buy", "1000", "5000", **inverse)
    trade("buy", "2000", "6000", **inverse)
    [position] = bybit.fetch_positions(params={"type": "swap", "subType": "inverse"})
    assert (position["entryPrice"], position["contracts"]) == ("5625", "3000")
    trade("sell", "1500", "6250", **inverse)
    row = log(bybit, category="inverse")[0]
    assert (row["cashFlow"], row["change"], row["currency"]) == (
        "0.02666667", "0.02666667", "BTC",  # 1500/5625 - 1500/6250
    )  # fmt: skip
    assert coin(bybit, "BTC")["walletBalance"] == "1.02666667"


def test_a_turned_position_realizes_only_what_it_closed(bybit: Any, trade: Do) -> None:
    trade("buy", "0.1", "60000", fee="3.3")
    trade("sell", "0.3", "61000", fee="10.065")
    row = log(bybit)[0]
    assert (row["cashFlow"], row["fee"], row["change"], row["size"]) == (
        "100", "10.065", "89.935", "-0.2",
    )  # fmt: skip
    [position] = bybit.fetch_positions()
    assert (position["side"], position["entryPrice"]) == ("short", "61000")


def test_spot_moves_two_coins_and_takes_its_fee_from_what_was_received(
    bybit: Any, trade: Do
) -> None:
    spot = {"product": "spot", "symbol": "BTCUSDT"}
    trade("buy", "0.01", "60000", fee="0.00001", **spot)
    trade("sell", "0.005", "62000", fee="0.31", **spot)
    rows = [(row["currency"], row["change"], row["fee"]) for row in log(bybit, category="spot")]
    assert sorted(rows) == [
        ("BTC", "-0.005", "0"), ("BTC", "0.00999", "0.00001"), ("USDT", "-600", "0"),
        ("USDT", "309.69", "0.31"),
    ]  # fmt: skip
    assert coin(bybit, "BTC")["walletBalance"] == "1.00499"
    assert coin(bybit, "USDT")["walletBalance"] == "9709.69"


# -- what happened ---------------------------------------------------------------------------------


def test_trades_keep_every_digit(bybit: Any, trade: Do) -> None:
    trade("buy", "0.012", "64123.4", fee="0.42321444", client_order_id="mine-1", maker=True)
    [found] = bybit.fetch_my_trades(params=SWAP)
    assert (found["price"], found["amount"], found["takerOrMaker"]) == (
        "64123.40", "0.012", "maker",
    )  # fmt: skip
    assert found["fee"]["cost"] == "0.42321444"
    assert found["fee"]["currency"] == "USDT"
    assert found["info"]["orderLinkId"] == "mine-1"
    assert found["info"]["execValue"] == "769.4808"


def test_pages_come_newest_first_and_split_a_millisecond(bybit: Any, trade: Do, now: int) -> None:
    trade("buy", "0.001", "64000", at_ms=now - 2000)
    trade("buy", "0.001", "64000", at_ms=now - 1000, repeat=4)
    trade("buy", "0.001", "64000", at_ms=now)
    found, sizes, cursor = [], [], None
    while cursor != "":
        params = {"category": "linear", "limit": 2, "startTime": now - 5000, "endTime": now}
        params |= {"cursor": cursor} if cursor else {}
        result = bybit.privateGetV5ExecutionList(params)["result"]
        cursor = result["nextPageCursor"]
        found += result["list"]
        sizes.append(len(result["list"]))
    assert sizes == [2, 2, 2, 0]
    assert len({row["execId"] for row in found}) == 6
    times = [int(row["execTime"]) for row in found]
    assert times == sorted(times, reverse=True)
    assert times.count(now - 1000) == 4


def test_a_self_trade_has_one_id_and_two_sides(bybit: Any, trade: Do) -> None:
    trade("buy", "0.1", "64000", self_trade=True)
    sell, buy = executions(bybit)
    assert sell["execId"] == buy["execId"]
    assert (buy["side"], sell["side"]) == ("Buy", "Sell")


def test_equal_trade_ids_of_two_markets_are_two_ids(bybit: Any, trade: Do) -> None:
    trade("buy", "0.1", "64000", trade_id=7)
    trade("buy", "0.1", "3200", symbol="ETHUSDT", trade_id=7)
    assert len({row["execId"] for row in executions(bybit)}) == 2


@pytest.mark.parametrize(
    ("kind", "exec_type", "log_type"),
    [
        ("liquidation", "BustTrade", "LIQUIDATION"),
        ("adl", "AdlTrade", "ADL"),
        ("settlement", "Settle", "DELIVERY"),
    ],
)
def test_forced_fills_are_marked(
    bybit: Any, trade: Do, kind: str, exec_type: str, log_type: str
) -> None:
    trade("buy", "0.1", "64000")
    trade("sell", "0.1", "60000", kind=kind)
    assert [row["execType"] for row in executions(bybit)] == [exec_type, "Trade"]
    assert [row["execType"] for row in executions(bybit, execType=exec_type)] == [exec_type]
    assert [row["type"] for row in log(bybit, category="linear")] == [log_type, "TRADE"]


def test_funding_is_positive_in_the_log_when_received_and_negative_as_a_fee(
    bybit: Any, trade: Do, desk: Do
) -> None:
    trade("sell", "0.1", "64000", fee="0")
    desk("fund", product="linear", symbol="BTCUSDT", rate="0.0001")
    [row] = bybit.fetch_funding_history(params=SWAP)
    assert (row["info"]["execFee"], row["info"]["execValue"]) == ("-0.64", "6400")
    [entry] = log(bybit, type="SETTLEMENT")
    assert (entry["funding"], entry["change"], entry["cashBalance"]) == (
        "0.64", "0.64", "10000.64",
    )  # fmt: skip
    assert entry["tradeId"] == row["info"]["execId"]
    assert [one["execType"] for one in executions(bybit, execType="Trade")] == ["Trade"]


def test_every_row_of_the_log_explains_the_wallet(bybit: Any, trade: Do, desk: Do) -> None:
    trade("buy", "0.137", "64000")
    trade("sell", "0.211", "63111.1")
    desk("fund", product="linear", symbol="BTCUSDT", rate="0.00013")
    desk("move", kind="transfer_out", asset="USDT", amount="-12.34567891")
    desk("move", kind="bonus", asset="USDT", amount="5")
    rows = log(bybit, currency="USDT")[::-1]
    wallet = Decimal(0)
    for row in rows:
        change = Decimal(row["cashFlow"]) + Decimal(row["funding"] or 0) - Decimal(row["fee"])
        assert Decimal(row["change"]) == change
        wallet += change
        assert Decimal(row["cashBalance"]) == wallet
    assert Decimal(coin(bybit, "USDT")["walletBalance"]) == wallet
    types = [row["type"] for row in rows]
    assert types == ["TRANSFER_IN", "TRADE", "TRADE", "SETTLEMENT", "TRANSFER_OUT", "BONUS"]
    assert len({row["id"] for row in rows}) == len(rows)
    amounts = sorted(Decimal(str(entry["amount"])) for entry in bybit.fetch_ledger("USDT"))
    assert amounts == sorted(abs(Decimal(row["change"])) for row in rows)


def test_a_fee_may_be_known_later(bybit: Any, trade: Do, desk: Do) -> None:
    trade("buy", "0.1", "64000", fee_known=False)
    assert executions(bybit)[0]["execFee"] == ""
    desk("settle_fees", fee="3.52")
    assert executions(bybit)[0]["execFee"] == "3.52"
    assert [row["change"] for row in log(bybit, category="linear")] == ["-3.52", "0"]


def test_a_row_may_come_late(bybit: Any, trade: Do, desk: Do, now: int) -> None:
    trade("buy", "0.1", "64000", at_ms=now - 50, hidden=True)
    trade("buy", "0.2", "64000", at_ms=now)
    assert [row["execQty"] for row in executions(bybit)] == ["0.200"]
    assert len(log(bybit, category="linear")) == 1
    desk("show_late")
    assert [row["execQty"] for row in executions(bybit)] == ["0.200", "0.100"]


def test_a_window_is_a_week_at_most(bybit: Any, trade: Do, now: int) -> None:
    trade("buy", "0.1", "64000", at_ms=now - WEEK - 1000)
    trade("buy", "0.2", "64000", at_ms=now - 1000)
    assert [row["execQty"] for row in executions(bybit)] == ["0.200"]
    old = executions(bybit, startTime=now - WEEK - 1000, endTime=now - 2000)
    assert [row["execQty"] for row in old] == ["0.100"]
    assert [row["execQty"] for row in executions(bybit, startTime=now - 2 * WEEK)] == ["0.100"]
    with pytest.raises(ccxt.BadRequest, match="7 days"):
        executions(bybit, startTime=now - WEEK - 1, endTime=now)
    with pytest.raises(ccxt.BadRequest, match="limit"):
        executions(bybit, limit=101)


# -- orders ----------------------------------------------------------------------------------------


def test_open_orders_and_how_one_ended(bybit: Any, desk: Do, trade: Do) -> None:
    where = {"product": "linear", "symbol": "BTCUSDT", "side": "buy"}
    first = desk("place", **where, qty="0.1", price="50000", client_order_id="mine-1")
    second = desk("place", **where, qty="0.2", price="51000")
    trade("buy", "0.05", "51000", order_id=second)
    bybit.load_markets()
    orders = {order["price"]: order for order in bybit.fetch_open_orders("BTC/USDT:USDT")}
    assert orders["50000.00"]["clientOrderId"] == "mine-1"
    assert (orders["51000.00"]["filled"], orders["51000.00"]["remaining"]) == ("0.050", "0.150")
    desk("cancel", order_id=first)
    assert len(bybit.fetch_open_orders("BTC/USDT:USDT")) == 1
    by_id = {"category": "linear", "orderId": orders["50000.00"]["id"]}
    [ended] = bybit.privateGetV5OrderRealtime(by_id)["result"]["list"]
    assert ended["orderStatus"] == "Cancelled"
    [same] = bybit.privateGetV5OrderHistory({"category": "linear"})["result"]["list"]
    assert same == ended


def test_orders_come_in_pages(bybit: Any, desk: Do) -> None:
    where = {"product": "linear", "symbol": "BTCUSDT", "side": "buy", "qty": "0.1"}
    for price in range(50000, 50005):
        desk("place", **where, price=str(price))
    found, cursor = [], None
    while cursor != "":
        params = {"category": "linear", "settleCoin": "USDT", "limit": 2}
        params |= {"cursor": cursor} if cursor else {}
        result = bybit.privateGetV5OrderRealtime(params)["result"]
        cursor = result["nextPageCursor"]
        found += [row["price"] for row in result["list"]]
    assert found == [f"{price}.00" for price in range(50004, 49999, -1)]


# -- errors ----------------------------------------------------------------------------------------


def test_a_key_that_is_unknown_or_expired_or_signs_wrongly(
    bybit: Any, connect: Do, desk: Do
) -> None:
    info = "privateGetV5AccountInfo"
    with pytest.raises(ccxt.AuthenticationError, match='"retCode":10003'):
        getattr(connect(ccxt.bybit, apiKey="other", secret="secret-1"), info)()
    with pytest.raises(ccxt.AuthenticationError, match='"retCode":10004'):
        getattr(connect(ccxt.bybit, apiKey="key-1", secret="wrong"), info)()
    desk("change_account", revoked=True)
    with pytest.raises(ccxt.AuthenticationError, match='"retCode":33004'):
        getattr(bybit, info)()


def test_a_clock_that_is_off(running: Running, bybit: Any) -> None:
    running.do(lambda desk: desk.skew("bybit", 20_000))
    with pytest.raises(ccxt.InvalidNonce, match='"retCode":10002'):
        bybit.privateGetV5AccountInfo()
    assert int(bybit.publicGetV5MarketTime()["time"]) > bybit.milliseconds() + 19_000
    bybit.load_time_difference()
    assert bybit.privateGetV5AccountInfo()["retCode"] == 0


def _asked_until_refused(client: Any) -> int:
    for number in range(200):
        try:
            client.privateGetV5PositionList({"category": "linear", "settleCoin": "USDT"})
        except ccxt.RateLimitExceeded as refused:
            assert '"retCode":10006' in str(refused)  # noqa: PT017 - raised sooner or later
            return number
    raise AssertionError("never refused")


def test_a_limit_is_of_one_user_and_one_path(running: Running, bybit: Any, connect: Do) -> None:
    assert _asked_until_refused(bybit) >= 10
    headers = bybit.last_response_headers
    assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("10", "0")
    assert int(headers["X-Bapi-Limit-Reset-Timestamp"]) > bybit.milliseconds() - 2000
    assert bybit.privateGetV5AccountInfo()["retCode"] == 0

    def add(desk: Desk) -> None:
        desk.add_accounts([{"venue": "bybit", "uid": "12", "api_key": "key-2", "secret": "s2"}])

    running.do(add)
    other = connect(ccxt.bybit, apiKey="key-2", secret="s2")
    asked = other.privateGetV5PositionList({"category": "linear", "settleCoin": "USDT"})
    assert asked["retCode"] == 0
    assert other.last_response_headers["X-Bapi-Limit-Status"] == "9"


def test_an_address_that_asks_too_often_is_refused_without_json(
    running: Running, bybit: Any
) -> None:
    running.do(lambda desk: desk.fault("limited", venue="bybit", value=7))
    with pytest.raises(ccxt.RateLimitExceeded, match="403"):
        bybit.publicGetV5MarketTime()
    assert "Retry-After" not in bybit.last_response_headers
    with pytest.raises(ccxt.RateLimitExceeded, match="403"):
        bybit.privateGetV5AccountInfo()
