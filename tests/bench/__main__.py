"""`python -m tests.bench [names...]`: the figures of the runtime, as one table.

Ratios are medians of alternating runs against a peer on the same servers, so the table holds on a
slow machine too; seconds and milliseconds belong to the machine and to what else it does. Exit code
1 if a target is missed.

    python -m tests.bench                      everything; about 30 minutes
    python -m tests.bench --quick              the same, smaller: about 8 minutes
    python -m tests.bench noop latency         some of it
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench import (
    alerts,
    capacity,
    cdc_collect,
    cdc_drain,
    cdc_live,
    cdc_load,
    cdc_memory,
    dashboards,
    fold,
    guest,
    history,
    laravel,
    latency,
    ledger,
    memory,
    overview,
    rebuild,
    reverse,
    runtime,
    scrape,
    sync,
    takeover,
)
from tests.bench.figures import Figure
from tests.bench.place import Place, place
from tests.chaos.breakages import BREAKAGES


class Size(NamedTuple):
    """How much is measured."""

    rounds: int
    fills: int  # of a run of the ledger
    tasks: int  # of the Celery peer
    reversed: int  # fills in reverse, and of a rebuild
    latency_seconds: int
    minutes: float
    jobs: int
    daily_rows: int
    accounts: int  # of the exchange sync
    faults: tuple[str, ...]
    quiet_minutes: float


FULL = Size(5, 40_000, 3_000, 1_000_000, 30, 10, 5_000, 10_000_000, 1_000,
            tuple(BREAKAGES), 60)  # fmt: skip
QUICK = Size(3, 10_000, 1_000, 100_000, 15, 1, 2_000, 1_000_000, 200, alerts.FEW, 3)

BENCHES: dict[str, Callable[[Place, Size], Figure | tuple[Figure, ...]]] = {
    "noop": lambda p, s: runtime.noop(p, events=100_000, rounds=s.rounds),
    "bare": lambda p, s: ledger.bare(p, events=s.fills, rounds=s.rounds),
    "celery": lambda p, s: ledger.celery(p, events=s.fills, rounds=s.rounds, tasks=s.tasks),
    "faststream": lambda p, s: ledger.faststream(p, events=s.fills, rounds=s.rounds),
    "fold": lambda _, s: fold.speed(rounds=s.rounds),
    "reverse": lambda p, s: reverse.reverse(p, events=s.reversed),
    "rebuild": lambda p, s: rebuild.rebuild(
        p, fills=max(s.reversed, 300_000), rounds=s.rounds
    ),
    "rebuild-memory": lambda p, s: rebuild.one_account(p, fills=s.reversed),
    "latency": lambda p, s: latency.latency(p, seconds=s.latency_seconds),
    "memory": lambda p, s: memory.memory(p, minutes=s.minutes),
    "takeover": lambda p, s: takeover.takeover(p, rounds=s.rounds),
    "handoff": lambda p, s: takeover.handoff(p, rounds=s.rounds),
    "laravel": lambda p, s: laravel.worker(p, jobs=s.jobs, rounds=s.rounds),
    "records": lambda p, s: laravel.worker_with_records(p, jobs=s.jobs, rounds=s.rounds),
    "dispatch": lambda p, s: laravel.dispatch(p, jobs=s.jobs, rounds=s.rounds),
    "delay": lambda p, _: laravel.delay(p),
    "guest": lambda p, s: guest.guest(p, jobs=s.jobs, rounds=s.rounds),
    "sync-budget": lambda p, s: sync.budget(
        p, accounts=s.accounts, seconds=s.accounts * 0.4
    ),
    "sync-cpu": lambda p, s: sync.cpu(p, accounts=s.accounts // 2, rounds=s.rounds),
    "sync-memory": lambda p, s: sync.memory(p, few=s.accounts // 10, many=s.accounts),
    "cdc-collect": lambda p, s: cdc_collect.collect(
        p, transactions=s.fills // 2, rounds=s.rounds
    ),
    "dashboards": lambda p, s: dashboards.dashboards(p, rows=s.daily_rows),
    "history": lambda p, s: history.writing(p, rows=s.fills),
    "cdc-drain": lambda p, s: cdc_drain.drain(p, transactions=s.fills * 3 // 2),
    "cdc-live": lambda p, s: cdc_live.live(p, seconds=s.latency_seconds),
    "cdc-memory": lambda p, s: cdc_memory.long_transaction(p, rows=s.reversed),
    "cdc-load": lambda p, s: cdc_load.load(p, events=s.fills, rounds=s.rounds),
    "scrape": lambda p, s: scrape.scrape(p, scrapes=s.rounds * 40),
    "overview": lambda _, s: overview.overview(rounds=s.rounds * 10),
    "capacity": lambda p, s: capacity.capacity(p, events=s.fills),
    "alerts": lambda _, s: alerts.alerts(names=s.faults),
    "quiet": lambda _, s: alerts.quiet(minutes=s.quiet_minutes),
    "history-dashboards": lambda p, s: history.dashboards(p, rows=s.daily_rows * 2),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="; ".join(BENCHES), allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="name", help="all of them when none is given")
    parser.add_argument("--quick", action="store_true", help="smaller runs")
    parser.add_argument("--rounds", type=int, help="pairs of runs behind a ratio")
    parser.add_argument("--minutes", type=float, help="of the memory figure")
    parser.add_argument("--daily-rows", type=int, help="of the dashboards figure")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left running
    if unknown := [name for name in options.names if name not in BENCHES]:
        parser.error(f"{', '.join(unknown)}: one of {', '.join(BENCHES)} expected")
    size = QUICK if options.quick else FULL
    size = size._replace(
        rounds=options.rounds or size.rounds,
        minutes=options.minutes or size.minutes,
        daily_rows=options.daily_rows or size.daily_rows,
    )
    with place() as here:
        name = here.name()
        found = [
            figure for one in options.names or BENCHES for figure in _measured(here, one, size)
        ]
    _print(found, name)
    return 0 if all(figure.met for figure in found) else 1


def _measured(here: Place, name: str, size: Size) -> list[Figure]:
    started, load = time.perf_counter(), os.getloadavg()[0]
    print(f"{name} ...", end=" ", flush=True)
    measured = BENCHES[name](here, size)
    figures = [measured] if isinstance(measured, Figure) else list(measured)
    told = "; ".join(figure.measured for figure in figures)
    print(f"{told} [{time.perf_counter() - started:.0f} s]", flush=True)
    # More than the cores can do at once was wanted before we began: say so beside the figure.
    busy = f"; load {load:.1f} on {os.cpu_count()} cores before it began"
    return [figure._replace(notes=figure.notes + busy) for figure in figures]


def _print(found: list[Figure], servers: str) -> None:
    table = Table(title=f"{servers}, {os.cpu_count()} cores", show_lines=True)
    for column in ("figure", "target", "measured", "", "what it was measured with"):
        table.add_column(column)
    for figure in found:
        mark = "met" if figure.met else "MISSED"
        table.add_row(
            figure.name, figure.target, figure.measured, mark, f"{servers}; {figure.notes}"
        )
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    sys.exit(main())
