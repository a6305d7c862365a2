"""signal.received.1: somebody said what to trade. Kept as said, per revision of the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from shared.errors import InvalidEvent
from shared.ledger.identity import report_hash
from shared.ledger.signals import SignalReport
from shared.streams.event import Event
from workers.events.amounts import Revision, TimeMs, Unsigned
from workers.events.body import Body
from workers.events.texts import ChatId, Instrument, Message, OrderType


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Entry(_Part):
    """Where to get in: the order type, and one price or a range or ladder of them."""

    type: OrderType
    prices: tuple[Unsigned, ...] = ()


class Target(_Part):
    """Where to get out, and with which part of the position."""

    price: Unsigned
    fraction: Unsigned | None = None


class Model(Body):
    """Body of signal.received.1. Null means not said."""

    source: Literal["telegram", "discord", "tradingview", "webhook", "api"]
    channel_id: ChatId
    message_id: ChatId
    revision: Revision
    received_at_ms: TimeMs
    text: Message
    instrument: Instrument | None = None
    side: Literal["long", "short"] | None = None
    intent: Literal["open", "add", "reduce", "close", "cancel", "update"] | None = None
    entry: Entry | None = None
    targets: tuple[Target, ...] | None = None
    stop: Unsigned | None = None
    leverage: Unsigned | None = None
    expires_at_ms: TimeMs | None = None

    def check(self, key: str) -> None:
        if key != self.channel_id:
            raise InvalidEvent(
                "wrong_key",
                f"`key` is {key[:60]!a} and `data.channel_id` is "
                f"{self.channel_id[:60]!a}; send the channel's id in both",
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
        source=body.source,
        channel_id=body.channel_id,
        message_id=body.message_id,
        revision=body.revision,
        received_at_ms=body.received_at_ms,
        instrument=body.instrument,
        side=body.side,
        intent=body.intent,
        stop=body.stop,
        leverage=body.leverage,
        expires_at_ms=body.expires_at_ms,
        text=body.text,
        report_hash=report_hash(text),
        data=text,
    )
