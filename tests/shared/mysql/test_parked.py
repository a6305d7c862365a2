"""Parked events are kept byte for byte, once, and close in one way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mysql.parked import (
    CUT_BYTES,
    ERROR_CHARACTERS,
    KEPT_BYTES,
    Filter,
    ParkedEvent,
    fields_as_json,
    fields_from_json,
    open_events,
    park,
    refused_again,
    resolve,
    still_open,
    value_of,
)

PARTS = st.binary(max_size=12) | st.text(max_size=12).map(str.encode)
PAIRS = st.lists(st.tuples(PARTS, PARTS), max_size=8)


def event(number: int = 1, **more: Any) -> ParkedEvent:
    data = more.pop("data", b'{"n": "%d"}' % number)
    flat = [b"type", b"order.filled.1", b"key", b"7", b"id", b"e%d" % number, b"data", data]
    told: dict[str, Any] = {
        "stream": "orders",
        "partition": 0,
        "entry_id": f"{number}-0",
        "fields": flat,
        "account_id": 7,
        "identity": f"fill {number}",
        "reason": "malformed",
        "error": "why",
    }
    return ParkedEvent(**{**told, **more})


@given(pairs=PAIRS, data=PARTS)
def test_fields_survive_the_table_byte_for_byte(
    pairs: list[tuple[bytes, bytes]], data: bytes
) -> None:
    flat = [part for pair in pairs if pair[0] != b"data" for part in pair]
    assert fields_from_json(fields_as_json([*flat, b"data", data]), data) == [*flat, b"data", data]


@given(pairs=PAIRS, name=PARTS)
def test_the_first_value_of_a_name_counts(pairs: list[tuple[bytes, bytes]], name: bytes) -> None:
    flat = [part for pair in pairs for part in pair]
    assert value_of(flat, name) == next((value for key, value in pairs if key == name), b"")


def rows(connection: Any) -> list[Any]:
    return open_events(connection, Filter(), 100)


def incomplete(connection: Any) -> int:
    cursor = connection.cursor()
    cursor.execute("SELECT incomplete FROM fleet_account_state WHERE account_id = 7")
    return int(cursor.fetchone()[0])


@pytest.mark.database
def test_an_event_is_kept_as_it_came_and_its_account_is_incomplete(mysql_connection: Any) -> None:
    strange = event(fields=[b"\xff\xfe", b"\x00", b"key", b"\xe2\x82", b"data", b"\x80\x00"])
    park(mysql_connection, [strange])
    (found,) = rows(mysql_connection)
    assert found.entry_fields() == list(strange.fields)
    assert (found.key, found.data, found.tries) == (b"\xe2\x82", b"\x80\x00", 1)
    assert found.place == ("orders", 0, "1-0")
    assert incomplete(mysql_connection) == 1


@pytest.mark.database
def test_values_that_are_too_long_are_cut_where_the_whole_stands_elsewhere(
    mysql_connection: Any,
) -> None:
    long = [b"type", b"t" * 5000, b"key", b"k" * 5000, b"id", b"i" * 5000, b"data", b"d" * 200_000]
    park(mysql_connection, [event(fields=long, error="é" * 5000 + "\ud800")])
    (found,) = rows(mysql_connection)
    assert found.entry_fields() == long
    assert len(found.key) == len(found.type) == 1024
    assert found.error == "é" * ERROR_CHARACTERS


@pytest.mark.database
def test_an_entry_larger_than_any_statement_is_kept_in_part_and_says_so(
    mysql_connection: Any,
) -> None:
    huge = [b"type", b"t", b"id", b"e1", b"data", b"\x00" * (KEPT_BYTES + 1), *[b"x"] * 200]
    for _ in range(2):
        park(mysql_connection, [event(fields=huge)])
    (found,) = rows(mysql_connection)
    assert found.error.startswith("only the beginning of this entry's 4194")
    assert found.error.endswith("; why")
    assert (found.event_id, found.tries, len(found.data)) == (b"e1", 2, CUT_BYTES)


@pytest.mark.database
def test_the_same_event_under_another_entry_id_is_counted_and_not_parked_twice(
    mysql_connection: Any,
) -> None:
    park(mysql_connection, [event()])
    park(mysql_connection, [event(entry_id="9-9")])
    park(mysql_connection, [event(entry_id="10-9", data=b"other")])
    found = {row.entry_id: row.tries for row in rows(mysql_connection)}
    assert found == {"1-0": 2, "10-9": 1}


@pytest.mark.database
def test_what_was_closed_is_not_opened_by_the_same_event_again(mysql_connection: Any) -> None:
    park(mysql_connection, [event()])
    (found,) = rows(mysql_connection)
    assert resolve(mysql_connection, found, "skipped", "test")
    assert incomplete(mysql_connection) == 0
    park(mysql_connection, [event(entry_id="9-9")])
    assert rows(mysql_connection) == []
    assert incomplete(mysql_connection) == 0


@pytest.mark.database
def test_an_account_is_complete_when_its_last_event_is_closed(mysql_connection: Any) -> None:
    park(mysql_connection, [event(1), event(2), event(3, account_id=None)])
    first, second, _ = rows(mysql_connection)
    assert resolve(mysql_connection, first, "replayed", None)
    assert incomplete(mysql_connection) == 1
    assert resolve(mysql_connection, second, "replayed", None)
    assert incomplete(mysql_connection) == 0
    assert not resolve(mysql_connection, second, "skipped", "again")
    assert not still_open(mysql_connection, second.place)
    assert not still_open(mysql_connection, ("orders", 0, "404-0"))


@pytest.mark.database
def test_filters_and_pages(mysql_connection: Any) -> None:
    park(mysql_connection, [event(number) for number in range(1, 8)])
    park(mysql_connection, [event(8, stream="signals", reason="too_large")])
    first = open_events(mysql_connection, Filter(), 3)
    rest = open_events(mysql_connection, Filter(), 100, first[-1].place)
    assert [row.entry_id for row in first + rest] == [f"{number}-0" for number in range(1, 9)]
    assert len(open_events(mysql_connection, Filter(stream="orders", key="7"), 100)) == 7
    assert len(open_events(mysql_connection, Filter(reason="too_large"), 100)) == 1
    assert len(open_events(mysql_connection, Filter(type="order.filled.2"), 100)) == 0
    assert len(open_events(mysql_connection, Filter(entry_id="3-0"), 100)) == 1


@pytest.mark.database
def test_a_refusal_is_counted_with_its_newest_reason(mysql_connection: Any) -> None:
    park(mysql_connection, [event()])
    (found,) = rows(mysql_connection)
    refused_again(mysql_connection, found, "overflow", "now this")
    (found,) = rows(mysql_connection)
    assert (found.tries, found.reason, found.error) == (2, "overflow", "now this")
