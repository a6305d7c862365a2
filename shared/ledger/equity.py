"""What reaches an account's equity from outside its trading: transfers, holdings that come and go,
coins sold that the books never saw come in. None of it is P&L.

Equity in an asset is cash plus unrealized P&L. Cash is kept at cost: of a spot holding it contains
what was paid for it, so a purchase changes nothing, as it changes nothing on a margin account.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from shared.ledger.money import LEDGER, ZERO
from shared.ledger.position import FILL_SIDES, Leg, State

FLOW_KINDS = ("transfer_in", "transfer_out", "conversion", "other")
"""Kinds of cash entries that come from outside. `other` is what nobody could name: no P&L, then.
`realized` and `commission` are in no equity: they tell again what the fills say.
"""


class Held(NamedTuple):
    """A position at a moment, and what its value depends on beside the price."""

    state: State
    settle_asset: str
    contract_size: Decimal


class Revalued(NamedTuple):
    """A holding that came or went. instrument: venue, product, name."""

    instrument: tuple[str, str, str]
    before: Held
    after: Held


class Outside(NamedTuple):
    """A movement from outside at a moment, in one asset. `amount` changes the cash.

    Where it revalues a position, the flow is `amount` and the change of the position's unrealized
    P&L, at the price of that moment.
    """

    at_ms: int
    asset: str
    amount: Decimal
    revalued: Revalued | None = None


class Moved(NamedTuple):
    """A leg from outside, and the asset it moved beside the settle asset: qty < 0 leaves its cash.

    opened: by an opening, which says nothing of where the holding came from.
    """

    outside: Outside
    base_qty: Decimal
    opened: bool


def from_outside(
    instrument: tuple[str, str, str], before: Held, done: Iterable[Leg[Any]]
) -> Iterator[Moved]:
    """The movements among the legs of one position, which begin at `before`.

    An entry (deposit, withdrawal, opening) brings or takes a holding: on a spot account its cost
    enters or leaves the cash of the settle asset, and its quantity the cash of the base asset,
    where the venue's own row has put it. What was sold without a known basis is an exchange of
    base cash for its proceeds.
    """
    for leg in done:
        fill, state = leg.fill, leg.state
        after = Held(state, fill.settle_asset, fill.contract_size)
        is_fill = fill.side in FILL_SIDES
        if not is_fill or state.unknown_basis_qty != before.state.unknown_basis_qty:
            amount, base = _unbooked(instrument[1], before.state, leg)
            revalued = None if is_fill else Revalued(instrument, before, after)
            outside = Outside(fill.executed_at_ms, fill.settle_asset, amount, revalued)
            yield Moved(outside, base, fill.side == "open")
        before = after


def _unbooked(product: str, before: State, leg: Leg[Any]) -> tuple[Decimal, Decimal]:
    """(settle, base): cash of a leg that its realized P&L does not tell."""
    if product != "spot":
        return ZERO, ZERO
    fill, state = leg.fill, leg.state
    into_cost = LEDGER.subtract(state.cost, before.cost)
    if fill.side not in FILL_SIDES:
        return into_cost, LEDGER.subtract(before.qty, state.qty)
    received = fill.value if fill.side == "sell" else LEDGER.minus(fill.value)
    proceeds = LEDGER.subtract(LEDGER.add(received, into_cost), leg.realized)
    return proceeds, LEDGER.subtract(before.unknown_basis_qty, state.unknown_basis_qty)
