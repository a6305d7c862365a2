"""Real stream nodes: Celery workers as the Procfile starts them."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.feed import Fed, append
from tests.bench.place import Place
from workers.roles import ROLES

READY_SECONDS = 60


@contextmanager
def stream_node(place: Place, slot: int) -> Iterator[subprocess.Popen[str]]:
    """One node of the role `streams`, as a process of its own."""
    log = Path(tempfile.gettempdir()) / f"{place.settings.prefix}node-{slot}.log"
    command = ROLES["streams"].command.replace("${FLEET_SLOT:-1}", str(slot)).split()
    process = place.start(
        ["-m", *command], log, FLEET_ROLE="streams", FLEET_SLOT=str(slot),
        FLEET_LOG_LEVEL="WARNING", FLEET_METRICS_PORT=str(19_540 + 10 * slot),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        log.unlink(missing_ok=True)


class Owners:
    """Who owns which partition, by the rows that decide it."""

    def __init__(self, place: Place) -> None:
        self._connection = place.mysql()
        self._connection.autocommit(on=True)

    def by_partition(self) -> dict[tuple[str, int], str | None]:
        """(stream, partition) -> name of the node without the mark of its start."""
        cursor = self._connection.cursor()
        cursor.execute("SELECT stream, partition_no, owner FROM fleet_offsets")
        return {
            (stream, number): owner.rsplit("/", 1)[0] if owner else None
            for stream, number, owner in cursor.fetchall()
        }

    def entries_read(self) -> int:
        cursor = self._connection.cursor()
        cursor.execute("SELECT COALESCE(SUM(entries_read), 0) FROM fleet_offsets")
        return int(cursor.fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def until(fn: Callable[[], Any], seconds: float, step: float = 0.01) -> float:
    """Seconds until fn() is true. TimeoutError after `seconds`."""
    started = time.perf_counter()
    while not fn():
        if time.perf_counter() - started > seconds:
            raise TimeoutError(f"{getattr(fn, '__name__', 'condition')} not met in {seconds} s")
        time.sleep(step)
    return time.perf_counter() - started


class Feeding:
    """Keeps so many unread entries in the streams for as long as the block runs.

    make: fills beginning at a number, so that no fill comes twice.
    """

    def __init__(self, place: Place, make: Callable[[int], list[Fed]], waiting: int) -> None:
        self._place = place
        self._make = make
        self._waiting = waiting
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.appended = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        redis, owners = self._place.redis(), Owners(self._place)
        chunk = 0
        while not self._stopping.is_set():
            if self.appended - owners.entries_read() < self._waiting:
                fed = self._make(chunk)
                append(redis, self._place.settings.prefix, fed)
                self.appended += len(fed)
                chunk += 1
                self._trim(redis)
            else:
                time.sleep(0.1)
        owners.close()
        redis.close()

    def _trim(self, redis: Any) -> None:
        """What is far behind every offset goes, or a long run would fill Redis."""
        pipe = redis.pipeline(transaction=False)
        for number in range(self._place.settings.partitions):
            key = f"{self._place.settings.prefix}streams:{{orders:{number}}}"
            pipe.xtrim(key, maxlen=self._waiting, approximate=True)
        pipe.execute()
