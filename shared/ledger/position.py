"""The fold: fills in, position and realized P&L out. Pure, exact, one fill at a time.

Average cost, as exchanges do it. A partial close takes its share of the cost, quantized, and
leaves the remainder in the position (residual-carrying), so that whenever a position is flat the
sum of its realized P&L is exactly minus the sum of the values traded.

A hedge-mode book is folded like a netting one: `position_side` is part of the key, a `short` book
is opened by its first sell. With V the value of a fill, C_out the cost that leaves and m the size
of a contract: linear r = -V - C_out, entry = C / (Q*m); inverse (coin-margined) r = V + C_out,
entry = Q*m / C, the harmonic average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Generic, NamedTuple, Protocol, TypeVar

from shared.ledger.days import DAY_MS
from shared.ledger.fill import Placed, UnsupportedProduct
from shared.ledger.money import LEDGER, QUANTUM, ZERO, checked, quantize

# Of the ledger's context, taken out once: looking one up costs as much as the sum itself.
_add, _subtract = LEDGER.add, LEDGER.subtract
_multiply, _divide = LEDGER.multiply, LEDGER.divide


class State(NamedTuple):
    """`qty` and `cost` are signed, negative for a short. `unknown_basis_qty` only for spot."""

    qty: Decimal
    cost: Decimal
    unknown_basis_qty: Decimal


FLAT = State(ZERO, ZERO, ZERO)
FILL_SIDES = frozenset({"buy", "sell"})


class Traded(Placed, Protocol):
    """What the fold reads of a fill, or of an entry: `side` is then its kind, `value` its cost."""

    @property
    def venue(self) -> str: ...
    @property
    def qty(self) -> Decimal: ...
    @property
    def value(self) -> Decimal: ...
    @property
    def fee(self) -> Decimal | None: ...
    @property
    def fee_asset(self) -> str | None: ...
    @property
    def base_asset(self) -> str | None: ...
    @property
    def settle_asset(self) -> str: ...
    @property
    def contract_size(self) -> Decimal: ...


F = TypeVar("F", bound="Traded")


class DayRow(NamedTuple):
    """One settle asset's share of a position's day: the state after its last fill of that day, and
    its realized P&L and fills of that day. A day with one row only is a checkpoint.
    """

    settle_asset: str
    state: State
    realized: Decimal
    fills: int
    contract_size: Decimal


class Day(NamedTuple, Generic[F]):
    """A whole day of a position. `last` is its newest fill."""

    day: int
    rows: dict[str, DayRow]
    state: State
    last: F


class Leg(NamedTuple, Generic[F]):
    """What one fill did: the state after it, and the P&L it realized, in the settle asset."""

    fill: F
    state: State
    realized: Decimal


class Fold(NamedTuple):
    state: State
    realized: Decimal
    days: list[tuple[int, dict[str, DayRow]]]


def fold(state: State, fills: Iterable[Traded], product: str) -> Fold:
    """`state` after `fills`, which stand in order; the realized P&L of all of them; and their
    days.
    """
    realized, days = ZERO, []
    for day in fold_days(state, fills, product):
        state = day.state
        for row in day.rows.values():
            realized = LEDGER.add(realized, row.realized)
        days.append((day.day, day.rows))
    return Fold(state, realized, days)


def fold_days(state: State, fills: Iterable[F], product: str) -> Iterator[Day[F]]:
    """Folds lazily and yields every day once it is complete, so that memory stays flat and the
    reader may stop between two days. Raises AmountOverflow, UnsupportedProduct.
    """
    step = _step_of(product)
    today: int | None = None
    sums: dict[str, _Sum] = {}
    last: F | None = None
    for fill in fills:
        day = fill.executed_at_ms // DAY_MS
        if day != today:
            if today is not None and last is not None:
                yield Day(today, _rows(sums), state, last)
            today, sums = day, {}
        state, realized = step(state, fill)
        asset = fill.settle_asset
        row = sums.get(asset)
        if row is None:
            row = sums[asset] = _Sum()
        if realized:
            row.realized = _add(row.realized, realized)
        if fill.side in FILL_SIDES:
            row.fills += 1
        row.state, row.contract_size = state, fill.contract_size
        last = fill
    if today is not None and last is not None:
        yield Day(today, _rows(sums), state, last)


class _Sum:
    """What becomes a DayRow when its day is over: a row for each fill would take as long as the
    fold.
    """

    __slots__ = ("contract_size", "fills", "realized", "state")

    def __init__(self) -> None:
        self.state = FLAT
        self.realized = ZERO
        self.fills = 0
        self.contract_size = ZERO


def _rows(sums: dict[str, _Sum]) -> dict[str, DayRow]:
    return {
        asset: DayRow(asset, one.state, one.realized, one.fills, one.contract_size)
        for asset, one in sums.items()
    }


def legs(state: State, fills: Iterable[F], product: str) -> Iterator[Leg[F]]:
    """Fill by fill: for whoever needs to know which one realized what. Raises as fold_days."""
    step = _step_of(product)
    for fill in fills:
        state, realized = step(state, fill)
        yield Leg(fill, state, realized)


def _step_of(product: str) -> Callable[[State, Traded], tuple[State, Decimal]]:
    step = _STEPS.get(product)
    if step is None:
        raise UnsupportedProduct(f"no fold for product {product!r}; known: {', '.join(_STEPS)}")
    return step


def average_entry(product: str, state: State, contract_size: Decimal) -> Decimal | None:
    """Entry price by quantity, 18 decimals; None when flat, and for an inverse position whose
    value is below 18 decimals.
    """
    if not state.qty:
        return None
    size = LEDGER.multiply(state.qty, contract_size)
    if product != "inverse":
        return quantize(LEDGER.divide(state.cost, size))
    return quantize(LEDGER.divide(size, state.cost)) if state.cost else None


def _linear(state: State, fill: Traded) -> tuple[State, Decimal]:
    held, cost, _ = state
    qty, value, side = fill.qty, fill.value, fill.side
    if side == "sell":
        qty, value = qty.copy_negate(), value.copy_negate()
    elif side != "buy":
        return _entered(state, fill), ZERO
    after = checked(_add(held, qty))
    if not held or held.is_signed() == qty.is_signed():
        return State(after, checked(_add(cost, value)), ZERO), ZERO
    if not after or after.is_signed() == held.is_signed():
        released = _share(cost, qty, held) if after else cost.copy_negate()  # -C_out
        return State(after, _add(cost, released), ZERO), checked(_subtract(released, value))
    # A flip: the part that closes and the part that opens add up to the whole value.
    closing = _share(value, held, qty)  # with its sign turned, as `released`
    return State(after, _add(value, closing), ZERO), checked(_subtract(closing, cost))


def _inverse(state: State, fill: Traded) -> tuple[State, Decimal]:
    """As linear, but a falling value in coins is what a long gains."""
    after, realized = _linear(state, fill)
    return after, LEDGER.minus(realized)


def _spot(state: State, fill: Traded) -> tuple[State, Decimal]:
    """Quantity moves net of a fee in the base asset, the cost stays (trading rule: a base fee
    reduces the holding). What is sold beyond the holding has no known basis and no realized P&L.
    """
    held, cost, unknown = state
    fee = base_fee(fill) or ZERO
    if fill.side == "buy":
        cost = checked(_add(cost, fill.value))
        after = checked(_add(held, _subtract(fill.qty, fee)))
        if after > ZERO:
            return State(after, cost, unknown), ZERO
        # the fee took everything: what was paid is lost, what is missing had no known basis
        return State(ZERO, ZERO, checked(_subtract(unknown, after))), LEDGER.minus(cost)
    if fill.side != "sell":
        return _entered(state, fill), ZERO
    leaving = _add(fill.qty, fee)
    after = checked(_subtract(held, leaving))
    if leaving <= ZERO:  # a rebate larger than the sale
        return State(after, cost, unknown), fill.value
    if after > ZERO:
        cost_out = _share(cost, leaving, held)
        realized = checked(_subtract(fill.value, cost_out))
        return State(after, _subtract(cost, cost_out), unknown), realized
    known = fill.value if not after else _share(fill.value, held, leaving)
    realized = checked(_subtract(known, cost))
    return State(ZERO, ZERO, checked(_subtract(unknown, after))), realized


def _entered(state: State, entry: Traded) -> State:
    """The state after an entry (see shared/ledger/entries.py). A withdrawal takes what has a known
    basis first, as a sale does.
    """
    held, cost, unknown = state
    if entry.side == "open":
        return State(entry.qty, entry.value, ZERO)
    if entry.side == "in":
        return State(checked(_add(held, entry.qty)), checked(_add(cost, entry.value)), unknown)
    if entry.qty >= held:
        return State(ZERO, ZERO, unknown)
    cost_out = _share(cost, entry.qty, held)
    return State(_subtract(held, entry.qty), _subtract(cost, cost_out), unknown)


def base_fee(fill: Traded) -> Decimal | None:
    """The fee that changes a spot quantity; None if there is none."""
    if fill.fee and fill.fee_asset is not None and fill.fee_asset == fill.base_asset:
        return fill.fee
    return None


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Amount * part / whole, quantized once; part is never more than whole, so it always fits."""
    return LEDGER.quantize(_divide(_multiply(amount, part), whole), QUANTUM)


_STEPS = {"linear": _linear, "inverse": _inverse, "spot": _spot}


def due(restating_fills: int, fills_to_fold: int, *, idle: bool) -> bool:
    """Whether a waiting fold pays: always when there is nothing else to do, otherwise once the
    fills that wait are a quarter of those to fold. A fill is then folded about four times at most,
    however it comes.
    """
    return restating_fills > 0 and (idle or 4 * restating_fills >= fills_to_fold)
