"""Where a collector goes on: pure decisions over what Redis and the sinks hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc.checkpoint import Checkpoint, Opening, Place, Report
from shared.cdc.log import Taken
from shared.changes import Offset, Position
from workers.cdc.purge import NEVER, Retention, is_near, purge_seconds, retention_of
from workers.cdc.resume import GoOn, NewEpoch, Rewind, Wait, renumbered, restarted, resume
from workers.cdc.snapshot_marks import Selected

SINKS = ("audit", "timescale")
FILTER = "filter"


def position(pos: int, server: str = "server") -> Position:
    return Position(server, "log.000001", pos, "", "1")


def place(seq: int, epoch: int = 1, selection: str = FILTER) -> Place:
    return Place(epoch, seq, position(seq * 10), selection)


def checkpoint(seq: int, epoch: int = 1, chunk: int = 0, **more: Any) -> Checkpoint:
    return Checkpoint(1, (seq, chunk), place(seq, epoch), None, 0, **more)


def has(seq: int, epoch: int = 1, *, chunk: int = 0, whole: bool = True) -> Report:
    at = position((seq if whole else seq - 1) * 10)
    return Report(Offset(epoch, seq, chunk, whole, at), 1)


def decide(
    found: Checkpoint | None, *reports: Report, first: Any = None, agrees: bool = True
) -> Any:
    told = dict(zip(SINKS, reports, strict=False))
    return resume(Taken(found, agrees and found is not None), told, SINKS, FILTER, first)


def test_what_is_as_it_was_goes_on() -> None:
    found = checkpoint(9)
    assert decide(found, has(5), has(9), first=(6, 0)) == GoOn(found)
    assert decide(found, has(9), has(9)) == GoOn(found)
    assert decide(found) == GoOn(found)  # sinks need say nothing while nothing is lost


def test_a_sink_may_be_ahead_of_a_stream_that_was_cut_back() -> None:
    found = checkpoint(9)
    assert decide(found, has(15), has(9)) == GoOn(found)


def test_the_one_furthest_behind_says_where_to_begin() -> None:
    back = decide(checkpoint(9), has(3), has(9), first=(6, 0))
    assert isinstance(back, Rewind)
    assert (back.head, back.place) == ((3, 0), place(3))
    assert decide(None, has(3), has(9))[:2] == ((3, 0), place(3))
    # Of a part, the whole transaction before it; chunks it has are passed over by itself.
    assert decide(None, has(4, chunk=7, whole=False), has(9))[:2] == ((3, 1), place(3))


def test_without_a_checkpoint_everybody_is_heard_first() -> None:
    assert decide(None, has(3)) == Wait(("timescale",))
    assert decide(checkpoint(5), agrees=False) == Wait(SINKS)
    assert isinstance(decide(None, Report(None, 0), Report(None, 0)), NewEpoch)
    assert isinstance(decide(None, Report(None, 0), has(3)), Rewind)


def test_new_sinks_begin_at_the_checkpoint_so_a_lost_stream_goes_back_there() -> None:
    back = decide(checkpoint(5), Report(None, 0), Report(None, 0), agrees=False)
    assert back == Rewind((5, 1), place(5), "Redis lost what it held")


@pytest.mark.parametrize(
    "reports", [(has(3, 1), has(9, 2)), (has(3, 2), has(9, 3)), (has(9, 3), has(9, 3))]
)
def test_numbers_of_several_epochs_are_not_given_again(reports: tuple[Report, Report]) -> None:
    found = decide(checkpoint(7, 2), *reports, first=(6, 0))
    assert isinstance(found, NewEpoch)
    assert found.epoch == 1 + max(2, *(one.offset.epoch for one in reports if one.offset))
    assert found.seq == 9
    first = min((one.offset for one in reports if one.offset), key=lambda one: (one.epoch, one.seq))
    assert found.position == first.position
    assert found.afresh


def test_another_selection_is_an_epoch_at_the_same_place() -> None:
    taken = Taken(checkpoint(9)._replace(place=place(9, selection="other")), agrees=True)
    found = resume(taken, {}, SINKS, FILTER, None)
    assert found == NewEpoch(2, 9, position(90), "another selection of tables", afresh=False)


@pytest.mark.parametrize("kept", [Selected(1, "other"), Selected(2, FILTER)])
def test_a_selection_that_changed_is_known_though_the_checkpoint_is_lost(kept: Selected) -> None:
    """The log would give other numbers than those that the sinks have."""
    reports = dict(zip(SINKS, (has(3), has(9)), strict=True))
    lost = Taken(None, agrees=False)

    found = resume(lost, reports, SINKS, FILTER, None, kept=kept)

    assert found == NewEpoch(
        kept.epoch + 1, 9, position(30), "Redis lost what it held", afresh=True
    )
    same = resume(lost, reports, SINKS, FILTER, None, kept=Selected(1, FILTER))
    assert isinstance(same, Rewind)


def test_the_beginning_of_an_epoch_is_enough_for_who_has_been_there() -> None:
    found = checkpoint(30, 2, opens=Opening((20, 0), position(70)))
    assert decide(found, has(7), has(19, 1), first=(20, 0)) == GoOn(found)
    assert isinstance(decide(found, has(6), has(19), first=(20, 0)), NewEpoch)  # restored since
    assert isinstance(decide(found, has(7), has(19), first=(21, 0)), NewEpoch)
    skips = checkpoint(30, 2, opens=Opening((20, 0), None))
    assert decide(skips, has(6), has(19), first=(20, 0)) == GoOn(skips)


def test_a_restart_is_above_all_that_anybody_has() -> None:
    offsets = [one.offset for one in (has(12, 3), has(5, 4)) if one.offset]
    found = restarted(Taken(checkpoint(9, 2), agrees=True), offsets, "purged", (6, 0))
    assert found == NewEpoch(5, 12, None, "purged", afresh=True)


def test_a_restart_stands_in_the_stream_only_where_every_sink_comes_to_it_there() -> None:
    def afresh(*reports: Report, agrees: bool = True, first: Any = (11, 0)) -> bool:
        offsets = [one.offset for one in reports if one.offset]
        return restarted(Taken(checkpoint(12), agrees), offsets, "why", first).afresh

    assert not afresh(has(12), has(10))
    assert not afresh(has(12), first=None)
    assert afresh(has(12), has(9))  # restored: what it needs is gone
    assert afresh(has(14), has(12))  # ahead of the stream: 13 would have two meanings
    assert afresh(has(12), agrees=False)
    assert afresh(has(12), has(2, 3))  # of an epoch that the stream lost


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 5))
def test_numbers_are_compared_where_a_sink_has_been(at: int, seq: int, off: int) -> None:
    ahead = Offset(1, seq + off, 0, True, position(at * 10))
    before = Place(1, seq, position(at * 10), FILTER)
    found = renumbered(before, position(at * 10 + 5), [ahead])
    assert (found is None) == (off == 0)
    earlier = before._replace(position=position(at * 10 - 5))
    assert renumbered(earlier, position(at * 10), [ahead]) is None


# -- time to purge ---------------------------------------------------------------------------------

FILES = [("log.000001", 100), ("log.000002", 200), ("log.000003", 50)]


def test_time_to_purge_is_what_retention_leaves_of_how_far_we_are_behind() -> None:
    assert purge_seconds(FILES, "log.000002", 600, Retention(3600, 0), 0) == 3000
    assert purge_seconds(FILES, "log.000002", 4000, Retention(3600, 0), 0) == 0
    assert purge_seconds(FILES, "log.000009", 0, Retention(3600, 0), 0) == 0  # gone already
    assert purge_seconds(FILES, "log.000002", 600, Retention(0, 0), 9) == NEVER


def test_a_limit_by_size_counts_by_the_rate_of_writing() -> None:
    assert purge_seconds(FILES, "log.000002", 0, Retention(3600, 1_250), 10) == 100
    assert purge_seconds(FILES, "log.000001", 3_550, Retention(3600, 1_250), 10) == 50
    assert purge_seconds(FILES, "log.000002", 0, Retention(3600, 1_250), 0) == 3600


def test_somebody_is_called_in_time() -> None:
    week = Retention(7 * 86_400, 0)
    assert not is_near(6 * 86_400, week)
    assert is_near(86_400, week)
    assert not is_near(NEVER, Retention(0, 0))


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"binlog_expire_logs_seconds": "604800"}, Retention(604_800, 0)),
        ({"binlog_expire_logs_seconds": "0", "expire_logs_days": "7.0"}, Retention(604_800, 0)),
        ({"binlog_expire_logs_seconds": "9", "max_binlog_total_size": "5"}, Retention(9, 5)),
        ({"binlog_expire_logs_auto_purge": "OFF", "binlog_expire_logs_seconds": "9"},
         Retention(0, 0)),
    ],
)  # fmt: skip
def test_retention_as_both_servers_tell_it(variables: dict[str, str], found: Retention) -> None:
    assert retention_of(variables) == found
