"""Laravel's queues, our broker's, and whether what beat starts gets done."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.laravel.failed_jobs import failed_since
from shared.laravel.reservations import QueueKeys, queue_keys
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from workers.alerts import Sample
from workers.config import QUEUES
from workers.exposure.accounts import BROKER_SECONDS
from workers.exposure.books import READ_SECONDS
from workers.exposure.partitions import NAME
from workers.exposure.samples import tell
from workers.laravel.status import collect_laravel
from workers.lease import broker_redis, last_success_key, running_key
from workers.scheduled.table import SCHEDULED


def laravel(settings: Settings) -> Iterator[Sample]:
    queues = (*settings.queues, settings.events_queue)
    with (
        closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection,
        closing(control_client(settings.redis, NAME)) as redis,
    ):
        found = collect_laravel(connection, redis, settings.prefix, queues)
    for queue in found.queues:
        for state in ("ready", "delayed", "reserved"):
            number = getattr(queue, state)
            yield tell("fleet_laravel_queue_jobs", number, queue=queue.queue, state=state)
    yield tell("fleet_laravel_quarantined", found.quarantined)


def failed_jobs(settings: Settings) -> Iterator[Sample]:
    """Nothing where the application keeps none in a table, or has not made it."""
    where = settings.queue
    if not where.failed_driver.startswith("database"):
        return
    schema = where.failed_database or settings.mysql.laravel_database
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        found = failed_since(
            connection.cursor(), schema, where.failed_table, settings.laravel.timezone, hour_ago
        )
    for queue in settings.queues if found is not None else ():
        yield tell("fleet_laravel_failed_jobs", (found or {}).get(queue, 0), queue=queue)


class Oldest:
    """How long the first job of each queue of ours waits.

    Horizon writes when a job was pushed into its payload; where nothing says it, or where it was
    tried before, it waits since it was first seen there.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}  # queue → mark of its first job, moment

    def read(self, settings: Settings) -> Iterator[Sample]:
        with closing(control_client(settings.redis, NAME)) as redis:
            seconds, micros = redis.time()
            now = int(seconds) + int(micros) / 1e6
            pipe = redis.pipeline(transaction=False)
            for queue in settings.queues:
                keys: QueueKeys = queue_keys(settings.prefix, queue)
                pipe.lindex(keys.ready, 0)
                for late in (keys.delayed, keys.reserved):
                    pipe.zrange(late, 0, 0, withscores=True)
            replies: Any = iter(pipe.execute())
        for queue in settings.queues:
            first, *overdue = next(replies), next(replies), next(replies)
            waits = [self._waits(queue, first, now)]
            waits += [now - score for found in overdue for _, score in found]
            yield tell("fleet_laravel_queue_oldest_seconds", max(0.0, *waits), queue=queue)

    def _waits(self, queue: str, first: bytes | None, now: float) -> float:
        if first is None:
            self._seen.pop(queue, None)
            return 0.0
        mark = hashlib.blake2b(first, digest_size=16).digest()
        known, since = self._seen.get(queue, (b"", now))
        if known != mark:
            since = now
        self._seen[queue] = mark, since
        return now - min(since, pushed_at(first, since))


def pushed_at(payload: bytes, otherwise: float) -> float:
    """When a job that was not tried yet was pushed, in seconds since 1970."""
    try:
        told = orjson.loads(payload)
        if isinstance(told, dict) and int(told.get("attempts") or 0) == 0:
            return float(told.get("pushedAt") or told.get("createdAt") or otherwise)
    except (ValueError, TypeError):
        pass  # whoever takes it sets it aside
    return otherwise


class Schedules:
    """What beat starts. A task that never ended well is late since `since` (1970 seconds), or since
    Redis lost when it did: beat counts anew as well.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._known: frozenset[str] = frozenset()

    def read(self, settings: Settings) -> Iterator[Sample]:
        now = time.time()
        prefix = settings.broker_prefix
        with closing(broker_redis(settings, socket_timeout=BROKER_SECONDS)) as redis:
            pipe = redis.pipeline(transaction=False)
            pipe.hlen(f"{prefix}unacked")  # one hash for all queues of a database
            pipe.hgetall(last_success_key(settings))
            for queue in QUEUES:
                pipe.llen(f"{prefix}{queue}")
            for task in SCHEDULED:
                pipe.exists(running_key(settings, task))
            unacked, successes, *rest = pipe.execute()
        # Lengths of lists alone would miss what was delivered.
        yield tell("fleet_queue_depth", unacked, queue="unacked")
        for queue, depth in zip(QUEUES, rest, strict=False):
            yield tell("fleet_queue_depth", depth, queue=queue)
        running = {task for task, one in zip(SCHEDULED, rest[len(QUEUES) :], strict=True) if one}
        ended = {name.decode(): int(at) for name, at in successes.items()}
        if self._known - ended.keys():
            self._since = now
        self._known = frozenset(ended)
        yield from self._tasks(now, ended, running)

    def _tasks(
        self, now: float, ended: Mapping[str, int], running: Iterable[str]
    ) -> Iterator[Sample]:
        for task, row in SCHEDULED.items():
            at = ended.get(task)
            if at is not None:
                yield tell("fleet_schedule_age_seconds", max(now - at, 0), task=task)
            late = now - (self._since if at is None else at) - row.every.total_seconds()
            # One that is at it is not late; its lease ends if it was killed.
            late = 0.0 if task in running else max(late, 0.0)
            yield tell("fleet_schedule_overdue_seconds", late, task=task)
