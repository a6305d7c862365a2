"""A stream node with a reader that needs no stream: `celery -A tests.workers.stream_node worker`.

FAKE_READER: `ok` reports batches until it is stopped, `raise` and `return` end after a moment.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from celery import signals

from shared import telemetry
from shared.masking import Mask
from shared.settings import load
from workers.batch_report import BatchReport, tell
from workers.reporting import Report
from workers.wiring import make_app

MODE = os.environ["FAKE_READER"]
_settings = load("streams")


class FakeReader:
    """Reports good and failed batches."""

    def __init__(self, node: str, report: Callable[[Report], None]) -> None:
        self._node = node
        self._report = report
        self._stopping = threading.Event()
        self._batches = 0

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            self._batches += 1
            failed = self._batches % 20 == 0
            batch = BatchReport(
                "orders", (self._batches % 4,), 500, 1, 0.004, "1-0", f"{self._batches}-0",
                "Unavailable: MySQL is away" if failed else None,
                "Traceback: of a failure" if failed else None,
            )  # fmt: skip
            tell(self._report, batch)
            if MODE == "raise" and self._batches > 5:
                message = "the reader broke"
                raise RuntimeError(message)
            if MODE == "return" and self._batches > 5:
                return
        sys.stderr.write("reader stopped cleanly\n")

    def stop(self) -> None:
        self._stopping.set()

    def info(self) -> dict[str, object]:
        return {"node": self._node, "lag": 42, "in_flight": 1, "last_id": f"{self._batches}-0"}

    def held(self) -> int:
        return 1

    def ready(self) -> bool:
        return self._batches > 0

    def alive(self, now_monotonic: float) -> bool:
        return now_monotonic > 0


def _start_logs(**_: object) -> None:
    telemetry.start(Mask.of(_settings), role="streams")


signals.setup_logging.connect(_start_logs, weak=False)
app = make_app(_settings, "streams", FakeReader)
