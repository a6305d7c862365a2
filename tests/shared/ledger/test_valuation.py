"""Unrealized P&L against rational arithmetic; the price of a moment; amounts in other assets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.fill import Fill, merge
from shared.ledger.position import FLAT, State, fold
from shared.ledger.valuation import (
    KINDS,
    PRICE_AGE,
    Converted,
    Price,
    Rates,
    Unpriceable,
    choose,
    convert,
    unrealized,
)
from tests.ledger_world import FIRST_DAY, report

D = Decimal
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HALF_QUANTUM = Fraction(1, 2 * 10**18)

amounts = st.decimals("0.0001", "99999", places=4)


@st.composite
def trades(draw: st.DrawFn, product: str) -> list[Fill]:
    drawn = draw(st.lists(st.tuples(st.sampled_from(["buy", "sell"]), amounts, amounts)))
    size = draw(st.sampled_from(["1", "0.001", "100"]))
    reports = [
        report(
            product=product, trade_id=str(number), side=side, qty=qty, price=price,
            contract_size=size, executed_at_ms=FIRST_DAY + number,
        )
        for number, (side, qty, price) in enumerate(drawn)
    ]  # fmt: skip
    return [merge([one])[0] for one in reports]


def valued(product: str, qty: Fraction, price: Decimal, size: Decimal) -> Fraction:
    worth = qty * Fraction(size)
    return worth / Fraction(price) if product == "inverse" else worth * Fraction(price)


# ---- identity I2


@given(st.data())
@pytest.mark.parametrize("product", ["linear", "inverse"])
def test_realized_and_unrealized_are_the_value_held_less_the_value_traded(
    product: str, data: st.DataObject
) -> None:
    fills = data.draw(trades(product))
    price = data.draw(amounts)
    size = fills[0].contract_size if fills else D(1)
    folded = fold(FLAT, fills, product)
    made = Fraction(folded.realized) + Fraction(unrealized(product, folded.state, size, price))
    held, traded = Fraction(), Fraction()
    for fill in fills:
        sign = 1 if fill.side == "buy" else -1
        held += sign * Fraction(fill.qty)
        traded += sign * valued(product, Fraction(fill.qty), fill.price, size)
    expected = valued(product, held, price, size) - traded
    expected = -expected if product == "inverse" else expected
    assert abs(made - expected) <= (len(fills) + 1) * HALF_QUANTUM
    if product == "linear":
        assert made == expected  # eleven decimals at most: nothing to round


def test_a_long_gains_when_the_price_rises_in_every_product() -> None:
    held = State(D(10), D(1000), D(0))
    assert unrealized("linear", held, D(1), D(110)) == 100
    assert unrealized("spot", held, D(1), D(110)) == 100
    coins = State(D(1000), D("0.2"), D(0))  # 1,000 contracts of 1 USD, bought at 5,000
    assert unrealized("inverse", coins, D(1), D(8000)) == D("0.075")


def test_a_short_loses_when_the_price_rises() -> None:
    assert unrealized("linear", State(D(-2), D(-200), D(0)), D("0.5"), D(210)) == -10
    assert unrealized("inverse", State(D(-1000), D("-0.2"), D(0)), D(1), D(8000)) == D("-0.075")


def test_what_is_not_held_has_no_unrealized_gain() -> None:
    assert unrealized("inverse", FLAT, D(1), D(3)) == 0


def test_the_worked_example_of_bybits_inverse_perpetual() -> None:
    """Entry of 1,000 at 5,000 and 2,000 at 6,000 is 5,625; at 5,625 nothing is gained."""
    fills = [
        merge([report(product="inverse", trade_id=number, qty=qty, price=price)])[0]
        for number, qty, price in (("1", "1000", "5000"), ("2", "2000", "6000"))
    ]
    state = fold(FLAT, fills, "inverse").state
    assert abs(unrealized("inverse", state, D(1), D(5625))) <= D("1E-18")


# ---- the price of a moment


def price(text: str, at: datetime = NOON, kind: str = "mark", source: str = "sync") -> Price:
    return Price(D(text), at, kind, source)


def test_a_mark_is_preferred_to_an_index_and_an_index_to_a_trade() -> None:
    earlier = NOON - timedelta(hours=23)
    prices = [price("1", NOON, "last"), price("2", NOON, "index"), price("3", earlier)]
    for some in permutations(prices):
        assert choose(some, NOON, "BTCUSDT") == prices[2]
        assert choose([p for p in some if p.kind != "mark"], NOON, "BTCUSDT") == prices[1]
    assert KINDS == ("mark", "index", "last")


def test_a_mark_that_is_too_old_gives_way_to_a_fresh_trade() -> None:
    old, trade = price("1", NOON - PRICE_AGE - timedelta(microseconds=1)), price("2", kind="last")
    assert choose([old, trade], NOON, "BTCUSDT") == trade


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ([], "no_price"),
        ([NOON + timedelta(microseconds=1)], "no_price"),
        ([NOON - PRICE_AGE - timedelta(microseconds=1)], "stale_price"),
    ],
)
def test_without_a_price_of_its_time_a_moment_is_unpriceable(
    known: Sequence[datetime], reason: str
) -> None:
    assert choose([price("1", at) for at in known], NOON, "X") == Unpriceable(reason, "X")


def test_a_price_of_the_very_moment_and_one_of_the_full_age_count() -> None:
    for at in (NOON, NOON - PRICE_AGE):
        assert choose([price("7", at)], NOON, "X") == price("7", at)


# ---- conversion


def rates(**pairs: str | Unpriceable) -> Rates:
    """`rates(BNB_USDT="600")`."""

    def rate(base: str, quote: str) -> Price | Unpriceable:
        known = pairs.get(f"{base}_{quote}", Unpriceable("no_price", f"{base}/{quote}"))
        return known if isinstance(known, Unpriceable) else price(known)

    return rate


def test_an_asset_in_itself_needs_no_price() -> None:
    assert convert(D("0.1"), "USDT", "USDT", rates()) == Converted(D("0.1"), ())


@pytest.mark.parametrize(
    ("pairs", "amount", "prices"),
    [
        ({"BNB_EUR": "500"}, "1000", ["500"]),
        ({"EUR_BNB": "0.002"}, "1000", ["0.002"]),
        ({"BNB_USDT": "600", "EUR_USDT": "1.2"}, "1000", ["600", "1.2"]),
        ({"USD_BNB": "0.0016", "USD_EUR": "0.8"}, "1000", ["0.0016", "0.8"]),
        ({"BNB_EUR": "500", "BNB_USDT": "1", "EUR_USDT": "1"}, "1000", ["500"]),
        ({"BNB_USDT": "600", "EUR_USDT": "1.2", "BNB_USD": "1", "EUR_USD": "1"}, "1000",
         ["600", "1.2"]),
    ],
)  # fmt: skip
def test_an_amount_goes_by_its_pair_or_through_one_common_asset(
    pairs: dict[str, str], amount: str, prices: list[str]
) -> None:
    found = convert(D(2), "BNB", "EUR", rates(**pairs))
    assert found == Converted(D(amount), tuple(price(text) for text in prices))


def test_two_common_assets_in_a_row_are_too_many() -> None:
    chain = rates(BNB_USDT="600", USDT_USD="1", EUR_USD="1.2")
    assert convert(D(2), "BNB", "EUR", chain) == Unpriceable("no_price", "BNB/EUR")


def test_a_conversion_says_that_its_price_is_only_too_old() -> None:
    old = rates(EUR_BNB=Unpriceable("stale_price", "EUR/BNB"))
    assert convert(D(2), "BNB", "EUR", old) == Unpriceable("stale_price", "BNB/EUR")


@given(amounts, amounts, amounts)
def test_a_conversion_is_rounded_once(amount: Decimal, one: Decimal, other: Decimal) -> None:
    found = convert(amount, "A", "B", rates(USDT_A=str(one), B_USDT=str(other)))
    assert isinstance(found, Converted)
    exact = Fraction(amount) / Fraction(one) / Fraction(other)
    assert abs(Fraction(found.amount) - exact) <= HALF_QUANTUM + Fraction(1, 10**60)
