from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from shared.ledger.identity import cash_identity
from shared.ledger.orders import OrderReport
from shared.ledger.signals import SignalReport
from shared.mysql.book import Book
from tests.ledger_world import DAY_MS, FIRST_DAY, batches, cash, shuffled

D = Decimal
TABLES = {
    "fleet_cash_entries": "*",
    "fleet_pnl_daily": "account_id, product, instrument, day, asset, funding, other, fees, entries",
    "fleet_breaks": "kind, account_id, identity, details",
    "fleet_orders": "*",
    "fleet_signals": "*",
}


def rows(connection: Any, table: str, columns: str | None = None) -> list[Any]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT {columns or TABLES[table]} FROM {table}")  # noqa: S608 - our own names
    return sorted(cursor.fetchall(), key=repr)


def dump(connection: Any) -> dict[str, list[Any]]:
    return {table: rows(connection, table) for table in TABLES}


# ---- cash


def test_funding_and_other_kinds_go_to_their_daily_columns(mysql_schema: Any) -> None:
    kinds = {
        "funding": "1", "rebate": "2", "bonus": "3", "liquidation_fee": "-4", "insurance": "5",
        "interest": "-6", "commission": "7", "realized": "8", "transfer_in": "9",
        "transfer_out": "-10", "conversion": "11", "other": "12",
    }  # fmt: skip
    entries = [cash(kind=kind, ref=kind, amount=amount) for kind, amount in kinds.items()]
    Book(mysql_schema).record_cash(entries)
    assert rows(mysql_schema, "fleet_pnl_daily", "funding, other, fees, entries") == [
        (D(1), D(0), D(0), 6)
    ]
    assert len(rows(mysql_schema, "fleet_cash_entries")) == len(kinds)


def test_funding_at_midnight_belongs_to_the_new_day(mysql_schema: Any) -> None:
    Book(mysql_schema).record_cash(
        [cash(ref="1", at_ms=FIRST_DAY + DAY_MS - 1), cash(ref="2", at_ms=FIRST_DAY + DAY_MS)]
    )
    days = rows(mysql_schema, "fleet_pnl_daily", "CAST(day AS CHAR)")
    assert days == [("2024-10-04",), ("2024-10-05",)]


def test_contradicting_cash_entries_end_alike_in_any_order(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    told = [
        cash(amount="1"),
        cash(amount="2"),
        cash(kind="bonus"),
        cash(amount="1.0"),
        cash(ref="2"),
    ]
    seen = []
    for order in permutations(told):
        clear()
        for entry in order:
            Book(mysql_schema).record_cash([entry])
        seen.append(dump(mysql_schema))
    assert all(dumped == seen[0] for dumped in seen)
    assert seen[0]["fleet_breaks"] == [
        (
            "cash_conflict",
            1,
            cash_identity(*told[0][:5]),
            '{"amount":["1","2"],"kind":["bonus","funding"]}',
        )
    ]


def test_a_daily_row_goes_with_its_last_entry(mysql_schema: Any) -> None:
    later, smaller = cash(at_ms=FIRST_DAY + DAY_MS), cash(at_ms=FIRST_DAY)
    Book(mysql_schema).record_cash([later])
    Book(mysql_schema).record_cash([smaller])
    assert rows(mysql_schema, "fleet_pnl_daily", "CAST(day AS CHAR), entries") == [
        ("2024-10-04", 1)
    ]


# ---- orders


def order(state: str, at_ms: int, order_id: str | None, client_id: str | None, **more: Any) -> Any:
    return OrderReport(1, "linear", "BTCUSDT", order_id, client_id, "binance", state, at_ms, **more)


REPORTS = [
    order("placed", 1, None, "a", qty=D(5), reason="new"),
    order("filled", 3, "1", None, side="buy"),
    order("placed", 2, "1", "a", price=D("10.5"), reduce_only=True),
    order("placed", 9, None, "b"),
    order("canceled", 4, "2", None),
    order("rejected", 4, None, "a", reason="old"),
]


@pytest.mark.parametrize("largest", [1, 2, 6])
def test_order_reports_end_alike_in_any_order_and_batching(
    mysql_schema: Any, clear: Callable[[], None], largest: int
) -> None:
    draw = random.Random(largest)
    Book(mysql_schema).record_orders(REPORTS)
    expected = dump(mysql_schema)
    columns = (
        "order_key, order_id, client_order_id, state, state_at_ms, side, qty, price, reduce_only"
    )
    assert rows(mysql_schema, "fleet_orders", columns) == [
        ("c:b", None, "b", "placed", 9, None, None, None, None),
        ("o:1", "1", "a", "rejected", 4, "buy", D(5), D("10.5"), 1),
        ("o:2", "2", None, "canceled", 4, None, None, None, None),
    ]
    for _ in range(40):
        clear()
        for piece in batches(draw, shuffled(draw, REPORTS), largest):
            Book(mysql_schema).record_orders(piece)
        assert dump(mysql_schema) == expected


# ---- signals


def signal(text: str, received_at_ms: int = FIRST_DAY, digest: bytes = b"0") -> SignalReport:
    return SignalReport(
        "telegram", "-100", "7", 1, received_at_ms, "BTCUSDT", "long", "open", D("0.5"), None, None,
        text, digest * 16, "{}",
    )  # fmt: skip


def test_the_earliest_hearing_of_a_signal_stands_and_a_different_text_is_a_break(
    mysql_schema: Any,
    clear: Callable[[], None],
) -> None:
    told = [signal("x", digest=b"1"), signal("x", FIRST_DAY + 5), signal("y", FIRST_DAY + 9, b"2")]
    seen = []
    for reports in permutations(told):
        clear()
        for one in reports:
            Book(mysql_schema).record_signals([one, one])
        seen.append(dump(mysql_schema))
    assert all(dumped == seen[0] for dumped in seen)
    assert rows(mysql_schema, "fleet_signals", "text, received_at_ms") == [("x", FIRST_DAY)]
    assert rows(mysql_schema, "fleet_breaks", "kind, account_id, details") == [
        ("signal_conflict", None, '{"text":["x","y"]}')
    ]


def test_revisions_are_rows_of_their_own(mysql_schema: Any) -> None:
    Book(mysql_schema).record_signals([signal("x"), signal("y")._replace(revision=2)])
    assert rows(mysql_schema, "fleet_signals", "revision, text") == [(1, "x"), (2, "y")]
