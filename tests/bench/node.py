"""A stream node in a process of its own, as the Celery step runs it, that says how fast it was.

    python -m tests.bench.node --until 20000 [--noop] [--latency] [--settle]

Ends after so many entries are committed and prints one JSON line. The rate counts from the end of
the first commit to the end of the last: start-up and taking partitions are other figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from shared import telemetry
from shared.masking import Mask
from shared.mysql.connection import connect
from shared.settings import Settings, load
from shared.streams.event import Event
from tests.bench.figures import peak_mb
from workers.batch_report import BatchReport, observe_batch
from workers.build import LANES, build_reader
from workers.registry import EVENTS, EventType


class Nothing(EventType):
    """A handler that does nothing, and so needs no account."""

    @property
    def locks_account(self) -> bool:
        return False


class Watch:
    """Counts commits. report() runs on the lane's own thread, straight after COMMIT."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.done = threading.Event()
        self.batches = 0
        self.events = self.failures = self.first_events = 0
        self.first_at = self.last_at = 0.0
        self.first_cpu = self.last_cpu = 0.0
        self.delays_us: list[int] = []
        self._lock = threading.Lock()
        self._local = threading.local()

    def report(self, report: BatchReport) -> None:
        now, now_us = time.perf_counter(), time.time_ns() // 1000
        observe_batch(report)
        applied, self._local.applied = getattr(self._local, "applied", []), []
        with self._lock:
            if report.error is not None:
                self.failures += 1
                return
            self.delays_us += [now_us - ts_us for ts_us in applied]
            self.batches += 1
            self.events += report.events
            if not self.first_at:
                self.first_at, self.first_events = now, report.events
                self.first_cpu = time.process_time()
            self.last_at, self.last_cpu = now, time.process_time()
            if self.events >= self.until:
                self.done.set()

    def applied(self, events: Sequence[Event[Any]]) -> None:
        self._local.applied = getattr(self._local, "applied", [])
        self._local.applied += [event.ts_us for event in events]

    def result(self) -> dict[str, Any]:
        seconds = max(self.last_at - self.first_at, 1e-9)
        counted = max(self.events - self.first_events, 1)
        return {
            "events": self.events,
            "batches": self.batches,
            "failures": self.failures,
            "rate": counted / seconds,
            "seconds": seconds,
            "cpu_us": (self.last_cpu - self.first_cpu) / counted * 1e6,
            "peak_mb": peak_mb(),
            "delays_us": self.delays_us,
        }


def _watched(row: EventType, watch: Watch) -> EventType:
    def apply(book: Any, events: Sequence[Event[Any]]) -> None:
        row.apply(book, events)
        watch.applied(events)

    return row._replace(apply=apply)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--until", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--noop", action="store_true")
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--settle", action="store_true", help="and until no fold waits")
    parser.add_argument("--lanes", type=int, default=LANES)
    options = parser.parse_args()
    settings = load("streams")
    telemetry.start(Mask.of(settings), role="streams")
    watch = Watch(options.until)
    table = dict(EVENTS)
    if options.noop:
        table = {name: Nothing(*row[:3], _nothing) for name, row in table.items()}
    if options.latency:
        table = {name: _watched(row, watch) for name, row in table.items()}
    reader = build_reader(settings, "bench", watch.report, table=table, lanes=options.lanes)
    thread = threading.Thread(target=reader.run, daemon=True)
    thread.start()
    if options.latency:
        _say_when_ready(reader)
    ended = watch.done.wait(options.seconds)
    if options.settle:
        _wait_for_folds(settings, watch)
    reader.stop()
    thread.join(20)
    print(json.dumps(watch.result()), flush=True)
    return 0 if ended else 1


def _nothing(book: Any, events: Sequence[Event[Any]]) -> None:
    del book, events


def _wait_for_folds(settings: Settings, watch: Watch) -> None:
    connection = connect(settings.mysql)
    connection.autocommit(on=True)
    cursor = connection.cursor()
    while cursor.execute("SELECT 1 FROM fleet_positions WHERE restating_from_ms IS NOT NULL"):
        time.sleep(0.05)
    watch.last_at = time.perf_counter()
    connection.close()


def _say_when_ready(reader: Any) -> None:
    while not reader.ready():
        time.sleep(0.02)
    print("ready", flush=True)


if __name__ == "__main__":
    sys.exit(main())
