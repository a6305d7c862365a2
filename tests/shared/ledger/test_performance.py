"""Returns, drawdowns and cycles: by hand first, then by identities."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.fill import Fill, merge, order_key
from shared.ledger.performance import (
    Cycle,
    CycleStats,
    Drawdown,
    EquityPoint,
    Funding,
    IndexPoint,
    Unmeasured,
    cycle_stats,
    cycles,
    deepest,
    drawdowns,
    modified_dietz,
    time_weighted,
    under_water,
    with_funding,
)
from shared.ledger.position import FLAT, fold, legs
from tests.ledger_world import FIRST_DAY, report, trades

D = Decimal
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return DAY + timedelta(days=number)


def curve(*points: tuple[float, str | None, str | None]) -> list[EquityPoint]:
    """(day, equity, flow); None: unknown."""
    return [
        EquityPoint(
            day(number), D(0), None if equity is None else D(equity),
            None if flow is None else D(flow),
        )
        for number, equity, flow in points
    ]  # fmt: skip


def index(*levels: str) -> list[IndexPoint]:
    return [IndexPoint(day(number), D(level)) for number, level in enumerate(levels)]


# ---- how much it grew


def test_a_deposit_is_no_return() -> None:
    # 1,000 grow by a tenth, 9,000 come, then 10,100 lose a twentieth
    points = curve((0, "1000", "0"), (1, "1100", "9000"), (2, "9595", "0"))
    found = time_weighted(points)
    assert found.total == D("0.045")
    assert [point.level for point in found.curve] == [1, D("1.1"), D("1.045")]
    assert found.unmeasured == []


def test_modified_dietz_weights_a_flow_by_the_time_it_was_there() -> None:
    # 405 were lost; 9,000 were there half of the time beside 1,000
    points = curve((0, "1000", "0"), (1, "1100", "9000"), (2, "9595", "0"))
    assert modified_dietz(points) == (D(-405) / D(5500)).quantize(D("1E-18"))


def test_modified_dietz_takes_a_flow_at_the_start_whole_and_none_at_the_end() -> None:
    points = curve((0, "0", "100"), (10, "110", "-50"))
    assert modified_dietz(points) == D("0.1")


def test_a_withdrawal_is_no_drawdown() -> None:
    found = time_weighted(curve((0, "1000", "0"), (1, "1000", "-900"), (2, "100", "0")))
    assert found.total == 0
    assert drawdowns(found.curve, day(2)) == []


def test_a_subperiod_from_nothing_has_no_return_and_is_named() -> None:
    points = curve((0, "0", "0"), (1, "50", "0"), (2, "55", "0"))
    found = time_weighted(points)
    assert found.unmeasured == [Unmeasured(day(0), day(1), "no_equity")]
    assert found.total == D("0.1")


def test_debt_at_the_start_has_no_return_either() -> None:
    found = time_weighted(curve((0, "-10", "0"), (1, "-5", "0"), (2, "5", "0")))
    assert (found.total, found.unmeasured) == (None, [Unmeasured(day(0), day(2), "no_equity")])


def test_an_empty_account_is_nothing_to_measure() -> None:
    found = time_weighted(curve((0, "0", "0"), (1, "0", "100"), (2, "120", "0")))
    assert (found.total, found.unmeasured) == (D("0.2"), [])


def test_days_without_a_price_are_bridged_where_nothing_came_from_outside() -> None:
    points = curve((0, "100", "0"), (1, None, "0"), (2, None, "0"), (3, "130", "0"))
    found = time_weighted(points)
    assert (found.total, found.unmeasured) == (D("0.3"), [])
    assert [point.at for point in found.curve] == [day(0), day(3)]


@pytest.mark.parametrize("flow", ["40", None])
def test_a_flow_at_a_moment_without_a_price_leaves_a_part_unmeasured(flow: str | None) -> None:
    points = curve((0, "100", "0"), (1, None, flow), (2, "150", "0"), (3, "165", "0"))
    found = time_weighted(points)
    assert found.unmeasured == [Unmeasured(day(0), day(2), "unpriceable")]
    assert found.total == D("0.1")


def test_a_flow_that_cannot_be_valued_leaves_a_part_unmeasured() -> None:
    found = time_weighted(curve((0, "100", None), (1, "150", "0"), (2, "165", "0")))
    assert found.unmeasured == [Unmeasured(day(0), day(1), "unpriceable")]
    assert found.total == D("0.1")


def test_unpriceable_ends_are_named() -> None:
    found = time_weighted(curve((0, None, "0"), (1, "5", "0"), (2, None, "0")))
    assert found.total is None
    assert found.unmeasured == [Unmeasured(day(0), day(2), "unpriceable")]


def test_no_points_have_no_return() -> None:
    assert time_weighted([]).total is None
    assert modified_dietz([]) is None
    assert modified_dietz(curve((0, "1", "1"))) is None


@pytest.mark.parametrize(
    "points",
    [
        ((0, None, "0"), (1, "1", "0")),
        ((0, "1", "0"), (1, None, "0")),
        ((0, "1", None), (1, "1", "0")),
        ((0, "0", "0"), (1, "1", "0")),
        ((0, "100", "0"), (1, "0", "-200"), (2, "1", "0")),
    ],
)
def test_modified_dietz_is_unknown_without_ends_flows_or_capital(points: Any) -> None:
    assert modified_dietz(curve(*points)) is None


equities = st.decimals("1", "9999", places=2)


@given(st.lists(st.tuples(equities, equities), min_size=2, max_size=20))
def test_time_weighted_is_the_product_of_its_parts_whatever_flows(
    parts: list[tuple[Decimal, Decimal]],
) -> None:
    """(equity before a flow, equity after it) at each point."""
    points = [
        EquityPoint(day(number), D(0), before, after - before)
        for number, (before, after) in enumerate(parts)
    ]
    growth = Fraction(1)
    for (_, after), (before, _) in pairwise(parts):
        growth *= Fraction(before) / Fraction(after)
    total = time_weighted(points).total
    assert total is not None
    assert abs(Fraction(total) - (growth - 1)) <= growth / 10**18 + Fraction(1, 10**18)


@given(st.lists(equities, min_size=2, max_size=10), st.decimals("0.5", "2", places=3))
def test_without_flows_both_returns_are_the_change_of_equity(
    levels: list[Decimal], scale: Decimal
) -> None:
    points = [EquityPoint(day(n), D(0), level, D(0)) for n, level in enumerate(levels)]
    scaled = [point._replace(unrealized=(point.equity or D(0)) * scale) for point in points]
    change = Fraction(levels[-1]) / Fraction(levels[0]) - 1
    for some in (points, scaled):
        for found in (time_weighted(some).total, modified_dietz(some)):
            assert found is not None
            assert abs(Fraction(found) - change) <= Fraction(1, 10**18)


# ---- drawdowns


def test_a_loss_from_the_first_day_on_is_a_drawdown() -> None:
    assert drawdowns(index("1", "0.9", "0.8", "0.95"), day(7)) == [
        Drawdown(D("-0.2"), day(0), day(2), None, timedelta(days=7))
    ]


def test_a_drawdown_lasts_from_its_peak_to_the_first_time_at_it_again() -> None:
    found = drawdowns(index("1", "1.25", "1", "1.2", "1.25", "1.3", "1.17"), day(6))
    assert found == [
        Drawdown(D("-0.2"), day(1), day(2), day(4), timedelta(days=3)),
        Drawdown(D("-0.1"), day(5), day(6), None, timedelta(days=1)),
    ]
    assert deepest(found) == found[0]
    assert deepest([]) is None


def test_standing_at_the_peak_is_no_drawdown() -> None:
    assert drawdowns(index("1", "1", "1.1", "1.1", "0.99"), day(4)) == [
        Drawdown(D("-0.1"), day(3), day(4), None, timedelta(days=1))
    ]


def test_under_water_is_the_distance_to_the_highest_so_far() -> None:
    assert [point.level for point in under_water(index("1", "0.9", "2", "1"))] == [
        0, D("-0.1"), 0, D("-0.5"),
    ]  # fmt: skip
    assert [point.level for point in under_water(index("1", "0"))] == [0, -1]


@given(st.lists(st.decimals("0.01", "10", places=2), min_size=1, max_size=30))
def test_the_deepest_drawdown_is_the_lowest_point_under_water(levels: list[Decimal]) -> None:
    points = [IndexPoint(day(number), level) for number, level in enumerate(levels)]
    found = deepest(drawdowns(points, day(len(levels))))
    lowest = min(point.level for point in under_water(points))
    assert (found.depth if found else 0) == lowest


# ---- cycles


def fill(side: str, qty: str, price: str, at: int, **more: Any) -> Fill:
    named = {"trade_id": str(at), "executed_at_ms": FIRST_DAY + at, "fee_asset": "USDT", **more}
    return merge([report(side=side, qty=qty, price=price, **named)])[0]


def cycles_of(*fills: Fill) -> list[Any]:
    product = fills[0].product
    return cycles(product, legs(FLAT, sorted(fills, key=order_key), product))


def test_a_cycle_goes_from_flat_to_flat() -> None:
    closed, open_ = cycles_of(
        fill("buy", "2", "100", 1, fee="0.2"),
        fill("buy", "1", "130", 2, fee="0.1"),
        fill("sell", "3", "120", 3, fee="0.3"),
        fill("sell", "1", "100", 4, fee=None),
    )
    assert closed == Cycle(
        FIRST_DAY + 1, FIRST_DAY + 3, "USDT", D(3), D(30), D("0.6"), D(0), {}, 0
    )
    assert closed.net == D("29.4")
    assert (open_.closed_ms, open_.most_qty, open_.fees_unknown) == (None, -1, 1)


def test_a_flip_ends_one_cycle_and_begins_the_next_with_its_share_of_the_fee() -> None:
    first, second = cycles_of(
        fill("buy", "1", "100", 1, fee="0"),
        fill("sell", "3", "110", 2, fee="1"),
        fill("buy", "2", "105", 3, fee="0"),
    )
    assert (first.realized, first.fees, first.most_qty) == (10, D("0.333333333333333333"), 1)
    assert (second.realized, second.fees, second.most_qty) == (10, D("0.666666666666666667"), -2)
    assert first.closed_ms == second.opened_ms == FIRST_DAY + 2


def test_fees_in_other_assets_stand_apart_and_base_fees_in_the_cost() -> None:
    (linear,) = cycles_of(
        fill("buy", "1", "100", 1, fee="0.01", fee_asset="BNB", base_asset="BTC"),
        fill("sell", "1", "101", 2, fee="0.02", fee_asset="BTC", base_asset="BTC"),
    )
    assert (linear.fees, linear.other_fees) == (0, {"BNB": D("0.01"), "BTC": D("0.02")})
    (spot,) = cycles_of(
        fill("buy", "1", "100", 1, product="spot", fee="0.5", fee_asset="BTC"),
        fill("sell", "0.5", "240", 2, product="spot", fee="1"),
    )
    assert (spot.realized, spot.fees, spot.other_fees, spot.net) == (20, 1, {}, 19)


def test_a_sale_without_a_basis_is_no_cycle() -> None:
    assert cycles_of(fill("sell", "1", "100", 1, product="spot")) == []


@given(st.integers(0, 10_000))
def test_cycles_keep_every_realized_amount_and_every_fee(seed: int) -> None:
    made = trades(seed, 60, accounts=1, products=["linear"], hedge=False)
    fills = sorted(
        (merge([one])[0] for one in made if one.instrument == "BTCUSDT"), key=order_key
    )
    if not fills:
        return
    found = cycles_of(*fills)
    realized = fold(FLAT, fills, "linear").realized
    assert sum(Fraction(cycle.realized) for cycle in found) == Fraction(realized)
    paid = sum(Fraction(one.fee) for one in fills if one.fee and one.fee_asset == "USDT")
    assert sum(Fraction(cycle.fees) for cycle in found) == paid
    assert all(one.closed_ms <= two.opened_ms for one, two in pairwise(found))


def test_funding_belongs_to_the_last_cycle_that_opened_before_it() -> None:
    found = cycles_of(
        fill("buy", "1", "100", 10), fill("sell", "1", "100", 20), fill("buy", "1", "100", 30)
    )
    paid = [(5, "1"), (10, "2"), (11, "4"), (25, "8"), (31, "16")]
    funding = [Funding(FIRST_DAY + at, "USDT", D(amount)) for at, amount in paid]
    funding.append(Funding(FIRST_DAY + 12, "BNFCR", D(99)))
    first, second = with_funding(found, funding)
    assert [first.funding, second.funding] == [12, 16]
    assert first.net == 12


def closed(*nets: str) -> list[Cycle]:
    return [Cycle(0, 1, "USDT", D(1), D(net), D(0), D(0), {}, 0) for net in nets]


def test_rates_are_taken_over_closed_cycles() -> None:
    open_ = closed("1000")[0]._replace(closed_ms=None)
    found = cycle_stats([*closed("30", "10", "-16", "0"), open_])
    assert found == CycleStats(4, 2, 1, D("0.5"), D("2.5"), D(20), D(-16))


@pytest.mark.parametrize(
    ("nets", "win_rate", "profit_factor", "win", "loss"),
    [
        ((), None, None, None, None),
        (("5",), 1, None, 5, None),
        (("-5", "-3"), 0, 0, None, -4),
        (("0",), 0, None, None, None),
    ],
)
def test_what_has_no_number_is_none(
    nets: Sequence[str], win_rate: Any, profit_factor: Any, win: Any, loss: Any
) -> None:
    found = cycle_stats(closed(*nets))
    assert found[3:] == (win_rate, profit_factor, win, loss)


def test_costs_decide_whether_a_cycle_was_won() -> None:
    paid = closed("1")[0]._replace(fees=D(3), funding=D("1.5"))
    assert cycle_stats([paid]).losses == 1
