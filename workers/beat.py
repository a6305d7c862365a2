"""RedBeat, with its ticks told to the health server.

Two replicas are allowed: one holds the lock in Redis, the other waits for it and takes over within
the lock's 30 s. A standby is ready too: it does what it is there for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redbeat import RedBeatScheduler

# Ticks come at least every `beat_max_loop_interval` (5 s); Redis may hold one up for its retries.
TICK_SECONDS = 90.0


class _Ticks:
    last: float | None = None
    on_start: Callable[[], object] | None = None


def when_started(callback: Callable[[], object]) -> None:
    """Called once, before the wait for the lock.

    Not by Celery's `beat_init`: there RedBeat's receiver comes first and blocks a standby. Not
    earlier either: Celery's handler of SIGTERM makes a second scheduler while the first is made.
    """
    _Ticks.on_start = callback


class FleetScheduler(RedBeatScheduler):  # type: ignore[misc] # RedBeat has no types
    """RedBeat's scheduler. A lost lock raises in tick() and ends the process, as it should."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        callback, _Ticks.on_start = _Ticks.on_start, None
        if callback is not None:
            callback()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        _Ticks.last = time.monotonic()
        return float(super().tick(*args, **kwargs))


def alive() -> bool:
    """A standby has not ticked yet and is alive."""
    return _Ticks.last is None or time.monotonic() - _Ticks.last < TICK_SECONDS
