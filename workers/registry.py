"""The tables of what runs. To add an event type: one file in workers/events and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shared.streams.decode import Upcast
from shared.streams.event import Event
from workers.events import (
    cash_moved,
    order_canceled,
    order_filled,
    order_placed,
    order_rejected,
    signal_received,
)
from workers.events.body import Body


class EventType(NamedTuple):
    """stream: where it belongs. model: its body. apply: book and events of this type -> None."""

    stream: str
    model: type[Body]
    apply: Callable[[Any, Sequence[Event[Any]]], None]

    @property
    def locks_account(self) -> bool:
        """Whether the event's key is an account whose rows it changes."""
        return self.stream == "orders"


STREAMS = ("orders", "signals")
"""The streams that the consumer `ledger` reads."""


EVENTS: Mapping[str, EventType] = {
    "order.filled.1": EventType("orders", order_filled.Model, order_filled.apply),
    "order.placed.1": EventType("orders", order_placed.Model, order_placed.apply),
    "order.canceled.1": EventType("orders", order_canceled.Model, order_canceled.apply),
    "order.rejected.1": EventType("orders", order_rejected.Model, order_rejected.apply),
    "cash.moved.1": EventType("orders", cash_moved.Model, cash_moved.apply),
    "signal.received.1": EventType("signals", signal_received.Model, signal_received.apply),
}

UPCASTERS: Mapping[tuple[str, int], Upcast] = {}
"""(`order.filled`, 1) -> function from the data of version 1 to the data of version 2."""
