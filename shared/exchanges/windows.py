"""History by windows of time, where a venue pages by nothing better.

No page boundary is trusted: only a window whose page was not full counts as read. One that came
back full is asked again up to before the newest row of its page; if that is full as well, by
halves, down to one millisecond. So it does not matter in which order the venue answers, which end
it cuts off, and how many rows share a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from shared.errors import LimitReached
from shared.exchanges.venue import Request

Row = Any
Narrower = Callable[[int, Sequence[Row]], Generator[Request, Any, list[Row]]]
"""All rows of one millisecond, of which a page came back full."""


class Paged(NamedTuple):
    """How a venue's history is asked for.

    ask: request for the rows of [from, to], both inclusive, in ms. limit: rows of a full page.
    longest_ms: what the venue allows. narrow: None where it has no way to ask for fewer.
    """

    ask: Callable[[int, int], Request]
    time_of: Callable[[Row], int]
    limit: int
    longest_ms: int
    narrow: Narrower | None = None
    rows_of: Callable[[Any], Sequence[Row]] = list
    """Rows of an answer."""


class History(NamedTuple):
    """rows: everything from the start through `through_ms`, some perhaps twice. pages: requests
    that are left. span_ms: a good length for the next window.
    """

    rows: list[Row]
    through_ms: int
    pages: int
    span_ms: int


def read_windows(
    paged: Paged,
    start_ms: int,
    end_ms: int,
    pages: int,
    *,
    span_ms: int | None = None,
    first: bool = False,
) -> Generator[Request, Any, History]:
    """Rows of [start_ms, end_ms], as far as `pages` requests reach; first: up to the first window
    with any. Narrowing a millisecond is not counted: it must be done at once. Raises LimitReached
    where one holds too many to tell apart.
    """
    rows: list[Row] = []
    span, again = min(span_ms or paged.longest_ms, paged.longest_ms), False
    while start_ms <= end_ms and pages > 0 and not (first and rows):
        to_ms = min(start_ms + span - 1, end_ms)
        page = paged.rows_of((yield paged.ask(start_ms, to_ms)))
        pages -= 1
        if len(page) >= paged.limit:
            if to_ms > start_ms:
                newest_ms = max(paged.time_of(row) for row in page)
                cut = newest_ms - start_ms if not again else (to_ms - start_ms + 1) // 2
                span, again = max(min(cut, to_ms - start_ms), 1), True
                continue
            page = yield from _narrowed(paged, start_ms, page)
        rows += page
        start_ms, again = to_ms + 1, False
        if len(page) * 2 < paged.limit:
            span = min(span * 2, paged.longest_ms)
    return History(rows, start_ms - 1, pages, span)


def _narrowed(
    paged: Paged, at_ms: int, page: Sequence[Row]
) -> Generator[Request, Any, list[Row]]:
    if paged.narrow is None:
        raise too_many(paged.limit, at_ms)
    return (yield from paged.narrow(at_ms, page))


def too_many(limit: int, at_ms: int) -> LimitReached:
    """Rows of one millisecond that cannot be told apart."""
    return LimitReached(
        f"the venue holds {limit} rows or more of the millisecond {at_ms} and cannot be asked for "
        "fewer; import this account's history of that time"
    )
