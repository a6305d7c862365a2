"""What order.placed, order.canceled and order.rejected share: the body, the ledger record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import Field

from shared.errors import InvalidEvent
from shared.ledger.orders import OrderReport
from shared.streams.event import Event
from workers.events.amounts import TimeMs, Unsigned
from workers.events.body import AccountBody
from workers.events.texts import Instrument, Label, LaravelId, OrderType, Reason, Venue, VenueId


class OrderBody(AccountBody):
    """Body of version 1. Null means not known. Of market orders venues say price zero."""

    venue: Venue
    product: Literal["linear", "inverse", "spot"]
    instrument: Instrument
    order_id: VenueId | None = None
    client_order_id: VenueId | None = None
    at_ms: TimeMs
    side: Literal["buy", "sell"] | None = None
    order_type: OrderType | None = None
    qty: Unsigned | None = None
    price: Unsigned | None = None
    stop_price: Unsigned | None = None
    reduce_only: bool | None = Field(default=None, strict=True)
    signal_id: LaravelId | None = None
    strategy: Label | None = None
    reason: Reason | None = None

    def check(self, key: str) -> None:
        self.check_account(key)
        if self.order_id is None and self.client_order_id is None:
            raise InvalidEvent(
                "missing_field", "`order_id` and `client_order_id` are missing; send one or both"
            )


class OrderBook(Protocol):
    """What these events need of the book."""

    def record_orders(self, reports: Sequence[OrderReport]) -> object: ...


def record(book: OrderBook, events: Sequence[Event[OrderBody]], state: str) -> None:
    book.record_orders([OrderReport(**vars(event.body), state=state) for event in events])
