"""The relay's second loop: jobs towards Laravel, from fleet_dispatches to its queues.

A loop of its own, because Laravel's Redis may be another one than that of the streams.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from shared.errors import Unavailable
from shared.laravel.dispatch import Pusher
from workers.dispatches import push_waiting
from workers.drain import never
from workers.links import Links, mysql_errors

IDLE_SECONDS = 0.05
PAUSE_SECONDS = 1.0
STUCK_SECONDS = 30.0


class DispatchRelay:
    """Any number may run; rows are claimed with SKIP LOCKED."""

    def __init__(
        self,
        links: Links,
        make_pusher: Callable[[Redis], Pusher],
        log: Callable[..., None],
        resting: Callable[[], bool] = never,
    ) -> None:
        """resting: push nothing for now."""
        self._links = links
        self._make_pusher = make_pusher
        self._log = log
        self._resting = resting
        self._pusher: tuple[Redis, Pusher] | None = None
        self._stopping = threading.Event()
        self._away = False
        self.rests = False
        self.turned_at = time.monotonic()

    def run(self) -> None:
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            self.rests = self._resting()
            try:
                moved = 0 if self.rests else self.turn()
            except (Unavailable, RedisError) as error:
                self._links.close_mysql()
                self._links.close_redis()
                if not self._away:
                    self._log("dispatches_wait", error=str(error))
                self._away = True
                self._stopping.wait(PAUSE_SECONDS)
            else:
                self._away = False
                if not moved:
                    self._stopping.wait(IDLE_SECONDS)
        self._links.close_mysql()
        self._links.close_redis()

    def stop(self) -> None:
        self._stopping.set()

    def alive(self) -> bool:
        return time.monotonic() - self.turned_at < STUCK_SECONDS

    def turn(self) -> int:
        """Push what waits; returns how many rows."""
        connection: Any = self._links.mysql()
        redis = self._links.redis()
        if self._pusher is None or self._pusher[0] is not redis:
            self._pusher = redis, self._make_pusher(redis)
        with mysql_errors():
            return push_waiting(connection, self._pusher[1])
