"""A Laravel worker in a process of its own, without Celery around it, that says how fast it was.

    python -m tests.bench.laravel_node --until 5000 --queue NAME

Ends after so many jobs and prints one JSON line. The rate counts from the end of the first job to
the end of the last.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import Any

from shared import telemetry
from shared.masking import Mask
from shared.settings import load
from workers.laravel.build import build_worker
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context
from workers.laravel_jobs.table import JobClass
from workers.reporting import Report


class Noop(Arguments):
    """The desk's no-op job."""

    number: int


class Watch:
    """Counts jobs; called on the worker's own thread after each job left its reservation."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.done = threading.Event()
        self.jobs = 0
        self.first_at = self.last_at = 0.0
        self.started_us: list[int] = []

    def report(self, report: Report) -> None:
        if report.error is not None:
            raise RuntimeError(report.error)
        self.jobs += 1
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        if self.jobs >= self.until:
            self.done.set()

    def run(self, context: Context, arguments: Noop) -> None:
        del context, arguments
        self.started_us.append(time.time_ns() // 1000)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--until", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    settings = load("laravel")
    telemetry.start(Mask.of(settings), role="laravel")
    watch = Watch(options.until)
    table = {"App\\Jobs\\Noop": JobClass(Noop, watch.run)}
    node = build_worker(
        settings, "bench", watch.report, table=table, restart=_never, end_process=_never
    )
    thread = threading.Thread(target=node.run, daemon=True)
    thread.start()
    while not node.ready():
        time.sleep(0.01)
    print("ready", flush=True)
    ended = watch.done.wait(options.seconds)
    node.stop()
    thread.join(10)
    seconds = max(watch.last_at - watch.first_at, 1e-9)
    found: dict[str, Any] = {
        "jobs": watch.jobs,
        "rate": (watch.jobs - 1) / seconds,
        "started_us": watch.started_us,
    }
    print(json.dumps(found), flush=True)
    return 0 if ended else 1


def _never() -> None:
    raise RuntimeError("a benchmark is not restarted")


if __name__ == "__main__":
    sys.exit(main())
