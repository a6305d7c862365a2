"""The fence: compare-and-set on (offset, epoch), and the diary that a successor reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import MySQLdb
import pytest

from shared.errors import Fenced
from shared.mysql.connection import connect
from shared.mysql.offsets import Claim, FencedPartitions, Offset, Offsets
from shared.settings import Settings

pytestmark = pytest.mark.database

FIRST = Claim("orders", 0, 1, "0-0", "5-1", b"e5", 3)


@pytest.fixture
def offsets(mysql_connection: Any) -> Offsets:
    """Two partitions; the first is owned under epoch 1."""
    made = Offsets(mysql_connection, "ledger")
    made.ensure([("orders", 0), ("orders", 1)])
    made.take("orders", 0, "me")
    mysql_connection.commit()
    return made


@pytest.fixture
def other(settings: Settings) -> Iterator[Any]:
    with closing(connect(settings.mysql)) as connection:
        yield connection


def row(offsets: Offsets) -> Offset:
    found = offsets.read("orders", 0)
    assert found is not None
    return found


def test_a_claim_moves_the_offset_and_clears_the_diary(offsets: Offsets) -> None:
    offsets.suspect("orders", 0, 1, "5-1")
    offsets.advance([FIRST])
    found = row(offsets)
    assert (found.last_id, found.last_event_id, found.entries_read) == ("5-1", b"e5", 3)
    assert (found.epoch, found.crashes, found.suspect_id, found.suspect_tries) == (1, 0, None, 0)


@pytest.mark.parametrize(
    "change", [{"epoch": 2}, {"epoch": 0}, {"old_id": "4-1"}, {"partition": 1}, {"stream": "x"}]
)
def test_a_claim_under_another_epoch_or_offset_is_fenced(
    offsets: Offsets, change: dict[str, Any]
) -> None:
    stale = FIRST._replace(**change)
    with pytest.raises(FencedPartitions) as fenced:
        offsets.advance([stale])
    assert fenced.value.claims == (stale,)
    assert row(offsets).last_id == "0-0"


def test_only_the_fenced_ones_of_a_batch_are_named(offsets: Offsets) -> None:
    stale = Claim("orders", 1, 7, "0-0", "1-1", b"", 1)
    with pytest.raises(FencedPartitions, match="orders:1") as fenced:
        offsets.advance([FIRST, stale])
    assert fenced.value.claims == (stale,)


def test_the_same_claim_twice_moves_it_once(offsets: Offsets) -> None:
    offsets.advance([FIRST])
    with pytest.raises(FencedPartitions):
        offsets.advance([FIRST])


def test_taking_over_raises_the_epoch_and_counts_owners_without_goodbye(offsets: Offsets) -> None:
    def take(owner: str) -> tuple[int, int]:
        taken = offsets.take("orders", 0, owner)
        return taken.epoch, taken.crashes

    assert take("two") == (2, 1)
    assert take("two") == (3, 1)  # it lost its lease and came back
    assert take("three") == (4, 2)
    offsets.let_go("orders", 0, 4)
    assert take("four") == (5, 2)
    offsets.advance([FIRST._replace(epoch=5)])
    assert row(offsets).crashes == 0


def test_a_goodbye_of_an_older_epoch_says_nothing(offsets: Offsets) -> None:
    offsets.take("orders", 0, "two")
    offsets.let_go("orders", 0, 1)
    assert offsets.take("orders", 0, "three").crashes == 2


def test_taking_what_has_no_row_says_what_to_do(offsets: Offsets) -> None:
    with pytest.raises(Fenced, match="fleet migrate"):
        offsets.take("orders", 9, "me")


def test_rows_that_exist_stay_as_they_are(offsets: Offsets) -> None:
    offsets.advance([FIRST])
    offsets.ensure([("orders", 0), ("orders", 2)])
    assert row(offsets).last_id == "5-1"
    assert offsets.read("orders", 2) is not None
    assert offsets.read("orders", 3) is None


def test_owners_that_died_over_a_suspect_are_counted_by_their_successors(offsets: Offsets) -> None:
    for tries in (1, 2):
        offsets.suspect("orders", 0, tries, "7-1")
        taken = offsets.take("orders", 0, f"owner {tries}")
        assert (taken.suspect_id, taken.suspect_tries) == ("7-1", tries)
    offsets.let_go("orders", 0, 3)
    assert offsets.take("orders", 0, "after a goodbye").suspect_tries == 2
    offsets.suspect("orders", 0, 4, "8-1")
    assert (row(offsets).suspect_id, row(offsets).suspect_tries) == ("8-1", 0)
    offsets.suspect("orders", 0, 9, "9-1")
    assert row(offsets).suspect_id == "8-1"


def test_a_counter_is_corrected_only_for_the_offset_it_was_made_for(offsets: Offsets) -> None:
    offsets.advance([FIRST])
    offsets.recount("orders", 0, 1, "4-1", 99)
    offsets.recount("orders", 0, 2, "5-1", 99)
    assert row(offsets).entries_read == 3
    offsets.recount("orders", 0, 1, "5-1", 99)
    assert row(offsets).entries_read == 99


def test_a_halt_keeps_its_reason_and_shows_in_the_standing(offsets: Offsets) -> None:
    offsets.count_failure("orders", 0, 1)
    offsets.halt("orders", 0, 1, "x" * 600)
    assert row(offsets).handler_failures == 1
    assert offsets.standing()["orders", 0] == (1, "x" * 512)
    assert offsets.standing()["orders", 1] == (0, None)


def test_only_the_owner_rewinds(offsets: Offsets) -> None:
    offsets.advance([FIRST])
    assert not offsets.rewind("orders", 0, 2, 40)
    assert row(offsets).last_id == "5-1"
    assert offsets.rewind("orders", 0, 1, 40)
    assert row(offsets)[:2] == ("0-0", None)


def test_a_successor_waits_for_a_batch_that_is_being_committed(
    offsets: Offsets, other: Any
) -> None:
    offsets.advance([FIRST])
    successor = Offsets(other, "ledger")
    successor.wait_for_locks(1)
    with pytest.raises(MySQLdb.OperationalError, match="1205"):
        successor.take("orders", 0, "two")


def test_the_session_of_the_owner_can_be_ended(
    offsets: Offsets, other: Any, mysql_connection: Any
) -> None:
    session = offsets.owner_session("orders", 0)
    assert session == mysql_connection.thread_id()
    assert session is not None
    offsets.advance([FIRST])
    successor = Offsets(other, "ledger")
    successor.end_session(session)
    taken = successor.take("orders", 0, "two")
    assert (taken.last_id, taken.epoch) == ("0-0", 2)
    with pytest.raises(MySQLdb.OperationalError):
        mysql_connection.commit()
    successor.end_session(session)  # it is gone already: nothing to say
    successor.adopt_session("orders", 0, 2)
    assert successor.owner_session("orders", 0) == other.thread_id()
    assert successor.owner_session("orders", 9) is None
