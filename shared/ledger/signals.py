"""Signals: one row per revision of a message. Unequal reports of one revision merge like cash
entries.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import plain


class SignalReport(NamedTuple):
    """`signal.received.1`; `data` the verbatim JSON, with entry and targets."""

    source: str
    channel_id: str
    message_id: str
    revision: int
    received_at_ms: int
    instrument: str | None
    side: str | None
    intent: str | None
    stop: Decimal | None
    leverage: Decimal | None
    expires_at_ms: int | None
    text: str
    report_hash: bytes
    data: str


# received_at_ms is when each source heard it, which two listeners never agree on: it ranks, it is
# no conflict.
_COMPARED = ("instrument", "side", "intent", "stop", "leverage", "expires_at_ms", "text")


def signal_rank(signal: SignalReport) -> tuple[int, tuple[str, ...], bytes]:
    """Smallest stands: the earliest heard, then the smallest content."""
    return (signal.received_at_ms, _content(signal), signal.report_hash)


def signal_conflicts(one: SignalReport, other: SignalReport) -> dict[str, list[str]]:
    """Field -> both texts, sorted, where two reports of one revision differ."""
    pairs = zip(_COMPARED, _content(one), _content(other), strict=True)
    return {name: sorted({a, b}) for name, a, b in pairs if a != b}


def _content(signal: SignalReport) -> tuple[str, ...]:
    return tuple(_text(getattr(signal, name)) for name in _COMPARED)


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None else str(value)
