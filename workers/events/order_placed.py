"""order.placed.1: an order stands at the venue, or was sent to it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.streams.event import Event
from workers.events import order_report
from workers.events.order_report import OrderBody, OrderBook, record


class Model(OrderBody):
    """Body of order.placed.1."""


check = order_report.check


def apply(book: OrderBook, events: Sequence[Event[Model]]) -> None:
    record(book, events, "placed")
