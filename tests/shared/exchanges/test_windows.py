"""Windows of time: nothing is lost, whatever a page holds and whichever end of it is cut off."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import LimitReached
from shared.exchanges.venue import Request
from shared.exchanges.windows import Paged, read_windows
from tests.binance_answers import drive

Row = tuple[int, int]  # time, number


def ask(start_ms: int, end_ms: int) -> Request:
    return Request("", "GET", "rows", {"from": start_ms, "to": end_ms}, 1)


def everything_of(at_ms: int, _: Sequence[Row]) -> Generator[Request, Any, list[Row]]:
    found: list[Row] = yield Request("", "GET", "all", {"from": at_ms, "to": at_ms}, 1)
    return found


class Venue:
    def __init__(self, rows: Sequence[Row], limit: int, *, oldest_first: bool) -> None:
        self.rows, self.limit, self.oldest_first = sorted(rows), limit, oldest_first
        self.asked = 0

    def answer(self, request: Request) -> list[Row]:
        self.asked += 1
        start, end = int(request.params["from"]), int(request.params["to"])
        assert end >= start
        found = [row for row in self.rows if start <= row[0] <= end]
        if request.path == "all":
            return found
        return found[: self.limit] if self.oldest_first else found[-self.limit :]


TIMES = st.lists(st.integers(0, 300) | st.sampled_from([7, 8, 150]), max_size=60)


@given(TIMES, st.integers(1, 9), st.integers(1, 400), st.booleans(), st.integers(0, 40))
def test_every_row_of_the_range_is_found(
    times: list[int], limit: int, longest: int, oldest_first: bool, start: int  # noqa: FBT001
) -> None:
    rows = [(at_ms, number) for number, at_ms in enumerate(times)]
    venue = Venue(rows, limit, oldest_first=oldest_first)
    paged = Paged(ask, lambda row: row[0], limit, longest, everything_of)
    read = drive(read_windows(paged, start, 250, 100_000), venue.answer)
    assert sorted(read.rows) == sorted(row for row in rows if start <= row[0] <= 250)
    assert read.through_ms == 250


@given(TIMES, st.integers(1, 5), st.integers(1, 6))
def test_few_pages_end_early_and_say_where(times: list[int], limit: int, pages: int) -> None:
    rows = [(at_ms, number) for number, at_ms in enumerate(times)]
    venue = Venue(rows, limit, oldest_first=True)
    paged = Paged(ask, lambda row: row[0], limit, 1_000, everything_of)
    found: list[Row] = []
    start, span, turns = 0, None, 0
    while start <= 300:
        read = drive(read_windows(paged, start, 300, pages, span_ms=span), venue.answer)
        assert sorted(read.rows) == sorted(
            row for row in rows if start <= row[0] <= read.through_ms
        )
        found += read.rows
        start, span, turns = read.through_ms + 1, read.span_ms, turns + 1
        assert turns < 2_000
    assert sorted(found) == sorted(rows)


def test_a_dense_history_costs_about_two_requests_a_page() -> None:
    rows = [(number * 10, number) for number in range(10_000)]
    venue = Venue(rows, 1_000, oldest_first=True)
    paged = Paged(ask, lambda row: row[0], 1_000, 604_800_000, everything_of)
    read = drive(read_windows(paged, 0, 1_000_000_000, 100), venue.answer)
    assert len(read.rows) == 10_000
    assert venue.asked < 45


def test_the_first_window_with_rows_is_enough_where_only_that_is_asked_for() -> None:
    venue = Venue([(50, 1), (250, 2)], 10, oldest_first=True)
    paged = Paged(ask, lambda row: row[0], 10, 100, everything_of)
    read = drive(read_windows(paged, 0, 300, 10, first=True), venue.answer)
    assert read.rows == [(50, 1)]
    assert read.through_ms == 99


def test_a_millisecond_that_nothing_narrows_is_loud() -> None:
    venue = Venue([(7, number) for number in range(3)], 3, oldest_first=True)
    paged = Paged(ask, lambda row: row[0], 3, 100)
    with pytest.raises(LimitReached, match="millisecond 7 "):
        drive(read_windows(paged, 0, 300, 100), venue.answer)
