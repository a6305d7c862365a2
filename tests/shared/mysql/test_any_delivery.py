"""Whatever the order, the repetition and the split of what is delivered, the books end in the same
rows, and these are the oracle's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.book import Book
from shared.mysql.connection import connect
from tests.books import Told, assert_as_expected, close_days, deliver, dump, record, rows, settle
from tests.ledger_world import (
    DAY_MS,
    FIRST_DAY,
    batches,
    entry,
    movements,
    report,
    retold,
    shuffled,
    trades,
)

pytestmark = pytest.mark.database
FIRST = FIRST_DAY // DAY_MS


@pytest.fixture
def root(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


def everything(draw: random.Random, seed: int, fills: int, others: int) -> list[Told]:
    """Fills of every product with their further reports, cash, openings and moves of holdings."""
    told: list[Told] = []
    for fill in trades(seed, fills):
        told += [fill, *retold(draw, fill)]
    return told + list(movements(seed, others))


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_doubled_and_split_delivery_ends_in_the_same_rows(
    mysql_schema: Any, clear: Callable[[], None], seed: int
) -> None:
    draw = random.Random(seed)
    told = everything(draw, seed, draw.choice([10, 60, 100]), draw.choice([0, 12, 40]))
    ordered = deliver(mysql_schema, [told])
    assert_as_expected(mysql_schema, told)
    for inline, limit in ((5_000, 20_000), (4, 5), (0, 1)):
        clear()
        pieces = batches(draw, shuffled(draw, told), draw.choice([3, 25, 100]))
        assert deliver(mysql_schema, pieces, inline, limit) == ordered


@pytest.mark.parametrize("seed", range(20, 24))
def test_days_that_close_in_between_change_nothing_but_what_is_kept_of_them(
    mysql_schema: Any, clear: Callable[[], None], root: Any, seed: int
) -> None:
    """And every change of a closed day's figures, and nothing else, is kept as a restatement."""
    draw = random.Random(seed)
    told = everything(draw, seed, 40, 15)
    ordered = deliver(mysql_schema, [told])
    clear()
    through = FIRST - 2
    kept = 0
    for piece in by_kind(batches(draw, shuffled(draw, told), 6)):
        if draw.random() < 0.3:
            through += 1
            close_days(root, through)
        before = closed_figures(root, through)
        record(mysql_schema, piece, draw.choice([0, 4, 5_000]))
        kept += restated(root, kept, before, closed_figures(root, through))
    while True:
        before = closed_figures(root, through)
        more = Book(mysql_schema).restate(7, idle=True)
        mysql_schema.commit()
        kept += restated(root, kept, before, closed_figures(root, through))
        if not more:
            break
    assert dump(mysql_schema) == ordered
    assert kept


def by_kind(pieces: Sequence[Sequence[Told]]) -> list[list[Told]]:
    """Pieces of one kind of thing each: a transaction then restates a figure once at most."""
    split: list[list[Told]] = []
    for piece in pieces:
        kinds = sorted({type(one).__name__ for one in piece})
        split += [[one for one in piece if type(one).__name__ == kind] for kind in kinds]
    return split


FIGURES = "account_id, product, instrument, day, asset, realized, fees, funding, other, fills"


def closed_figures(root: Any, through: int) -> dict[Any, Any]:
    where = f"WHERE day <= DATE '1970-01-01' + INTERVAL {through} DAY"
    return {row[:5]: row[5:] for row in rows(root, "fleet_pnl_daily", FIGURES, where)}


def restated(root: Any, kept: int, before: dict[Any, Any], after: dict[Any, Any]) -> int:
    """How many restatements a transaction left: one for each figure that changed, and the figures
    of before in it.
    """
    cursor = root.cursor()
    cursor.execute(f"SELECT {FIGURES} FROM fleet_restatements ORDER BY id LIMIT {kept}, 9999")  # noqa: S608
    found = {row[:5]: row[5:] for row in cursor.fetchall()}
    root.commit()
    nothing = (0, 0, 0, 0, 0)
    changed = {
        key: before.get(key, nothing)
        for key in {*before, *after}
        if before.get(key, nothing) != after.get(key, nothing)
    }
    assert found == changed
    return len(found)


