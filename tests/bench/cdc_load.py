"""What change capture costs the server that is captured, per fill of the real ledger.

The same fills go through a stream node from empty books: without capture, with collector and audit
log and the log on a server of its own (FLEET_AUDIT_URL), and with the log in the captured server,
as it is by default; in turns. What counts is the CPU time of the captured server, which does
nothing else.

Two threads of a core slow one another down, so a server's work takes longer as soon as anybody
else works at all. Without capture, programs that only count therefore take as much of the cores as
collector, sink and the audit's own server did; what it is against idle cores is told beside it.
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
from tests.bench.cdc_capture import (
    AUDIT,
    COLLECTOR,
    AuditServer,
    Capture,
    audit_server,
    capture_of,
)
from tests.bench.feed import Fed, fills
from tests.bench.feed import append as append_fed
from tests.bench.figures import Figure
from tests.bench.guest import counting
from tests.bench.place import Place, remove_keys
from tests.bench.runtime import run_node
from workers.migrate import migrate_audit

TARGET = 0.15
ROLES = (AUDIT, COLLECTOR)
CAUGHT_UP_SECONDS = 300
IDLE_SECONDS = 5.0
SETTLE_SECONDS = 2.0
"""Pages that were written and rows that were deleted are still cleaned up behind each run."""
IDLE, BUSY, APART, WITHIN = "idle", "busy", "apart", "within"


class Run(NamedTuple):
    """Per fill. cpu_us: of the server. binlog: bytes written to it. audit: bytes of the audit log
    with its keys. rows: of the audit log. rate: fills/s of the node. beside: share of a core that
    was taken by who captures, or counted in their place.
    """

    cpu_us: float
    binlog: float
    audit: float
    rows: float
    rate: float
    beside: float


def load(place: Place, *, events: int, rounds: int) -> tuple[Figure, ...]:
    fed = fills(events, partitions=place.settings.partitions)
    found: dict[str, list[Run]] = {IDLE: [], BUSY: [], APART: [], WITHIN: []}
    with capture_of(place) as capture, audit_server(place) as audit:
        bench = _Bench(capture, audit, fed, 0.0)
        bench.migrate()
        bench.captured({})  # everything once, to be warm
        bench = bench._replace(idle=_idle(capture))
        for _ in range(rounds):
            found[APART].append(bench.captured({"FLEET_AUDIT_URL": audit.url}))
            found[BUSY].append(bench.bare(found[APART][-1].beside))
            found[WITHIN].append(bench.captured({}))
            found[IDLE].append(bench.bare(0.0))
    return (
        _extra(
            "the log on a server of its own (FLEET_AUDIT_URL)", TARGET,
            found[APART], found[BUSY], found[IDLE],
        ),
        _extra("and the log in the same server", None, found[WITHIN], found[BUSY], found[IDLE]),
        _bytes(_median(found[WITHIN]), _median(found[IDLE])),
    )  # fmt: skip


def _extra(
    what: str,
    target: float | None,
    runs: Sequence[Run],
    busy: Sequence[Run],
    idle: Sequence[Run],
) -> Figure:
    """target: None where the figure is only stated."""
    low, extra, high = _more(runs, busy)
    ours, peer, alone = _median(runs), _median(busy), _median(idle)
    return Figure(
        f"the captured server's CPU per fill, {what}",
        "stated" if target is None else f"<= {target:.0%} more",
        f"{extra:.1%} more ({low:.1%}..{high:.1%}); {ours.cpu_us:,.0f} against"
        f" {peer.cpu_us:,.0f} us",
        target is None or extra <= target,
        f"{_more(runs, idle)[1]:.1%} more than with idle cores ({alone.cpu_us:,.0f} us); beside it"
        f" {ours.beside:.2f} cores of capture, or {peer.beside:.2f} that count; "
        f"{ours.rate:,.0f}, {peer.rate:,.0f} and {alone.rate:,.0f} fills/s of one node",
    )


def _more(runs: Sequence[Run], bare: Sequence[Run]) -> tuple[float, float, float]:
    """Least, median, most."""
    ratios = sorted(one.cpu_us / other.cpu_us - 1 for one, other in zip(runs, bare, strict=True))
    return ratios[0], median(ratios), ratios[-1]


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


class _Bench(NamedTuple):
    """idle: CPU of the server that is taken off for each second, as one run lasts longer than
    another.
    """

    capture: Capture
    audit: AuditServer
    fed: Sequence[Fed]
    idle: float

    def migrate(self) -> None:
        migrate_audit(_settings(self.capture, {"FLEET_AUDIT_URL": self.audit.url}))

    def bare(self, beside: float) -> Run:
        """Without capture; beside: cores that are kept busy, half by each of two programs."""
        with counting(2, beside / 2):
            return self._run({}, captured=False)._replace(beside=beside)

    def captured(self, variables: Mapping[str, str]) -> Run:
        """variables: of its roles, beside what the place says."""
        return self._run(variables, captured=True)

    def _run(self, variables: Mapping[str, str], *, captured: bool) -> Run:
        capture, count = self.capture, len(self.fed)
        settings = _settings(capture, variables)
        _emptied(capture, settings)
        if captured:
            capture.begin(ROLES, **variables)
        append_fed(capture.redis, capture.here.settings.prefix, self.fed)
        cpu, log, others = capture.mysql_cpu(), capture.log_bytes(), self._others()
        started = time.perf_counter()
        rate = float(run_node(capture.here, count)["rate"])
        if captured:
            _caught_up(capture)
        seconds = time.perf_counter() - started
        others = self._others() - others
        time.sleep(SETTLE_SECONDS)
        cpu, log = capture.mysql_cpu() - cpu, capture.log_bytes() - log
        cpu -= self.idle * (time.perf_counter() - started)
        capture.stop()
        size, rows = _audited(settings)
        return Run(
            cpu / count * 1e6, log / count, size / count, rows / count, rate, others / seconds
        )

    def _others(self) -> float:
        """CPU seconds of who captures."""
        used = self.capture.used()
        return used.collector + used.audit + self.audit.cpu()


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
