"""An oracle in plain rational arithmetic, written from the rules and without a line of the ledger.

What moves a position is a plain dict with texts for amounts, see `move`. With q the signed quantity
of a fill, m the size of a contract and p its price, its value is V = q*m*p, for an inverse contract
q*m/p. A position is (Q, C): its quantity and the values that are still in it.

    the same way     Q += q, C += V
    |q| <= |Q|       C_out = C * -q/Q;   r = -V - C_out, inverse V + C_out;   Q += q, C -= C_out
    |q| >  |Q|       the fill closes with its share -Q of q, and opens with the rest

Exact as it stands; with `quantized` in the place of `exact` it rounds what the ledger says it
rounds, and where: values once, shares once, half-even at 18 places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

Rounding = Callable[[Fraction], Fraction]
QUANTA = 10**18
DAY_MS = 24 * 60 * 60 * 1000
ZERO = Fraction(0)


def exact(amount: Fraction) -> Fraction:
    return amount


def quantized(amount: Fraction) -> Fraction:
    return Fraction(round(amount * QUANTA), QUANTA)  # round() of a fraction is half-even


@dataclass
class Held:
    """A position. traded: the sum of its fills' signed values; rounded: how many shares of its cost
    or of a value were taken.
    """

    qty: Fraction = ZERO
    cost: Fraction = ZERO
    unknown: Fraction = ZERO
    realized: Fraction = ZERO
    fills: int = 0
    traded: Fraction = ZERO
    rounded: int = 0


@dataclass
class Earned:
    """A day in one asset."""

    realized: Fraction = ZERO
    fees: Fraction = ZERO
    fills: int = 0


class Leg(NamedTuple):
    """One fill or entry, and the position behind it."""

    name: str
    realized: Fraction
    qty: Fraction
    cost: Fraction


@dataclass
class Books:
    """Keys: account, product, instrument, then the position's side, or a UTC day and an asset."""

    positions: dict[tuple[Any, ...], Held] = field(default_factory=dict)
    days: dict[tuple[Any, ...], Earned] = field(default_factory=dict)
    legs: dict[tuple[Any, ...], list[Leg]] = field(default_factory=dict)


def move(kind: str, qty: str, price: str = "0", **more: Any) -> dict[str, Any]:
    """A fill (`buy`, `sell`) or an entry (`open`, `in`, `out`; `cost` instead of a price)."""
    return {
        "account": 1, "product": "linear", "instrument": "BTCUSDT", "position_side": "net",
        "kind": kind, "qty": qty, "price": price, "size": "1", "fee": None, "fee_asset": None,
        "base": None, "settle": "USDT", "cost": None, "ms": 0, "seq": -1, "name": "1",
    } | more  # fmt: skip


def books(
    moves: Iterable[Mapping[str, Any]], value: Rounding = exact, share: Rounding = exact
) -> Books:
    """Everything sorted, then one move after the other."""
    result = Books()
    for one in sorted(moves, key=_place):
        book = (one["account"], one["product"], one["instrument"])
        held = result.positions.setdefault((*book, one["position_side"]), Held())
        if one["kind"] in {"buy", "sell"}:
            realized = _filled(held, one, value, share)
            held.realized += realized
            held.fills += 1
            day = one["ms"] // DAY_MS
            earned = result.days.setdefault((*book, day, one["settle"]), Earned())
            earned.realized += realized
            earned.fills += 1
            if one["fee"] is not None and Fraction(one["fee"]):
                asset = one["fee_asset"] or one["settle"]
                paid = result.days.setdefault((*book, day, asset), Earned())
                paid.fees += Fraction(one["fee"])
        else:
            realized = ZERO
            _entered(held, one, share)
        legs = result.legs.setdefault((*book, one["position_side"]), [])
        legs.append(Leg(one["name"], realized, held.qty, held.cost))
    return result


def value_at(product: str, qty: Fraction, price: Fraction, size: Fraction) -> Fraction:
    return qty * size / price if product == "inverse" else qty * size * price


def _place(one: Mapping[str, Any]) -> tuple[Any, ...]:
    """By time, the venue's sequence, and the id as a number where it is one. In a millisecond what
    comes in stands before all fills, what goes out behind them, and an opening behind everything.
    """
    stand = {"in": 0, "buy": 1, "sell": 1, "out": 2, "open": 3}[one["kind"]]
    name = one["name"].encode()
    return (one["ms"], stand, one["seq"], len(name), name, one["kind"])


def _filled(held: Held, one: Mapping[str, Any], value: Rounding, share: Rounding) -> Fraction:
    qty, price, size = Fraction(one["qty"]), Fraction(one["price"]), Fraction(one["size"])
    worth = value(value_at(one["product"], qty, price, size))
    if one["kind"] == "sell":
        qty, worth = -qty, -worth
    held.traded += worth
    if one["product"] == "spot":
        fee = Fraction(one["fee"] or 0) if one["fee_asset"] == one["base"] else ZERO
        return _bought(held, qty - fee, worth) if qty > 0 else _sold(held, fee - qty, -worth, share)
    realized = _contract(held, qty, worth, share)
    return -realized if one["product"] == "inverse" else realized


def _contract(held: Held, qty: Fraction, worth: Fraction, share: Rounding) -> Fraction:
    before = held.qty
    held.qty += qty
    if before * qty >= 0:
        held.cost += worth
        return ZERO
    if abs(qty) <= abs(before):
        out = share(held.cost * -qty / before)
        held.rounded += held.qty != 0
        held.cost -= out
        return -worth - out
    closing = share(worth * -before / qty)
    held.rounded += 1
    realized = -closing - held.cost
    held.cost = worth - closing
    return realized


def _bought(held: Held, gained: Fraction, paid: Fraction) -> Fraction:
    """A fee in the base asset leaves the cost where it is, unless it takes all that is held."""
    held.qty += gained
    held.cost += paid
    if held.qty > 0:
        return ZERO
    lost, held.cost = held.cost, ZERO
    held.unknown -= held.qty
    held.qty = ZERO
    return -lost


def _sold(held: Held, leaving: Fraction, got: Fraction, share: Rounding) -> Fraction:
    """What was never bought has no known basis, and its share of the price is no P&L."""
    if leaving <= 0:  # a rebate in the base asset larger than the sale
        held.qty -= leaving
        return got
    known = min(leaving, held.qty)
    part = share(got * known / leaving)
    out = share(held.cost * known / held.qty) if held.qty else ZERO
    held.rounded += (known != leaving) + (known != held.qty)
    held.qty -= known
    held.cost -= out
    held.unknown += leaving - known
    return part - out


def _entered(held: Held, one: Mapping[str, Any], share: Rounding) -> None:
    qty, cost = Fraction(one["qty"]), Fraction(one["cost"] or 0)
    if one["kind"] == "open":
        held.qty, held.cost, held.unknown = qty, cost, ZERO
    elif one["kind"] == "in":
        held.qty += qty
        held.cost += cost
    else:
        going = min(qty, held.qty)
        if held.qty:
            held.rounded += going != held.qty
            held.cost -= share(held.cost * going / held.qty)
        held.qty -= going
