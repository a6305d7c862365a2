"""Exact amounts of the local exchange: fractions inside, the venue's text outside."""

from __future__ import annotations

from fractions import Fraction

ZERO = Fraction(0)


def exact(text: str | int | Fraction) -> Fraction:
    """`"0.10"` as 1/10. Text or whole numbers only: a float is refused."""
    if isinstance(text, float):
        raise TypeError(f"amounts are text, not {text!r}")
    return Fraction(text)


def rounded(value: Fraction, places: int) -> Fraction:
    """To so many decimal places, half to even, as `round` of a fraction does."""
    return round(value, places)


def fixed(value: Fraction, places: int) -> str:
    """Always with so many places: `1` with 8 is `1.00000000`. More digits are rounded."""
    unit, of = 10**places, value.denominator
    scaled, rest = divmod(abs(value.numerator) * unit, of)
    if rest * 2 > of or (rest * 2 == of and scaled % 2):
        scaled += 1
    sign = "-" if scaled and value.numerator < 0 else ""
    whole, part = divmod(scaled, unit)
    return f"{sign}{whole}.{part:0{places}d}" if places else f"{sign}{whole}"


def written(value: Fraction, places: int) -> str:
    """With at least so many places, and as many more as the value has."""
    if 10**places % value.denominator == 0:
        return fixed(value, places)
    return plain(value)


def plain(value: Fraction, places: int = 18) -> str:
    """Without trailing zeros: `0.10` is `0.1`, `5.0` is `5`."""
    text = fixed(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def places_of(step: str) -> int:
    """Decimal places of a tick or step: `0.010` has 3."""
    return len(step.partition(".")[2])
