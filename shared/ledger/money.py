"""Exact decimals: one context, one quantum, one limit.

Amounts are `Decimal` from the wire to the column. Every operation of the ledger goes through
`LEDGER` by name (`LEDGER.add(a, b)`), never through the thread's own context: that one has 28
digits and would round silently, even for a unary minus.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
)

# The largest exact thing we keep is cost * quantity, 38 + 38 digits; 96 leaves room for the
# quotient that follows to be rounded once only: its distance from a tie is at least 1E-57, the
# context cuts at 1E-76.
LEDGER = Context(
    prec=96,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)
QUANTUM = Decimal("1E-18")
ZERO = Decimal(0)
ONE = Decimal(1)
INPUT_INTEGER_DIGITS = 18  # of an amount on the wire
INPUT_DECIMALS = 18
COLUMN_DIGITS = 20  # before the point, of DECIMAL(38,18)


class AmountOverflow(ArithmeticError):  # noqa: N818 - named for what happened
    """An amount does not fit DECIMAL(38,18); it is never cut to fit."""


def quantize(amount: Decimal) -> Decimal:
    """`amount` at 18 decimals, half-even. Raises AmountOverflow at 1E20 and beyond."""
    return checked(LEDGER.quantize(amount, QUANTUM))


def checked(amount: Decimal) -> Decimal:
    """`amount` itself, if a column can hold it. Raises AmountOverflow."""
    if amount.adjusted() >= COLUMN_DIGITS:
        raise AmountOverflow(f"amount has more than 20 digits before the point: {amount:.6E}")
    return amount


def plain(amount: Decimal) -> str:
    """The shortest plain decimal text: equal amounts give equal text ("1.50" and "1.5" give
    "1.5").
    """
    if not amount:
        return "0"
    return format(LEDGER.normalize(amount), "f")
