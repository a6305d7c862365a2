"""What is read again is told once, unless it is new or has changed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges.overlap import OVERLAP_MS, Row, advanced, fresh, start_ms
from shared.exchanges.venue import Cursor

NOW = 1_790_000_000_000


def row(key: str, at_ms: int = NOW, **data: Any) -> Row:
    return Row(key, at_ms, data)


def read(cursor: Cursor, rows: list[Row], through_ms: int = NOW, **more: Any) -> Any:
    """(keys and revisions that are told, the cursor as it is kept)."""
    told = fresh(cursor, rows)
    left = advanced(cursor, told, through_ms, **more)
    return [(one.row.key, one.revision) for one in told], json.loads(json.dumps(left))


def test_a_row_is_told_once_however_often_it_comes() -> None:
    told, cursor = read({}, [row("a"), row("b"), row("a")])
    assert told == [("a", 1), ("b", 1)]
    told, cursor = read(cursor, [row("b"), row("a"), row("c")])
    assert told == [("c", 1)]
    assert read(cursor, [row("a"), row("b"), row("c")])[0] == []


def test_a_row_that_changed_is_told_again_with_a_higher_revision() -> None:
    _, cursor = read({}, [row("a", fee=None)])
    told, cursor = read(cursor, [row("a", fee="1")])
    assert told == [("a", 2)]
    assert read(cursor, [row("a", fee="1")])[0] == []
    told, cursor = read(cursor, [row("a", fee="2")])
    assert told == [("a", 3)]
    assert read(cursor, [row("a", fee="2")])[0] == []


def test_the_order_of_a_row_s_fields_is_no_change() -> None:
    _, cursor = read({}, [Row("a", NOW, {"x": "1", "y": "2"})])
    assert read(cursor, [Row("a", NOW, {"y": "2", "x": "1"})])[0] == []


def test_rows_with_equal_content_and_unequal_keys_are_two() -> None:
    """Trap: two fills of one millisecond, price and quantity."""
    long = "a key that is longer than what is remembered of one: "
    for one, other in (("1", "2"), (long + "1", long + "2")):
        told, cursor = read({}, [row(one, qty="1"), row(other, qty="1")])
        assert [key for key, _ in told] == [one, other]
        assert read(cursor, [row(one, qty="1"), row(other, qty="1")])[0] == []


def test_the_next_reading_begins_where_the_overlap_begins() -> None:
    assert start_ms({}, NOW) == NOW
    _, cursor = read({}, [row("old", NOW - OVERLAP_MS - 1), row("new", NOW - OVERLAP_MS)])
    assert start_ms(cursor, 0) == NOW - OVERLAP_MS
    assert start_ms(cursor, NOW) == NOW
    assert list(cursor["seen"]) == [str(NOW - OVERLAP_MS)]


def test_a_row_whose_time_changed_is_remembered_once() -> None:
    _, cursor = read({}, [row("a", NOW - 5)])
    told, cursor = read(cursor, [row("a", NOW - 4, moved="1")])
    assert told == [("a", 2)]
    assert {at_ms: len(marks) for at_ms, marks in cursor["seen"].items() if marks} == {
        str(NOW - 4): 1
    }


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=80), st.integers(1, 9))
def test_however_many_rows_there_are_the_cursor_is_bounded_and_tells_no_row_twice(
    rows: list[tuple[int, int]], keep: int
) -> None:
    given = [row(f"{at_ms}:{number}", NOW - at_ms) for at_ms, number in rows]
    told, cursor = read({}, given, keep=keep)
    assert sorted(key for key, _ in told) == sorted({one.key for one in given})
    assert sum(map(len, cursor["seen"].values())) <= keep
    again = [one for one in given if one.at_ms >= start_ms(cursor, 0)]
    assert read(cursor, again, keep=keep)[0] == []


def test_the_cursor_of_a_busy_account_stays_below_60_kb() -> None:
    keys = [f"COMMISSION:689322392000{number:06}:USDT:BTCUSDT" for number in range(5_000)]
    _, cursor = read({}, [row(key, NOW - number) for number, key in enumerate(keys)])
    assert len(json.dumps(cursor)) < 60_000
