"""What differs between books and reports, decided by pure functions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger import reconcile as ledger
from shared.ledger.money import LEDGER, AmountOverflow
from shared.ledger.reconcile import (
    CAUSES,
    DatedMode,
    Gap,
    Looked,
    Movement,
    Reported,
    Suspect,
    cause_of,
    compare_position,
    in_wallet,
    last_tied,
    rounding_of_entry,
    suspects,
    unit_of,
    wallet_gap,
)

D = Decimal
CENT = D("0.01")

# ---- positions


def test_equal_quantities_and_prices_within_a_unit_are_the_same() -> None:
    ours = (D(3), D("100.126666666666666667"))
    assert compare_position("net", ours, (D("3.0"), D("100.13")), CENT) is None
    assert compare_position("net", ours, (D("3.0"), D("100.12")), CENT) is None  # cut, not rounded
    differs = compare_position("net", ours, (D(3), D("100.14")), CENT)
    assert differs == ("entry_price", ours[1], D("100.14"))


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(1, 10**9).map(lambda cents: D(cents) / 100)),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_an_inverse_entry_is_as_exact_as_eighteen_places_of_value_allow(
    fills: list[tuple[int, Decimal]],
) -> None:
    """A venue that prints more digits than that is no break."""
    cost = sum((LEDGER.divide(D(qty), price).quantize(D("1E-18")) for qty, price in fills),
               start=D(0))  # fmt: skip
    true = Fraction(sum(qty for qty, _ in fills)) / sum(
        (Fraction(qty) / Fraction(price) for qty, price in fills), start=Fraction(0)
    )
    ours = LEDGER.divide(D(sum(qty for qty, _ in fills)), cost)
    allowed = rounding_of_entry(ours, cost, len(fills))
    assert abs(Fraction(ours) - true) <= Fraction(allowed)
    assert rounding_of_entry(None, cost, 1) == rounding_of_entry(ours, D(0), 1) == 0


def test_a_quantity_differs_by_its_last_digit_and_comes_before_the_price() -> None:
    differs = compare_position("net", (D(3), D(1)), (D("3.000000000000000001"), D(2)), CENT)
    assert differs is not None
    assert differs.what == "quantity"


def test_a_price_that_nobody_told_is_not_compared() -> None:
    assert compare_position("net", (D(0), None), (D(0), D(5)), CENT) is None
    assert compare_position("net", (D(1), D(5)), (D(1), None), CENT) is None


@pytest.mark.parametrize(
    ("side", "qty", "what"),
    [
        ("long", -1, "negative_leg"),
        ("short", 1, "negative_leg"),
        ("long", 1, "quantity"),
        ("short", -1, "quantity"),
        ("net", -1, "quantity"),
    ],
)
def test_a_leg_on_the_wrong_side_of_zero_is_named_so(side: str, qty: int, what: str) -> None:
    differs = compare_position(side, (D(qty), None), (D(0), None), CENT)
    assert differs is not None
    assert differs.what == what


@pytest.mark.parametrize(
    ("text", "unit"), [("1.50", "0.01"), ("7", "1"), ("0.000000000000000001", "1E-18")]
)
def test_the_unit_is_that_of_the_text_as_it_came(text: str, unit: str) -> None:
    assert unit_of(text) == D(unit)


# ---- causes

NOTHING = Looked(
    parked=False, waiting=False, opened_ms=None, first_held_ms=None, first_fill_ms=None,
    tied_ms=None, moved=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("what", "found", "cause"),
    [
        ("quantity", {"parked": True, "waiting": True}, ledger.INCOMPLETE),
        ("quantity", {"waiting": True, "first_held_ms": 1}, ledger.LATE),
        ("quantity", {"first_held_ms": 1}, ledger.UNKNOWN_PAST),
        ("quantity", {"first_held_ms": 1, "first_fill_ms": 2}, ledger.UNKNOWN_PAST),
        ("quantity", {"first_held_ms": 2, "first_fill_ms": 2}, ledger.UNEXPLAINED),
        ("quantity", {"first_held_ms": 1, "opened_ms": 1}, ledger.UNEXPLAINED),
        ("quantity", {"tied_ms": 5}, ledger.MISSING_FILLS),
        ("quantity", {"tied_ms": 5, "moved": True}, ledger.UNEXPLAINED),
        ("entry_price", {"tied_ms": 5}, ledger.UNEXPLAINED),
        ("negative_leg", {"moved": True}, ledger.MISSING_FILLS),
        ("quantity", {}, ledger.UNEXPLAINED),
    ],
)
def test_the_cause_is_the_first_that_is_found(what: str, found: Any, cause: str) -> None:
    assert cause_of(what, NOTHING._replace(**found)) == cause
    assert CAUSES[cause]


def test_the_last_tie_is_looked_for_in_the_books_as_they_were() -> None:
    steps = [(10, D(1)), (20, D(2)), (30, D(3))]
    assert last_tied([(5, D(0)), (9, D(7))], D(0), steps) == 5
    assert last_tied([(10, D(1)), (25, D(1)), (30, D(3)), (40, D(9))], D(0), steps) == 30
    assert last_tied([(10, D(0))], D(0), steps) is None  # the fill of that millisecond is in it


# ---- modes


def test_a_mode_is_dated_and_an_instrument_s_own_stands_before_its_product_s() -> None:
    modes = [
        DatedMode("linear", "", 100, "netting"),
        DatedMode("linear", "", 200, "hedge"),
        DatedMode("linear", "ETH", 150, "hedge"),
    ]
    assert list(suspects("linear", "BTC", "long", modes)) == [Suspect("netting", 100, 200)]
    assert list(suspects("linear", "BTC", "net", modes)) == [Suspect("hedge", 200, None)]
    assert list(suspects("linear", "ETH", "net", modes)) == [Suspect("hedge", 150, None)]
    assert list(suspects("linear", "ETH", "short", modes)) == []
    assert list(suspects("inverse", "BTC", "net", modes)) == []


# ---- wallets


def reported(at_ms: int, amount: str) -> Reported:
    return Reported(at_ms, D(amount), unit_of(amount))


def test_the_movements_up_to_the_watermark_are_the_difference_of_two_wallets() -> None:
    reports = [reported(10, "100"), reported(20, "95.5"), reported(30, "96")]
    rows = [Movement(20, D("-4.5")), Movement(21, D("0.5"))]
    assert wallet_gap(reports, rows) is None
    late = [Movement(21, D("-4.5")), Movement(21, D("0.5"))]
    assert wallet_gap(reports[:2], late) == Gap(10, 20, 20, D(100), D("95.5"))
    assert wallet_gap(reports, late) is None, "the next report took it back: only its time was off"


def test_a_difference_that_stays_is_carried_to_the_newest_report() -> None:
    reports = [reported(at, amount) for at, amount in ((1, "5"), (2, "6"), (3, "8"), (4, "9"))]
    rows = [Movement(2, D(1)), Movement(4, D(1))]
    assert wallet_gap(reports, rows) == Gap(2, 3, 4, D(7), D(9))


def test_a_row_of_the_venue_is_exact_and_a_computed_figure_is_within_a_unit() -> None:
    reports = [reported(1, "1.00"), reported(2, "1.34")]
    assert wallet_gap(reports, [Movement(2, D("0.333333333333333333"), rounded=1)]) is None
    assert wallet_gap(reports, [Movement(2, D("0.333333333333333333"))]) is not None
    assert wallet_gap(reports, [Movement(2, D("0.32"), rounded=1)]) is not None
    assert wallet_gap(reports, [Movement(2, D("0.32"), rounded=2)]) is None


def test_the_unit_is_the_finest_of_all_wallets_because_producers_cut_zeros() -> None:
    reports = [reported(1, "1"), reported(2, "2"), reported(3, "2.5")]
    rows = [Movement(2, D("1.05"), rounded=1), Movement(3, D("0.45"), rounded=1)]
    assert wallet_gap(reports, rows) is None
    assert wallet_gap(reports, [rows[0]._replace(amount=D("1.2"))]) is not None


def test_a_total_that_no_column_holds_is_refused() -> None:
    with pytest.raises(AmountOverflow):
        wallet_gap([reported(1, "0"), reported(2, "0")], [Movement(2, D("1E20"))])


def test_a_row_without_a_product_is_of_the_only_wallet_of_its_asset() -> None:
    assert in_wallet("linear", "", only=False)
    assert in_wallet("linear", "linear", only=False)
    assert in_wallet("", "linear", only=True)
    assert not in_wallet("", "linear", only=False)
    assert not in_wallet("spot", "linear", only=True)


AMOUNTS = st.decimals("-99999", "99999", places=18, allow_nan=False)


@given(
    moves=st.lists(st.tuples(st.integers(1, 50), AMOUNTS), max_size=30),
    at=st.sets(st.integers(0, 60), min_size=2, max_size=9),
    error=AMOUNTS,
)
def test_any_world_ties_exactly_until_one_digit_is_wrong(
    moves: list[tuple[int, Decimal]], at: set[int], error: Decimal
) -> None:
    times = sorted(at)
    inside = sorted((one for one in moves if one[0] > times[0]), key=lambda one: one[0])

    def wallet_at(time: int) -> Decimal:
        total = sum((Fraction(amount) for ms, amount in inside if ms <= time), Fraction(7))
        return D(str(total.numerator * 10**18 // total.denominator)).scaleb(-18)

    reports = [Reported(time, wallet_at(time), CENT) for time in times]
    movements = [Movement(*one) for one in inside]
    assert wallet_gap(reports, movements) is None
    wrong = [*reports[:-1], reports[-1]._replace(wallet=reports[-1].wallet + error)]
    gap = wallet_gap(wrong, movements)
    assert (gap is not None) == bool(error)
    if gap is not None:
        assert (gap.tied_ms, gap.untied_ms) == (times[-2], times[-1])
        assert gap.actual - gap.expected == error
