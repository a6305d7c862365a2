"""Amounts of a venue as plain decimal text: no digit lost, none made up."""

from __future__ import annotations

import re
from decimal import Decimal

from shared.errors import InvalidEvent
from shared.ledger.money import LEDGER

_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def plain(text: object) -> str:
    """The same number as our events carry it: "1E-8" is written out, "+5." is "5". Raises
    InvalidEvent for what is no number: NaN, Infinity, "", and JSON numbers that went through binary
    floating point.
    """
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise InvalidEvent(
            "malformed", f"the venue's amount is {text!r}; a decimal in text is expected"
        )
    return text if _PLAIN.fullmatch(text) else format(Decimal(text), "f")


def known(text: object) -> str | None:
    """As `plain`; None where the venue says nothing (null or "")."""
    return None if text is None or text == "" else plain(text)


def total(*texts: object) -> str:
    """The exact sum."""
    result = Decimal(0)
    for text in texts:
        result = LEDGER.add(result, Decimal(plain(text)))
    return format(result, "f")


def negated(text: object) -> str:
    """The same amount with its sign turned: for venues that report what is paid as negative."""
    turned = plain(text)
    if not Decimal(turned):
        return turned.removeprefix("-")
    return turned[1:] if turned.startswith("-") else f"-{turned}"


def sign(text: object) -> int:
    """-1, 0 or 1."""
    amount = Decimal(plain(text))
    return (amount > 0) - (amount < 0)
