"""OKX v5 as an unmodified `ccxt.okx` meets it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from deploy.exchange.desk import Desk
from deploy.exchange.server import Running

ME = {"venue": "okx", "api_key": "key-1"}
BTC = "BTC-USDT-SWAP"
DAY = 86_400_000
Do = Callable[..., Any]


@pytest.fixture
def me(running: Running) -> dict[str, str]:
    """An account with 10,000 USDT and a bitcoin; names it for the desk's verbs."""
    account = {
        **ME, "uid": "21", "secret": "secret-1", "passphrase": "phrase-1",
        "products": ["linear", "inverse", "spot"],
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
def okx(connect: Do, me: dict[str, str]) -> Any:
    return connect(ccxt.okx, apiKey=me["api_key"], secret="secret-1", password="phrase-1")


@pytest.fixture
def trade(desk: Do) -> Do:
    def made(side: str, qty: str, price: str, **rest: Any) -> Any:
        return desk(
            "trade", **{"product": "linear", "symbol": BTC} | rest, side=side, qty=qty, price=price
        )

    return made


@pytest.fixture
def now(running: Running) -> int:
    return running.do(lambda desk: desk.exchange.now_ms("okx"))


def fills(okx: Any, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = okx.privateGetTradeFills(params)["data"]
    return found


def bills(okx: Any, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = okx.privateGetAccountBills(params)["data"]
    return found


def currency(okx: Any, ccy: str) -> dict[str, Any]:
    details = okx.privateGetAccountBalance()["data"][0]["details"]
    return next(row for row in details if row["ccy"] == ccy)


# -- what is held ----------------------------------------------------------------------------------


def test_markets_have_contracts(okx: Any) -> None:
    markets = okx.load_markets()
    assert (markets["BTC/USDT:USDT"]["contractSize"], markets["BTC/USDT:USDT"]["linear"]) == (
        "0.01", True,
    )  # fmt: skip
    assert (markets["BTC/USD:BTC"]["contractSize"], markets["BTC/USD:BTC"]["inverse"]) == (
        "100", True,
    )  # fmt: skip
    assert markets["BTC/USDT"]["spot"]


def test_cash_is_without_unrealized_pnl_and_equity_with_it(
    okx: Any, trade: Do, now: int
) -> None:
    trade("buy", "100", "63000", fee="31.5", at_ms=now)
    row = currency(okx, "USDT")
    assert (row["cashBal"], row["upl"], row["eq"]) == ("9968.5", "1000", "10968.5")
    assert int(row["uTime"]) == now
    assert okx.fetch_balance()["USDT"]["total"] == "10968.5"


def test_net_positions_are_signed_contracts(okx: Any, trade: Do) -> None:
    trade("sell", "30", "64000")
    [position] = okx.fetch_positions()
    assert (position["side"], position["contracts"], position["entryPrice"]) == (
        "short", "30", "64000",
    )  # fmt: skip
    assert (position["info"]["pos"], position["info"]["posSide"]) == ("-30", "net")


def test_sides_of_a_hedged_account_are_positive(okx: Any, trade: Do, desk: Do) -> None:
    desk("change_account", hedge=True)
    trade("buy", "30", "64000", position_side="long")
    trade("sell", "10", "64100", position_side="short")
    rows = okx.privateGetAccountPositions()["data"]
    assert sorted((row["posSide"], row["pos"]) for row in rows) == [("long", "30"), ("short", "10")]
    assert okx.privateGetAccountConfig()["data"][0]["posMode"] == "long_short_mode"


def test_a_closed_position_is_a_row_only_when_it_is_named(okx: Any, trade: Do) -> None:
    trade("buy", "1", "64000")
    trade("sell", "1", "64100")
    assert okx.privateGetAccountPositions()["data"] == []
    [row] = okx.privateGetAccountPositions({"instId": BTC})["data"]
    assert (row["pos"], row["avgPx"]) == ("0", "")
    assert okx.privateGetAccountPositions({"instId": "ETH-USDT-SWAP"})["data"] == []


def test_a_snapshot_may_be_older_than_the_newest_fill(okx: Any, trade: Do, desk: Do) -> None:
    trade("buy", "1", "64000", fee="1")
    desk("freeze_snapshot")
    trade("buy", "2", "64000", fee="1")
    assert okx.fetch_positions()[0]["contracts"] == "1"
    assert currency(okx, "USDT")["cashBal"] == "9999"
    assert len(fills(okx)) == 2
    desk("thaw_snapshot")
    assert okx.fetch_positions()[0]["contracts"] == "3"


def test_a_key_says_whether_it_may_withdraw_and_whose_it_is(okx: Any, desk: Do) -> None:
    [row] = okx.privateGetAccountConfig()["data"]
    assert (row["perm"], row["uid"], row["posMode"]) == ("read_only,trade", "21", "net_mode")
    desk("change_account", withdraw=True)
    assert "withdraw" in okx.privateGetAccountConfig()["data"][0]["perm"].split(",")


# -- arithmetic, by hand ---------------------------------------------------------------------------


def test_a_contract_is_a_hundredth_of_a_coin(okx: Any, trade: Do) -> None:
    trade("buy", "10", "60000")
    trade("sell", "4", "61000")
    closing, opening = fills(okx)
    assert (opening["fee"], opening["fillPnl"]) == ("-3", "0")  # 10 · 0.01 · 60000 · 0.0005
    assert (closing["fee"], closing["fillPnl"]) == ("-1.22", "40")  # 4 · 0.01 · 1000
    assert [(row["balChg"], row["pnl"], row["fee"]) for row in bills(okx, type="2")] == [
        ("38.78", "40", "-1.22"), ("-3", "0", "-3"),
    ]  # fmt: skip
    assert currency(okx, "USDT")["cashBal"] == "10035.78"


def test_inverse_averages_harmonically_and_pays_in_coins(okx: Any, trade: Do) -> None:
    """10 and 20 contracts of 100 dollars: 0.2 + 0.3333… BTC, an average of 5625."""
    inverse = {"product": "inverse", "symbol": "BTC-USD-SWAP", "fee": "0"}
    trade("buy", "10", "5000", **inverse)
    trade("buy", "20", "6000", **inverse)
    [position] = okx.fetch_positions()
    assert (position["entryPrice"], position["contracts"]) == ("5625", "30")
    trade("sell", "15", "6250", **inverse)
    [row] = bills(okx, ccy="BTC", type="2", subType="2")
    assert (row["pnl"], row["ccy"]) == ("0.0266666666666667", "BTC")  # 1500/5625 - 1500/6250
    assert currency(okx, "BTC")["cashBal"] == "1.0266666666666667"


def test_a_spot_trade_has_a_bill_for_each_currency(okx: Any, trade: Do) -> None:
    spot = {"product": "spot", "symbol": "BTC-USDT"}
    trade("buy", "0.01", "60000", fee="0.00001", **spot)
    trade("sell", "0.005", "62000", fee="0.31", **spot)
    rows = bills(okx, instType="SPOT")
    assert sorted((row["ccy"], row["balChg"], row["fee"], row["subType"]) for row in rows) == [
        ("BTC", "-0.005", "0", "2"), ("BTC", "0.00999", "-0.00001", "1"),
        ("USDT", "-600", "0", "2"), ("USDT", "309.69", "-0.31", "1"),
    ]  # fmt: skip
    assert currency(okx, "USDT")["cashBal"] == "9709.69"
    bought = fills(okx, instType="SPOT")[1]
    assert (bought["fee"], bought["feeCcy"]) == ("-0.00001", "BTC")
    assert bought["billId"] in {row["billId"] for row in rows}


# -- what happened ---------------------------------------------------------------------------------


def test_trades_keep_every_digit_and_fees_are_negative_when_paid(okx: Any, trade: Do) -> None:
    trade("buy", "1.2", "64123.4", fee="0.38474040", client_order_id="mine1", maker=True)
    [found] = okx.fetch_my_trades(params={"type": "swap"})
    assert (found["price"], found["amount"], found["takerOrMaker"]) == ("64123.4", "1.20", "maker")
    assert found["info"]["fee"] == "-0.3847404"
    assert found["fee"] == {"cost": "0.3847404", "currency": "USDT"}
    assert found["info"]["clOrdId"] == "mine1"


def test_a_rebate_is_positive(okx: Any, trade: Do) -> None:
    trade("buy", "1", "64000", fee="-0.064", maker=True)
    assert fills(okx)[0]["fee"] == "0.064"


def test_pages_by_id_split_a_millisecond(okx: Any, trade: Do, now: int) -> None:
    trade("buy", "0.01", "64000", at_ms=now - 2000)
    trade("buy", "0.01", "64000", at_ms=now - 1000, repeat=4)
    trade("buy", "0.01", "64000", at_ms=now)
    every = [row["billId"] for row in fills(okx)]
    assert every == sorted(every, key=int, reverse=True)
    found: list[str] = []
    while page := fills(okx, limit=2, **({"after": found[-1]} if found else {})):
        found += [row["billId"] for row in page]
    assert found == every
    assert [row["billId"] for row in fills(okx, before=every[4], limit=2)] == every[:2]
    assert [row["billId"] for row in fills(okx, before=every[4], after=every[1])] == every[2:4]
    inside = fills(okx, begin=now - 1000, end=now - 1000)
    assert [row["billId"] for row in inside] == every[1:5]


def test_bills_page_the_same_way(okx: Any, trade: Do, now: int) -> None:
    trade("buy", "0.01", "64000", at_ms=now, repeat=5)
    every = [row["billId"] for row in bills(okx, type="2")]
    found: list[str] = []
    while page := bills(okx, type="2", limit=2, **({"after": found[-1]} if found else {})):
        found += [row["billId"] for row in page]
    assert found == every
    assert [row["billId"] for row in fills(okx)] == every


def test_a_page_has_a_hundred_rows_at_most(okx: Any, trade: Do) -> None:
    trade("buy", "0.01", "64000", repeat=120)
    assert len(fills(okx)) == len(fills(okx, limit=500)) == 100


def test_a_self_trade_has_one_id_and_two_sides(okx: Any, trade: Do) -> None:
    trade("buy", "1", "64000", self_trade=True)
    sell, buy = fills(okx)
    assert sell["tradeId"] == buy["tradeId"]
    assert (buy["side"], sell["side"]) == ("buy", "sell")
    assert buy["billId"] != sell["billId"]


@pytest.mark.parametrize(
    ("kind", "types"),
    [("liquidation", ("5", "107")), ("adl", ("9", "128")), ("settlement", ("3", "112"))],
)
def test_forced_fills_are_marked(okx: Any, trade: Do, kind: str, types: tuple[str, str]) -> None:
    trade("buy", "1", "64000")
    trade("sell", "1", "60000", kind=kind)
    row = bills(okx)[0]
    assert (row["type"], row["subType"]) == types
    assert fills(okx)[0]["subType"] == types[1]
    assert fills(okx)[0]["clOrdId"] == ""


def test_funding_is_a_bill_of_its_own(okx: Any, trade: Do, desk: Do) -> None:
    trade("buy", "10", "64000", fee="0")
    desk("fund", product="linear", symbol=BTC, rate="0.0001")
    okx.load_markets()
    [row] = okx.fetch_funding_history("BTC/USDT:USDT")
    assert row["amount"] == "-0.64"
    info = row["info"]
    assert (info["type"], info["subType"], info["balChg"], info["fee"]) == (
        "8", "173", "-0.64", "0",
    )  # fmt: skip
    assert len(fills(okx)) == 1


def test_every_bill_explains_the_wallet(okx: Any, trade: Do, desk: Do) -> None:
    trade("buy", "13.7", "64000")
    trade("sell", "21.1", "63111.1")
    desk("fund", product="linear", symbol=BTC, rate="0.00013")
    desk("move", kind="transfer_out", asset="USDT", amount="-12.3456789123")
    desk("move", kind="bonus", asset="USDT", amount="5")
    rows = bills(okx, ccy="USDT")[::-1]
    cash = Decimal(0)
    for row in rows:
        if row["type"] in {"2", "8"}:
            assert Decimal(row["balChg"]) == Decimal(row["pnl"]) + Decimal(row["fee"])
        cash += Decimal(row["balChg"])
        assert Decimal(row["bal"]) == cash
    assert Decimal(currency(okx, "USDT")["cashBal"]) == cash
    assert [(row["type"], row["subType"]) for row in rows] == [
        ("1", "11"), ("2", "1"), ("2", "2"), ("8", "174"), ("1", "12"), ("1", "200"),
    ]  # fmt: skip
    swaps = [entry["amount"] for entry in okx.fetch_ledger("USDT", params={"type": "swap"})]
    assert sorted(swaps) == sorted(row["balChg"] for row in rows if row["instType"] == "SWAP")


def test_a_fee_may_be_known_later(okx: Any, trade: Do, desk: Do) -> None:
    trade("buy", "1", "64000", fee_known=False)
    assert fills(okx)[0]["fee"] == ""
    desk("settle_fees", fee="0.32")
    assert fills(okx)[0]["fee"] == "-0.32"
    assert [row["balChg"] for row in bills(okx, type="2")] == ["-0.32", "0"]


def test_a_row_may_come_late_with_its_old_id(okx: Any, trade: Do, desk: Do, now: int) -> None:
    trade("buy", "1", "64000", at_ms=now - 50, hidden=True)
    trade("buy", "2", "64000", at_ms=now)
    [seen] = fills(okx)
    desk("show_late")
    assert fills(okx, before=seen["billId"]) == []
    assert [row["fillSz"] for row in fills(okx)] == ["2.00", "1.00"]


def test_each_path_reaches_so_far_back(okx: Any, trade: Do, now: int) -> None:
    trade("buy", "1", "64000", at_ms=now - 8 * DAY)
    trade("buy", "2", "64000", at_ms=now - 4 * DAY)
    trade("buy", "3", "64000", at_ms=now)
    assert [row["fillSz"] for row in fills(okx)] == ["3.00"]
    history = okx.privateGetTradeFillsHistory({"instType": "SWAP"})["data"]
    assert [row["fillSz"] for row in history] == ["3.00", "2.00", "1.00"]
    assert [row["sz"] for row in bills(okx, type="2")] == ["3", "2"]
    archive = okx.privateGetAccountBillsArchive({"type": "2"})["data"]
    assert [row["sz"] for row in archive] == ["3", "2", "1"]
    with pytest.raises(ccxt.BadRequest, match="instType"):
        okx.privateGetTradeFillsHistory()


# -- orders ----------------------------------------------------------------------------------------


def test_open_orders_and_how_one_ended(okx: Any, desk: Do, trade: Do) -> None:
    where = {"product": "linear", "symbol": BTC, "side": "buy"}
    first = desk("place", **where, qty="1", price="50000", client_order_id="mine1")
    second = desk("place", **where, qty="2", price="51000")
    trade("buy", "0.5", "51000", order_id=second)
    okx.load_markets()
    orders = {order["price"]: order for order in okx.fetch_open_orders()}
    assert orders["50000.0"]["clientOrderId"] == "mine1"
    assert (orders["51000.0"]["filled"], orders["51000.0"]["info"]["state"]) == (
        "0.50", "partially_filled",
    )  # fmt: skip
    desk("cancel", order_id=first)
    assert len(okx.fetch_open_orders()) == 1
    named = {"instId": BTC, "ordId": orders["50000.0"]["id"]}
    assert okx.privateGetTradeOrder(named)["data"][0]["state"] == "canceled"
    assert okx.fetch_order("", "BTC/USDT:USDT", {"clOrdId": "mine1"})["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        okx.privateGetTradeOrder({"instId": BTC, "ordId": "1"})


def test_orders_page_by_their_ids(okx: Any, desk: Do) -> None:
    where = {"product": "linear", "symbol": BTC, "side": "buy", "qty": "1"}
    for price in range(50000, 50005):
        desk("place", **where, price=str(price))
    every = [row["ordId"] for row in okx.privateGetTradeOrdersPending()["data"]]
    assert every == sorted(every, key=int, reverse=True)
    found: list[str] = []
    while page := okx.privateGetTradeOrdersPending(
        {"limit": 2, **({"after": found[-1]} if found else {})}
    )["data"]:
        found += [row["ordId"] for row in page]
    assert found == every


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("me")
def test_a_key_that_is_unknown_or_signs_wrongly_or_has_another_passphrase(connect: Do) -> None:
    for code, settings in {
        "50111": {"apiKey": "other"},
        "50113": {"secret": "wrong"},
        "50105": {"password": "wrong"},
    }.items():
        good = {"apiKey": "key-1", "secret": "secret-1", "password": "phrase-1"}
        with pytest.raises(ccxt.AuthenticationError, match=f'"code":"{code}"'):
            connect(ccxt.okx, **good | settings).privateGetAccountConfig()


def test_a_deleted_key_has_a_code_that_ccxt_does_not_know(okx: Any, desk: Do) -> None:
    desk("change_account", revoked=True)
    with pytest.raises(ccxt.ExchangeError, match='"code":"50119"') as refused:
        okx.privateGetAccountConfig()
    assert not isinstance(refused.value, ccxt.AuthenticationError)


def test_a_clock_that_is_off_by_more_than_half_a_minute(running: Running, okx: Any) -> None:
    running.do(lambda desk: desk.skew("okx", 20_000))
    assert okx.privateGetAccountConfig()["code"] == "0"
    running.do(lambda desk: desk.skew("okx", 40_000))
    with pytest.raises(ccxt.InvalidNonce, match='"code":"50102"'):
        okx.privateGetAccountConfig()
    okx.load_time_difference()
    assert okx.privateGetAccountConfig()["code"] == "0"


def _asked_until_refused(client: Any) -> int:
    for number in range(200):
        try:
            client.privateGetAccountBalance()
        except ccxt.RateLimitExceeded as refused:
            assert '"code":"50011"' in str(refused)  # noqa: PT017 - raised sooner or later
            return number
    raise AssertionError("never refused")


def test_a_limit_is_of_one_user_and_one_path(running: Running, okx: Any, connect: Do) -> None:
    assert _asked_until_refused(okx) >= 10
    assert "Retry-After" not in okx.last_response_headers
    assert okx.privateGetAccountPositions()["code"] == "0"

    def add(desk: Desk) -> None:
        desk.add_accounts([{"venue": "okx", "uid": "22", "api_key": "key-2", "secret": "s2",
                            "passphrase": "p2"}])  # fmt: skip

    running.do(add)
    other = connect(ccxt.okx, apiKey="key-2", secret="s2", password="p2")
    assert other.privateGetAccountBalance()["code"] == "0"
