"""A movement of a spot holding is that of the cash row that stands, whatever came before it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.ledger.cash import CashEntry, cash_rank
from shared.ledger.entries import holding_move
from shared.mysql.connection import connect
from tests.books import Told, assert_as_expected, close_days, deliver, record, rows
from tests.ledger_world import DAY_MS, FIRST_DAY, amount, batches, cash, report, shuffled, trades

D = Decimal

pytestmark = pytest.mark.database


def moved(amount: str, basis: str | None = None, **fields: Any) -> CashEntry:
    """BTC that came or went."""
    told = {
        "venue_type": "TRANSFER", "asset": "BTC", "product": "spot", "kind": "transfer_in",
        "quote_asset": "USDT", "basis": basis, "amount": amount,
    }  # fmt: skip
    return cash(**told | fields)


def told_by(draw: random.Random, ref: str, account: int) -> CashEntry:
    """One of many reports that contradict one another in everything."""
    sign = draw.choice(["", "-"])
    quote = draw.choice([None, "USDT", "USDT", "USDC"])
    declared = quote is not None and not sign and draw.random() < 0.6
    return moved(
        sign + draw.choice(["1", "2", amount(draw, 2, 8)]),
        draw.choice(["0", "100", amount(draw, 4, 4)]) if declared else None,
        ref=ref,
        account_id=account,
        product="spot" if quote or draw.random() < 0.5 else "",
        quote_asset=quote,
        kind=draw.choice(["transfer_in", "transfer_out", "bonus"]),
        at_ms=FIRST_DAY + draw.randrange(4) * DAY_MS + draw.choice([0, 1]),
    )


def told(seed: int) -> list[Told]:
    draw = random.Random(seed)
    fills = trades(seed, 20, accounts=2, products=["spot"])
    reports = [
        told_by(draw, str(ref), draw.choice([1, 2]) if ref % 3 else 1)
        for ref in range(6)
        for _ in range(draw.choice([1, 2, 3, 5]))
    ]
    return [*fills, *reports]


@pytest.mark.parametrize("seed", range(12))
def test_contradicting_reports_end_in_one_move_in_any_order(
    mysql_schema: Any, clear: Callable[[], None], seed: int
) -> None:
    draw = random.Random(seed)
    everything = told(seed)
    expected = deliver(mysql_schema, [everything])
    assert_as_expected(mysql_schema, everything)
    assert_moves_are_those_of_the_cash(mysql_schema, everything)
    for inline in (5_000, 4, 0):
        clear()
        pieces = batches(draw, shuffled(draw, everything), draw.choice([1, 3, 25]))
        assert deliver(mysql_schema, pieces, inline, 5) == expected


def assert_moves_are_those_of_the_cash(connection: Any, everything: list[Told]) -> None:
    standing: dict[Any, CashEntry] = {}
    for one in everything:
        if isinstance(one, CashEntry):
            standing[one[:5]] = min(standing.get(one[:5], one), one, key=cash_rank)
    columns = "account_id, product, instrument, position_side, kind, ref, qty, cost, settle_asset"
    wanted = [
        (*move.key, move.qty, move.cost, move.settle_asset)
        for one in standing.values()
        if (move := holding_move(one)) is not None
    ]
    assert rows(connection, "fleet_position_entries", columns) == sorted(wanted, key=repr)


@pytest.mark.parametrize("inline", [5_000, 0])
def test_of_a_coming_and_a_going_under_one_id_one_is_left(
    mysql_schema: Any, clear: Callable[[], None], inline: int
) -> None:
    """The one that declares a basis."""
    reports = [moved("-1"), moved("2", "300"), moved("2"), moved("2", quote_asset=None)]
    bought = report(product="spot", qty="5", price="100")
    seen = []
    for order in permutations(reports):
        clear()
        record(mysql_schema, [bought])
        seen.append(deliver(mysql_schema, [[one] for one in order], inline))
    assert all(one == seen[0] for one in seen)
    assert rows(mysql_schema, "fleet_positions", "qty, cost") == [(D(7), D(800))]
    assert rows(mysql_schema, "fleet_position_entries", "kind, qty") == [("in", D(2))]
    assert rows(mysql_schema, "fleet_cash_entries", "amount, basis") == [(D(2), D(300))]
    assert rows(mysql_schema, "fleet_breaks", "kind, details") == [
        ("cash_conflict", '{"amount":["-1","2"]}')
    ]


def test_a_basis_that_is_told_later_is_no_contradiction_and_two_are(mysql_schema: Any) -> None:
    record(mysql_schema, [moved("2")])
    assert rows(mysql_schema, "fleet_positions", "qty") == []
    record(mysql_schema, [moved("2", "300")])
    assert rows(mysql_schema, "fleet_positions", "qty, cost") == [(D(2), D(300))]
    record(mysql_schema, [moved("2")])
    assert rows(mysql_schema, "fleet_breaks") == []
    record(mysql_schema, [moved("2", "200")])
    assert rows(mysql_schema, "fleet_positions", "qty, cost") == [(D(2), D(200))]
    assert rows(mysql_schema, "fleet_breaks", "kind, details") == [
        ("cash_conflict", '{"basis":["200","300"]}')
    ]


def test_a_move_that_goes_again_takes_its_position_and_restates_its_sale(
    mysql_schema: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    """The smaller report says that nothing came."""
    sold = report(product="spot", side="sell", qty="1", price="150", executed_at_ms=FIRST_DAY + 5)
    record(mysql_schema, [moved("1", "100"), sold])
    with closing(connect(mysql_root, fleet_schema)) as root:
        close_days(root, FIRST_DAY // DAY_MS)
    assert rows(mysql_schema, "fleet_pnl_daily", "realized") == [(D(50),)]
    nothing = moved("0", "100", kind="bonus")
    record(mysql_schema, [nothing])
    assert rows(mysql_schema, "fleet_position_entries") == []
    assert rows(mysql_schema, "fleet_pnl_daily", "realized") == [(D(0),)]
    assert rows(mysql_schema, "fleet_positions", "qty, unknown_basis_qty") == [(D(0), D(1))]
    causes = rows(mysql_schema, "fleet_restatements", "realized, cause")
    assert [(realized, '"cash' in cause) for realized, cause in causes] == [(D(50), True)]
    assert_as_expected(mysql_schema, [moved("1", "100"), sold, nothing])
