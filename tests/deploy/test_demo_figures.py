"""The demo's table of an exchange's figures beside ours: it ties only where all of them do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from typing import Any

import pytest

from deploy.desk import figures
from deploy.desk.trading import Linked
from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect

pytestmark = pytest.mark.database

ACCOUNT = Linked(7, "bybit", "linear")
SPOT = Linked(8, "binance", "spot")
FILL = {
    "product": "linear", "symbol": "BTCUSDT", "base": "BTC", "quote": "USDT", "settle": "USDT",
    "trade_id": 1, "side": "sell", "qty": "0.3", "price": "64000", "position_side": "net",
    "realized": "5.34994308", "fee": "0.5", "fee_asset": "USDT", "at_ms": 2_000, "kind": "normal",
}  # fmt: skip
TRUTH: dict[str, Any] = {
    "wallets": {"unified": {"USDT": "1004.84994308"}},
    "positions": [
        {"product": "linear", "symbol": "BTCUSDT", "side": "net", "settle": "USDT",
         "qty": "0.116", "funding": "-0.25"},
        {"product": "linear", "symbol": "ETHUSDT", "side": "net", "settle": "USDT",
         "qty": "0", "funding": "0.25"},
    ],
    "fills": [FILL],
}  # fmt: skip


@pytest.fixture
def books(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    """What the fleet booked for the fill and the cash of TRUTH, linked with 1,000 USDT."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        add(connection, "fleet_pnl_daily", account_id=7, product="linear", instrument="BTCUSDT",
            day="2026-01-01", asset="USDT", realized="5.349943076923076923", fees="0.5",
            funding="0")  # fmt: skip
        add(connection, "fleet_positions", account_id=7, product="linear", instrument="BTCUSDT",
            position_side="net", venue="bybit", qty="0.116", cost="7000", realized="0",
            settle_asset="USDT", contract_size="1", fills=1, last_fill_at="2026-01-01", last_ms=1,
            last_seq=1, last_trade_id="1", last_side="buy")  # fmt: skip
        report(connection, 7, "USDT", 1_000, "1000")
        report(connection, 7, "USDT", 3_000, "9999")
        for kind, amount in (("realized", "5.34994308"), ("commission", "-0.5")):
            add(connection, "fleet_cash_entries", account_id=7, venue_type=kind, ref="1",
                asset="USDT", venue="bybit", amount=amount, kind=kind, at="2026-01-01",
                at_ms=2_000, report_hash=b"0" * 16, data="{}")  # fmt: skip
        yield connection


def add(connection: Any, table: str, **columns: Any) -> None:
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    connection.cursor().execute(
        f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608 - names of this file
        tuple(columns.values()),
    )
    connection.commit()


def report(connection: Any, account: int, asset: str, at_ms: int, wallet: str) -> None:
    add(connection, "fleet_observed_balances", account_id=account, asset=asset,
        watermark="2026-01-01", watermark_ms=at_ms, venue="x", wallet=wallet,
        report_hash=b"0" * 16, data="{}")  # fmt: skip


def ties(connection: Any, truth: Any, account: Linked = ACCOUNT) -> bool:
    compared = list(figures.compare(connection, account, truth))
    assert compared
    return all(one.ties for one in compared)


def test_figures_tie_where_only_the_exchange_s_rounding_lies_between(books: Any) -> None:
    assert ties(books, TRUTH)


@pytest.mark.parametrize(
    ("what", "name", "value"),
    [
        ("fills", "realized", "5.34994310"),
        ("fills", "fee", "0.500000000000000001"),
        ("fills", "fee_asset", "BNB"),
        ("positions", "qty", "0.117"),
        ("positions", "qty", "0"),
        ("positions", "side", "long"),
        ("positions", "funding", "-0.24"),
    ],
)
def test_one_figure_that_is_off_is_seen(books: Any, what: str, name: str, value: str) -> None:
    truth = deepcopy(TRUTH)
    truth[what][0][name] = value
    assert not ties(books, truth)


@pytest.mark.parametrize("wallet", ["1004.84994309", "9999", "0"])
def test_a_wallet_is_explained_by_rows_and_not_by_the_newest_report(
    books: Any, wallet: str
) -> None:
    assert not ties(books, {**TRUTH, "wallets": {"unified": {"USDT": wallet}}})


def test_an_asset_that_one_side_alone_has_is_seen(books: Any) -> None:
    assert not ties(books, {**TRUTH, "wallets": {"unified": {"USDT": "1004.84994308", "BNB": "1"}}})


def test_spot_is_compared_by_what_the_exchange_s_own_fills_come_to(books: Any) -> None:
    for asset in ("BTC", "USDT"):
        report(books, 8, asset, 1_000, "1000")
    add(books, "fleet_pnl_daily", account_id=8, product="spot", instrument="BTCUSDT",
        day="2026-01-01", asset="USDT", realized="30", fees="1")  # fmt: skip
    told: list[dict[str, Any]] = []
    for number, (side, price, fee) in enumerate((("buy", "64000", "0"), ("sell", "64100", "1"))):
        told.append({**FILL, "product": "spot", "trade_id": number, "side": side, "price": price,
                     "realized": "0", "fee": fee, "at_ms": 2_000 + number})  # fmt: skip
        add(books, "fleet_fills", account_id=8, product="spot", instrument="BTCUSDT",
            trade_id=str(number), side=side, venue="binance", position_side="net", qty="0.3",
            price=price, contract_size="1", value=str(int(price) * 3 // 10), fee=fee,
            fee_asset="USDT", settle_asset="USDT", base_asset="BTC", quote_asset="USDT",
            executed_at="2026-01-01", executed_at_ms=2_000 + number, trade_id_bytes=1)  # fmt: skip
    truth = {"wallets": {"spot": {"BTC": "1000", "USDT": "1029"}}, "positions": [], "fills": told}
    assert ties(books, truth, SPOT)
    told[1]["price"] = "64101"
    assert not ties(books, truth, SPOT)


def test_the_table_has_two_lines_for_each_asset(books: Any) -> None:
    made = figures.table(list(figures.compare(books, ACCOUNT, TRUTH)))
    cells = {str(column.header): list(column.cells) for column in made.columns}
    assert cells["realized"] == ["5.349943076923076923", "5.34994308"]
    assert cells["wallet"] == ["1004.84994308"] * 2
    assert cells["positions"] == ["BTCUSDT 0.116"] * 2
