"""Lists that come newest first: nothing is lost at any boundary, nothing is told twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges import newest_first
from shared.exchanges.errors import Refused
from shared.exchanges.newest_first import Asked, Source, Told
from shared.exchanges.overlap import OVERLAP_MS, Row
from shared.exchanges.venue import Account, Request
from tests.shared.exchanges.readings import DAY, NOW, account_of, drive, in_turn

SPAN = 7 * DAY
LIMIT = 2


class Listing:
    """A venue's list of (key, at_ms, fee): newest first, LIMIT a page, a place is a position."""

    def __init__(self, rows: list[tuple[str, int, str]]) -> None:
        self.rows = rows

    def source(self, name: str = "list") -> Source:
        def page(answer: Any) -> tuple[list[Row], str]:
            rows, place = answer
            return [Row(key, at_ms, {"fee": fee}) for key, at_ms, fee in rows], place

        return Source(name, SPAN, _request, page)

    def answer(self, request: Request) -> tuple[list[tuple[str, int, str]], str]:
        from_ms, to_ms = int(request.params["from"]), int(request.params["to"])
        rows = [row for row in self.rows if from_ms <= row[1] <= (to_ms or 2 * NOW)]
        rows.sort(key=lambda row: (row[1], row[0]), reverse=True)
        place = request.params["place"]
        if place:
            at_ms, key = str(place).split(" ")
            rows = [row for row in rows if (row[1], row[0]) < (int(at_ms), key)]
        rows = rows[:LIMIT]
        return rows, f"{rows[-1][1]} {rows[-1][0]}" if len(rows) == LIMIT else ""


def _request(asked: Asked) -> Request:
    params = {"from": asked.from_ms, "to": asked.to_ms or 0}
    return Request("private", "GET", "list", {**params, "place": asked.place}, 1)


def read(
    listing: Listing,
    cursor: Any,
    *,
    now_ms: int = NOW,
    since_ms: int = NOW - DAY,
    pages: int = 3,
    remembered: int = 500,
) -> tuple[Told, list[Request]]:
    account = Account(42, (), {}, now_ms, since_ms)
    sources = [listing.source()]
    reading = newest_first.read(
        account, cursor, sources, since_ms, pages=pages, remembered=remembered
    )
    told, requests = drive(reading, listing.answer)
    return told, requests


def keys(told: Told) -> list[str]:
    return [fresh.row.key for _, fresh in told.rows]


def test_a_window_with_nothing_in_it_moves_time_on_by_one_question() -> None:
    told, requests = read(Listing([]), {})

    assert told.through_ms == NOW
    assert not told.more
    assert len(requests) == 1


def test_what_came_after_the_run_began_is_told_but_not_claimed() -> None:
    told, _ = read(Listing([("a", NOW + 300, "1")]), {})

    assert keys(told) == ["a"]
    assert told.through_ms == NOW


def test_a_window_that_was_cut_off_claims_nothing_and_goes_on_where_it_was() -> None:
    listing = Listing([(f"k{n}", NOW - 10_000 + n, "1") for n in range(9)])

    first, _ = read(listing, {})
    assert keys(first) == ["k3", "k4", "k5", "k6", "k7", "k8"]
    assert first.more
    assert first.through_ms == NOW - DAY

    listing.rows.append(("new", NOW + 5, "1"))
    second, requests = read(listing, first.cursor, now_ms=NOW + 10)
    assert keys(second)[:3] == ["k0", "k1", "k2"]
    assert requests[0].params["place"] == f"{NOW - 9_997} k3"
    third, _ = read(listing, second.cursor, now_ms=NOW + 10, pages=9)
    assert "new" in {*keys(second), *keys(third)}
    assert third.through_ms == NOW + 10
    assert not third.more


def test_more_rows_of_one_millisecond_than_all_pages_hold_are_all_told() -> None:
    listing = Listing([(f"k{n:02}", NOW - 5_000, "1") for n in range(20)])
    cursor: Any = {}
    found: list[str] = []
    for _ in range(10):
        told, _ = read(listing, cursor)
        cursor, found = told.cursor, found + keys(told)
        if not told.more:
            break
    assert not told.more
    assert sorted(found) == [f"k{n:02}" for n in range(20)]


def test_late_and_changed_rows_are_found_again_and_the_others_are_not() -> None:
    listing = Listing([("a", NOW - 5_000, ""), ("b", NOW - 4_000, "1")])
    told, _ = read(listing, {})
    listing.rows = [("a", NOW - 5_000, "0.1"), ("b", NOW - 4_000, "1"), ("c", NOW - 4_500, "1")]

    again, _ = read(listing, told.cursor, now_ms=NOW + 60_000)

    assert [(fresh.row.key, fresh.revision) for _, fresh in again.rows] == [("a", 2), ("c", 1)]


def test_a_row_on_two_pages_is_told_once() -> None:
    rows = [("a", NOW - 5_000, "1"), ("a", NOW - 5_000, "1"), ("b", NOW - 6_000, "1")]
    account = account_of([])
    reading = newest_first.read(account, {}, [Listing([]).source()], NOW - DAY)
    told, _ = drive(reading, in_turn((rows[:2], "x"), (rows[1:], "")))
    assert keys(told) == ["b", "a"]


def test_a_page_token_that_leads_to_itself_or_to_nothing_is_the_end() -> None:
    row = ("a", NOW - 5_000, "1")
    for second in (([row], "x"), ([], "y")):
        reading = newest_first.read(account_of([]), {}, [Listing([]).source()], NOW - DAY)
        told, requests = drive(reading, in_turn(([row], "x"), second))
        assert not told.more
        assert len(requests) == 2


