"""What a lane works with: its bounds, its tools, and its two connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import MySQLdb
from redis import Redis
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from shared.mysql.connection import classify
from workers.batch import Decoding
from workers.batch_report import BatchReport
from workers.drain import never
from workers.registry import EventType

PASSING = (OutOfMemoryError, ReadOnlyError, MasterDownError, ClusterDownError, TryAgainError)
PASSING_WORDS = ("MISCONF", "BUSY", "NOREPLICAS", "LOADING")
"""Replies of a Redis that will be able to do it later."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Every bound of the loop, as data."""

    batch_events: int = 2_000  # most entries of one transaction; more fall out of the CPU's cache
    batch_events_first: int = 500  # where the adaptive size starts
    batch_events_least: int = 50
    block_ms: int = 100  # longest wait of one XREAD; ownership is looked at in between
    commit_fast_seconds: float = 0.150  # below: the next batch may be twice as large
    commit_slow_seconds: float = 0.400  # above: half as large
    check_seconds: float = 2.0  # the entry at each offset is looked at this often
    halted_check_seconds: float = 1.0  # so are epochs and halts in the database
    crashes_before_pieces: int = 2  # takeovers without a commit before batches go in small pieces
    piece_events: int = 25  # twenty pieces of a first batch cost a tenth of 500 entries one by one
    crashes_before_alone: int = 3  # and before entries are tried one by one
    suspect_tries: int = 3  # an entry that killed this many owners is parked untried
    handler_failures: int = 25  # a partition halts above so many events parked for our own bugs
    lock_wait_takeover_seconds: int = 1
    silent_seconds: int = 60  # a sleeper's row locks go after this; a batch is never so long silent
    pause_seconds: float = 0.05
    pause_seconds_most: float = 2.0
    refold_look_seconds: float = 0.1  # waiting folds are looked for this often
    refold_again_seconds: float = 60.0  # after a fold of late fills that failed for a bug


@dataclass(frozen=True, slots=True)
class Tools:
    """What a lane is given by the composition root. resting: own nothing for now."""

    connect_mysql: Callable[[], Any]
    connect_redis: Callable[[], Redis]
    prefix: str
    consumer: str
    node: str
    decoding: Decoding
    table: Mapping[str, EventType]
    report: Callable[[BatchReport], None]
    log: Callable[..., None]
    bounds: Bounds
    resting: Callable[[], bool] = never


class Links:
    """One connection to MySQL and one to Redis, opened when needed.

    greet: called with every new MySQL session before anything else uses it.
    """

    def __init__(
        self,
        connect_mysql: Callable[[], Any],
        connect_redis: Callable[[], Redis],
        greet: Callable[[Any], None] = lambda _: None,
    ) -> None:
        self._connect_mysql = connect_mysql
        self._connect_redis = connect_redis
        self._greet = greet
        self._connection: Any = None
        self._redis: Redis | None = None

    def mysql(self) -> Any:
        """The open connection. Raises Unavailable."""
        if self._connection is None:
            with mysql_errors():
                connection = self._connect_mysql()
                try:
                    self._greet(connection)
                except BaseException:
                    _close(connection)
                    raise
            self._connection = connection
        return self._connection

    def commit(self) -> None:
        """End a transaction that may as well not have happened. Raises Unavailable."""
        with mysql_errors():
            self.mysql().commit()

    def rollback(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except MySQLdb.Error:
            self.close_mysql()

    def close_mysql(self) -> None:
        """Whatever transaction is open is gone with it."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            _close(connection)

    def redis(self) -> Redis:
        if self._redis is None:
            self._redis = self._connect_redis()
        return self._redis

    @property
    def has_redis(self) -> bool:
        """Whether there is a client that has not failed yet."""
        return self._redis is not None

    def close_redis(self) -> None:
        if self._redis is not None:
            redis, self._redis = self._redis, None
            with suppress(RedisError):
                redis.close()


@contextmanager
def mysql_errors() -> Iterator[None]:
    """MySQL errors that may pass come out as Unavailable, others as they are."""
    try:
        yield
    except MySQLdb.Error as error:
        raise classify(error) or error from error


@contextmanager
def redis_errors() -> Iterator[None]:
    """What Redis refuses for good (WRONGTYPE, NOPERM) comes out as RuntimeError: no outage."""
    try:
        yield
    except ResponseError as error:
        if isinstance(error, PASSING) or str(error).startswith(PASSING_WORDS):
            raise
        raise RuntimeError(f"Redis refused it: {error}") from error


def _close(connection: Any) -> None:
    with suppress(MySQLdb.Error):
        connection.close()
