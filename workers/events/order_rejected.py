"""order.rejected.1: the venue refused an order; `reason` is in its words."""

from __future__ import annotations

from collections.abc import Sequence

from shared.streams.event import Event
from workers.events import order_report
from workers.events.order_report import OrderBody, OrderBook, record


class Model(OrderBody):
    """Body of order.rejected.1."""


check = order_report.check


def apply(book: OrderBook, events: Sequence[Event[Model]]) -> None:
    record(book, events, "rejected")
