"""What change capture costs the server that is captured, per fill of the real ledger.

The same fills go through a stream node from empty books, with collector and audit log beside it
and without, in turns. What counts is the CPU time of the MySQL server itself, which does nothing
else; the audit log is in the same server, as it is by default.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from statistics import median
from typing import NamedTuple

from tests.bench.cdc_capture import AUDIT, COLLECTOR, Capture, Offsets, capture_of
from tests.bench.feed import Fed, fills
from tests.bench.feed import append as append_fed
from tests.bench.figures import Figure
from tests.bench.place import Place, remove_keys
from tests.bench.runtime import run_node

TARGET = 0.15
ROLES = (AUDIT, COLLECTOR)
CAUGHT_UP_SECONDS = 300
SETTLE_SECONDS = 2.0
"""Pages that were written and rows that were deleted are still cleaned up behind both runs."""


class Run(NamedTuple):
    """Per fill. cpu_us: of the server. binlog: bytes written to it. audit: bytes of the audit log
    with its keys. rows: of the audit log. rate: fills/s of the node.
    """

    cpu_us: float
    binlog: float
    audit: float
    rows: float
    rate: float


def load(place: Place, *, events: int, rounds: int) -> tuple[Figure, ...]:
    fed = fills(events, partitions=place.settings.partitions)
    with capture_of(place) as capture:
        _run(capture, fed, captured=True)  # everything once, to be warm
        with_, without = list[Run](), list[Run]()
        for number in range(rounds):
            for captured in (True, False) if number % 2 else (False, True):
                (with_ if captured else without).append(_run(capture, fed, captured=captured))
    ratios = sorted(one.cpu_us / other.cpu_us - 1 for one, other in zip(with_, without, strict=True))
    extra = median(ratios)
    ours, bare = _median(with_), _median(without)
    return (
        Figure(
            "the server's CPU per fill, with collector and audit log / without",
            f"<= {TARGET:.0%} more",
            f"{extra:.1%} more ({ratios[0]:.1%}..{ratios[-1]:.1%}); {ours.cpu_us:,.0f} against"
            f" {bare.cpu_us:,.0f} us",
            extra <= TARGET,
            f"{events:,} fills through one stream node, {ours.rate:,.0f} against {bare.rate:,.0f}"
            " fills/s on the same cores",
        ),
        Figure(
            "bytes of the audit log per fill",
            "stated",
            f"{ours.audit:,.0f} in {ours.rows:.1f} rows",
            met=True,
            notes=f"with its keys; binlog {ours.binlog:,.0f} bytes a fill, {bare.binlog:,.0f}"
            " without",
        ),
    )


def _run(capture: Capture, fed: Sequence[Fed], *, captured: bool) -> Run:
    _emptied(capture)
    if captured:
        capture.begin(ROLES)
    append_fed(capture.redis, capture.here.settings.prefix, fed)
    cpu, log = capture.mysql_cpu(), capture.log_bytes()
    rate = float(run_node(capture.here, len(fed))["rate"])
    if captured:
        _caught_up(capture)
    time.sleep(SETTLE_SECONDS)
    cpu, log = capture.mysql_cpu() - cpu, capture.log_bytes() - log
    capture.stop()
    count = len(fed)
    size, rows = _audited(capture)
    return Run(cpu / count * 1e6, log / count, size / count, rows / count, rate)


def _emptied(capture: Capture) -> None:
    capture.here.empty()
    remove_keys(capture.redis, capture.here.settings.prefix)


def _caught_up(capture: Capture) -> None:
    """Everything that the ledger wrote is in the audit log."""
    end = capture.log_end()
    with closing(Offsets(capture)) as offsets:
        capture.until(lambda: capture.reading() >= end, CAUGHT_UP_SECONDS)
        seq = capture.seq()
        capture.until(lambda: offsets.audit() >= seq, CAUGHT_UP_SECONDS)


def _audited(capture: Capture) -> tuple[int, int]:
    """Bytes and rows."""
    with closing(capture.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM fleet_change_log")
        (rows,) = cursor.fetchone()
        cursor.execute("ANALYZE TABLE fleet_change_log")
        cursor.fetchall()
        cursor.execute(
            "SELECT SUM(data_length + index_length) FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = 'fleet_change_log'"
        )
        (size,) = cursor.fetchone()
    return int(size) if rows else 0, int(rows)


def _median(runs: Sequence[Run]) -> Run:
    return Run(*(median(values) for values in zip(*runs, strict=True)))
