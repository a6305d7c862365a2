"""From the return of a commit until each sink shows it, at a steady rate.

One connection commits single-row transactions, so they have dense seqs in that order, and nothing
else writes to this source. Where a sink stands is asked every few milliseconds on a connection of
its own; a sink's offset moves in the transaction that writes the rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from statistics import quantiles
from typing import NamedTuple

from tests.bench.cdc_capture import Capture, Offsets, capture_of
from tests.bench.cdc_writing import Ledger, Write, prepare
from tests.bench.figures import Figure
from tests.bench.place import Place

FAST, CALM = 1_500, 500
POLL_SECONDS = 0.005
WARM_SECONDS = 3
AFTER_SECONDS = 120
SINKS = ("audit", "timescale")


class Seen(NamedTuple):
    """A look at a sink: it shows everything up to seq."""

    at: float
    seq: int


class Lags(NamedTuple):
    """Milliseconds from commit to visible, and how late the writer was at most."""

    by_sink: dict[str, list[float]]
    late_ms: float
    rate: float


class Watching:
    """Looks at one sink until it is told to end."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[Seen] = []
        self._thread.start()

    def _run(self) -> None:
        last = 0
        while not self._stopping.wait(POLL_SECONDS):
            seq = self._look()
            if seq > last:  # the answer is older than now: the lag is never told too small
                self.seen.append(Seen(time.monotonic(), seq))
                last = seq

    def end(self) -> list[Seen]:
        self._stopping.set()
        self._thread.join()
        return self.seen


def live(place: Place, *, seconds: int) -> tuple[Figure, ...]:
    with capture_of(place) as capture:
        prepare(capture)
        with closing(capture.connection()) as connection:
            capture.begin()
            write = Ledger(connection).write
            fast = _lags(capture, write, 0, FAST, seconds)
            calm = _lags(capture, write, FAST * seconds, CALM, seconds)
    both = [max(pair) for pair in zip(*fast.by_sink.values(), strict=True)]
    p99, slow = _cut(both, 99), calm.by_sink["timescale"]
    p50_calm, p99_calm = _cut(slow, 50), _cut(slow, 99)
    return (
        Figure(
            f"commit to visible in both sinks at {FAST:,} single-row transactions/s",
            "p99 < 2,000 ms",
            f"p50 {_cut(both, 50):.0f} ms, p99 {p99:.0f} ms, most {max(both):.0f} ms",
            p99 < 2_000,  # noqa: PLR2004 - the target
            _notes(fast, seconds),
        ),
        Figure(
            f"commit to visible in TimescaleDB at {CALM} single-row transactions/s",
            "p50 < 100 ms, p99 < 500 ms",
            f"p50 {p50_calm:.0f} ms, p99 {p99_calm:.0f} ms, most {max(slow):.0f} ms",
            p50_calm < 100 and p99_calm < 500,  # noqa: PLR2004 - the target
            _notes(calm, seconds),
        ),
    )


def _lags(capture: Capture, write: Write, first: int, rate: int, seconds: int) -> Lags:
    """Of all but the first seconds: those warm up Python and the servers."""
    before, returned, late = capture.seq(), list[float](), 0.0
    with closing(Offsets(capture)) as audit, closing(Offsets(capture)) as timescale:
        watching = Watching(audit.audit), Watching(timescale.timescale)
        started = time.monotonic()
        for number in range(rate * seconds):
            wait = started + number / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            late = max(late, -wait)
            write(first + number)
            returned.append(time.monotonic())
        last = before + len(returned)
        took = returned[-1] - started
        with closing(Offsets(capture)) as both:
            capture.until(lambda: both.both() >= last, AFTER_SECONDS)
        found = [one.end() for one in watching]
    assert all(seen[-1].seq == last for seen in found), "one seq for each, and nothing else"
    warm = rate * WARM_SECONDS
    lags = {
        sink: _of(returned, seen, before)[warm:] for sink, seen in zip(SINKS, found, strict=True)
    }
    return Lags(lags, late * 1000, len(returned) / took)


def _of(returned: list[float], seen: list[Seen], before: int) -> list[float]:
    """Of the transaction with seq before + 1 and the following, when a look first showed it."""
    looks, lags = iter(seen), list[float]()
    look = next(looks)
    for seq, at in enumerate(returned, before + 1):
        while look.seq < seq:
            look = next(looks)
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
        f"{seconds} s of fills, positions and days, {found.rate:,.0f}/s; {told}; the writer was at"
        f" most {found.late_ms:.0f} ms late; a look every {POLL_SECONDS * 1000:.0f} ms"
    )
