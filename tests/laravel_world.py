"""A Laravel application of one test: real PHP on the test's own schema and Redis prefix, beside
Python workers on the same queues.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from shared.laravel.reservations import QueueKeys, queue_keys
from shared.settings import Settings
from tests.laravel_application import LaravelApplication
from workers.laravel.build import build_worker
from workers.laravel.node import LaravelNode
from workers.laravel.worker import WorkerBounds
from workers.laravel_jobs.table import JOBS, JobClass
from workers.reporting import Report

QUICK = WorkerBounds(look_seconds=0.05, aside_seconds=0.2, pause_seconds=0.01)

class Restarted(Exception):  # noqa: N818 - stands for the end of the process
    """Raised where a real node would start itself again."""


@dataclass
class LaravelWorld(LaravelApplication):
    """settings: of the role `laravel`."""

    settings: Settings
    reports: list[Report] = field(default_factory=list)
    restarts: int = 0

    # -- queues --------------------------------------------------------------------------------

    def keys(self, queue: str = "fleet") -> QueueKeys:
        return queue_keys(self.settings.prefix, queue)

    def push(self, payload: str | bytes | Mapping[str, Any], queue: str = "fleet") -> None:
        """As a producer does: the list and its notice."""
        text = json.dumps(payload) if isinstance(payload, Mapping) else payload
        self.redis.rpush(self.keys(queue).ready, text)
        self.redis.rpush(self.keys(queue).notify, "1")

    def lengths(self, queue: str = "fleet") -> tuple[int, int, int]:
        """Ready, delayed, reserved."""
        keys = self.keys(queue)
        redis: Any = self.redis
        return redis.llen(keys.ready), redis.zcard(keys.delayed), redis.zcard(keys.reserved)

    # -- rows ----------------------------------------------------------------------------------

    def failed(self) -> list[tuple[Any, ...]]:
        """uuid, connection, queue, payload, exception of every failed job."""
        return self.rows(
            "SELECT uuid, connection, queue, payload, exception"  # noqa: S608 - our own name
            f" FROM `{self.schema}`.failed_jobs ORDER BY id"
        )

    # -- workers -------------------------------------------------------------------------------

    def node(self, table: Mapping[str, JobClass] = JOBS, **more: Any) -> LaravelNode:
        return build_worker(
            more.pop("settings", self.settings),
            more.pop("node", "laravel-1@test"),
            self.reports.append,
            table=table,
            restart=self._restarted,
            end_process=more.pop("end_process", self._ended),
            bounds=more.pop("bounds", QUICK),
        )

    @contextmanager
    def working(self, table: Mapping[str, JobClass] = JOBS, **more: Any) -> Iterator[LaravelNode]:
        """A node in a thread; what ends it is raised when the block ends."""
        node, failures = self.node(table, **more), []

        def run() -> None:
            try:
                node.run()
            except BaseException as failure:  # noqa: BLE001 - raised by the test
                failures.append(failure)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield node
        finally:
            node.stop()
            thread.join(20)
            assert not thread.is_alive()
        if failures:
            raise failures[0]

    def _restarted(self) -> None:
        self.restarts += 1

    def _ended(self) -> None:
        raise Restarted


def object_payload(
    class_name: str, command: str, *, uuid: str = "u-1", attempts: int = 0, **more: Any
) -> dict[str, Any]:
    """A payload of a queued class, as Laravel 10 writes it."""
    return {
        "uuid": uuid,
        "displayName": class_name,
        "job": "Illuminate\\Queue\\CallQueuedHandler@call",
        "maxTries": None,
        "maxExceptions": None,
        "failOnTimeout": False,
        "backoff": None,
        "timeout": None,
        "retryUntil": None,
        "data": {"commandName": class_name, "command": command},
        "id": uuid,
        "attempts": attempts,
        **more,
    }


def outcomes(reports: Sequence[Report]) -> list[str]:
    return ["failed" if report.error else "done" for report in reports]


Handler = Callable[[Any, Any], None]
