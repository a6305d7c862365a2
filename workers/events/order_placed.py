"""order.placed.1: an order stands at the venue, or was sent to it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.streams.event import Event
from workers.events.order_report import OrderBody, OrderBook, record


class Model(OrderBody):
    """Body of order.placed.1."""


def apply(book: OrderBook, events: Sequence[Event[Model]]) -> None:
    record(book, events, "placed")
