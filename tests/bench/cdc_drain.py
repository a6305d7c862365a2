"""A log that was written before, drained by collector and both sinks on two cores."""

from __future__ import annotations

import time
from contextlib import closing

from tests.bench.cdc_capture import Capture, Offsets, Used, capture_of
from tests.bench.cdc_writing import SMALL, Ledger, Small, Write, prepare
from tests.bench.figures import Figure
from tests.bench.place import Place

TARGET = 5_000
DRAIN_SECONDS = 600


def drain(place: Place, *, transactions: int) -> tuple[Figure, ...]:
    """From the first entry in the stream until both sinks have all, in one go."""
    with capture_of(place, tables=f"default,+{SMALL}") as capture:
        prepare(capture)
        with closing(capture.connection()) as connection:
            capture.begin()
            capture.stop()
            plain = _drained(capture, Small(connection).write, transactions)
            mixed = _drained(capture, Ledger(connection).write, transactions)
    return (
        _figure("single-row transactions of one small table", plain, transactions),
        _figure("of fills, positions and days as the ledger has them", mixed, transactions),
    )


def _drained(capture: Capture, write: Write, transactions: int) -> tuple[float, Used]:
    """Seconds, and what each used in them."""
    before = capture.seq()
    for number in range(transactions):
        write(number)
    with closing(Offsets(capture)) as offsets:
        capture.start()
        capture.until(lambda: capture.seq() > before, 60, step=0.002)
        started, used = time.perf_counter(), capture.used()
        capture.until(lambda: offsets.both() >= before + transactions, DRAIN_SECONDS, step=0.02)
        seconds, used = time.perf_counter() - started, capture.used().since(used)
        assert offsets.both() == before + transactions, "one seq for each, and nothing else"
    capture.stop()
    return seconds, used


def _figure(what: str, found: tuple[float, Used], transactions: int) -> Figure:
    seconds, used = found
    rate = transactions / seconds
    return Figure(
        f"log into audit log and TimescaleDB, {what}",
        f">= {TARGET:,}/s",
        f"{rate:,.0f}/s",
        rate >= TARGET,
        f"{transactions:,} transactions; CPU us of each: {used.per(transactions)}",
    )
