"""What stands in Redis for one Laravel queue, and time that passes there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis

from shared.laravel.reservations import QueueKeys, queue_keys

PAST = 1


class QueueView:
    """A queue as its keys show it. Strings come as bytes, scores as they are."""

    def __init__(self, redis: Redis, prefix: str, queue: str = "fleet") -> None:
        self._redis: Any = redis
        self.queue = queue
        self.keys: QueueKeys = queue_keys(prefix, queue)

    def push(self, payload: str | bytes | Mapping[str, Any]) -> bytes:
        """As a producer does: the list and its notice. The payload as it was pushed."""
        text = json.dumps(payload) if isinstance(payload, Mapping) else payload
        raw = text.encode() if isinstance(text, str) else text
        self._redis.rpush(self.keys.ready, raw)
        self._redis.rpush(self.keys.notify, 1)
        return raw

    def ready(self) -> list[bytes]:
        return list(self._redis.lrange(self.keys.ready, 0, -1))

    def delayed(self) -> dict[bytes, float]:
        return dict(self._redis.zrange(self.keys.delayed, 0, -1, withscores=True))

    def reserved(self) -> dict[bytes, float]:
        return dict(self._redis.zrange(self.keys.reserved, 0, -1, withscores=True))

    def held(self) -> int:
        return int(self._redis.zcard(self.keys.held))

    def notices(self) -> int:
        return int(self._redis.llen(self.keys.notify))

    def aside(self) -> list[bytes]:
        """Payloads in quarantine, byte for byte."""
        found = self._redis.lrange(self.keys.quarantine, 0, -1)
        return [element.split(b"\n", 2)[2] for element in found]

    def lengths(self) -> tuple[int, int, int, int]:
        """Ready, delayed, reserved, notices."""
        return len(self.ready()), len(self.delayed()), len(self.reserved()), self.notices()

    def now(self) -> int:
        return int(self._redis.time()[0])

    # -- time passes ---------------------------------------------------------------------------

    def delays_pass(self) -> None:
        self._pass(self.keys.delayed)

    def reservations_pass(self) -> None:
        self._pass(self.keys.reserved)

    def holds_pass(self) -> None:
        """In their order: a hold that began earlier still ends earlier."""
        for member, score in self._redis.zrange(self.keys.held, 0, -1, withscores=True):
            self._redis.zadd(self.keys.held, {member: score - 1_000}, xx=True)

    def _pass(self, key: str) -> None:
        for member in self._redis.zrange(key, 0, -1):
            self._redis.zadd(key, {member: PAST}, xx=True)


def job(name: str, **more: Any) -> dict[str, Any]:
    """A payload that both sides can run as far as Redis is concerned."""
    return {"uuid": name, "displayName": "Work", "job": "Work", "data": [], "attempts": 0, **more}


def attempts(payload: bytes) -> int:
    return int(json.loads(payload)["attempts"])


def uuids(payloads: list[bytes]) -> list[str]:
    return [json.loads(payload)["uuid"] for payload in payloads]
