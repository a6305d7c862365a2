"""Comparing, hashing and explaining rows: the parts that need no database."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.changes import Row, Table
from workers.cdc.explain import Step, behind, key_text, stream_entry
from workers.cdc.rebuild import ContentHash, NotKept, as_of, hashed, write_csv, write_jsonl
from workers.cdc.rebuild_rows import Found, Messages, messages_of
from workers.cdc.verify import gaps
from workers.cdc.verify_rows import (
    Difference,
    Rows,
    Sums,
    compare,
    excused,
    hash_of,
    in_groups,
    part_of,
)

TABLE = Table(
    "desk", "t", ("id", "qty", "at", "note"), ("int", "decimal(38,18)", "datetime(6)", "text"),
    (0,), "shape",
)  # fmt: skip
ROW: Row = [5, "1.500000000000000000", "2026-11-26T08:00:00.000000", None]
FOUND = dict(zip(TABLE.columns, ROW, strict=True))
ROWS = Rows(TABLE, hashed=False)
HASHES = Rows(TABLE, hashed=True)


def test_a_row_is_the_same_as_itself() -> None:
    assert ROWS.differs(ROW, FOUND) == ""
    assert ROWS.digest("[5]", ROW) == ROWS.found_digest("[5]", FOUND)
    assert HASHES.digest("[5]", ROW) == HASHES.found_digest(
        "[5]", {"$sha256": hash_of(TABLE.columns, ROW)}
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "5"), ("qty", "1.5"), ("at", "2026-11-26T08:00:00")],
)
def test_a_column_that_was_widened_since_says_the_same(column: str, value: str) -> None:
    found = FOUND | {column: value}
    assert ROWS.differs(ROW, found) == ""
    assert ROWS.digest("[5]", ROW) == ROWS.found_digest("[5]", found)


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", 6), ("qty", "1.51"), ("qty", "15"), ("at", "2026-11-26T08:00:00.1"), ("note", "")],
)
def test_any_other_value_differs_and_is_named(column: str, value: str | int) -> None:
    found = FOUND | {column: value}
    assert ROWS.differs(ROW, found).startswith(f"{column}: ")
    assert ROWS.digest("[5]", ROW) != ROWS.found_digest("[5]", found)


def test_a_row_from_before_a_column_was_added_is_none_the_worse() -> None:
    older = {name: value for name, value in FOUND.items() if name != "note"}
    assert ROWS.differs(ROW, older) == ""
    assert HASHES.differs(ROW, {"$sha256": hash_of(TABLE.columns[:3], ROW[:3])}) == ""
    assert HASHES.differs(ROW, {"$sha256": "00"}) == "its hash"


def test_a_quarantined_row_is_known_by_its_hash() -> None:
    assert ROWS.differs(ROW, {"$quarantined": hash_of(TABLE.columns, ROW)}) == ""


KEYS = st.dictionaries(st.integers(0, 60).map(lambda n: f"[{n}]"), st.integers(0, 3), max_size=40)


@given(KEYS, KEYS)
def test_exactly_the_keys_that_differ_are_named(
    source: dict[str, int], found: dict[str, int]
) -> None:
    table = Table("desk", "t", ("id", "n"), ("varchar(9)", "int"), (0,), "shape")
    rows = Rows(table, hashed=False)
    ours: dict[str, Row] = {key: [key, value] for key, value in source.items()}
    theirs: dict[str, Found] = {key: {"id": key, "n": value} for key, value in found.items()}
    sums = Sums(), Sums()
    for key, row in ours.items():
        sums[0].add(key, rows.digest(key, row))
    for key, row_found in theirs.items():
        sums[1].add(key, rows.found_digest(key, row_found))
    named: set[str] = set()
    sizes = [a + b for a, b in zip(sums[0].rows, sums[1].rows, strict=True)]
    for group in in_groups(sums[0].differing(sums[1]), sizes, 3):
        part = compare(
            rows,
            {key: row for key, row in ours.items() if part_of(key) in group},
            {key: row for key, row in theirs.items() if part_of(key) in group},
        )
        named |= {one.key for one in part}
    keys = source.keys() | found.keys()
    assert named == {key for key in keys if source.get(key) != found.get(key)}


def test_what_is_missing_on_either_side_is_said() -> None:
    assert list(compare(ROWS, {"[5]": ROW}, {})) == [Difference("[5]", "not there")]
    assert list(compare(ROWS, {}, {"[5]": FOUND})) == [Difference("[5]", "not in the source")]


def test_a_row_that_moved_while_the_view_was_opened_may_show_any_state_it_had() -> None:
    assert excused(ROWS, None, [FOUND, None])
    assert excused(ROWS, ROW, [None, FOUND])
    assert not excused(ROWS, ROW, [None, FOUND | {"id": 6}])
    assert not excused(ROWS, None, [FOUND])


def test_seqs_have_no_gap_but_where_an_epoch_begins() -> None:
    def missing(*seqs: tuple[int, int], forgotten: int = 0) -> list[tuple[int, int]]:
        return list(gaps([(*one, True) for one in seqs], forgotten))

    assert missing((1, 1), (1, 2), (2, 9), (2, 10)) == []
    assert missing((1, 1), (1, 3), (1, 7)) == [(2, 2), (4, 6)]
    assert missing((1, 1), (1, 3), (1, 4), forgotten=2) == []


def test_what_a_new_epoch_reads_once_more_is_not_missing_where_it_is_known() -> None:
    control, mark = (2, 10, False), (2, 15, False)
    assert list(gaps([(1, 9, True), control, mark, (2, 20, True), (2, 21, True)])) == []
    assert list(gaps([(1, 9, True), control, (2, 20, True), (2, 22, True)])) == [(21, 21)]


# --- rebuild ---


@given(st.lists(st.integers(), unique=True), st.randoms())
def test_a_content_hash_does_not_depend_on_order(numbers: list[int], chance: object) -> None:
    def text(order: list[int]) -> str:
        content = ContentHash()
        for number in order:
            content.add({"id": str(number), "b": None})
        return content.text()

    shuffled = list(numbers)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert text(numbers) == text(shuffled)
    assert text(numbers) != text([*numbers, 2**70])


def test_rows_of_hashes_are_refused() -> None:
    with pytest.raises(NotKept):
        list(hashed([("[1]", {"$sha256": "00"})], ContentHash()))


def test_rows_are_written_as_csv_and_as_json() -> None:
    rows: list[tuple[str, Found]] = [("[1]", {"b": "x,y", "a": 1, "c": None, "d": ["p"]})]
    out = io.StringIO()
    write_csv(out, rows)
    assert out.getvalue().splitlines() == ["a,b,c,d", '1,"x,y",\\N,"[""p""]"']
    out = io.StringIO()
    write_jsonl(out, rows)
    assert orjson.loads(out.getvalue()) == rows[0][1]
    with pytest.raises(ValueError, match="jsonl"):
        write_csv(io.StringIO(), [*rows, ("[2]", {"a": 1})])


def test_a_moment_is_a_seq_or_a_time() -> None:
    assert as_of("4711") == 4711
    assert as_of("2026-11-26") == datetime(2026, 11, 26, tzinfo=UTC)
    assert as_of("2026-11-26T09:00+01:00") == datetime(2026, 11, 26, 8, tzinfo=UTC)
    with pytest.raises(ValueError, match="yesterday"):
        as_of("yesterday")


def test_what_was_said_of_a_table_tells_when_it_was_empty_and_whole() -> None:
    said = [
        (2, "m", ["snapshot_begin", "t", "r"]), (4, "m", ["snapshot_end", "t", "r", "2"]),
        (5, "t", None), (7, "m", ["rename", "...", "desk.t", "desk.u"]),
        (9, "m", ["alter", "..."]), (11, "m", ["snapshot_end", "t", "r", "10"]),
    ]  # fmt: skip
    assert messages_of("t", said) == Messages(7, 4)
    assert messages_of("u", said[2:4]) == Messages(5, 0)
    assert messages_of("t", []) == Messages(0, 0)


# --- explain ---


def step(seq: int, op: str, qty: str | None, before: str | None = None) -> Step:
    def row(value: str | None) -> dict[str, object] | None:
        return None if value is None else {"id": 1, "qty": value}

    at = datetime(2026, 11, 26, tzinfo=UTC)
    return Step(1, seq, 0, op, False, row(before), row(qty), at, "", "b", 4, "")  # type: ignore[arg-type]


def test_a_value_is_behind_the_changes_that_gave_it() -> None:
    steps = [
        step(1, "c", "1"), step(2, "u", "1", "1"), step(3, "u", "2", "1"), step(4, "u", "2", "2"),
        step(5, "d", None, "2"), step(6, "c", "2"),
    ]  # fmt: skip
    assert [one.seq for one in behind(steps, "qty")] == [1, 3, 5, 6]
    assert behind(steps, None) == steps
    with pytest.raises(ValueError, match="colour"):
        behind(steps, "colour")


def test_a_key_is_written_with_commas_or_as_json() -> None:
    table = Table(
        "d", "t", ("a", "b", "c"), ("bigint unsigned", "text", "int"), (0, 2, 1), "s"
    )
    assert key_text(table, "42,7,x") == '["42",7,"x"]'
    assert key_text(table, '[42, "7", "x,y"]') == '["42",7,"x,y"]'
    with pytest.raises(ValueError, match="a, c, b"):
        key_text(table, "42")


def test_the_ledgers_actor_names_its_stream_entry() -> None:
    assert stream_entry("ledger orders:3 1700000000000-0") == ("orders:3", "1700000000000-0")
    assert stream_entry("user:7 r-1") is None
