"""A node of the role `laravel`: the worker's loop and the watch, started and stopped as one."""

from __future__ import annotations

from workers.laravel.horizon import Presence
from workers.laravel.watch import Watch
from workers.laravel.worker import LaravelWorker

JOIN_SECONDS = 5.0
"""For the withdrawal from Horizon; without it the entry runs out in half a minute."""


class LaravelNode:
    """What the reader step runs."""

    def __init__(
        self, worker: LaravelWorker, watch: Watch, presence: Presence | None = None
    ) -> None:
        """presence: where the node shows itself in Horizon."""
        self._worker = worker
        self._watch = watch
        self._presence = presence

    def run(self) -> None:
        self._watch.start()
        if self._presence is not None:
            self._presence.start()
        try:
            self._worker.run(self._watch_lives)
        finally:
            self._watch.stop()
            if self._presence is not None:
                self._presence.stop()
                self._presence.join(JOIN_SECONDS)

    def _watch_lives(self) -> None:
        """Without its watch no job may run on: raises what ended it."""
        if self._watch.failure is not None:
            raise self._watch.failure

    def stop(self) -> None:
        self._worker.stop()

    def info(self) -> dict[str, object]:
        return self._worker.info()

    def held(self) -> int:
        return 0 if self._worker.rests else 1

    def ready(self) -> bool:
        return self._worker.ready()

    def alive(self, now_monotonic: float) -> bool:
        return self._watch.is_alive() and self._worker.alive(now_monotonic)
