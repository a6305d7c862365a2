"""A sync worker as a process: plans and asks as the roles `beat` and `sync` do, without a broker.

    python -m tests.bench.sync_node SCALE SECONDS THREADS

SCALE: the venues' windows are so much shorter, as at the local exchange. Ends after SECONDS, in
which the times between two turns of an account are as much shorter; with SECONDS 0 once everybody
was asked once. Prints what it used as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

from shared.exchanges.table import VENUES
from shared.mysql.connection import connect
from shared.settings import load
from tests.scaled_venues import scaled_venues
from workers.collector import calm_collector
from workers.sync import batch, planner, store, tiers
from workers.sync_build import tools_of

PLAN_SECONDS = 0.5
IDLE_SECONDS = 0.05  # where the budget is no bound: a task takes some 30 ms
CONFIRM_SECONDS = 2.0


def main() -> None:
    scale, seconds, threads = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    settings = load("sync", os.environ)
    venues = scaled_venues(scale)
    if seconds:
        tiers.EVERY = {
            tier: {kind: every / scale for kind, every in kinds.items()}
            for tier, kinds in tiers.EVERY.items()
        }
    tools = tools_of(settings, venues)
    with closing(connect(settings.mysql)) as connection:
        planner.note_accounts(connection, VENUES, sorted(settings.egress))
    _warm(tools, venues)
    calm_collector()
    begun = time.monotonic()
    used = _cpu()
    counts = _run(settings, tools, seconds, threads)
    tools_used = _cpu() - used
    print(json.dumps({
        "cpu_seconds": tools_used, "seconds": time.monotonic() - begun, "counts": counts,
        "rss_mb": _rss_mb(),
    }), flush=True)  # fmt: skip
    tools.close()


def _warm(tools: batch.Tools, venues: Any) -> None:
    """Markets are read once per process; the peer has them before its clock starts, too."""
    work = tools.desk.exchanges.markets(venues["binance", "linear"], "default")
    tools.loop.wait(work, 60.0)


def _run(settings: Any, tools: batch.Tools, seconds: float, threads: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    running: set[Future[Counter[str]]] = set()
    sent: list[Future[Counter[str]]] = []
    ends = time.monotonic() + seconds if seconds else None
    confirmed_at = time.monotonic()
    with ThreadPoolExecutor(threads) as pool, closing(connect(settings.mysql)) as connection:
        while ends is None or time.monotonic() < ends:
            planned = planner.plan(
                connection, ["binance"], settings.egress,
                lambda some: sent.append(pool.submit(batch.run_batch, tools, list(some))),
            )  # fmt: skip
            running.update(sent)
            sent.clear()
            if time.monotonic() - confirmed_at > CONFIRM_SECONDS:
                store.confirm(connection)
                confirmed_at = time.monotonic()
            done = {one for one in running if one.done()}
            running -= done
            for one in done:
                counts += one.result()
            if ends is None and not (planned or running or done):
                break
            time.sleep(PLAN_SECONDS if ends else IDLE_SECONDS)
    for one in running:
        counts += one.result()
    return counts


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _rss_mb() -> float:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - one line of it
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
