"""Figures as a person reads them at night: short, with their unit, and never a bare NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Literal

Unit = Literal["count", "number", "seconds", "ago", "bytes", "ratio", "yes"]
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_LONG = 2.0
"""So many minutes, hours or days before a larger unit says it: 90 s, then 2 min."""
_KIB = 1024.0


def _known(word: Callable[[float], str]) -> Callable[[float], str]:
    @wraps(word)
    def told(value: float) -> str:
        if math.isnan(value):
            return "not known"
        return word(value) if math.isfinite(value) else "no limit"

    return told


@_known
def count(value: float) -> str:
    return f"{value:,.0f}"


@_known
def number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.5g}"


@_known
def seconds(value: float) -> str:
    for size, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if value >= _LONG * size:
            return f"{value / size:,.0f} {name}"
    return f"{value:.1f} s" if 0 < value < 10 else f"{value:.0f} s"  # noqa: PLR2004


@_known
def ago(value: float) -> str:
    return f"{seconds(value)} ago"


@_known
def size(value: float) -> str:
    for name in ("B", "KiB", "MiB"):
        if value < _KIB:
            return f"{value:,.0f} {name}" if name == "B" else f"{value:,.1f} {name}"
        value /= _KIB
    return f"{value:,.1f} GiB"


@_known
def ratio(value: float) -> str:
    return f"{value:.0%}"


@_known
def yes(value: float) -> str:
    return "yes" if value else "no"


WORDS: Mapping[Unit, Callable[[float], str]] = {
    "count": count, "number": number, "seconds": seconds, "ago": ago, "bytes": size,
    "ratio": ratio, "yes": yes,
}  # fmt: skip
