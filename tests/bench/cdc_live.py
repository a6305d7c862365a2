"""From the return of a commit until each sink shows it, at a steady rate.

Some connections commit single-row transactions, each of which is found again by its number in what
the sinks have. Where a sink stands is asked every few milliseconds on a connection of its own; a
sink's offset moves in the transaction that writes the rows. All times are of this process' own
monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import quantiles
from typing import NamedTuple

from tests.bench.cdc_capture import Capture, Offsets, capture_of
from tests.bench.cdc_writing import Ledger, numbers, prepare
from tests.bench.figures import Figure
from tests.bench.place import Place

FAST, CALM = 1_500, 500
WRITERS = 8
POLL_SECONDS = 0.005
START_SECONDS = 1.0
WARM_SECONDS = 3
AFTER_SECONDS = 120
SINKS = ("audit", "timescale")


class Seen(NamedTuple):
    """A look at a sink: it shows everything up to seq."""

    at: float
    seq: int


class Lags(NamedTuple):
    """Milliseconds from commit to visible, and how late the writers were at most."""

    by_sink: dict[str, list[float]]
    late_ms: float
    rate: float


class Writing:
    """Commits at a steady rate over WRITERS connections: the first waits for its disk, as every
    client's does, while others go on.
    """

    def __init__(self, capture: Capture, first: int, rate: int, count: int) -> None:
        self.returned: dict[int, float] = {}
        self.late = 0.0
        self._capture = capture
        self._first, self._rate, self._count = first, rate, count
        self._started = time.monotonic() + START_SECONDS

    def run(self) -> float:
        """Until all are committed; how many a second that were."""
        with ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(self._write, one) for one in range(WRITERS)]:
                done.result()
        return self._count / (max(self.returned.values()) - self._started)

    def _write(self, writer: int) -> None:
        with closing(self._capture.connection()) as connection:
            ledger = Ledger(connection)
            for number in range(writer, self._count, WRITERS):
                wait = self._started + number / self._rate - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                self.late = max(self.late, -wait)
                ledger.write(self._first + number)
                self.returned[self._first + number] = time.monotonic()


class Watching:
    """Looks at one sink until it is told to end."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[Seen] = []
        self.last = 0
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            seq = self._look()
            if seq > self.last:  # the answer is older than now: no lag is told too small
                self.seen.append(Seen(time.monotonic(), seq))
                self.last = seq

    def end(self) -> list[Seen]:
        self._stopping.set()
        self._thread.join()
        return self.seen


def live(place: Place, *, seconds: int) -> tuple[Figure, ...]:
    with capture_of(place) as capture:
        prepare(capture)
        capture.begin()
        fast = _lags(capture, 0, FAST, seconds)
        calm = _lags(capture, FAST * seconds, CALM, seconds)
    both = [max(pair) for pair in zip(*fast.by_sink.values(), strict=True)]
    p99, slow = _cut(both, 99), calm.by_sink["timescale"]
    p50_calm, p99_calm = _cut(slow, 50), _cut(slow, 99)
    return (
        Figure(
            f"commit to visible in both sinks at {FAST:,} single-row transactions/s",
            "p99 < 2,000 ms",
            f"p50 {_cut(both, 50):.0f} ms, p99 {p99:.0f} ms, most {max(both):.0f} ms",
            p99 < 2_000,
            _notes(fast, seconds),
        ),
        Figure(
            f"commit to visible in TimescaleDB at {CALM} single-row transactions/s",
            "p50 < 100 ms, p99 < 500 ms",
            f"p50 {p50_calm:.0f} ms, p99 {p99_calm:.0f} ms, most {max(slow):.0f} ms",
            p50_calm < 100 and p99_calm < 500,
            _notes(calm, seconds),
        ),
    )


def _lags(capture: Capture, first: int, rate: int, seconds: int) -> Lags:
    """Of all but the first seconds: those warm up Python and the servers."""
    before, count = capture.seq(), rate * seconds
    with closing(Offsets(capture)) as audit, closing(Offsets(capture)) as timescale:
        watching = Watching(audit.audit), Watching(timescale.timescale)
        writing = Writing(capture, first, rate, count)
        reached = writing.run()
        last = before + count
        capture.until(lambda: all(one.last >= last for one in watching), AFTER_SECONDS)
        seen = [one.end() for one in watching]
    seqs = numbers(capture, before)
    assert len(seqs) == count, f"{len(seqs)} of {count} transactions are there"
    warm = first + rate * WARM_SECONDS
    returned = sorted((seqs[n], at) for n, at in writing.returned.items() if n >= warm)
    lags = {sink: _of(returned, looks) for sink, looks in zip(SINKS, seen, strict=True)}
    return Lags(lags, writing.late * 1000, reached)


def _of(returned: Sequence[tuple[int, float]], looks: Sequence[Seen]) -> list[float]:
    """returned: seq and when its commit returned, by seq. Of each, when a look first showed it."""
    following = iter(looks)
    look, lags = next(following), list[float]()
    for seq, at in returned:
        while look.seq < seq:
            look = next(following)
        lags.append((look.at - at) * 1000)
    return lags


def _cut(lags: list[float], percent: int) -> float:
    return quantiles(lags, n=100)[percent - 1]


def _notes(found: Lags, seconds: int) -> str:
    told = "; ".join(
        f"{sink} p50 {_cut(lags, 50):.0f}, p99 {_cut(lags, 99):.0f} ms"
        for sink, lags in found.by_sink.items()
    )
    return (
        f"{seconds} s of fills, positions and days, {found.rate:,.0f}/s; {told}; {WRITERS} writers"
        f" were at most {found.late_ms:.0f} ms late; a look every {POLL_SECONDS * 1000:.0f} ms"
    )
