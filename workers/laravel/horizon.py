"""Shows this node as a supervisor in Horizon, for as long as a real Horizon lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from shared.laravel.horizon import Supervisor, hide, real_master_lives, show

TURN_SECONDS = 0.4
"""Withdrawn within a second after Horizon has gone, shown within a second after it has come."""

BEAT_SECONDS = 2.0


class Presence(threading.Thread):
    """A thread of its own: no job may keep the heartbeat waiting. now: seconds since 1970."""

    def __init__(
        self,
        connect: Callable[[], Redis],
        prefix: str,
        supervisor: Supervisor,
        log: Callable[..., None],
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="fleet-laravel-presence", daemon=True)
        self._connect = connect
        self._prefix = prefix
        self._supervisor = supervisor
        self._log = log
        self._now = now
        self._redis: Redis | None = None
        self._stopping = threading.Event()
        self._next_beat = 0.0
        self.shown = False

    def run(self) -> None:
        while not self._stopping.is_set():
            self.turn()
            self._stopping.wait(TURN_SECONDS)
        if self.shown:
            self._try(self._hide)

    def stop(self) -> None:
        self._stopping.set()

    def turn(self) -> None:
        """One look; a Redis that is away is tried again at the next turn."""
        self._try(self._follow)

    def _follow(self, redis: Redis) -> None:
        now = int(self._now())
        if not real_master_lives(redis, self._prefix, now):
            if self.shown:
                self._hide(redis)
        elif not self.shown or time.monotonic() >= self._next_beat:
            show(redis, self._prefix, self._supervisor, now)
            self.shown = True
            self._next_beat = time.monotonic() + BEAT_SECONDS

    def _hide(self, redis: Redis) -> None:
        hide(redis, self._prefix, self._supervisor)
        self.shown = False

    def _try(self, step: Callable[[Redis], None]) -> None:
        try:
            if self._redis is None:
                self._redis = self._connect()
            step(self._redis)
        except RedisError as error:
            self._log("presence_waits", error=str(error))
            self._redis = None
