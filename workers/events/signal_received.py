"""signal.received.1: somebody said what to trade. Kept as said, per revision of the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, Protocol

from typing_extensions import TypedDict

from shared.errors import InvalidEvent
from shared.ledger.identity import report_hash
from shared.ledger.signals import SignalReport
from shared.streams.event import Event
from workers.events.amounts import Revision, TimeMs, Unsigned
from workers.events.texts import ChatId, Instrument, Message, OrderType


class Entry(TypedDict):
    """Where to get in: the order type, and one price or a range or ladder of them."""

    type: OrderType
    prices: NotRequired[tuple[Unsigned, ...]]


class Target(TypedDict):
    """Where to get out, and with which part of the position."""

    price: Unsigned
    fraction: NotRequired[Unsigned | None]


class Model(TypedDict):
    """Body of signal.received.1. Null means not said."""

    source: Literal["telegram", "discord", "tradingview", "webhook", "api"]
    channel_id: ChatId
    message_id: ChatId
    revision: Revision
    received_at_ms: TimeMs
    text: Message
    instrument: NotRequired[Instrument | None]
    side: NotRequired[Literal["long", "short"] | None]
    intent: NotRequired[Literal["open", "add", "reduce", "close", "cancel", "update"] | None]
    entry: NotRequired[Entry | None]
    targets: NotRequired[tuple[Target, ...] | None]
    stop: NotRequired[Unsigned | None]
    leverage: NotRequired[Unsigned | None]
    expires_at_ms: NotRequired[TimeMs | None]


def check(body: Model, key: str) -> None:
    """Raises InvalidEvent where the entry's key is not the body's channel."""
    channel = body["channel_id"]
    if key != channel:
        raise InvalidEvent(
            "wrong_key",
            f"`key` is {key[:60]!a} and `data.channel_id` is "
            f"{channel[:60]!a}; send the channel's id in both",
        )


class Book(Protocol):
    """What this event needs of the book."""

    def record_signals(self, signals: Sequence[SignalReport]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_signals([signal(event.body, event.data) for event in events])


def signal(body: Model, data: bytes) -> SignalReport:
    """The ledger's input; entry and targets stay in the verbatim data."""
    text = data.decode()
    return SignalReport(
        source=body["source"],
        channel_id=body["channel_id"],
        message_id=body["message_id"],
        revision=body["revision"],
        received_at_ms=body["received_at_ms"],
        instrument=body.get("instrument"),
        side=body.get("side"),
        intent=body.get("intent"),
        stop=body.get("stop"),
        leverage=body.get("leverage"),
        expires_at_ms=body.get("expires_at_ms"),
        text=body["text"],
        report_hash=report_hash(text),
        data=text,
    )
