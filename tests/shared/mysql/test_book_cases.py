"""Every kind of fill and cash row in the books: what it changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from tests.books import deliver, record, rows
from tests.ledger_world import DAY_MS, FIRST_DAY, cash, entry, report

pytestmark = pytest.mark.database
D = Decimal
MIDNIGHT = 1_784_592_000_000  # 2026-07-21
FEES = "CAST(day AS CHAR), asset, realized, fees, funding, other, fills"


def test_a_commission_that_comes_later_as_a_revision_ends_alike_in_any_order(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    told = [
        report(fee=None),
        report(fee="0.3", fee_asset="BNB", revision=2),
        report(fee="0.25", fee_asset="USDT", revision=3),
    ]
    seen = []
    for order in permutations(told):
        clear()
        seen.append(deliver(mysql_schema, [[one] for one in order]))
        assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [
            ("2024-10-04", "USDT", 0, D("0.25"), 0, 0, 1)
        ]
    assert all(one == seen[0] for one in seen)
    assert seen[0]["fleet_breaks"] == []


def test_a_fee_in_a_third_asset_stands_in_that_asset_and_moves_no_position(
    mysql_schema: Any,
) -> None:
    for product in ("linear", "spot"):
        record(mysql_schema, [report(product=product, fee="0.01", fee_asset="BNB")])
    assert rows(mysql_schema, "fleet_positions", "product, qty, cost, realized") == [
        ("linear", 1, 100, 0),
        ("spot", 1, 100, 0),
    ]
    assert rows(mysql_schema, "fleet_pnl_daily", "product, asset, fees, fills") == [
        ("linear", "BNB", D("0.01"), 0),
        ("linear", "USDT", 0, 1),
        ("spot", "BNB", D("0.01"), 0),
        ("spot", "USDT", 0, 1),
    ]


def test_a_rebate_of_a_fill_is_a_negative_fee_and_one_of_the_venue_is_other_income(
    mysql_schema: Any,
) -> None:
    record(mysql_schema, [report(fee="-0.02", fee_asset="USDT"), cash(kind="rebate", amount="3")])
    assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [
        ("2024-10-04", "USDT", 0, D("-0.02"), 0, 3, 1)
    ]


@pytest.mark.parametrize("kind", ["liquidation", "adl", "settlement"])
def test_a_forced_close_is_a_fill_like_any_other_without_an_order_of_ours(
    mysql_schema: Any, kind: str
) -> None:
    forced = report(trade_id="2", side="sell", qty="3", price="60", kind=kind, fee=None)
    costs = [
        cash(kind="liquidation_fee", venue_type="INSURANCE_CLEAR", amount="-1.5"),
        cash(kind="insurance", venue_type="INSURANCE", amount="0.5"),
    ]
    record(mysql_schema, [report(qty="3", price="100", order_id="7"), forced, *costs])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, realized") == [(0, 0, -120)]
    assert rows(mysql_schema, "fleet_fills", "trade_id, kind, order_id, signal_id") == [
        ("1", "normal", "7", None),
        ("2", kind, None, None),
    ]
    assert rows(mysql_schema, "fleet_orders", "order_key") == [("o:7",)]
    assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [
        ("2024-10-04", "USDT", -120, 0, 0, -1, 2)
    ]


def test_funding_of_midnight_in_another_asset_than_the_contract_s(mysql_schema: Any) -> None:
    """A row in BNFCR, stamped 00:00:00.000, beside the fill of the millisecond before."""
    record(
        mysql_schema,
        [
            report(executed_at_ms=MIDNIGHT - 1),
            cash(asset="BNFCR", amount="-0.123", at_ms=MIDNIGHT),
            cash(asset="BNFCR", amount="-0.5", at_ms=MIDNIGHT - 1, ref="2"),
        ],
    )
    assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [
        ("2026-07-20", "BNFCR", 0, 0, D("-0.5"), 0, 0),
        ("2026-07-20", "USDT", 0, 0, 0, 0, 1),
        ("2026-07-21", "BNFCR", 0, 0, D("-0.123"), 0, 0),
    ]


def test_fills_alike_in_all_but_their_id_are_different_fills(mysql_schema: Any) -> None:
    record(mysql_schema, [report(trade_id="1"), report(trade_id="2")])
    assert rows(mysql_schema, "fleet_positions", "qty, fills") == [(2, 2)]


def test_one_trade_id_of_two_instruments_is_two_fills(mysql_schema: Any) -> None:
    record(mysql_schema, [report(), report(instrument="ETHUSDT"), report(product="spot")])
    assert rows(mysql_schema, "fleet_positions", "product, instrument, fills") == [
        ("linear", "BTCUSDT", 1), ("linear", "ETHUSDT", 1), ("spot", "BTCUSDT", 1)
    ]  # fmt: skip


def test_one_id_of_two_types_of_income_is_two_rows(mysql_schema: Any) -> None:
    told = [
        cash(venue_type="REALIZED_PNL", kind="realized", ref="9"),
        cash(venue_type="COMMISSION", kind="commission", ref="9"),
        cash(venue_type="FUNDING_FEE", kind="funding", ref="9"),
    ]
    record(mysql_schema, told)
    assert len(rows(mysql_schema, "fleet_cash_entries")) == 3
    assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [("2024-10-04", "USDT", 0, 0, 1, 0, 0)]


def test_long_and_short_of_a_hedge_are_two_positions_of_one_daily_row(mysql_schema: Any) -> None:
    record(
        mysql_schema,
        [
            report(trade_id="1", position_side="long", qty="2"),
            report(trade_id="2", position_side="short", side="sell", price="120"),
            report(trade_id="3", position_side="short", price="115"),
            report(trade_id="4", position_side="long", side="sell", price="103"),
        ],
    )
    assert rows(mysql_schema, "fleet_positions", "position_side, qty, realized") == [
        ("long", 1, 3), ("short", 0, 5)
    ]  # fmt: skip
    assert rows(mysql_schema, "fleet_pnl_daily", FEES) == [("2024-10-04", "USDT", 8, 0, 0, 0, 4)]


def test_an_inverse_position_is_kept_in_coins_with_its_harmonic_entry(mysql_schema: Any) -> None:
    both: dict[str, Any] = {"product": "inverse", "instrument": "BTCUSD", "settle_asset": "BTC"}
    told = [
        report(**both, trade_id="1", qty="1000", price="5000"),
        report(**both, trade_id="2", qty="2000", price="6000"),
        report(**both, trade_id="3", side="sell", qty="1500", price="7500"),
    ]
    deliver(mysql_schema, [told[1:], told[:1]])
    columns = "qty, cost, ROUND(avg_entry, 12), realized, settle_asset"
    assert rows(mysql_schema, "fleet_positions", columns) == [
        (1500, D("0.266666666666666667"), 5625, D("0.066666666666666666"), "BTC")
    ]
    assert rows(mysql_schema, "fleet_pnl_daily", "asset, realized, fills") == [
        ("BTC", D("0.066666666666666666"), 3)
    ]


def test_the_average_entry_is_shown_and_never_computed_with(
    mysql_schema: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    """Spoilt, it is put right by the next fill, and the cost was never touched."""
    record(mysql_schema, [report(qty="3", price="0.1"), report(qty="4", price="1", trade_id="2")])
    with closing(connect(mysql_root, fleet_schema)) as root:
        root.cursor().execute("UPDATE fleet_positions SET avg_entry = 1")
        root.commit()
    record(mysql_schema, [report(side="sell", qty="7", price="2", trade_id="3")])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, realized, avg_entry") == [
        (0, 0, D("9.7"), None)
    ]


def test_fills_that_an_opening_contains_are_not_counted_again(mysql_schema: Any) -> None:
    """An opening contains what happened up to and including its time; it realizes nothing."""
    told = [
        report(trade_id="1", qty="5", executed_at_ms=FIRST_DAY + DAY_MS),
        report(trade_id="2", qty="5", executed_at_ms=FIRST_DAY + DAY_MS + 1, price="110"),
    ]
    opening = entry(qty="8", cost="800", at_ms=FIRST_DAY + DAY_MS)
    deliver(mysql_schema, [told, [opening]])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, realized, fills") == [
        (13, 1350, 0, 2)
    ]
