"""Payloads that no worker can run: kept with their bytes, out of the way of every other job.

The reserving script puts them on a list in Redis, in the step that takes them off the queue. From
there they move to MySQL, where `fleet laravel quarantine` shows them. A crash between the two
repeats the move, which the token makes harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from shared.laravel.reservations import queue_keys
from shared.queries import load

SQL = load(Path(__file__).with_name("quarantine.sql"))

AT_ONCE = 100
MOST_BYTES = 8 * 2**20
"""A larger payload stays in Redis, under `fleet:quarantine:{queue}:large`: no server takes a packet
of any size.
"""
REASON_CHARACTERS = 512


class Aside(NamedTuple):
    """One payload. token: unique; reason: a sentence."""

    token: str
    queue: str
    reason: str
    payload: bytes
    quarantined_at: Any


def drain(redis: Redis, connection: Any, prefix: str, queues: Sequence[str]) -> int:
    """Move what stands in Redis to MySQL; commits. Returns how many."""
    moved = 0
    for queue in queues:
        key = queue_keys(prefix, queue).quarantine
        while found := redis.lrange(key, 0, AT_ONCE - 1):
            elements: list[bytes] = list(found)  # type: ignore[arg-type] # redis-py's sync type
            for element in elements:
                if len(element) <= MOST_BYTES:
                    connection.cursor().execute(SQL["add"], _row(queue, element))
            connection.commit()
            for element in elements:
                if len(element) > MOST_BYTES:
                    redis.rpush(large_key(key), element)
                redis.lrem(key, 1, element)  # type: ignore[arg-type] # bytes are as good as text
            moved += len(elements)
    return moved


def large_key(quarantine: str) -> str:
    return f"{quarantine}:large"


def _row(queue: str, element: bytes) -> tuple[str, str, str, bytes]:
    token, reason, payload = element.split(b"\n", 2)
    return token.decode(), queue, reason.decode("utf-8", "replace")[:REASON_CHARACTERS], payload


def listed(connection: Any, limit: int) -> list[Aside]:
    cursor = connection.cursor()
    cursor.execute(SQL["list"], (limit,))
    return [Aside(*row) for row in cursor.fetchall()]


def find(connection: Any, token: str) -> Aside | None:
    cursor = connection.cursor()
    cursor.execute(SQL["one"], (token,))
    row = cursor.fetchone()
    return Aside(*row) if row else None


def remove(connection: Any, token: str) -> bool:
    return bool(connection.cursor().execute(SQL["remove"], (token,)))


def requeue(redis: Redis, prefix: str, queue: str, payload: bytes) -> None:
    """As a producer pushes: the job and its notice, in one step."""
    keys = queue_keys(prefix, queue)
    pipe = redis.pipeline(transaction=True)
    pipe.rpush(keys.ready, payload)
    pipe.rpush(keys.notify, 1)
    pipe.execute()
