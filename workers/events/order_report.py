"""What order.placed, order.canceled and order.rejected share: the body, the ledger record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, Protocol

from pydantic import Strict

from shared.errors import InvalidEvent
from shared.ledger.orders import OrderReport
from shared.streams.event import Event
from workers.events.amounts import TimeMs, Unsigned
from workers.events.body import AccountBody, check_account
from workers.events.texts import Instrument, Label, LaravelId, OrderType, Reason, Venue, VenueId


class OrderBody(AccountBody):
    """Body of version 1. Null means not known. Of market orders venues say price zero."""

    venue: Venue
    product: Literal["linear", "inverse", "spot"]
    instrument: Instrument
    order_id: NotRequired[VenueId | None]
    client_order_id: NotRequired[VenueId | None]
    at_ms: TimeMs
    side: NotRequired[Literal["buy", "sell"] | None]
    order_type: NotRequired[OrderType | None]
    qty: NotRequired[Unsigned | None]
    price: NotRequired[Unsigned | None]
    stop_price: NotRequired[Unsigned | None]
    reduce_only: NotRequired[Annotated[bool, Strict()] | None]
    signal_id: NotRequired[LaravelId | None]
    strategy: NotRequired[Label | None]
    reason: NotRequired[Reason | None]


def check(body: OrderBody, key: str) -> None:
    """Raises InvalidEvent where fields contradict one another or the entry's key."""
    check_account(body, key)
    if body.get("order_id") is None and body.get("client_order_id") is None:
        raise InvalidEvent(
            "missing_field", "`order_id` and `client_order_id` are missing; send one or both"
        )


class OrderBook(Protocol):
    """What these events need of the book."""

    def record_orders(self, reports: Sequence[OrderReport]) -> object: ...


def record(book: OrderBook, events: Sequence[Event[OrderBody]], state: str) -> None:
    book.record_orders([_report(event.body, state) for event in events])


def _report(body: OrderBody, state: str) -> OrderReport:
    return OrderReport(
        account_id=body["account_id"],
        product=body["product"],
        instrument=body["instrument"],
        order_id=body.get("order_id"),
        client_order_id=body.get("client_order_id"),
        venue=body["venue"],
        state=state,
        at_ms=body["at_ms"],
        side=body.get("side"),
        order_type=body.get("order_type"),
        qty=body.get("qty"),
        price=body.get("price"),
        stop_price=body.get("stop_price"),
        reduce_only=body.get("reduce_only"),
        signal_id=body.get("signal_id"),
        strategy=body.get("strategy"),
        reason=body.get("reason"),
    )
