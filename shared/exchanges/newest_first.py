"""History that a venue lists newest first, page by page.

Such a list says nothing of what lies behind its last page, so time moves on only when a window was
read to its end. A window that the bound of pages cuts off goes on at the venue's own place in it (a
page's token, the id of its last row), never at a time: a page may hold one millisecond and no more.
Windows go from the oldest to the newest; the newest has no end, so that what moved during the run
is seen. Each begins a while before the last one ended (see overlap.py), unless that one was cut
off: more rows than a reading can hold would be read again for ever, and time goes on meanwhile.

A cursor holds for every source {"through_ms", "from_ms", "seen"}, and [from, to, place] of a
"window" that was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from shared.exchanges import overlap
from shared.exchanges.errors import Refused
from shared.exchanges.overlap import Fresh, Row
from shared.exchanges.venue import Account, Cursor, Request

PAGES = 10
"""Of one reading, over all its sources."""
REMEMBERED = 2_000
"""Rows of the overlap that the cursor of a source knows; see overlap.py for their size."""


class Asked(NamedTuple):
    """A page of the rows since from_ms, inclusive. to_ms: None for the newest window, which has no
    end. place: "" for the first page.
    """

    from_ms: int
    to_ms: int | None
    place: str


class Source(NamedTuple):
    """One list of a venue. name: in the cursor. span_ms: the longest window.

    page: the rows of an answer, newest first, and the place of the next page; "": it was the last.
    limit: rows of a full page.
    """

    name: str
    span_ms: int
    request: Callable[[Asked], Request]
    page: Callable[[Any], tuple[Sequence[Row], str]]
    limit: int = 100


class Told(NamedTuple):
    """What was not told before: (source, row), oldest first. The rest is for the Page."""

    rows: list[tuple[str, Fresh]]
    cursor: dict[str, Any]
    through_ms: int
    more: bool


def read(
    account: Account,
    cursor: Cursor,
    sources: Sequence[Source],
    since_ms: int,
    *,
    pages: int = PAGES,
    remembered: int = REMEMBERED,
) -> Generator[Request, Any, Told]:
    """since_ms: where a source begins that was never read. The one that is furthest behind is read
    first, so that a busy one delays the others for a reading at most.
    """
    states: dict[str, Cursor] = {one.name: cursor.get(one.name, {}) for one in sources}
    told: list[tuple[str, Fresh]] = []
    for source in sorted(sources, key=lambda one: _through(states[one.name], since_ms)):
        state, asked = states[source.name], False
        while pages > 0 and not (asked and _through(state, since_ms) >= account.now_ms):
            window = state.get("window") or _next(account, source, state, since_ms)
            rows, place, asked_for = yield from _read_window(source, window, pages)
            fresh = overlap.fresh(state, rows)
            # What is read again must leave room in a reading for what is new.
            keep = min(remembered, source.limit * PAGES // 2)
            state = _after(state, fresh, (*window[:2], place), keep)
            told += [(source.name, one) for one in fresh]
            pages, asked = pages - asked_for, True
        states[source.name] = state
    told.sort(key=lambda one: one[1].row.at_ms)
    through_ms = min((_through(state, since_ms) for state in states.values()), default=since_ms)
    return Told(told, states, through_ms, through_ms < account.now_ms)


def _through(state: Cursor, since_ms: int) -> int:
    return int(state.get("through_ms", since_ms))


def _next(account: Account, source: Source, state: Cursor, since_ms: int) -> tuple[int, int, str]:
    from_ms = overlap.start_ms(state, since_ms)
    newest = max(account.now_ms, _through(state, since_ms))
    return from_ms, min(from_ms + source.span_ms, newest), ""


def _read_window(
    source: Source, window: tuple[int, int, str], pages: int
) -> Generator[Request, Any, tuple[list[Row], str, int]]:
    """Rows, oldest first; the place where the window goes on, "" at its end; pages asked for."""
    from_ms, to_ms, place = window
    end_ms = None if to_ms - from_ms < source.span_ms else to_ms
    rows: list[Row] = []
    for asked in range(1, pages + 1):
        try:
            answer = yield source.request(Asked(from_ms, end_ms, place))
        except Refused:
            if asked > 1 or not place:
                raise
            answer = yield source.request(Asked(from_ms, end_ms, ""))  # it forgot the place
        found, next_place = source.page(answer)
        rows += found
        if not found or next_place in {"", place}:
            return rows[::-1], "", asked
        place = next_place
    return rows[::-1], place, pages


def _after(
    state: Cursor, fresh: Sequence[Fresh], window: tuple[int, int, str], remembered: int
) -> Cursor:
    """The state after `fresh` was told of a window, which goes on at its place if it has one."""
    _, to_ms, place = window
    resume_ms = to_ms if "window" in state else None
    after = overlap.advanced(state, fresh, to_ms, resume_ms=resume_ms, keep=remembered)
    if not place:
        return after
    del after["through_ms"]
    return {**state, **after, "window": window}
