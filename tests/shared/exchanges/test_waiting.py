from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.exchanges.waiting import SOON_MS, Waiting, Want

FOR_EVER = 10.0**9


def want(number: int, rank: int = 1, gives_up_ms: float = FOR_EVER) -> Want[str]:
    return Want(rank, number, 5, 1, "x", gives_up_ms, f"w{number}")


def waiting(*wants: Want[str], now_ms: float = 0) -> Waiting[str]:
    found: Waiting[str] = Waiting()
    for one in wants:
        assert found.add(one, now_ms) is None
    return found


def numbers(wants: list[Want[str]]) -> list[int]:
    return [one.number for one in wants]


def test_orders_before_fresh_before_backfills_and_each_in_turn() -> None:
    line = waiting(want(1, 2), want(2, 1), want(3, 0), want(4, 1))
    assert numbers(line.take(0, 10)) == [3, 2, 4, 1]


def test_no_more_are_asked_for_than_may_leave() -> None:
    line = waiting(want(1), want(2), want(3))
    assert numbers(line.take(0, 2)) == [1, 2]
    assert len(line) == 1


def test_all_wait_while_the_address_must_and_then_go_on_in_turn() -> None:
    line = waiting(want(1), want(2))
    assert line.answered(line.take(0, 2), [700, 700], 0) == ([], [])
    assert line.next_ms() == 700
    assert line.take(699, 2) == []
    assert numbers(line.take(700, 2)) == [1, 2]


def test_an_order_does_not_wait_for_what_fresh_ones_were_told() -> None:
    line = waiting(want(1, 1))
    line.answered(line.take(0, 1), [700], 0)
    line.add(want(2, 1), 1)
    assert line.take(1, 2) == []
    line.add(want(3, 0), 1)
    assert line.next_ms() == 0
    assert numbers(line.take(1, 5)) == [3]


def test_one_accounts_wait_holds_up_no_other() -> None:
    line = waiting(want(1), want(2), want(3))
    granted, refused = line.answered(line.take(0, 3), [-500, 0, 0], 0)
    assert (numbers(granted), refused) == ([2, 3], [])
    assert line.next_ms() == 500
    line.add(want(4), 1)
    assert numbers(line.take(1, 5)) == [4]
    assert numbers(line.take(500, 5)) == [1]


def test_what_would_wait_too_long_is_told_for_how_long() -> None:
    patient, hasty = want(1), want(2, gives_up_ms=100)
    line = waiting(patient, hasty)
    granted, refused = line.answered(line.take(0, 1), [700], 0)
    assert (granted, refused) == ([], [(hasty, 700)])
    assert line.add(want(3, gives_up_ms=650), 50) == 650
    assert line.add(want(4, gives_up_ms=800), 50) is None


def test_while_only_answers_are_missing_one_answer_opens_the_line() -> None:
    line = waiting(want(1))
    line.answered(line.take(0, 1), [1], 0)
    assert line.next_ms() == SOON_MS
    line.reopen()
    assert numbers(line.take(1, 1)) == [1]


def test_an_answer_opens_nothing_that_waits_for_the_clock() -> None:
    line = waiting(want(1))
    line.answered(line.take(0, 1), [700], 0)
    line.reopen()
    assert line.take(1, 1) == []


def test_a_clock_that_was_set_opens_everything() -> None:
    line = waiting(want(1), want(2))
    line.answered(line.take(0, 2), [-500, 700], 0)
    line.reopen_all()
    assert numbers(line.take(1, 2)) == [1, 2]


class Line(RuleBasedStateMachine):
    """Nobody is lost, nobody is asked for twice, and whoever waits will be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Waiting[str] = Waiting()
        self.numbers = count()
        self.now = 0.0
        self.inside: set[int] = set()
        self.asked: list[Want[str]] = []

    @rule(rank=st.integers(0, 2), patience=st.sampled_from([0, 50, 1_000, 10**6]))
    def comes(self, rank: int, patience: int) -> None:
        one = want(next(self.numbers), rank, self.now + patience)
        if self.line.add(one, self.now) is None:
            self.inside.add(one.number)

    @precondition(lambda self: not self.asked)
    @rule(most=st.integers(1, 5))
    def asks(self, most: int) -> None:
        self.asked = self.line.take(self.now, most)
        assert {one.number for one in self.asked} <= self.inside
        assert self.asked == sorted(self.asked)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def is_answered(self, data: st.DataObject) -> None:
        waits = [
            data.draw(st.sampled_from([0, 0, -300, -5_000, 1, 40, 60_000])) for _ in self.asked
        ]
        granted, refused = self.line.answered(self.asked, waits, self.now)
        assert all(self.now + max(wait, SOON_MS) >= one.gives_up_ms for one, wait in refused)
        for one in (*granted, *(one for one, _ in refused)):
            self.inside.remove(one.number)
        self.asked = []

    @rule(ms=st.integers(1, 2_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule()
    def an_answer_comes(self) -> None:
        self.line.reopen()

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.line) + len(self.asked) == len(self.inside)

    @precondition(lambda self: not self.asked and self.inside)
    @rule()
    def the_next_moment_finds_somebody(self) -> None:
        moment = self.line.next_ms()
        assert moment is not None
        self.now = max(self.now, moment)
        assert self.line.take(self.now, 0) == []
        found = self.line.take(self.now, 1)
        assert found
        self.asked = found


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
