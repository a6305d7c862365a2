"""Laravel's queues as an operator looks at them: ours to work off, and those towards PHP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from shared.laravel.reservations import queue_keys
from shared.queries import load
from workers.laravel.quarantine import large_key

SQL = load(Path(__file__).with_name("status.sql"))


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue. quarantined: payloads in Redis, on their way to MySQL or too large for it."""

    queue: str
    ready: int
    delayed: int
    reserved: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class LaravelStatus:
    """quarantined: payloads that no worker can run. dispatches: jobs towards PHP not yet pushed."""

    queues: list[QueueStatus]
    quarantined: int
    dispatches_waiting: int
    oldest_dispatch_seconds: float


NO_QUEUES = LaravelStatus([], 0, 0, 0.0)


def collect_laravel(
    connection: Any, redis: Redis, prefix: str, queues: Sequence[str]
) -> LaravelStatus:
    """Read once: one statement, one round trip."""
    cursor = connection.cursor()
    cursor.execute(SQL["counts"])
    quarantined, waiting, oldest_micros = cursor.fetchone()
    connection.commit()
    pipe = redis.pipeline(transaction=False)
    for queue in queues:
        keys = queue_keys(prefix, queue)
        pipe.llen(keys.ready)
        pipe.zcard(keys.delayed)
        pipe.zcard(keys.reserved)
        pipe.llen(keys.quarantine)
        pipe.llen(large_key(keys.quarantine))
    sizes: Any = iter(pipe.execute())
    return LaravelStatus(
        queues=[
            QueueStatus(queue, next(sizes), next(sizes), next(sizes), next(sizes) + next(sizes))
            for queue in queues
        ],
        quarantined=int(quarantined),
        dispatches_waiting=int(waiting),
        oldest_dispatch_seconds=int(oldest_micros) / 1_000_000,
    )
