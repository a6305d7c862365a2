"""Closed cycles of an account, with the funding that was paid while they were open."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from shared.mysql.book import Book
from shared.mysql.cycles import account_cycles
from tests.ledger_world import DAY_MS, FIRST_DAY, cash, report

DAY = date(2024, 10, 4)


@pytest.fixture
def book(mysql_schema: Any) -> Book:
    return Book(mysql_schema)


def trade(side: str, at_ms: int, price: str = "100", **more: Any) -> Any:
    return report(
        side=side, trade_id=f"{side}{at_ms}", executed_at_ms=FIRST_DAY + at_ms, price=price, **more
    )


def found(connection: Any, first: int, last: int) -> list[Any]:
    """(position side, realized, funding) of the cycles that closed in days first..last."""
    days = DAY + timedelta(days=first), DAY + timedelta(days=last)
    return [
        (key[3], cycle.realized, cycle.funding)
        for key, cycle in account_cycles(connection, 1, *days).closed
    ]


def test_a_cycle_is_of_the_day_in_which_it_closes(mysql_schema: Any, book: Book) -> None:
    book.record_fills(
        [
            trade("buy", 1), trade("sell", 2, "107"),
            trade("buy", DAY_MS), trade("sell", 3 * DAY_MS, "111"),
            trade("buy", 3 * DAY_MS + 1), trade("sell", 5 * DAY_MS, "113"),
        ]
    )  # fmt: skip
    assert found(mysql_schema, 0, 9) == [("net", 7, 0), ("net", 11, 0), ("net", 13, 0)]
    assert found(mysql_schema, 1, 2) == []
    assert found(mysql_schema, 3, 3) == [("net", 11, 0)]
    assert found(mysql_schema, 4, 9) == [("net", 13, 0)]


def test_funding_is_in_the_cycle_that_was_open(mysql_schema: Any, book: Book) -> None:
    book.record_fills(
        [trade("buy", 1), trade("sell", 2), trade("buy", 3), trade("sell", 2 * DAY_MS)]
    )
    book.record_cash(
        [
            cash(ref="early", amount="1", at_ms=FIRST_DAY),
            cash(ref="in", amount="2", at_ms=FIRST_DAY + DAY_MS),
            cash(ref="asset", amount="4", at_ms=FIRST_DAY + DAY_MS, asset="BNFCR"),
            cash(ref="other", amount="8", at_ms=FIRST_DAY + DAY_MS, instrument="ETHUSDT"),
            cash(ref="kind", amount="16", at_ms=FIRST_DAY + DAY_MS, kind="rebate"),
        ]
    )
    assert found(mysql_schema, 0, 5) == [("net", 0, 0), ("net", 0, 2)]
    assert found(mysql_schema, 2, 2) == [("net", 0, 2)]


def test_funding_of_two_open_sides_is_in_no_cycle(mysql_schema: Any, book: Book) -> None:
    book.record_fills(
        [
            trade("buy", 1, position_side="long"),
            trade("sell", DAY_MS + 1, position_side="short"),
            trade("sell", 3 * DAY_MS, position_side="long"),
        ]
    )
    book.record_cash(
        [cash(ref=str(n), amount=str(2**n), at_ms=FIRST_DAY + n * DAY_MS) for n in range(3)]
    )
    assert found(mysql_schema, 3, 3) == [("long", 0, 2)]
