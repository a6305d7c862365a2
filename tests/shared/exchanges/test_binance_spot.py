"""Binance spot: wallets, what they say about symbols, and what moved them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.exchanges.binance_spot import read_balances, read_permissions, traded
from shared.exchanges.binance_spot_cash import SOURCES, UNDONE_MS, read_cash
from shared.exchanges.venue import Account, Cursor, Found, Market, Page, Product, Request
from tests.binance_answers import MINUTE_MS, START_MS, drive

NOW = START_MS + MINUTE_MS
DAY_MS = 86_400_000
PAIRS = (("BTC", "USDT"), ("ETH", "USDT"), ("ETH", "BTC"), ("BNB", "USDT"), ("XRP", "USDT"))
MARKETS: dict[tuple[Product, str], Market] = {
    ("spot", base + quote): Market(base + quote, "spot", base, quote, quote, "1")
    for base, quote in PAIRS
}


def account(now_ms: int = NOW, **more: Any) -> Account:
    return Account(7, ("spot",), MARKETS, now_ms, START_MS, **more)


# -- wallets and symbols ---------------------------------------------------------------------------


def wallets(moved_ms: int = START_MS, **amounts: str) -> dict[str, Any]:
    """As /api/v3/account; "free+locked"."""
    balances = []
    for asset, amount in amounts.items():
        free, _, locked = amount.partition("+")
        balances.append({"asset": asset, "free": free, "locked": locked or "0.00000000"})
    return {"updateTime": str(moved_ms), "uid": "354937868", "balances": balances}


def look(answer: dict[str, Any], cursor: Cursor, **more: Any) -> Page:
    page = drive(read_balances(account(**more), cursor), lambda _: answer)
    return page._replace(cursor=json.loads(json.dumps(page.cursor)))


def reported(page: Page) -> dict[str, str]:
    return {one.body["asset"]: one.body["wallet"] for one in page.events}


def test_a_wallet_is_what_is_free_and_what_orders_hold() -> None:
    page = look(wallets(BTC="0.10000000+0.00000001", USDT="5.00000000", XRP="0.00000000"), {})
    assert reported(page) == {"BTC": "0.10000001", "USDT": "5.00000000"}
    page = look(wallets(BTC="0.00000000", USDT="5.00000000", XRP="0.00000000"), page.cursor)
    assert reported(page) == {"BTC": "0.00000000", "USDT": "5.00000000"}


def test_what_moves_while_it_is_looked_at_is_no_report_but_a_hint() -> None:
    page = look(wallets(NOW, BTC="1", USDT="1"), {})
    assert page.events == []
    assert page.wanted == {"BTCUSDT": NOW}


def test_two_assets_that_moved_name_the_market_between_them() -> None:
    before = look(wallets(BTC="1", ETH="1", USDT="9", BNB="1"), {})
    after = look(wallets(BTC="2", ETH="1", USDT="5", BNB="1"), before.cursor)
    assert after.wanted == {"BTCUSDT": START_MS}
    three = look(wallets(BTC="3", ETH="1", USDT="4", BNB="0.9"), after.cursor)
    assert sorted(three.wanted) == ["BNBUSDT", "BTCUSDT"]
    assert look(wallets(BTC="3", ETH="1", USDT="4", BNB="0.9"), three.cursor).wanted == {}


def test_an_asset_that_moved_alone_names_the_symbols_that_are_known() -> None:
    assert traded(account(), {"USDT"}, []) == []
    assert traded(account(), {"USDT"}, ["ETHBTC", "XRPUSDT"]) == ["XRPUSDT"]
    held = account(held=(("spot", "BTCUSDT"), ("linear", "ETHUSDT")))
    assert traded(held, {"USDT"}, []) == ["BTCUSDT"]


def test_known_symbols_are_remembered() -> None:
    page = look(wallets(BTC="1", USDT="9"), {})
    page = look(wallets(BTC="1", USDT="8"), page.cursor)
    assert page.wanted == {"BTCUSDT": START_MS}


# -- what moved them -------------------------------------------------------------------------------


class Venue:
    """Answers the lists by path (transfers by type), within the time that is asked for."""

    TIMES = ("insertTime", "timestamp", "divTime")

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Any:
        self.asked.append(request)
        name = request.path.rpartition("/")[2]
        given = request.params
        rows = [
            row
            for row in self.rows.get(name, [])
            if row.get("type") == given.get("type")
            and int(given["startTime"]) <= began_ms(row) <= int(given["endTime"])
        ]
        wrapped = name in {"transfer", "assetDividend"}
        return {"total": str(len(rows)), "rows": rows} if wrapped else rows


def began_ms(row: dict[str, Any]) -> int:
    at = next((row[name] for name in Venue.TIMES if name in row), None)
    return START_MS if at is None else int(at)


def read(venue: Venue, cursor: Cursor, now_ms: int = NOW) -> tuple[list[Found], Cursor]:
    page = drive(read_cash(account(now_ms), cursor), venue.answer)
    assert (page.through_ms, page.more) == (now_ms, False)
    return list(page.events), json.loads(json.dumps(page.cursor))


def deposit(**more: Any) -> dict[str, Any]:
    return {"id": "7698", "amount": "0.50000000", "coin": "BTC", "status": "1",
            "insertTime": str(START_MS), "walletType": "0", "confirmTimes": "1/1",
            **more}  # fmt: skip


def withdrawal(**more: Any) -> dict[str, Any]:
    """2026-09-21 14:13:20 is START_MS."""
    return {"id": "b6ae", "amount": "8.91000000", "transactionFee": "0.004", "coin": "USDT",
            "status": "6", "applyTime": "2026-09-21 14:13:20", "walletType": "0",
            **more}  # fmt: skip


def test_a_deposit_is_told_when_it_is_done_however_long_that_takes() -> None:
    venue = Venue(hisrec=[deposit(status="0")])
    found, cursor = read(venue, {})
    assert found == []
    for status in ("8", "6"):
        venue.rows["hisrec"] = [deposit(status=status, confirmTimes="0/1")]
        found, cursor = read(venue, cursor, NOW + 2 * DAY_MS)
        assert found == []
    done = deposit(completeTime=str(START_MS + 5 * DAY_MS))
    venue.rows["hisrec"] = [done]
    (found_one,), cursor = read(venue, cursor, NOW + 5 * DAY_MS)
    assert found_one.body == {
        "account_id": 7, "venue": "binance", "product": "spot", "instrument": "",
        "kind": "transfer_in", "venue_type": "DEPOSIT", "ref": "7698", "asset": "BTC",
        "amount": "0.50000000", "at_ms": START_MS + 5 * DAY_MS,
    }  # fmt: skip
    venue.rows["hisrec"] = [done | {"confirmTimes": "9/1"}]
    assert read(venue, cursor, NOW + 5 * DAY_MS)[0] == []


def test_what_is_not_done_is_given_up_some_day() -> None:
    venue = Venue(hisrec=[deposit(status="0")])
    _, cursor = read(venue, {})
    _, cursor = read(venue, cursor, NOW + DAY_MS)
    assert cursor["deposits"]["undone_ms"] == START_MS
    _, cursor = read(venue, cursor, NOW + UNDONE_MS + DAY_MS)
    venue.asked = []
    read(venue, cursor, NOW + UNDONE_MS + 2 * DAY_MS)
    begins = [int(one.params["startTime"]) for one in venue.asked if "deposit" in one.path]
    assert min(begins) > START_MS + UNDONE_MS


def test_a_withdrawal_takes_its_amount_and_its_fee() -> None:
    venue = Venue(history=[withdrawal(status="4")])
    found, cursor = read(venue, {})
    assert found == []
    venue.rows["history"] = [withdrawal(), withdrawal(id="no", status="3")]
    found, cursor = read(venue, cursor)
    assert [
        (one.body["venue_type"], one.body["ref"], one.body["kind"], one.body["amount"])
        for one in found
    ] == [
        ("WITHDRAW", "b6ae", "transfer_out", "-8.91000000"),
        ("WITHDRAW_FEE", "b6ae", "transfer_out", "-0.004"),
    ]
    assert {one.body["at_ms"] for one in found} == {START_MS + 999}  # the end of the second
    assert read(venue, cursor)[0] == []


def test_a_transfer_has_the_sign_of_its_direction() -> None:
    row = {"asset": "USDT", "amount": "3", "status": "CONFIRMED", "timestamp": str(START_MS)}
    venue = Venue(
        transfer=[
            row | {"type": "MAIN_UMFUTURE", "tranId": "1"},
            row | {"type": "UMFUTURE_MAIN", "tranId": "1"},
            row | {"type": "MAIN_UMFUTURE", "tranId": "2", "status": "FAILED"},
            row | {"type": "MAIN_UMFUTURE", "tranId": "3", "status": "PENDING"},
        ]
    )
    found, cursor = read(venue, {})
    assert sorted((one.body["kind"], one.body["amount"], one.body["ref"]) for one in found) == [
        ("transfer_in", "3", "1"),
        ("transfer_out", "-3", "1"),
    ]
    assert "undone_ms" in cursor["MAIN_UMFUTURE"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Simple Earn Flexible Interest", "interest"),
        ("Referral Kickback", "rebate"),
        ("Airdrop", "bonus"),
        ("Something", "other"),
    ],
)
def test_what_the_venue_paid_out_has_a_kind(words: str, kind: str) -> None:
    row = {"id": "1", "asset": "BNB", "amount": "0.1", "divTime": str(START_MS), "enInfo": words}
    (found,), _ = read(Venue(assetDividend=[row]), {})
    assert (found.body["kind"], found.body["venue_type"]) == (kind, "DIVIDEND")


def test_the_funding_wallet_is_another_wallet() -> None:
    venue = Venue(hisrec=[deposit(walletType="1")], history=[withdrawal(walletType="1")])
    assert read(venue, {})[0] == []


def test_a_quiet_account_costs_one_request_for_each_list() -> None:
    venue = Venue()
    _, cursor = read(venue, {})
    venue.asked = []
    read(venue, cursor, NOW + MINUTE_MS)
    assert len(venue.asked) == len(SOURCES)
    assert sum(one.weight for one in venue.asked) < 25


def test_a_key_says_what_it_may_do_and_whose_it_is() -> None:
    answers = {
        "account/apiRestrictions": {"enableWithdrawals": False, "enableSpotAndMarginTrading": True},
        "account": wallets(),
    }
    may = drive(read_permissions(), lambda request: answers[request.path])
    assert may == (False, True, "354937868")
