"""The exchange sync without Celery around it: beat's turns and two workers of the role `sync`, in
one process. For storms only. Its queue is a list that delivers some messages twice, as brokers do.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import count
from typing import Any

import MySQLdb
import orjson
from redis import Redis
from redis.exceptions import RedisError

from shared import telemetry
from shared.errors import Unavailable
from shared.masking import Mask
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.scaled_venues import scaled_venues
from workers.lease import broker_redis
from workers.roles import load_settings
from workers.sync import batch, planner, store
from workers.sync_build import tools_of

SCALE = 20
CLAIM_SECONDS = 4
LEASE_MS = 4_000
BATCH_SECONDS = 3.0
WORKERS = 2
TURN_SECONDS = 0.1
NOTE_TURNS = 20
TWICE = 5  # every fifth message


def queue(prefix: str) -> str:
    return f"{prefix}chaos:sync"


def running(prefix: str) -> str:
    """A hash: process id -> batches that it is at."""
    return f"{prefix}chaos:syncing"


class Node:
    """run() until stop()."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._venues = scaled_venues(SCALE)
        times = batch.Times(LEASE_MS, BATCH_SECONDS, same_again_ms=0)
        self._tools = tools_of(settings, self._venues)._replace(times=times)
        self._redis = broker_redis(settings)
        self._prefix = settings.broker_prefix
        self._sent = count(1)
        self._ending = threading.Event()
        self._failed: BaseException | None = None

    def stop(self) -> None:
        self._ending.set()

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for turn in count():
            if self._ending.wait(TURN_SECONDS):
                break
            self._survive(partial(self._beat, note=turn % NOTE_TURNS == 0))
        for thread in threads:
            thread.join()
        self._tools.close()
        if self._failed is not None:
            raise self._failed

    def _beat(self, *, note: bool) -> None:
        egresses = sorted(self._settings.egress)
        with closing(connect(self._settings.mysql)) as connection:
            if note:
                planner.note_accounts(connection, self._venues, egresses)
            names = sorted({name for name, _ in self._venues})
            planner.plan(connection, names, egresses, self._send, CLAIM_SECONDS)
            store.confirm(connection)

    def _send(self, account_ids: Sequence[int]) -> None:
        for _ in range(2 if next(self._sent) % TWICE == 0 else 1):
            self._redis.rpush(queue(self._prefix), orjson.dumps(list(account_ids)))

    def _work(self) -> None:
        try:
            with closing(broker_redis(self._settings)) as redis:
                while not self._ending.is_set():
                    self._survive(partial(self._next, redis))
        except BaseException as failed:  # noqa: BLE001 - the process ends with it
            self._failed = failed
            self.stop()

    def _next(self, redis: Redis) -> None:
        client: Any = redis
        found = client.blpop([queue(self._prefix)], 0.2)
        if found is None:
            return
        pid = str(os.getpid())
        client.hincrby(running(self._prefix), pid, 1)
        try:
            batch.run_batch(self._tools, orjson.loads(found[1]))
        finally:
            client.hincrby(running(self._prefix), pid, -1)

    def _survive(self, work: Callable[[], None]) -> None:
        """What Celery would note as a failed task. Whatever else is a bug, and ends the process."""
        try:
            work()
        except (Unavailable, TimeoutError, MySQLdb.OperationalError, RedisError) as error:
            telemetry.log(__name__).info("unavailable", error=str(error))
            time.sleep(TURN_SECONDS)


def main() -> int:
    settings = load_settings("sync")
    telemetry.start(Mask.of(settings), role="sync")
    node = Node(settings)
    signal.signal(signal.SIGTERM, lambda *_: node.stop())
    node.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
