"""The fold against plain rational arithmetic and against the identities that need no rounding rule.

A value is rounded once, and so is every share of a cost or a value, each by half a quantum at most.
What follows from that is stated here as a bound, and what must be exact is compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ledger.days import day_of
from shared.ledger.money import LEDGER
from shared.ledger.position import FLAT, DayRow, State, average_entry, fold, fold_days, legs
from tests.shared.ledger.histories import Move, histories, traded
from tests.shared.ledger.oracle import Books, Held, books, quantized, value_at

HALF = Fraction(1, 2 * 10**18)
PRODUCTS = ("linear", "inverse", "spot")
CONTRACTS = ("linear", "inverse")
PRICES = st.integers(1, 10**9).map(lambda cents: Fraction(cents, 100))
each_product = pytest.mark.parametrize("product", PRODUCTS)
each_contract = pytest.mark.parametrize("product", CONTRACTS)


def drawn(test: Callable[..., None]) -> Callable[..., None]:
    """Without a deadline: how long an example takes says how busy the machine is."""
    return settings(deadline=None)(given(st.data())(test))


def folded(moves: Sequence[Move]) -> Any:
    return fold(FLAT, map(traded, moves), moves[0]["product"])


def legs_of(moves: Sequence[Move], state: State = FLAT) -> Any:
    return list(legs(state, map(traded, moves), moves[0]["product"]))


def only(result: Books) -> Held:
    (held,) = result.positions.values()
    return held


def signed_value(one: Move) -> Fraction:
    """Of a fill, as the ledger keeps it: rounded once."""
    value = Fraction(traded(one).value)
    return -value if one["kind"] == "sell" else value


# ---- against the oracle


@each_product
@drawn
def test_the_fold_is_the_oracle_s_digit_for_digit(product: str, data: st.DataObject) -> None:
    moves = data.draw(histories(product, entries=True))
    told = books(moves, value=quantized, share=quantized)
    held, result = only(told), folded(moves)
    assert tuple(map(Fraction, result.state)) == (held.qty, held.cost, held.unknown)
    assert Fraction(result.realized) == held.realized
    ((_, expected),) = told.legs.items()
    for leg, one in zip(legs_of(moves), expected, strict=True):
        assert (leg.fill.trade_id, Fraction(leg.realized)) == (one.name, one.realized)
        assert (Fraction(leg.state.qty), Fraction(leg.state.cost)) == (one.qty, one.cost)


@each_product
@drawn
def test_the_days_are_the_oracle_s(product: str, data: st.DataObject) -> None:
    moves = data.draw(histories(product, entries=True))
    told = books(moves, value=quantized, share=quantized)
    expected = {key[3:]: (day.realized, day.fills) for key, day in told.days.items() if day.fills}
    found = {
        (day, asset): (Fraction(row.realized), row.fills)
        for day, rows in folded(moves).days
        for asset, row in rows.items()
        if row.fills
    }
    assert found == expected


@each_product
@drawn
def test_shares_are_off_by_half_a_quantum_each_at_most(product: str, data: st.DataObject) -> None:
    moves = data.draw(histories(product, entries=True))
    held, result = only(books(moves, value=quantized)), folded(moves)
    bound = held.rounded * HALF
    assert Fraction(result.state.qty) == held.qty
    assert abs(Fraction(result.state.cost) - held.cost) <= bound
    assert abs(Fraction(result.realized) - held.realized) <= bound


@each_product
@drawn
def test_figures_are_off_by_half_a_quantum_for_each_value_and_share_at_most(
    product: str, data: st.DataObject
) -> None:
    moves = data.draw(histories(product))
    held, result = only(books(moves)), folded(moves)
    bound = (held.fills + held.rounded) * HALF
    assert abs(Fraction(result.state.cost) - held.cost) <= bound
    assert abs(Fraction(result.realized) - held.realized) <= bound


@each_contract
@drawn
def test_a_closed_cycle_is_off_by_half_a_quantum_for_each_fill_at_most(
    product: str, data: st.DataObject
) -> None:
    """However many shares were rounded on the way."""
    moves = closed(data.draw(histories(product)))
    held, result = only(books(moves)), folded(moves)
    assert tuple(result.state) == (0, 0, 0)
    assert abs(Fraction(result.realized) - held.realized) <= held.fills * HALF


def closed(moves: list[Move]) -> list[Move]:
    """With one more fill that closes what is left."""
    left = folded(moves).state.qty
    if not left:
        return moves
    last = moves[-1]
    kind = "sell" if left > 0 else "buy"
    qty = format(left.copy_abs(), "f")
    more = {"kind": kind, "qty": qty, "price": "7", "name": "999", "ms": last["ms"] + 1}
    return [*moves, last | more]


# ---- identities


@each_contract
@drawn
def test_i1_between_two_flats_realized_is_the_sum_of_the_values_exactly(
    product: str, data: st.DataObject
) -> None:
    """Minus the sum; of an inverse contract the sum itself. An opening starts a sum of its own."""
    moves = closed(data.draw(histories(product, entries=True)))
    sign = 1 if product == "inverse" else -1
    realized, values = Fraction(0), Fraction(0)
    flats = 0
    for one, leg in zip(moves, legs_of(moves), strict=True):
        if one["kind"] == "open":
            realized, values = Fraction(0), Fraction(one["cost"])
            continue
        realized += Fraction(leg.realized)
        values += signed_value(one)
        assert realized == sign * (values - Fraction(leg.state.cost))
        if not leg.state.qty:
            assert leg.state.cost == 0
            assert realized == sign * values
            realized, values = Fraction(0), Fraction(0)
            flats += 1
    assert flats


@each_contract
@drawn
def test_i2_realized_and_unrealized_are_the_value_held_less_the_values_traded_at_any_price(
    product: str, data: st.DataObject
) -> None:
    moves, price = data.draw(histories(product)), data.draw(PRICES)
    result = folded(moves)
    size = Fraction(moves[0]["size"])
    qty, cost = Fraction(result.state.qty), Fraction(result.state.cost)
    sign = -1 if product == "inverse" else 1
    value = value_at(product, qty, price, size)
    traded_value = sum(map(signed_value, moves))
    unrealized = sign * (value - cost)
    assert Fraction(result.realized) + unrealized == sign * (value - traded_value)


@each_contract
@drawn
def test_unrealized_by_the_average_entry_is_that_by_the_cost_up_to_the_entry_s_rounding(
    product: str, data: st.DataObject
) -> None:
    """Linear U = Q*m*(P - E), inverse U = Q*m*(1/E - 1/P), with E rounded to 18 places."""
    moves, price = data.draw(histories(product)), data.draw(PRICES)
    state, size = folded(moves).state, Fraction(moves[0]["size"])
    rounded = average_entry(product, state, Decimal(moves[0]["size"]))
    if rounded is None or rounded < Decimal("1E-9"):
        return
    entry = Fraction(rounded)
    held, cost = Fraction(state.qty) * size, Fraction(state.cost)
    if product == "inverse":
        by_entry, by_cost = held * (1 / entry - 1 / price), cost - held / price
        bound = abs(held) * HALF / (entry * (entry - HALF))
    else:
        by_entry, by_cost = held * (price - entry), held * price - cost
        bound = abs(held) * HALF
    assert abs(by_entry - by_cost) <= bound


@drawn
def test_both_modes_come_to_the_same_total_at_every_price(data: st.DataObject) -> None:
    """The same fills in one netting position, or spread over a long and a short one: what moves is
    only the split between realized and unrealized.
    """
    product = data.draw(st.sampled_from(CONTRACTS))
    moves = data.draw(histories(product))
    sides = data.draw(st.lists(st.booleans(), min_size=len(moves), max_size=len(moves)))
    hedged = [
        one | {"position_side": "long" if is_long else "short"}
        for one, is_long in zip(moves, sides, strict=True)
    ]
    sign = -1 if product == "inverse" else 1
    qty, total = Fraction(0), Fraction(0)
    told = books(hedged, value=quantized, share=quantized)
    for side in ("long", "short"):
        mine = [one for one in hedged if one["position_side"] == side]
        if mine:
            result = folded(mine)
            held = told.positions[1, product, "BTCUSDT", side]
            assert tuple(map(Fraction, result.state[:2])) == (held.qty, held.cost)
            qty += Fraction(result.state.qty)
            total += Fraction(result.realized) - sign * Fraction(result.state.cost)
    netting = folded(moves)
    assert qty == Fraction(netting.state.qty)
    assert total == Fraction(netting.realized) - sign * Fraction(netting.state.cost)


# ---- what a single fill does


@each_contract
@drawn
def test_a_partial_close_leaves_the_average_entry_alone(product: str, data: st.DataObject) -> None:
    """Up to the half quantum of the share, spread over what is left."""
    before, after = (leg.state for leg in _last_two(product, "0.375", data))
    held, left = Fraction(before.qty), Fraction(after.qty)
    assert 0 < left / held < 1
    moved = Fraction(after.cost) / left - Fraction(before.cost) / held
    assert abs(moved) <= HALF / abs(left)


@each_contract
@drawn
def test_a_flip_splits_quantity_and_value_and_opens_at_its_own_price(
    product: str, data: st.DataObject
) -> None:
    before, leg = _last_two(product, "2.5", data)
    fill, held, left = leg.fill, before.state, leg.state
    qty = Fraction(fill.qty) * (1 if fill.side == "buy" else -1)
    value = Fraction(fill.value) * (1 if fill.side == "buy" else -1)
    assert Fraction(left.qty) == Fraction(held.qty) + qty
    assert held.qty.is_signed() != left.qty.is_signed()
    opening = Fraction(left.cost)
    assert abs(opening - value * Fraction(left.qty) / qty) <= HALF
    sign = 1 if product == "inverse" else -1
    closing = value - opening  # nothing of the value is lost, and none counted twice
    assert Fraction(leg.realized) == sign * (closing + Fraction(held.cost))


def _last_two(product: str, times: str, data: st.DataObject) -> Any:
    """Legs of a history that ends with so many times of what is held, the other way."""
    moves = data.draw(histories(product, largest=8))
    held = folded(moves).state.qty
    more = moves[-1] | {"kind": "sell" if held < 0 else "buy", "qty": "1000", "name": "998"}
    moves.append(more)
    qty = LEDGER.multiply(folded(moves).state.qty.copy_abs(), Decimal(times))
    qty = LEDGER.quantize(qty, Decimal("1E-18"))
    kind = "buy" if held < 0 else "sell"
    last = more | {"kind": kind, "qty": format(qty, "f"), "price": "123.45", "name": "999"}
    return legs_of([*moves, last])[-2:]


@drawn
def test_a_harmonic_entry_is_the_price_at_which_all_contracts_have_the_value_paid(
    data: st.DataObject,
) -> None:
    """E = sum(q) / sum(q/p), never above the arithmetic mean."""
    moves = [one | {"kind": "buy"} for one in data.draw(histories("inverse", largest=10))]
    state = folded(moves).state
    entry = average_entry("inverse", state, Decimal(moves[0]["size"]))
    qty = sum((Fraction(one["qty"]) for one in moves), Fraction(0))
    worth = sum((Fraction(one["qty"]) / Fraction(one["price"]) for one in moves), Fraction(0))
    if entry is None or Fraction(state.cost) < Fraction(1, 10**6):
        return  # too small for its digits to say a price
    harmonic = qty / worth
    paid = sum((Fraction(one["qty"]) * Fraction(one["price"]) for one in moves), Fraction(0))
    error = harmonic * len(moves) * HALF / (Fraction(state.cost) - len(moves) * HALF)
    assert abs(Fraction(entry) - harmonic) <= error + HALF
    assert harmonic <= paid / qty


@drawn
def test_spot_is_never_negative_and_every_unit_that_was_sold_was_bought_or_is_unknown(
    data: st.DataObject,
) -> None:
    moves = data.draw(histories("spot"))
    unknown, units = Fraction(0), Fraction(0)
    for one, leg in zip(moves, legs_of(moves), strict=True):
        fee = Fraction(one["fee"] or 0) if one["fee_asset"] == "BTC" else Fraction(0)
        units += Fraction(one["qty"]) * (1 if one["kind"] == "buy" else -1) - fee
        assert leg.state.qty >= 0
        assert leg.state.cost >= 0
        assert leg.state.unknown_basis_qty >= unknown
        unknown = Fraction(leg.state.unknown_basis_qty)
        assert Fraction(leg.state.qty) - unknown == units


@each_product
@drawn
def test_entries_realize_nothing_and_an_opening_is_all_that_is_held(
    product: str, data: st.DataObject
) -> None:
    moves = data.draw(histories(product, entries=True))
    for one, leg in zip(moves, legs_of(moves), strict=True):
        if one["kind"] in {"open", "in", "out"}:
            assert leg.realized == 0
        if one["kind"] == "open":
            assert tuple(leg.state) == (Decimal(one["qty"]), Decimal(one["cost"]), 0)
    only_entries = [one for one in moves if one["kind"] in {"open", "in", "out"}]
    if only_entries:
        rows = [row for _, rows in folded(only_entries).days for row in rows.values()]
        assert {row.fills for row in rows} == {0}


# ---- however it is split


def joined(parts: Iterable[Any]) -> dict[tuple[int, str], DayRow]:
    """Days of several folds: a later one moves the day's end on and adds to its sums."""
    days: dict[tuple[int, str], DayRow] = {}
    for part in parts:
        for day, rows in part.days:
            for asset, row in rows.items():
                before = days.get((day, asset))
                realized, fills = (before.realized, before.fills) if before else (Decimal(0), 0)
                days[day, asset] = row._replace(
                    realized=LEDGER.add(realized, row.realized), fills=fills + row.fills
                )
    return days


