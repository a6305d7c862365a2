"""Slices: what is decoded, what is parked, and that a split can never skip its first half."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.streams.assignment import PartitionId
from shared.streams.decode import routes
from shared.streams.log import START, Entry
from tests.runtime_world import TS_US, fill
from workers.batch import Decoding, OwnedPartition, Slice, parked_event
from workers.registry import EVENTS

DECODING = Decoding(routes(EVENTS), 1)


def partition() -> OwnedPartition:
    return OwnedPartition(PartitionId("orders", 0), b"orders", 3, START, None)


def entry(number: int, *, valid: bool = True) -> Entry:
    data = json.dumps(fill(7, number)) if valid else "{"
    flat = ["type", "order.filled.1", "key", "7", "id", f"e{number}", "ts_us", TS_US, "data", data]
    return Entry(f"{number}-0", [part.encode() for part in flat])


def entries(valid: list[bool]) -> list[Entry]:
    return [entry(number, valid=one) for number, one in enumerate(valid, 1)]


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_every_entry_is_an_event_or_is_parked(valid: list[bool]) -> None:
    piece = DECODING.slice(partition(), START, entries(valid))
    assert len(piece.events) == sum(valid)
    assert len(piece.parked) == len(valid) - sum(valid)
    assert {one.reason for one in piece.parked} <= {"invalid_json"}
    claim = piece.claim()
    assert (claim.old_id, claim.new_id, claim.entries) == (START, f"{len(valid)}-0", len(valid))
    assert (claim.epoch, claim.new_event_id) == (3, f"e{len(valid)}".encode())


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_splitting_to_the_end_keeps_every_entry_in_order_and_chained(valid: list[bool]) -> None:
    owned = partition()
    singles: list[Slice] = []
    waiting = [[DECODING.slice(owned, START, entries(valid))]]
    while waiting:
        work = waiting.pop(0)
        if sum(len(piece.entries) for piece in work) == 1:
            singles += work
        else:
            waiting = DECODING.split(work) + waiting
    assert [one.entries[0].entry_id for one in singles] == [
        f"{n}-0" for n in range(1, len(valid) + 1)
    ]
    assert [one.after_id for one in singles] == [START] + [
        one.claim().new_id for one in singles[:-1]
    ]


def test_a_batch_of_several_partitions_splits_into_its_partitions() -> None:
    one = DECODING.slice(partition(), START, entries([True, True]))
    other = DECODING.slice(partition(), START, entries([True]))
    assert DECODING.split([one, other]) == [[one], [other]]


def test_a_settled_slice_moves_what_the_owner_remembers() -> None:
    owned = partition()
    piece = DECODING.slice(owned, START, entries([True, False]))
    piece.settled()
    assert (owned.last_id, owned.last_event_id) == ("2-0", b"e2")


@pytest.mark.parametrize("attribute", ["owned", "halted"])
def test_a_slice_of_a_partition_that_was_lost_or_halted_is_not_active(attribute: str) -> None:
    owned = partition()
    piece = DECODING.slice(owned, START, entries([True]))
    assert piece.active
    setattr(owned, attribute, attribute == "halted")
    assert not piece.active


def test_a_parked_event_names_the_account_and_what_would_supersede_it() -> None:
    parked = parked_event(PartitionId("orders", 0), entry(5), "handler_failed", "why")
    assert parked.account_id == 7
    assert parked.identity is not None
    assert "5" in parked.identity
    assert parked.fields == entry(5).fields


def test_an_entry_of_nothing_that_we_know_can_be_parked() -> None:
    parked = parked_event(PartitionId("orders", 0), Entry("1-0", [b"\xff", b"\xfe"]), "x", "y")
    assert (parked.account_id, parked.identity) == (None, None)
