"""Batches of streams and jobs of Laravel as tasks in Flower.

Flower saturates at about 1,600 tasks/s and a busy node does thousands of pieces of work a second,
so reports of one task are merged and at most SUMMARIES_PER_SECOND summaries leave a node. Failures
are never merged away: each leaves as a task of its own (beyond FAILURES_KEPT waiting ones, equal
failures share one that carries their number).

The working thread only adds to a table. A thread of its own talks to the broker, so a broker that
is away costs memory for one summary per task, and no time.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kombu.exceptions import OperationalError

from shared import telemetry
from shared.masking import Mask

SUMMARIES_PER_SECOND = 10.0
FAILURES_KEPT = 1_000
_TURN_SECONDS = 0.1
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
_log = telemetry.log(__name__)


class Report(NamedTuple):
    """One piece of work: a batch, or a job. task: its name in Flower; such of one name are merged.

    counts: what was done, summed when merged. places: partitions or queues. first, last: ids.
    error: what made it fail (nothing of it is committed), with its traceback.
    """

    task: str
    counts: Mapping[str, int]
    places: tuple[str, ...]
    seconds: float
    first: str
    last: str
    error: str | None = None
    traceback: str | None = None


def masked(mask: Mask, report: Callable[[Report], None]) -> Callable[[Report], None]:
    """An error may quote what it failed on; Flower shows it to whoever may look."""

    def tell(one: Report) -> None:
        if one.error is None:
            report(one)
        else:
            trace = mask.text(one.traceback) if one.traceback else None
            report(one._replace(error=mask.text(one.error), traceback=trace))

    return tell


@dataclass(slots=True)
class Summary:
    """Reports of one task that leave as one; `runs` says how many were merged."""

    task: str
    first: str
    last: str
    counts: Counter[str] = field(default_factory=Counter)
    places: set[str] = field(default_factory=set)
    seconds: float = 0.0
    runs: int = 0
    error: str | None = None
    traceback: str | None = None
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @classmethod
    def of(cls, report: Report) -> Summary:
        summary = cls(report.task, report.first, report.last)
        summary.error, summary.traceback = report.error, report.traceback
        summary.add(report)
        return summary

    def add(self, report: Report) -> None:
        self._sum(report, 1)

    def merge(self, later: Summary) -> None:
        self._sum(later, later.runs)

    def _sum(self, more: Report | Summary, runs: int) -> None:
        self.counts.update(more.counts)
        self.places.update(more.places)
        self.last = more.last
        self.seconds += more.seconds
        self.runs += runs


class Pending:
    """What waits to be sent, and what may go now. Pure but for its own table; clock injected."""

    def __init__(self, rate: float = SUMMARIES_PER_SECOND, failures: int = FAILURES_KEPT) -> None:
        self._rate = rate
        self._tokens = rate
        self._filled_at: float | None = None
        self._failures_kept = failures
        self._merged: dict[str, Summary] = {}
        self._failures: list[Summary] = []

    def __len__(self) -> int:
        return len(self._merged) + len(self._failures)

    def add(self, report: Report) -> None:
        if report.error is not None:
            self._add_failure(report)
        elif report.task in self._merged:
            self._merged[report.task].add(report)
        else:
            self._merged[report.task] = Summary.of(report)

    def _add_failure(self, report: Report) -> None:
        if len(self._failures) >= self._failures_kept:
            for waiting in reversed(self._failures):
                if (waiting.task, waiting.error) == (report.task, report.error):
                    waiting.add(report)
                    return
        self._failures.append(Summary.of(report))

    def take(self, now: float) -> list[Summary]:
        """Everything that may go at `now` (monotonic seconds): all failures, then by tokens."""
        elapsed = 0.0 if self._filled_at is None else max(now - self._filled_at, 0.0)
        self._filled_at = now
        self._tokens = min(self._rate, self._tokens + elapsed * self._rate)
        taken, self._failures = self._failures, []
        for task in list(self._merged):
            if self._tokens < 1:
                break
            self._tokens -= 1
            # Taken out and, if it returns, put at the end: no task can starve another.
            taken.append(self._merged.pop(task))
        return taken

    def put_back(self, unsent: Iterable[Summary]) -> None:
        """Summaries that could not be sent: they merge with what came since."""
        unsent = list(unsent)
        self._failures[:0] = [summary for summary in unsent if summary.error is not None]
        for old in unsent:
            if old.error is not None:
                continue
            new = self._merged.get(old.task)
            if new is not None:
                old.merge(new)
            self._merged[old.task] = old


class Sender(Protocol):
    """Sends one event (`task-received`, ...) or raises; opened anew after every failure."""

    def send(self, type_: str, fields: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


# Whatever the transport raises for a broker that is away.
AWAY = (OperationalError, OSError)


class Reporter:
    """`reporter(report)` from any thread; never blocks on the broker. start() before, stop() after.

    connect: opens a Sender; may raise. away: the exceptions that mean "try again later"; any other
    is a bug of ours, is logged, and is treated likewise, because reports must not end the reader.
    """

    def __init__(
        self,
        connect: Callable[[], Sender],
        *,
        pending: Pending | None = None,
        clock: Callable[[], float] = time.monotonic,
        away: tuple[type[BaseException], ...] = AWAY,
    ) -> None:
        self._connect = connect
        self._pending = pending or Pending()
        self._clock = clock
        self._away = away
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sender: Sender | None = None
        self._failed_in_a_row = 0
        self._in_hand = 0  # summaries that a turn has taken and neither sent nor put back
        self._thread = threading.Thread(target=self._run, name="fleet-reports", daemon=True)

    def __call__(self, report: Report) -> None:
        with self._lock:
            self._pending.add(report)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 3.0) -> None:
        """Sends what is left if the broker answers, and counts what is not sent as dropped."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        with self._lock:
            if left := len(self._pending) + self._in_hand:
                telemetry.count("fleet_reports_total", left, outcome="dropped")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turn()
            self._stopping.wait(self._pause())
        self.turn()
        self._drop_sender()

    def _pause(self) -> float:
        if not self._failed_in_a_row:
            return _TURN_SECONDS
        return _PAUSES[min(self._failed_in_a_row, len(_PAUSES)) - 1]

    def turn(self) -> None:
        """Sends what may go now. Public for tests; the thread calls it ten times a second."""
        with self._lock:
            due = self._pending.take(self._clock())
            self._in_hand = len(due)
        unsent = list(due)
        try:
            for summary in due:
                self._send(summary)
                unsent.remove(summary)
                with self._lock:
                    self._in_hand = len(unsent)
                telemetry.count("fleet_reports_total", outcome="sent")
        except self._away as error:
            self._failed(unsent, error)
        except Exception as error:  # noqa: BLE001 - reporting must never end the reader; logged
            _log.error("reports_failed", error=repr(error), exc_info=True)
            self._failed(unsent, error)
        else:
            self._failed_in_a_row = 0

    def _failed(self, unsent: list[Summary], error: BaseException) -> None:
        self._drop_sender()
        self._failed_in_a_row += 1
        telemetry.count("fleet_reports_total", len(unsent), outcome="delayed")
        if self._failed_in_a_row == 1:
            _log.warning("reports_wait_for_broker", error=str(error))
        with self._lock:
            self._pending.put_back(unsent)
            self._in_hand = 0

    def _send(self, summary: Summary) -> None:
        if self._sender is None:
            self._sender = self._connect()
        for type_, fields in task_events(summary):
            self._sender.send(type_, fields)

    def _drop_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is None:
            return
        try:
            sender.close()
        except self._away:
            return  # it was closed because it is broken


