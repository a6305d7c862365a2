"""The exchange's own arithmetic: what a trade does to a position, a wallet and the ledger.

Written for itself, in fractions, and sharing nothing with the fleet's books, so that the two can
be compared. Average cost; a fill that turns a position closes it and opens the other way.
"""

from __future__ import annotations

from copy import copy
from fractions import Fraction
from typing import NamedTuple

from deploy.exchange.amounts import ZERO, rounded
from deploy.exchange.state import Account, Market, Position, PositionSide, Product, Rules, Snapshot


class Closed(NamedTuple):
    """What a fill closed: how much, and its exact P&L."""

    qty: Fraction
    realized: Fraction


def value_of(market: Market, qty: Fraction, price: Fraction) -> Fraction:
    """In quote for linear and spot, in base for inverse; the sign of qty."""
    size = qty * market.contract_size
    return size / price if market.product == "inverse" else size * price


def apply_fill(position: Position, signed: Fraction, price: Fraction) -> Closed:
    """Change the position by a signed quantity; says what was closed. Exact."""
    market, held = position.market, position.qty
    if held * signed >= 0:
        position.qty += signed
        position.cost += value_of(market, signed, price)
        return Closed(ZERO, ZERO)
    closing = max(signed, -held) if held > 0 else min(signed, -held)
    cost_out = position.cost * (-closing) / held
    received = value_of(market, -closing, price)
    inverse = market.product == "inverse"
    realized = cost_out - received if inverse else received - cost_out
    position.qty += closing
    position.cost -= cost_out
    rest = signed - closing
    if rest:
        position.qty, position.cost = rest, value_of(market, rest, price)
    return Closed(abs(closing), realized)


def pocket_of(rules: Rules, product: Product) -> str:
    """Which wallet a product is booked in."""
    return product if rules.pockets else "unified"


def change_wallet(
    account: Account, pocket: str, asset: str, amount: Fraction, at_ms: int
) -> Fraction:
    """The wallet after it."""
    held = account.live
    after = held.wallets.get((pocket, asset), ZERO) + amount
    held.wallets[pocket, asset] = after
    held.moved_ms[pocket, asset] = max(at_ms, held.moved_ms.get((pocket, asset), 0))
    return after


def position_of(account: Account, market: Market, side: PositionSide) -> Position:
    key = (market.product, market.symbol, side)
    found = account.live.positions.get(key)
    if found is None:
        found = account.live.positions[key] = Position(market, side)
    return found


def fee_of(rules: Rules, market: Market, qty: Fraction, price: Fraction, rate: str) -> Fraction:
    """In the settle asset (spot: in quote), rounded as the venue rounds; positive when paid."""
    return rounded(abs(value_of(market, qty, price)) * Fraction(rate), rules.places)


def taken(account: Account) -> Snapshot:
    """A copy of what the account holds now."""
    held = account.live
    positions = {key: copy(position) for key, position in held.positions.items()}
    return Snapshot(dict(held.wallets), positions, dict(held.moved_ms))