def test_a_window_whose_place_the_venue_forgot_is_read_from_its_beginning() -> None:
    listing = Listing([(f"k{n}", NOW - 10_000 + n, "1") for n in range(9)])
    cut, _ = read(listing, {})
    asked: list[Request] = []

    def forgetful(request: Request) -> Any:
        asked.append(request)
        return Refused("cursor invalid") if len(asked) == 1 else listing.answer(request)

    account = Account(42, (), {}, NOW, NOW - DAY)
    told, _ = drive(
        newest_first.read(account, cut.cursor, [listing.source()], NOW - DAY), forgetful
    )
    assert keys(told) == ["k0", "k1", "k2"]
    assert (told.through_ms, told.more) == (NOW, False)
    assert [bool(one.params["place"]) for one in asked[:2]] == [True, False]

    refused = Refused("wrong")
    with pytest.raises(Refused):
        drive(newest_first.read(account, {}, [listing.source()], NOW - DAY), lambda _: refused)


def test_a_long_past_is_walked_in_windows_from_the_oldest() -> None:
    listing = Listing([(f"k{n}", NOW - n * 5 * DAY - 1, "1") for n in range(6)])

    told, requests = read(listing, {}, since_ms=NOW - 30 * DAY, pages=50)

    assert keys(told) == ["k5", "k4", "k3", "k2", "k1", "k0"]
    spans = [(int(one.params["from"]), int(one.params["to"])) for one in requests]
    assert all(to - begin <= SPAN for begin, to in spans if to)
    assert [begin for begin, _ in spans] == sorted(begin for begin, _ in spans)
    assert spans[-1][1] == 0


def test_the_source_that_is_furthest_behind_is_read_first() -> None:
    busy = Listing([(f"k{n}", NOW - 50_000 + n, "1") for n in range(40)])
    sources = [busy.source("busy"), busy.source("quiet")]
    account = Account(42, (), {}, NOW, NOW - DAY)
    first, _ = drive(newest_first.read(account, {}, sources, NOW - DAY, pages=3), busy.answer)
    assert set(first.cursor) == {"busy", "quiet"}
    assert {name for name, _ in first.rows} == {"busy"}
    done = {"through_ms": NOW - 1, "from_ms": NOW - 1, "seen": {}}
    cursor = {"busy": done, "quiet": first.cursor["quiet"]}
    second, _ = drive(newest_first.read(account, cursor, sources, NOW - DAY, pages=3), busy.answer)
    assert {name for name, _ in second.rows} == {"quiet"}


def test_more_rows_than_a_reading_holds_do_not_keep_it_busy_for_ever() -> None:
    """Time goes on between the readings of a window that was cut off."""
    listing = Listing([(f"k{n:02}", NOW - 5_000 + n, "1") for n in range(20)])
    cursor: Any = {}
    rests = []
    for second in range(8):
        told, _ = read(listing, cursor, now_ms=NOW + second * 1_000)
        cursor = told.cursor
        rests += [] if told.more else [told.through_ms - NOW]
    assert rests == [3_000, 7_000]


times = st.integers(NOW - 40_000, NOW + 40_000).map(lambda ms: ms - ms % 10_000)
steps = st.lists(st.tuples(st.lists(times, max_size=8), st.integers(1, 4)), min_size=1, max_size=8)


@given(steps)
def test_whatever_comes_between_the_readings_every_row_is_told_exactly_once(
    steps: list[tuple[list[int], int]],
) -> None:
    listing = Listing([])
    told_keys: list[str] = []
    cursor: Any = {}
    count, rests, now_ms, through_ms = 0, 0, NOW, 0
    for added, pages in [*steps, *[([], 4)] * 40]:
        for at_ms in added:
            listing.rows.append((f"{count:03}", at_ms, "1"))
            count += 1
        told, requests = read(listing, cursor, now_ms=now_ms, pages=pages)
        assert len(requests) <= pages
        assert told.through_ms >= through_ms
        cursor, through_ms, now_ms = told.cursor, told.through_ms, now_ms + 1_000
        told_keys += keys(told)
        rests = 0 if added or told.more else rests + 1
        if count and rests > 1:  # what comes late behind a window that was cut off waits for one
            break
    assert through_ms <= now_ms
    if rests > 1:
        assert sorted(set(told_keys)) == [row[0] for row in sorted(listing.rows)]
        assert len(told_keys) == len(set(told_keys))
    assert now_ms - NOW < OVERLAP_MS


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=12))
def test_a_cursor_that_forgets_tells_everything_and_comes_to_rest(
    steps: list[tuple[int, int]],
) -> None:
    """Rows come in time, those of a second in one millisecond; only three are remembered."""
    listing = Listing([])
    told_keys: set[str] = set()
    cursor: Any = {}
    count_at_rest = 0
    for second, (added, pages) in enumerate([*steps, *[(0, 4)] * 30]):
        at_ms = NOW + second * 1_000
        listing.rows += [(f"{second:02}-{n}", at_ms, "1") for n in range(added)]
        told, _ = read(listing, cursor, now_ms=at_ms + 500, pages=pages, remembered=3)
        at_rest = second > len(steps) and "window" not in cursor["list"]
        assert not (at_rest and count_at_rest and told.rows)
        count_at_rest += at_rest
        cursor = told.cursor
        told_keys.update(keys(told))
        assert sum(map(len, cursor["list"]["seen"].values())) <= 3
    assert count_at_rest > 10
    assert told_keys == {row[0] for row in listing.rows}