def task_events(summary: Summary) -> list[tuple[str, dict[str, Any]]]:
    """The task events that make Flower list a summary as an ordinary task."""
    same = {"uuid": summary.uuid, "name": summary.task}
    counts = {**summary.counts, "runs": summary.runs}
    received = {
        **same,
        "args": f"({', '.join(f'{number} {name}' for name, number in summary.counts.items())})",
        "kwargs": f"{{at: {','.join(sorted(summary.places))}, runs: {summary.runs}, "
        f"ids: {summary.first}..{summary.last}}}",
        "root_id": summary.uuid,
        "parent_id": None,
        "retries": 0,
        "eta": None,
        "expires": None,
    }
    end: tuple[str, dict[str, Any]]
    if summary.error is not None:
        end = "task-failed", {
            **same,
            "exception": summary.error,
            "traceback": summary.traceback or "",
        }
    else:
        result = json.dumps(counts)
        end = "task-succeeded", {**same, "runtime": summary.seconds, "result": result}
    return [("task-received", received), ("task-started", same), end]


class EventSender:
    """Celery's own EventDispatcher on a connection of its own, in the name of node `hostname`."""

    def __init__(self, app: Any, hostname: str) -> None:
        self._connection = app.connection_for_write()
        # One try here; the reporter's own pauses decide when the next one comes.
        self._connection.ensure_connection(max_retries=1, timeout=5)
        self._dispatcher = app.events.Dispatcher(
            self._connection, hostname=hostname, buffer_while_offline=False
        )

    def send(self, type_: str, fields: dict[str, Any]) -> None:
        self._dispatcher.send(type_, **fields)

    def close(self) -> None:
        self._dispatcher.close()
        self._connection.release()
