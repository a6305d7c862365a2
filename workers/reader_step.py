"""A reader (of streams, or of Laravel's queues) inside a Celery worker: a bootstep with one thread.

Learnt from running it on Celery 5.7:
- The step must not require `Consumer`: that step is last and depends on all others, and a worker
  with such a cycle is up, green and consumes nothing.
- The thread starts on `worker_ready`, not in start(): only then does the node answer.
- A reader that ends by itself ends the process, with a code that is not 0. A node whose thread is
  dead still heartbeats, and would stay green in Flower for ever.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import sentry_sdk
from celery import bootsteps, signals
from celery.worker import state

from shared import telemetry
from workers.reporting import EventSender, Report, Reporter

# How long a stop waits for the batch in hand. Batches aim at 0.3 s; a lock wait may take seconds.
JOIN_SECONDS = 20.0
# If the worker's own loop hangs as well, the process still ends.
HARD_EXIT_SECONDS = 15.0
EXIT_CODE = 70  # EX_SOFTWARE
_log = telemetry.log(__name__)


class Reader(Protocol):
    """What the step runs; `StreamReader` and `LaravelNode` are two."""

    def run(self) -> None: ...
    def stop(self) -> None: ...
    def info(self) -> dict[str, object]: ...
    def held(self) -> int: ...
    def ready(self) -> bool: ...
    def alive(self, now_monotonic: float) -> bool: ...


# (stable node name, where batches are reported) -> the reader; opens connections, may raise.
MakeReader = Callable[[str, Callable[[Report], None]], Reader]


class ReaderStep(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
    """One per worker. `make_reader` is set by the composition root, see `with_reader`."""

    requires: tuple[str, ...] = ()
    make_reader: ClassVar[MakeReader]

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._reader: Reader | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._reporter = Reporter(lambda: EventSender(parent.app, parent.hostname))
        self._node: str = parent.hostname
        parent.reader_step = self

    def create(self, parent: Any) -> ReaderStep:
        del parent
        return self

    def start(self, parent: Any) -> None:
        del parent
        signals.worker_ready.connect(self._begin, weak=False)
        # Sent by the signal's own handler: the worker's loop looks at it up to a second later.
        signals.worker_shutting_down.connect(self._shutting_down, weak=False)

    def close(self, parent: Any) -> None:
        """First of all at a stop: no new reads, while everything else still works."""
        del parent
        self._stopping.set()
        if self._reader is not None:
            self._reader.stop()

    def _shutting_down(self, **_: Any) -> None:
        self.close(None)

    def stop(self, parent: Any) -> None:
        self.close(parent)
        signals.worker_ready.disconnect(self._begin)
        signals.worker_shutting_down.disconnect(self._shutting_down)
        thread = self._thread
        if thread is None:
            return
        thread.join(JOIN_SECONDS)
        if thread.is_alive():
            # Nothing is lost: what is not committed is read again by the next owner.
            _log.error("reader_left_running", seconds=JOIN_SECONDS)
        self._reporter.stop()

    terminate = stop

    def info(self, parent: Any) -> dict[str, object]:
        """Shown by `inspect stats` and on Flower's worker page."""
        del parent
        if self._reader is None:
            return {"reader": {"state": "starting"}}
        return {"reader": self._reader.info()}

    def held(self) -> int:
        """What the reader has in hand; see workers/drain.py."""
        return 1 if self._reader is None else self._reader.held()

    def ready(self) -> bool:
        return self._reader is not None and not self._stopping.is_set() and self._reader.ready()

    def alive(self) -> bool:
        """Before the first read there is nothing to be stuck in."""
        if self._reader is None or self._stopping.is_set():
            return True
        running = self._thread is not None and self._thread.is_alive()
        return running and self._reader.alive(time.monotonic())

    def _begin(self, **_: Any) -> None:
        if self._thread is not None or self._stopping.is_set():
            return
        self._reporter.start()
        self._thread = threading.Thread(target=self._run, name="fleet-streams", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._reader = type(self).make_reader(self._node, self._reporter)
            if not self._stopping.is_set():  # else stop() came before there was a reader to stop
                self._reader.run()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends
            _log.critical("reader_failed", error=repr(error), exc_info=True)
            sentry_sdk.capture_exception(error)
            self._end_process()
        else:
            # A reader may have asked for the worker's end itself, as `queue:restart` does.
            if not self._stopping.is_set() and state.should_stop is None:
                _log.critical("reader_returned", error="the reader ended without being asked")
                self._end_process()

    def _end_process(self) -> None:
        """A warm stop with our exit code, and a hard one if that does not come through."""
        state.should_stop = EXIT_CODE
        timer = threading.Timer(HARD_EXIT_SECONDS, os._exit, (EXIT_CODE,))
        timer.daemon = True
        timer.start()


def with_reader(make: MakeReader) -> type[ReaderStep]:
    """The step class for one worker (Celery takes classes, not instances)."""
    return type("FleetReaderStep", (ReaderStep,), {"make_reader": staticmethod(make)})
