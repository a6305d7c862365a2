"""Ids order as pairs of integers, whatever their text; fields are found by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.streams.log import START, field, id_pair

PAIRS = st.tuples(st.integers(0, 2**63), st.integers(0, 2**63))


@given(one=PAIRS, other=PAIRS)
def test_ids_compare_as_numbers(one: tuple[int, int], other: tuple[int, int]) -> None:
    first, second = (f"{milliseconds}-{number}" for milliseconds, number in (one, other))
    assert (id_pair(first) < id_pair(second)) == (one < other)
    assert (id_pair(first) == id_pair(second)) == (one == other)


def test_ten_comes_after_nine_and_a_missing_number_is_zero() -> None:
    assert id_pair("5-10") > id_pair("5-9")
    assert id_pair("5") == id_pair("5-0") > id_pair(START)


def test_the_first_field_of_a_name_counts() -> None:
    flat = [b"a", b"1", b"b", b"2", b"a", b"3"]
    assert field(flat, b"a") == b"1"
    assert field(flat, b"2") is None
    assert field([], b"a") is None
