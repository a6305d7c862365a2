"""What a Laravel worker has in hand: jobs it reserved and has not tried yet.

Where jobs take less than a millisecond, waiting for Redis would take longer than they do. So quick
jobs are reserved a few at a time, and the next ones while those are worked off. Slow jobs are
reserved one by one: what lies in hand, no other worker can take.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from shared.laravel.reservations import Found, Reservations, Taken


@dataclass(frozen=True, slots=True)
class HandBounds:
    most: int = 32  # jobs reserved at once
    seconds: float = 0.020  # of work: what one worker may keep from the others


class Hand:
    """One per worker. Times are monotonic seconds. Every call may raise RedisError."""

    def __init__(self, bounds: HandBounds) -> None:
        self._bounds = bounds
        self._jobs: deque[Taken] = deque()
        self._held = False
        self._since = 0.0  # reserved at, or before
        self._size = self._done = 0  # jobs of the last fill: all, and those worked off
        self._filled_at = 0.0
        self._pace: float | None = None  # seconds of one job in the hand before
        self._asked_at: float | None = None  # the next ones are on their way

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def fill(self, reservations: Reservations, queues: Sequence[str]) -> Found:
        """Take what was asked for ahead, or reserve what comes next in these queues. The end of the
        last job goes out with it.
        """
        found, since = Found([], False, 0), time.monotonic()
        if self._asked_at is not None:
            since, self._asked_at = self._asked_at, None
            found = reservations.asked()
        if queues and not found.taken:
            since = time.monotonic()
            found = reservations.reserve(queues, self._next_size(reservations))
        elif not found.taken:
            reservations.settle()
        self._jobs.extend(found.taken)
        self._held, self._since = found.held, since
        self._pace = self._pace_now()
        self._size, self._done = len(found.taken), 0
        self._filled_at = time.monotonic()
        return found

    def take(self, reservations: Reservations, first: str | None) -> Taken | None:
        """The next job, from now on an attempt; None when the hand is empty or was held too long:
        another worker may have put its jobs back by now.

        first: the queue that comes before all others, if it may be reserved from. Only its jobs are
        asked for ahead: those of a later queue would overtake them.
        """
        if self._jobs and time.monotonic() - self._since > self._most_seconds(reservations):
            self.let_go(reservations)
        if not self._jobs:
            return None
        taken = self._jobs.popleft()
        if self._held:
            halfway = len(self._jobs) == self._size // 2
            if halfway and self._asked_at is None and taken.queue == first:
                self._asked_at = time.monotonic()
                reservations.ask_ahead(first, self._next_size(reservations))
            reservations.start(taken)
        self._done += 1
        return taken

    def let_go(self, reservations: Reservations) -> None:
        """All of it goes back to the queue, the last job first."""
        if self._asked_at is not None:
            self._asked_at = None
            self._jobs.extend(reservations.asked().taken)
        while self._jobs:
            reservations.give_back(self._jobs.pop(), held=self._held)

    def redis_went_away(self) -> None:
        """What was asked for returns to its queue by itself."""
        self._asked_at = None

    def is_old(self, reservations: Reservations) -> bool:
        """Whether the reservation of the job that was taken last may have run out, if nobody has
        renewed it.
        """
        if reservations.seconds is None:
            return False
        return time.monotonic() - self._since > reservations.seconds / 2

    def _most_seconds(self, reservations: Reservations) -> float:
        """After these, a job in hand may be somebody else's. Half: the rest is for its start."""
        if self._held:
            return reservations.hold_seconds / 2
        return math.inf if reservations.seconds is None else reservations.seconds / 2

    def _next_size(self, reservations: Reservations) -> int:
        """As many jobs as the last ones say take `seconds`; more of them step by step."""
        if reservations.hold_seconds < 1:
            return 1
        pace = self._pace_now()
        if pace is None:
            return 1
        fitting = int(self._bounds.seconds / max(pace, 1e-6))
        return max(1, min(fitting, 2 * self._size, self._bounds.most))

    def _pace_now(self) -> float | None:
        if not self._done:
            return self._pace
        return (time.monotonic() - self._filled_at) / self._done
