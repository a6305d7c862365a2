"""What of a venue's or a user's own text, and of an amount, is put on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from rich.text import Text

from shared.ledger.days import time_text
from shared.ledger.money import plain


def shown(text: str) -> str:
    """Text without anything that a terminal would obey: a trade id may hold an escape sequence."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def cell(value: object) -> Text:
    """A table's cell; folded rather than cut."""
    return Text(shown(written(value)), overflow="fold")


def number(value: object) -> Text:
    """The same at the right."""
    return Text(shown(written(value)), overflow="fold", justify="right")


def written(value: object) -> str:
    """An amount without trailing zeros, a moment in UTC, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return str(value)


def moment(at_ms: int) -> str:
    """`2026-07-21 00:00:00.000`."""
    return time_text(at_ms)[:-3]


def signed(amount: Decimal) -> str:
    """With its sign, for what is added."""
    return f"{'+' if amount > 0 else ''}{plain(amount)}"
