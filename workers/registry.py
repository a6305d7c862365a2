"""The tables of what runs. To add an event type: one file in workers/events and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shared.streams.decode import Upcast
from shared.streams.event import Event
from workers.events import (
    balance_observed,
    cash_moved,
    order_canceled,
    order_filled,
    order_placed,
    order_rejected,
    position_observed,
    position_opened,
    signal_received,
)


class EventType(NamedTuple):
    """One type of event.

    stream: where it belongs. model: its body. check: body and the entry's key -> None, raises
    InvalidEvent. apply: book and events of this type -> None.
    """

    stream: str
    model: type[Any]
    check: Callable[[Any, str], None]
    apply: Callable[[Any, Sequence[Event[Any]]], None]

    @property
    def locks_account(self) -> bool:
        """Whether the event's key is an account whose rows it changes."""
        return self.stream == "orders"


STREAMS = ("orders", "signals")
"""The streams that the consumer `ledger` reads."""


EVENTS: Mapping[str, EventType] = {
    name: EventType(stream, module.Model, module.check, module.apply)
    for name, stream, module in (
        ("order.filled.1", "orders", order_filled),
        ("order.placed.1", "orders", order_placed),
        ("order.canceled.1", "orders", order_canceled),
        ("order.rejected.1", "orders", order_rejected),
        ("cash.moved.1", "orders", cash_moved),
        ("position.opened.1", "orders", position_opened),
        ("position.observed.1", "orders", position_observed),
        ("balance.observed.1", "orders", balance_observed),
        ("signal.received.1", "signals", signal_received),
    )
}

UPCASTERS: Mapping[tuple[str, int], Upcast] = {}
"""(`order.filled`, 1) -> function from the data of version 1 to the data of version 2."""
