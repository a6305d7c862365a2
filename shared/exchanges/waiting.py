"""Who waits for weight in this process, and who asks next. Pure: moments are passed in.

Requests of one event loop are asked for together: one round trip to Redis for many of them, and
one question when the time has come instead of one per waiter.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

Priority = Literal["order", "fresh", "backfill"]
RANKS: dict[Priority, int] = {"order": 0, "fresh": 1, "backfill": 2}

SOON_MS = 20
"""Pause while only requests under way stand in the way: their answers take about as long."""

T = TypeVar("T")


class Want(NamedTuple, Generic[T]):
    """One request that waits. gives_up_ms: moment after which it is told no instead of waiting."""

    rank: int
    number: int
    weight: int
    account_id: int
    path: str
    gives_up_ms: float
    ticket: T


class Waiting(Generic[T]):
    """Wants by rank, then by arrival. Moments are milliseconds of any clock that does not jump."""

    def __init__(self) -> None:
        self._ready: list[Want[T]] = []
        self._later: list[tuple[float, Want[T]]] = []
        self._closed_until = 0.0
        self._open_to = -1  # ranks up to this one have not heard that they must wait
        self._for_answers = False  # only what is under way stands in the way

    def __len__(self) -> int:
        return len(self._ready) + len(self._later)

    def add(self, want: Want[T], now_ms: float) -> int | None:
        """Ms it would have to wait, when that is longer than it will; else None, and it waits."""
        if self._opens_ms(want.rank) > want.gives_up_ms:
            return int(self._closed_until - now_ms)
        heapq.heappush(self._ready, want)
        return None

    def take(self, now_ms: float, most: int) -> list[Want[T]]:
        """Those to ask for now; they are no longer waiting."""
        while self._later and self._later[0][0] <= now_ms:
            heapq.heappush(self._ready, heapq.heappop(self._later)[1])
        found: list[Want[T]] = []
        while self._ready and len(found) < most and self._may_ask(self._ready[0].rank, now_ms):
            found.append(heapq.heappop(self._ready))
        return found

    def answered(
        self, asked: Sequence[Want[T]], waits: Sequence[int], now_ms: float
    ) -> tuple[list[Want[T]], list[tuple[Want[T], int]]]:
        """What was granted, and what gives up with the time it would have to wait (ms).

        waits: as `reserve.lua` replies.
        """
        granted: list[Want[T]] = []
        refused: list[tuple[Want[T], int]] = []
        if not asked:
            return granted, refused
        self._closed_until, self._open_to, self._for_answers = 0.0, -1, False
        for want, wait in zip(asked, waits, strict=True):
            ready_ms = now_ms + max(abs(wait), SOON_MS)
            if wait == 0:
                granted.append(want)
            elif ready_ms > want.gives_up_ms:
                refused.append((want, abs(wait)))
            elif wait < 0:
                heapq.heappush(self._later, (ready_ms, want))
            else:
                heapq.heappush(self._ready, want)
            if wait > 0 and not self._closed_until:
                self._closed_until, self._open_to = ready_ms, want.rank - 1
                self._for_answers = wait == 1
        if self._closed_until:
            refused += self._impatient(now_ms)
        return granted, refused

    def reopen(self) -> None:
        """Something came back: what waits for that alone may be asked for at once."""
        if self._for_answers:
            self._closed_until = 0.0

    def reopen_all(self) -> None:
        """What was told may be wrong: everybody asks again."""
        self._closed_until = 0.0
        self._ready += [want for _, want in self._later]
        self._later = []
        heapq.heapify(self._ready)

    def next_ms(self) -> float | None:
        """When `take` will find something; 0 means now, None nobody waits."""
        moments = [max(at, self._opens_ms(want.rank)) for at, want in self._later]
        if self._ready:
            moments.append(self._opens_ms(self._ready[0].rank))
        return min(moments, default=None)

    def drop_all(self) -> list[Want[T]]:
        found = [*self._ready, *(want for _, want in self._later)]
        self._ready, self._later = [], []
        return found

    def _opens_ms(self, rank: int) -> float:
        return 0.0 if rank <= self._open_to else self._closed_until

    def _may_ask(self, rank: int, now_ms: float) -> bool:
        return now_ms >= self._opens_ms(rank)

    def _impatient(self, now_ms: float) -> list[tuple[Want[T], int]]:
        """Who would not be asked for before giving up."""
        wait = int(self._closed_until - now_ms)
        gone = [
            want
            for want in (*self._ready, *(want for _, want in self._later))
            if want.gives_up_ms < self._opens_ms(want.rank)
        ]
        if gone:
            numbers = {want.number for want in gone}
            self._ready = [want for want in self._ready if want.number not in numbers]
            self._later = [row for row in self._later if row[1].number not in numbers]
            heapq.heapify(self._ready)
            heapq.heapify(self._later)
        return [(want, wait) for want in gone]
