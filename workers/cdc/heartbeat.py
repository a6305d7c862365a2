"""Beside the collector, in threads of their own: the lease, the heartbeat row, time to purge."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import MySQLdb
from redis import Redis
from redis.exceptions import RedisError

from shared import telemetry
from shared.cdc.keys import CONSUMER, PARTITION, STREAM
from shared.errors import Unavailable
from shared.mysql.connection import classify
from shared.queries import load
from shared.streams.assignment import PartitionId
from shared.streams.lease import BEAT_SECONDS as LEASE_BEAT_SECONDS
from shared.streams.lease import Leases
from workers.cdc.purge import Retention, is_near, purge_seconds, retention_of

SQL = load(Path(__file__).with_name("heartbeat.sql"))
EVERY_SECONDS = 1.0
PURGE_SECONDS = 30.0
JOIN_SECONDS = 10.0


class Reading(NamedTuple):
    """Where the collector is: file of the log, and how long ago that was written."""

    file: str
    behind_seconds: float


class Mark(NamedTuple):
    """What a collector told of itself. lag_seconds: how far it was behind. purge_seconds: until the
    source purges what it had not read; inf: never. None: not known. age_seconds: since then.
    """

    lag_seconds: float | None
    purge_seconds: float | None
    age_seconds: float

    @property
    def silent_seconds(self) -> float:
        """Since it should have beaten again: it falls behind by as much while it is gone."""
        return max(self.age_seconds - 2 * EVERY_SECONDS, 0.0)

    @property
    def behind_seconds(self) -> float:
        """How far the collector is behind the source now."""
        return (self.lag_seconds or 0.0) + self.silent_seconds


def mark_of(lag_seconds: float | None, purge_seconds: float | None) -> str:
    never = purge_seconds == math.inf  # JSON has no word for it
    told = {"lag": lag_seconds, "purge": "never" if never else purge_seconds}
    return json.dumps(told)


def told_by(connection: Any) -> Mark | None:
    """None: no collector of this version ever beat. Reads only; commits."""
    cursor = connection.cursor()
    cursor.execute(SQL["told"])
    row = cursor.fetchone()
    connection.commit()
    if row is None or row[0] is None:
        return None
    told = json.loads(row[0])
    purge = math.inf if told["purge"] == "never" else told["purge"]
    return Mark(told["lag"], purge, max(int(row[1]), 0) / 1e6)


class CollectorLease:
    """Who collects. It is for order alone: two who both think it is theirs are kept apart by the
    fence. While Redis is away it stays with whoever had it, and nobody can append anyway.
    """

    def __init__(self, connect: Callable[[], Redis], prefix: str, node: str) -> None:
        self._connect = connect
        self._prefix = prefix
        self._node = node
        self._stopping = threading.Event()
        self._owned = False

    def owned(self) -> bool:
        return self._owned

    def run(self) -> None:
        redis: Redis | None = None
        mine = PartitionId(STREAM, PARTITION)
        while not self._stopping.is_set():
            try:
                redis = redis or self._connect()
                leases = Leases(redis, self._prefix, CONSUMER, self._node)
                self._owned = leases.acquire(mine)
            except RedisError as error:
                telemetry.log(__name__).info("cdc_lease_unknown", error=str(error))
                redis = None
            self._stopping.wait(LEASE_BEAT_SECONDS)
        if redis is not None and self._owned:
            with suppress(RedisError):  # it runs out by itself
                Leases(redis, self._prefix, CONSUMER, self._node).release([mine])
        self._owned = False

    def stop(self) -> None:
        self._stopping.set()


class Heartbeat:
    """Writes the row of the collector that has the lease, and looks how long its log is kept."""

    def __init__(
        self,
        connect: Callable[[], Any],
        owned: Callable[[], bool],
        reading: Callable[[], Reading | None],
        log: Callable[..., None],
    ) -> None:
        self._connect = connect
        self._owned = owned
        self._reading = reading
        self._log = log
        self._stopping = threading.Event()
        self._connection: Any = None
        self._next_purge = 0.0
        self._purge_seconds: float | None = None
        self._written: tuple[float, int] | None = None  # moment, bytes of all files

    def run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            if not self._owned():
                self._close()
                continue
            try:
                self.beat()
                if time.monotonic() >= self._next_purge:
                    self.look()
                    self._next_purge = time.monotonic() + PURGE_SECONDS
            except (Unavailable, MySQLdb.Error) as error:
                if isinstance(error, MySQLdb.Error) and classify(error) is None:
                    raise
                self._log("cdc_no_heartbeat", error=str(classify(error) or error))
                self._close()
        self._close()

    def stop(self) -> None:
        self._stopping.set()

    def beat(self) -> None:
        reading = self._reading()
        behind = reading.behind_seconds if reading else None
        connection = self._open()
        connection.cursor().execute(SQL["beat"], (mark_of(behind, self._purge_seconds),))
        connection.commit()

    def look(self) -> None:
        """Tells the time to purge, and says so when it is short."""
        reading = self._reading()
        if reading is None:
            return
        files, retention = self._files()
        rate = self._rate(sum(size for _, size in files))
        seconds = purge_seconds(files, reading.file, reading.behind_seconds, retention, rate)
        self._purge_seconds = seconds
        if is_near(seconds, retention):
            self._log(
                "cdc_purge_near", seconds=round(seconds), reading=reading.file,
                cure="let the sinks catch up, or raise binlog_expire_logs_seconds",
            )  # fmt: skip

    def _files(self) -> tuple[list[tuple[str, int]], Retention]:
        cursor = self._open().cursor()
        cursor.execute(SQL["files"])
        files = [(str(row[0]), int(row[1])) for row in cursor.fetchall()]
        cursor.execute(SQL["retention"])
        variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        self._open().commit()
        return files, retention_of(variables)

    def _rate(self, size: int) -> float:
        """Bytes the log grows by in a second, since the last look; 0 while nobody knows."""
        now, before = time.monotonic(), self._written
        self._written = now, size
        if before is None or now <= before[0]:
            return 0.0
        return max(size - before[1], 0) / (now - before[0])

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(MySQLdb.Error):
                connection.close()
