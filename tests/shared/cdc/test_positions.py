"""GTIDs as the servers write them, and which of two states has what the other has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc.positions import GtidPosition, GtidSet, file_number, gtid_state

A = "11e7476e-e958-11f1-a985-02fc00000001"
B = "22e7476e-e958-11f1-a985-02fc00000001"


def test_files_are_in_the_order_of_their_numbers() -> None:
    names = ["binlog.1000000", "binlog.999999", "binlog.000009", "my.log.000010"]
    assert [file_number(name) for name in sorted(names, key=file_number)] == [
        ("binlog", 9), ("binlog", 999_999), ("binlog", 1_000_000), ("my.log", 10),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no name"):
        file_number("binlog'; DROP")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        (f"{A}:1-5", f"{A}:1-5"),
        (f"{B}:1, \n{A}:7:1-5", f"{A}:1-5:7,{B}:1"),
        (f"{A}:1-5:blue:1:3-4:red:9,{A.upper()}:6", f"{A}:1-6:blue:1:3-4:red:9"),
        (f"{A}:3-9:1-4", f"{A}:1-9"),
    ],
)
def test_a_set_is_written_as_the_server_writes_it(written: str, meant: str) -> None:
    assert GtidSet(written).text() == meant


NUMBERS = st.lists(st.integers(1, 40), max_size=60)


@given(NUMBERS, NUMBERS)
def test_a_set_has_what_was_added_and_nothing_else(ours: list[int], others: list[int]) -> None:
    found = GtidSet(f"{B}:blue:7")
    for number in ours:
        found.add(A, number)
        found.text()  # it is asked after every transaction, and remembers how it was written
    assert GtidSet(found.text()).text() == found.text()
    other = ",".join(f"{A}:{number}" for number in others)
    assert found.covers(other) == (set(others) <= set(ours))
    assert found.covers(f"{B}:blue:7")
    assert not found.covers(f"{B}:7")


@given(st.lists(st.tuples(st.sampled_from([A, B, f"{A}:blue"]), st.integers(1, 9)), max_size=30))
def test_a_set_is_written_the_same_however_it_came_about(added: list[tuple[str, int]]) -> None:
    step, at_once = GtidSet(), GtidSet()
    for source, number in added:
        step.add(source, number)
        step.text()
        at_once.add(source, number)
    assert step.text() == at_once.text()


def test_mariadb_names_the_last_of_each_domain() -> None:
    found = GtidPosition("1-4-12,0-1-65")
    found.add("0-2", 66)
    assert found.text() == "0-2-66,1-4-12"
    assert found.covers("0-1-65")
    assert not found.covers("0-1-67")
    assert not found.covers("2-1-1")
    assert gtid_state("", mariadb=True).text() == ""


def test_a_server_that_gave_no_gtids_before_has_no_whole_set() -> None:
    found = gtid_state("", mariadb=False)
    found.add(A, 5)
    assert found.text() == ""
