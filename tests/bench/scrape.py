"""How long a scrape of the exporter and a collection take: 32 partitions and 100 accounts."""

from __future__ import annotations

import time
import urllib.request
from statistics import quantiles

from prometheus_client import CollectorRegistry, ProcessCollector

from tests.bench.figures import Figure
from tests.bench.place import Place
from workers import http
from workers.exposure.exporter import Exporter
from workers.exposure.samples import Told
from workers.quality.checks import CHECKS

ACCOUNTS = 100
PARTITIONS = 32
SCRAPE_MS = 100
COLLECT_SECONDS = 1.0


def scrape(place: Place, *, scrapes: int) -> tuple[Figure, Figure]:
    place.empty()
    _fill(place)
    exporter = Exporter(place.settings)
    exporter.turn()
    collected = []
    for _ in range(max(scrapes // 10, 5)):
        exporter.turn()
        collected += [
            one.value for one in exporter.samples if one.metric == "fleet_collect_seconds"
        ]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Told(lambda: exporter.samples))
    server = http.serve(
        0, http.Probes("", lambda: True, lambda: True), host="127.0.0.1",
        registry=lambda: registry, run_dir="",
    )  # fmt: skip
    took, size = [], 0
    try:
        for _ in range(scrapes):
            started = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
                size = len(answer.read())
            took.append((time.perf_counter() - started) * 1000)
    finally:
        server.stop()
    p95, slowest = quantiles(took, n=20)[-1], max(took)
    what = f"{len(exporter.samples)} series, {size / 1024:.0f} KB"
    return (
        Figure(
            "scrape", f"p95 < {SCRAPE_MS} ms", f"{p95:.1f} ms, slowest {slowest:.1f} ms",
            p95 < SCRAPE_MS, what,
        ),
        Figure(
            "collection", f"< {COLLECT_SECONDS:g} s", f"{max(collected):.3f} s at most",
            max(collected) < COLLECT_SECONDS,
            f"{PARTITIONS} partitions a stream, {ACCOUNTS} accounts",
        ),
    )  # fmt: skip


def _fill(place: Place) -> None:
    connection = place.mysql()
    cursor = connection.cursor()
    accounts = range(1, ACCOUNTS + 1)
    cursor.executemany(
        "INSERT INTO fleet_sync_accounts"
        " (account_id, venue, product, egress, tier, since_ms, ran_at)"
        " VALUES (%s, %s, 'linear', 'default', %s, 1, UTC_TIMESTAMP(6))",
        [(n, ("binance", "bybit", "okx")[n % 3], ("active", "idle")[n % 2]) for n in accounts],
    )
    cursor.executemany(
        "INSERT INTO fleet_account_state (account_id) VALUES (%s)", [(n,) for n in accounts]
    )
    cursor.executemany(
        "INSERT INTO fleet_quality (check_name, good, total, checked_at)"
        " VALUES (%s, 1, 1, UTC_TIMESTAMP(6))",
        [(name,) for name in CHECKS],
    )
    connection.commit()
    connection.close()
