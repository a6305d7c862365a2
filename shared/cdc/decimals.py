"""DECIMAL as the servers store it: groups of nine digits in four bytes, fewer digits in fewer.

Bytes are big-endian, the first bit is set for numbers that are not negative, and all bits of
negative ones are inverted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_GROUP = 9
_BILLION = 10**_GROUP
_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_STRUCTS = {0: "", 1: "B", 2: "H", 3: "BH", 4: "I"}
_INVERTED = bytes(range(255, -1, -1))


def decimal_bytes(precision: int, scale: int) -> int:
    """How long a value is."""
    return sum(_BYTES[digits] for digits in (*_whole(precision, scale), *_fraction(scale)))


def decimal_reader(precision: int, scale: int) -> Callable[[bytes, int], tuple[str, int]]:
    """Reads the text that SELECT shows: all digits of the scale, no zeros in front."""
    digits = [*_whole(precision, scale), *_fraction(scale)]
    sizes = [_BYTES[each] for each in digits if each]
    size = sum(sizes)
    unpack = struct.Struct(">" + "".join(_STRUCTS[each] for each in sizes)).unpack_from
    sign = 0x80 << (sizes[0] - 1) * 8
    three = [place for place, each in enumerate(sizes) if each == 3]  # noqa: PLR2004
    # Places in the list of groups: where the fraction begins, and where its short group is.
    point = sum(each > 0 for each in _whole(precision, scale)) or 1
    short = point + scale // _GROUP
    ten_to_short = 10 ** (scale % _GROUP)
    text = f"%s%d.%0{scale}d"

    def read(body: bytes, at: int) -> tuple[str, int]:
        ends = at + size
        minus = ""
        groups = unpack(body, at)
        if body[at] < 0x80:  # noqa: PLR2004 - the sign bit
            minus = "-"
            groups = unpack(body[at:ends].translate(_INVERTED))
        if three:
            groups = _joined(groups, three)
        if precision == scale:
            groups = (sign, groups[0] ^ sign, *groups[1:])
        whole = groups[0] ^ sign
        for group in groups[1:point]:
            whole = whole * _BILLION + group
        if not scale:
            return f"{minus}{whole}", ends
        fraction = 0
        for group in groups[point:short]:
            fraction = fraction * _BILLION + group
        if ten_to_short > 1:
            fraction = fraction * ten_to_short + groups[short]
        return text % (minus, whole, fraction), ends

    return read


def _whole(precision: int, scale: int) -> tuple[int, ...]:
    """Digits of each group before the point, the short one first."""
    groups, short = divmod(precision - scale, _GROUP)
    return (short,) + (_GROUP,) * groups


def _fraction(scale: int) -> tuple[int, ...]:
    groups, short = divmod(scale, _GROUP)
    return (_GROUP,) * groups + (short,)


def _joined(numbers: tuple[int, ...], three: list[int]) -> tuple[int, ...]:
    """Groups of three bytes came as one and two."""
    joined = list(numbers)
    for place in three:
        joined[place : place + 2] = [joined[place] << 16 | joined[place + 1]]
    return tuple(joined)
