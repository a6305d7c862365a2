"""Values of a statement as text: for a person, and to the last digit for a program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from shared.ledger.money import LEDGER, QUANTUM, plain
from workers.statement.sections import Quotient, Ratio, Value

_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)
NOTHING = "—"


def for_people(value: Value) -> str:
    """Thousands apart, no trailing zeros; shares in percent, moments in UTC."""
    if value is None:
        return NOTHING
    if isinstance(value, Ratio):
        return f"{_grouped(_rounded(LEDGER.multiply(value.value, _HUNDRED)))} %"
    if isinstance(value, Quotient):
        return _grouped(_rounded(value.value))
    if isinstance(value, Decimal):
        return _grouped(plain(value))
    return f"{value:,}" if isinstance(value, int) else _dated(value)


def _dated(value: Value) -> str:
    if isinstance(value, timedelta):
        return _span(value)
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return f"{utc:%Y-%m-%d %H:%M:%S}" if utc.second else f"{utc:%Y-%m-%d %H:%M}"
    return str(value)


def exact(value: Value) -> str:
    """18 decimals, no thousands separators; ISO 8601; seconds for a span of time; "" for None."""
    if value is None:
        return ""
    if isinstance(value, (Ratio, Quotient)):
        return exact(value.value)
    if isinstance(value, Decimal):
        return format(LEDGER.quantize(value, QUANTUM), "f")
    if isinstance(value, timedelta):
        return str(int(value.total_seconds()))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


def number_of(value: Value) -> Decimal | None:
    """None for what is no number."""
    if isinstance(value, (Ratio, Quotient)):
        return value.value
    return Decimal(value) if isinstance(value, (Decimal, int)) else None


def _rounded(amount: Decimal) -> str:
    return format(amount.quantize(_CENT, ROUND_HALF_EVEN, LEDGER), "f")


def _grouped(text: str) -> str:
    whole, point, decimals = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}"


def _span(span: timedelta) -> str:
    hours, minutes = divmod(int(span.total_seconds()) // 60, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    told = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "0 min"