def test_in_order_fills_one_by_one_equal_one_batch(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    told = trades(11, 120)
    whole = deliver(mysql_schema, [told])
    clear()
    assert deliver(mysql_schema, [[one] for one in told]) == whole
    assert_as_expected(mysql_schema, told)


def test_many_fills_in_reverse_wait_and_are_folded_in_bounded_pieces(mysql_schema: Any) -> None:
    told = trades(5, 6_000, accounts=1, days=20, products=["linear"], hedge=False)
    told.reverse()
    pieces = [told[start : start + 500] for start in range(0, len(told), 500)]
    deliver(mysql_schema, pieces, inline=100, limit=300)
    assert_as_expected(mysql_schema, told)
    assert rows(mysql_schema, "fleet_positions", "COUNT(*), SUM(restating_fills)") == [(2, 0)]


def test_an_opening_that_comes_last_ends_as_one_that_came_first(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    """With fills before it, in its millisecond, and behind it."""
    opening = entry(qty="-3", cost="-330", at_ms=FIRST_DAY + 5)
    told: list[Told] = [
        report(trade_id="1", qty="7", executed_at_ms=FIRST_DAY),
        report(trade_id="2", qty="2", executed_at_ms=FIRST_DAY + 5),
        report(trade_id="3", qty="1", price="90", executed_at_ms=FIRST_DAY + DAY_MS),
    ]
    first = deliver(mysql_schema, [[opening], told])
    assert_as_expected(mysql_schema, [opening, *told])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, realized, fills") == [
        (-2, -220, 20, 3)
    ]
    orders: list[list[list[Told]]] = [
        [told, [opening]], [told[2:], [opening], told[:2]], [[*told, opening]]
    ]  # fmt: skip
    for pieces in orders:
        clear()
        assert deliver(mysql_schema, pieces) == first


def test_a_deposit_with_a_basis_enters_before_the_sale_of_its_millisecond(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    deposit, withdrawal = entry("in", qty="2", cost="60"), entry("out", ref="2", qty="5")
    sale = report(product="spot", side="sell", qty="1", price="50")
    bought = report(product="spot", qty="1", price="40", trade_id="9")
    orders: list[list[list[Told]]] = [
        [[deposit, withdrawal], [sale, bought]], [[bought], [sale], [withdrawal], [deposit]]
    ]  # fmt: skip
    for pieces in orders:
        clear()
        deliver(mysql_schema, pieces)
        assert_as_expected(mysql_schema, [deposit, withdrawal, sale, bought])
        assert rows(mysql_schema, "fleet_positions", "qty, cost, unknown_basis_qty, realized") == [
            (0, 0, 0, 20)
        ]
    assert settle(mysql_schema) == 1


@pytest.mark.parametrize("inline", [0, 5_000])
def test_a_day_that_only_a_withdrawal_is_left_of_has_no_daily_row(
    mysql_schema: Any, clear: Callable[[], None], inline: int
) -> None:
    """Its sale turns out to be of another day, while the fold waits or at once."""
    noon = FIRST_DAY + DAY_MS // 2
    told: list[Told] = [
        report(product="spot", trade_id="1", qty="9"),
        report(product="spot", trade_id="2", side="sell", price="150", executed_at_ms=noon),
        entry("out", at_ms=noon + DAY_MS),
        report(product="spot", trade_id="3", side="sell", executed_at_ms=noon + DAY_MS, price="80"),
    ]
    later = report(
        product="spot", trade_id="3", side="sell", executed_at_ms=noon + 2 * DAY_MS, price="80",
        revision=2,
    )  # fmt: skip
    together = deliver(mysql_schema, [[*told, later]])
    clear()
    assert deliver(mysql_schema, [told, [later]], inline) == together
    assert rows(mysql_schema, "fleet_pnl_daily", "CAST(day AS CHAR), realized, fills") == [
        ("2024-10-04", 50, 2),
        ("2024-10-06", -20, 1),
    ]
