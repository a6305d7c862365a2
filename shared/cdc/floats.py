"""FLOAT and DOUBLE as text: the fewest digits that read back the same number, as the servers write
a DOUBLE and a number in JSON.
"""

from __future__ import annotations

import struct

_SMALLEST_NORMAL = 2.0**-126
_PLAIN_BELOW = 1e15
_PLAIN_FROM = 1e-4
_DIGITS = 15

_float32 = struct.Struct("<f")


def double_text(number: float) -> str:
    """As SELECT shows a DOUBLE: 1.5, 100, 1e15, 0.0001, -0."""
    if number == 0 or _PLAIN_FROM <= abs(number) < _PLAIN_BELOW:
        return repr(number).removesuffix(".0")
    return _written(repr(number))


def float_text(number: float) -> str:
    """Of a float32. Six digits are always enough to tell a decimal of six; nine tell every one."""
    for digits in range(6 if abs(number) >= _SMALLEST_NORMAL else 1, 10):
        text = f"{number:.{digits}g}"
        if _float32.unpack(_float32.pack(float(text)))[0] == number:
            break
    return double_text(float(text))


def _written(shortest: str) -> str:
    """The same digits, plain where the servers write them plain."""
    sign = "-" if shortest[0] == "-" else ""
    mantissa, _, exponent = shortest.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - len(whole + fraction) + len(digits)
    digits = digits.rstrip("0")
    plain = point > -_DIGITS and (point <= _DIGITS or len(digits) > point)
    if not plain:
        dot = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{dot}{digits[1:]}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"
