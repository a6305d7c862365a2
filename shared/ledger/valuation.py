"""Mark to market: what an open position would realize at a price, and amounts in another asset.

Every figure here rests on a stored, dated price. Where there is none, or only an old one, the
answer is `Unpriceable` with its reason; it is never a guess and never 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.fill import value_of
from shared.ledger.money import LEDGER, checked, quantize
from shared.ledger.position import State

KINDS = ("mark", "index", "last")
"""Kinds of price, the better ones first: venues value and liquidate on the mark, a thin book moves
the last trade.
"""

PRICE_AGE = timedelta(days=1)
"""A price that is older than this before the moment asked says nothing of it."""

COMMON_ASSETS = ("USDT", "USD")
"""Assets that a conversion without a pair of its own may go through, the first that works."""


class Price(NamedTuple):
    """`price` > 0, as it stood at `at` (aware, UTC). kind: one of KINDS; source: who stored it."""

    price: Decimal
    at: datetime
    kind: str
    source: str


class Unpriceable(NamedTuple):
    """reason: `no_price`, `stale_price`, or `overflow` where no column could hold the value. what:
    the instrument, or the pair as `BNB/USDT`.
    """

    reason: str
    what: str


class Converted(NamedTuple):
    """An amount in another asset, and the prices it went through; none for the same asset."""

    amount: Decimal
    prices: tuple[Price, ...]


Rates = Callable[[str, str], Price | Unpriceable]
"""(base, quote) -> what one base costs in quote, at one moment."""


def choose(
    prices: Iterable[Price], at: datetime, what: str, age: timedelta = PRICE_AGE
) -> Price | Unpriceable:
    """The price of a moment: of those at or before it and no older than `age`, the best kind (see
    KINDS), of these the newest, of these the smallest source and price.
    """
    known = [price for price in prices if price.at <= at]
    fresh = [price for price in known if at - price.at <= age]
    if not fresh:
        return Unpriceable("stale_price" if known else "no_price", what)
    return min(fresh, key=lambda p: (KINDS.index(p.kind), at - p.at, p.source, p.price))


def unrealized(product: str, state: State, contract_size: Decimal, price: Decimal) -> Decimal:
    """P&L in the settle asset if `state` were closed at `price`, without fees.

    Linear and spot: V - cost; inverse: cost - V; V the value of the held quantity at the price,
    quantized once as a fill's is. Raises AmountOverflow.
    """
    value = value_of(product, state.qty, price, contract_size)
    if product == "inverse":
        return checked(LEDGER.subtract(state.cost, value))
    return checked(LEDGER.subtract(value, state.cost))


def convert(amount: Decimal, asset: str, into: str, rates: Rates) -> Converted | Unpriceable:
    """`amount` of `asset` in `into`: by the pair, by the pair the other way round, or through one
    of COMMON_ASSETS; quantized once. Raises AmountOverflow.
    """
    if asset == into:
        return Converted(amount, ())
    direct = _leg(amount, asset, into, rates)
    if not isinstance(direct, Unpriceable):
        return Converted(quantize(direct[0]), (direct[1],))
    for common in COMMON_ASSETS:
        if common in (asset, into):
            continue
        first = _leg(amount, asset, common, rates)
        if isinstance(first, Unpriceable):
            continue
        second = _leg(first[0], common, into, rates)
        if not isinstance(second, Unpriceable):
            return Converted(quantize(second[0]), (first[1], second[1]))
    return direct


def _leg(
    amount: Decimal, asset: str, into: str, rates: Rates
) -> tuple[Decimal, Price] | Unpriceable:
    """Not quantized yet."""
    straight = rates(asset, into)
    if isinstance(straight, Price):
        return LEDGER.multiply(amount, straight.price), straight
    turned = rates(into, asset)
    if isinstance(turned, Price):
        return LEDGER.divide(amount, turned.price), turned
    stale = "stale_price" in (straight.reason, turned.reason)
    return Unpriceable("stale_price" if stale else "no_price", f"{asset}/{into}")
