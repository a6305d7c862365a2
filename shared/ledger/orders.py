"""Orders: current state out of reports in any order.

An order row is the join of its reports. Every column joins by a rule that does not depend on
order: the state with the highest (rank, at_ms, name); elsewhere known beats unknown and, between
two known values, the greatest.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple, TypeVar

RANKS = {"placed": 0, "filled": 1, "canceled": 2, "rejected": 2}


class OrderReport(NamedTuple):
    """`order.placed|canceled|rejected.1`, or what a fill tells about its order (`filled`).

    first_fill_ms, last_fill_ms: between these all its fills were executed; None: none is known.
    """

    account_id: int
    product: str
    instrument: str
    order_id: str | None
    client_order_id: str | None
    venue: str
    state: str
    at_ms: int
    side: str | None = None
    order_type: str | None = None
    qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool | None = None
    signal_id: str | None = None
    strategy: str | None = None
    reason: str | None = None
    first_fill_ms: int | None = None
    last_fill_ms: int | None = None


def order_row_key(order: OrderReport) -> str:
    """`o:` and the venue's id; `c:` and the client's while the venue's is unknown."""
    if order.order_id is not None:
        return "o:" + order.order_id
    if order.client_order_id is None:
        raise ValueError("an order report carries order_id, client_order_id or both")
    return "c:" + order.client_order_id


def join(one: OrderReport, other: OrderReport) -> OrderReport:
    """Both reports in one; commutative, associative, idempotent."""
    late = max(one, other, key=lambda order: (RANKS[order.state], order.at_ms, order.state))
    return OrderReport(
        one.account_id, one.product, one.instrument,
        _greatest(one.order_id, other.order_id),
        _greatest(one.client_order_id, other.client_order_id),
        max(one.venue, other.venue), late.state, late.at_ms,
        _greatest(one.side, other.side), _greatest(one.order_type, other.order_type),
        _greatest(one.qty, other.qty), _greatest(one.price, other.price),
        _greatest(one.stop_price, other.stop_price), _greatest(one.reduce_only, other.reduce_only),
        _greatest(one.signal_id, other.signal_id), _greatest(one.strategy, other.strategy),
        _greatest(one.reason, other.reason),
        _least(one.first_fill_ms, other.first_fill_ms),
        _greatest(one.last_fill_ms, other.last_fill_ms),
    )  # fmt: skip


T = TypeVar("T", str, Decimal, bool, int)


def _greatest(one: T | None, other: T | None) -> T | None:
    if one is None:
        return other
    return one if other is None or one >= other else other


def _least(one: int | None, other: int | None) -> int | None:
    if one is None:
        return other
    return one if other is None or one <= other else other
