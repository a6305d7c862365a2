"""Which entry is the next one: a pure decision, tried with streams that are cut and repeated."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.changes import Chunk, Offset, Position
from tests.change_world import COMMITTED_US, ORDERS, created, order
from workers.cdc.continuity import Place, Plan, Read, follow, has_already, is_after, plan
from workers.cdc.quarantine import entry_of

START = Position("server", "binlog.000001", 4, "", "100")


def position(
    pos: int, file: str = "binlog.000001", mark: str = "100", server: str = "server"
) -> Position:
    return Position(server, file, pos, "", mark)


def transaction(epoch: int, seq: int, chunks: int, kind: Any = "log", pos: int = 0) -> list[Chunk]:
    """Two rows a chunk."""
    return [
        Chunk(
            epoch, seq, number, number == chunks - 1, kind, "", ("binlog.000001", 4), COMMITTED_US,
            COMMITTED_US, "", "", number * 2,
            position(pos or seq * 100) if number == chunks - 1 else None,
            [created(ORDERS, order(seq)), created(ORDERS, order(number))],
        )
        for number in range(chunks)
    ]  # fmt: skip


class Store(NamedTuple):
    """What a sink's database holds."""

    place: Place
    rows: tuple[tuple[int, int], ...] = ()  # (seq, row_index)
    staged: tuple[Chunk, ...] = ()

    def after(self, made: Plan, chunks: dict[bytes, Chunk]) -> Store:
        whole = [*(self.staged if made.completes else ()), *made.whole]
        rows = [
            (chunk.seq, index)
            for chunk in whole
            for index in range(chunk.first_row, chunk.first_row + len(chunk.changes))
        ]
        left = () if made.completes or made.drops_staged else self.staged
        tail = tuple(chunks[entry.entry_id] for entry in made.tail)
        return Store(made.place, (*self.rows, *rows), (*left, *tail))


def store_at(epoch: int = 1, seq: int = 0, pos: int = 4) -> Store:
    return Store(Place(Offset(epoch, seq, 0, whole=True, position=position(pos)), 0))


def reads(chunks: list[Chunk]) -> list[Read]:
    return [Read(chunk, entry_of(chunk)) for chunk in chunks]


streams = st.lists(st.integers(1, 4), min_size=1, max_size=8).map(
    lambda counts: [c for seq, n in enumerate(counts, 1) for c in transaction(1, seq, n)]
)


@given(streams, st.integers(0, 2**32))
@settings(max_examples=300)
def test_however_a_stream_is_cut_repeated_and_restarted_each_row_is_written_once(
    chunks: list[Chunk], seed: int
) -> None:
    dice = random.Random(seed)
    by_id = {b"%d-%d" % (chunk.seq, chunk.chunk): chunk for chunk in chunks}
    store, at = store_at(), 0
    while at < len(chunks):
        first, until = dice.randint(0, at), dice.randint(at + 1, len(chunks))
        made = plan(store.place, reads(chunks[first:until]))
        assert made.gap == ""
        if dice.random() < 0.7:  # else it died before the commit
            store, at = store.after(made, by_id), until

    wanted = [
        (chunk.seq, index)
        for chunk in chunks
        for index in range(chunk.first_row, chunk.first_row + len(chunk.changes))
    ]
    assert list(store.rows) == wanted
    assert store.staged == ()
    assert store.place.offset.seq == chunks[-1].seq


@given(streams, st.data())
@settings(max_examples=300)
def test_whatever_entry_is_missing_nothing_behind_it_is_written(
    chunks: list[Chunk], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(chunks) - 1))
    made = plan(store_at().place, reads([*chunks[:lost], *chunks[lost + 1 :]]))

    written = [(chunk.seq, chunk.chunk) for chunk in made.whole]
    assert written == [(c.seq, c.chunk) for c in chunks[:lost] if c.seq < chunks[lost].seq]
    assert (made.gap != "") == (lost < len(chunks) - 1)


@given(streams, st.data())
@settings(max_examples=200)
def test_a_chunk_that_begins_at_another_row_is_none_of_this_transaction(
    chunks: list[Chunk], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(chunks) - 1))
    other = chunks[at].first_row + data.draw(st.integers(1, 9))
    made = plan(
        store_at().place,
        reads([*chunks[:at], chunks[at]._replace(first_row=other), *chunks[at + 1 :]]),
    )
    assert "from row" in made.gap
    assert all(chunk.seq < chunks[at].seq for chunk in made.whole)


def test_an_entry_of_an_older_epoch_is_had_behind_the_offset_and_a_gap_before_it() -> None:
    place = store_at(epoch=2, seq=10).place
    assert follow(place, transaction(1, 9, 1)[0])[0] == "have"
    assert follow(place, transaction(1, 11, 1)[0])[0] == "gap"


def test_a_new_epoch_may_leave_numbers_out_but_begins_with_its_control_entry() -> None:
    place = store_at(epoch=1, seq=10).place
    assert follow(place, transaction(2, 15, 1, "control", pos=4)[0])[0] == "next"
    assert follow(place, transaction(2, 15, 1)[0])[0] == "gap"
    assert follow(place, transaction(2, 10, 1, "control")[0])[0] == "gap"


def test_a_new_epoch_that_begins_behind_us_left_something_out_unless_it_says_so() -> None:
    place = store_at(epoch=1, seq=10, pos=500).place
    behind = transaction(2, 15, 1, "control", pos=501)[0]
    assert follow(place, behind)[0] == "gap"
    assert follow(place, transaction(2, 15, 1, "control", pos=500)[0])[0] == "next"
    assert follow(place, transaction(2, 11, 1, "control", pos=501)[0])[0] == "next"  # no number is
    assert follow(place, behind._replace(begins=("", 0)))[0] == "next"  # an operator said so


def test_only_a_transaction_of_the_log_that_ends_where_we_were_is_had() -> None:
    ours = position(500)
    assert has_already(ours, transaction(2, 20, 1, pos=500)[0])
    assert not has_already(ours, transaction(2, 20, 1, pos=501)[0])
    assert not has_already(ours, transaction(2, 20, 1, "snapshot", pos=500)[0])
    assert not has_already(ours, transaction(2, 20, 2, pos=500)[0])  # its end is not known yet


def test_marks_of_the_log_that_an_epoch_reads_once_more_do_not_set_the_place_back() -> None:
    store = store_at(seq=9, pos=900)
    control = transaction(2, 10, 1, "control", pos=300)
    again = [
        *transaction(2, 11, 1, pos=400),
        *transaction(2, 12, 1, "snapshot", pos=500),
        *transaction(2, 13, 1, pos=900),
        *transaction(2, 14, 1, pos=1_000),
    ]

    made = plan(store.place, reads([*control, *again]))

    assert [chunk.seq for chunk in made.whole] == [10, 12, 14]
    assert made.place.offset.position.pos == 1_000


def test_positions_of_other_logs_are_never_before_ours() -> None:
    ours = position(500, "binlog.000005", "200")
    assert is_after(position(4, "binlog.000005", "300"), ours)  # a file of that name, made later
    assert is_after(position(4, "binlog.000001", "300"), ours)  # numbered anew
    assert is_after(position(4, "binlog.000005", "200", "another"), ours)
    assert is_after(position(4, "other.000004", "100"), ours)
    assert is_after(position(4, "binlog.000006", "300"), ours)
    assert not is_after(position(999, "binlog.000004", "100"), ours)
    assert not is_after(ours, ours)


def test_numbers_of_files_are_compared_as_numbers() -> None:
    assert is_after(position(4, "binlog.1000000", "300"), position(4, "binlog.999999", "200"))