@each_product
@drawn
def test_any_split_into_batches_gives_the_same_state_and_days(
    product: str, data: st.DataObject
) -> None:
    moves = data.draw(histories(product, entries=True))
    cuts = data.draw(st.lists(st.integers(0, len(moves)), max_size=6).map(sorted))
    state, parts = FLAT, []
    for start, end in zip([0, *cuts], [*cuts, len(moves)], strict=True):
        part = fold(state, map(traded, moves[start:end]), product)
        state = part.state
        parts.append(part)
    assert state == folded(moves).state
    assert joined(parts) == joined([folded(moves)])


@each_product
@drawn
def test_a_fold_from_any_checkpoint_gives_the_days_behind_it(
    product: str, data: st.DataObject
) -> None:
    moves = data.draw(histories(product, entries=True))
    days = list(fold_days(FLAT, map(traded, moves), product))
    for number, checkpoint in enumerate(days):
        later = [one for one in map(traded, moves) if day_of(one.executed_at_ms) > checkpoint.day]
        assert list(fold_days(checkpoint.state, later, product)) == days[number + 1 :]


@each_product
@drawn
def test_legs_agree_with_the_days(product: str, data: st.DataObject) -> None:
    moves = data.draw(histories(product, entries=True))
    days: dict[int, Any] = {}
    for leg in legs_of(moves):
        day = day_of(leg.fill.executed_at_ms)
        realized, fills, _, _ = days.get(day, (Decimal(0), 0, None, None))
        count = 1 if leg.fill.side in {"buy", "sell"} else 0
        total = LEDGER.add(realized, leg.realized)
        days[day] = (total, fills + count, leg.state, leg.fill)
    told = {
        day.day: (row.realized, row.fills, day.state, day.last)
        for day in fold_days(FLAT, map(traded, moves), product)
        for row in day.rows.values()
    }
    assert days == told
