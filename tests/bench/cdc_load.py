"""What change capture costs the server that is captured, per fill of the real ledger.

The same fills go through a stream node from empty books: without capture, with collector and audit
log and the log on a server of its own (FLEET_AUDIT_URL), and with the log in the captured server,
as it is by default; in turns. What counts is the CPU time of the captured server, which does
nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from statistics import median
from typing import NamedTuple

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.settings import load as load_settings
from tests.bench.cdc_capture import AUDIT, COLLECTOR, Capture, audit_server, capture_of
from tests.bench.feed import Fed, fills
from tests.bench.feed import append as append_fed
from tests.bench.figures import Figure
from tests.bench.place import Place, remove_keys
from tests.bench.runtime import run_node
from workers.migrate import migrate_audit

TARGET = 0.15
ROLES = (AUDIT, COLLECTOR)
CAUGHT_UP_SECONDS = 300
IDLE_SECONDS = 5.0
SETTLE_SECONDS = 2.0
"""Pages that were written and rows that were deleted are still cleaned up behind each run."""
NOT, APART, WITHIN = "without", "apart", "within"


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
    found: dict[str, list[Run]] = {NOT: [], APART: [], WITHIN: []}
    with capture_of(place) as capture, audit_server(place) as url:
        where = {WITHIN: {}, APART: {"FLEET_AUDIT_URL": url}}
        migrate_audit(_settings(capture, where[APART]))
        _run(capture, fed, where[WITHIN], 0)  # everything once, to be warm
        idle = _idle(capture)
        ways = list(found)
        for number in range(rounds):
            for way in ways if number % 2 else reversed(ways):
                found[way].append(_run(capture, fed, where.get(way), idle))
    bare = _median(found[NOT])
    return (
        *(_extra(what, found[way], found[NOT], events) for way, what in (
            (APART, "the log on a server of its own (FLEET_AUDIT_URL)"),
            (WITHIN, "the log in the same server"),
        )),
        _bytes(_median(found[WITHIN]), bare),
    )  # fmt: skip


def _extra(what: str, runs: Sequence[Run], bare: Sequence[Run], events: int) -> Figure:
    ratios = sorted(one.cpu_us / other.cpu_us - 1 for one, other in zip(runs, bare, strict=True))
    extra, ours, peer = median(ratios), _median(runs), _median(bare)
    return Figure(
        f"the captured server's CPU per fill, {what}",
        f"<= {TARGET:.0%} more",
        f"{extra:.1%} more ({ratios[0]:.1%}..{ratios[-1]:.1%}); {ours.cpu_us:,.0f} against"
        f" {peer.cpu_us:,.0f} us",
        extra <= TARGET,
        f"{events:,} fills through one stream node, {ours.rate:,.0f} against {peer.rate:,.0f}"
        " fills/s on the same cores",
    )


def _bytes(ours: Run, bare: Run) -> Figure:
    return Figure(
        "bytes of the audit log per fill",
        "stated",
        f"{ours.audit:,.0f} in {ours.rows:.1f} rows",
        met=True,
        notes=f"with its keys; binlog {ours.binlog:,.0f} bytes a fill, {bare.binlog:,.0f} without",
    )


def _idle(capture: Capture) -> float:
    """CPU seconds a second of the server when nobody asks anything: some threads of it spin."""
    time.sleep(SETTLE_SECONDS)
    before, started = capture.mysql_cpu(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    return (capture.mysql_cpu() - before) / (time.perf_counter() - started)


def _run(
    capture: Capture, fed: Sequence[Fed], variables: Mapping[str, str] | None, idle: float
) -> Run:
    """variables: None without capture, else of its roles beside what the place says. idle: what is
    taken off for each second, because one run lasts longer than another.
    """
    settings = _settings(capture, variables or {})
    _emptied(capture, settings)
    if variables is not None:
        capture.begin(ROLES, **variables)
    append_fed(capture.redis, capture.here.settings.prefix, fed)
    cpu, log, started = capture.mysql_cpu(), capture.log_bytes(), time.perf_counter()
    rate = float(run_node(capture.here, len(fed))["rate"])
    if variables is not None:
        _caught_up(capture)
    time.sleep(SETTLE_SECONDS)
    cpu, log = capture.mysql_cpu() - cpu, capture.log_bytes() - log
    cpu -= idle * (time.perf_counter() - started)
    capture.stop()
    count = len(fed)
    size, rows = _audited(settings)
    return Run(cpu / count * 1e6, log / count, size / count, rows / count, rate)


def _settings(capture: Capture, variables: Mapping[str, str]) -> Settings:
    return load_settings("streams", {**capture.here.environ, **variables})


def _emptied(capture: Capture, settings: Settings) -> None:
    capture.here.empty()
    remove_keys(capture.redis, capture.here.settings.prefix)
    with closing(connect(settings.audit)) as connection:
        cursor = connection.cursor()
        for table in ("fleet_change_log", "fleet_cdc_offset", "fleet_cdc_batches"):
            cursor.execute(f"TRUNCATE TABLE {table}")


def _caught_up(capture: Capture) -> None:
    """Everything that the ledger wrote is in the audit log."""
    end = capture.log_end()
    capture.until(lambda: capture.reading() >= end, CAUGHT_UP_SECONDS)
    seq = capture.seq()

    def has_all() -> bool:
        report = capture.stream.reports().get(AUDIT)
        return bool(report and report.offset and report.offset.seq >= seq)

    capture.until(has_all, CAUGHT_UP_SECONDS)


def _audited(settings: Settings) -> tuple[int, int]:
    """Bytes and rows."""
    with closing(connect(settings.audit)) as connection:
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
