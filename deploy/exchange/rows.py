"""Rows of an account for venues that list the newest first, and their JSON, made once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

import orjson

from deploy.exchange.state import Entry, Fill

Row = TypeVar("Row", bound=Fill | Entry)
Place = tuple[int, int]
"""(milliseconds, sequence): where a row stands."""
_place = attrgetter("at_ms", "seq")
_at = attrgetter("at_ms")


def place_of(row: Fill | Entry) -> Place:
    return row.at_ms, row.seq


def newest(
    rows: Sequence[Row], start_ms: int, end_ms: int, *, below: Place | None = None,
    above: Place | None = None,
) -> Iterator[Row]:
    """Shown rows from the newest to the oldest, both times included; places are not included."""
    low = bisect_left(rows, start_ms, key=_at)
    high = bisect_right(rows, end_ms, key=_at)
    if below is not None:
        high = min(high, bisect_left(rows, below, key=_place))
    if above is not None:
        low = max(low, bisect_right(rows, above, key=_place))
    for index in range(high - 1, low - 1, -1):
        if not rows[index].hidden:
            yield rows[index]


def prepared(row: Row, make: Callable[[Row], object]) -> orjson.Fragment:
    """Its JSON, which it keeps until it changes."""
    if row.row is None:
        row.row = orjson.Fragment(orjson.dumps(make(row)))
    found: orjson.Fragment = row.row
    return found
