"""How many jobs a worker reserves at once: quick ones many, slow ones one by one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.laravel.reservations import Found, Taken
from workers.laravel.hand import Hand, HandBounds


class Plenty:
    """A queue that never ends, as reservations see it; remembers how many were asked for."""

    def __init__(self, hold_seconds: int = 5, seconds: int | None = 90) -> None:
        self.hold_seconds = hold_seconds
        self.seconds = seconds
        self.asked_for: list[int] = []
        self.given_back: list[bytes] = []
        self._number = 0
        self._ahead = Found([], True, 0)

    def reserve(self, queues: list[str], most: int) -> Found:
        self.asked_for.append(most)
        return self._found(queues[0], most)

    def ask_ahead(self, queue: str, most: int) -> None:
        self.asked_for.append(most)
        self._ahead = self._found(queue, most)

    def asked(self) -> Found:
        found, self._ahead = self._ahead, Found([], True, 0)
        return found

    def start(self, taken: Taken) -> None: ...

    def give_back(self, taken: Taken, *, held: bool) -> None:
        assert held
        self.given_back.append(taken.original)

    def _found(self, queue: str, most: int) -> Found:
        first, self._number = self._number, self._number + most
        texts = [b"%d" % number for number in range(first, self._number)]
        return Found([Taken(queue, text, text) for text in texts], most > 1, 0)


def work(hand: Hand, plenty: Any, jobs: int, first: str | None = "fleet") -> list[bytes]:
    done = []
    for _ in range(jobs):
        if not hand:
            hand.fill(plenty, ["fleet"])
        taken = hand.take(plenty, first)
        assert taken is not None
        done.append(taken.original)
    return done


def test_quick_jobs_are_reserved_in_growing_hands_in_their_order() -> None:
    plenty = Plenty()
    done = work(Hand(HandBounds(most=32, seconds=60)), plenty, 120)
    assert plenty.asked_for[:8] == [1, 2, 4, 8, 16, 32, 32, 32]
    assert done == [b"%d" % number for number in range(120)]


def test_slow_jobs_are_reserved_one_by_one() -> None:
    plenty = Plenty()
    work(Hand(HandBounds(most=32, seconds=0)), plenty, 20)
    assert set(plenty.asked_for) == {1}


def test_nothing_is_asked_ahead_where_the_first_queue_may_not_be_reserved_from() -> None:
    plenty = Plenty()
    hand = Hand(HandBounds(most=8, seconds=60))
    work(hand, plenty, 15, first=None)
    assert not hand
    assert plenty.asked_for == [1, 2, 4, 8]


def test_a_reservation_too_short_to_hold_is_taken_alone() -> None:
    plenty = Plenty(hold_seconds=0, seconds=1)
    work(Hand(HandBounds(seconds=60)), plenty, 20)
    assert set(plenty.asked_for) == {1}


def test_a_hand_that_was_held_too_long_goes_back_the_last_job_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plenty: Any = Plenty(hold_seconds=4)
    hand = Hand(HandBounds(most=4, seconds=60))
    work(hand, plenty, 4)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2.1)
    assert hand.take(plenty, "fleet") is None
    assert not hand
    assert plenty.given_back == sorted(plenty.given_back, reverse=True)
    assert plenty.given_back
