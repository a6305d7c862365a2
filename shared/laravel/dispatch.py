"""Jobs towards Laravel: payloads that a PHP worker runs as if PHP had dispatched them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from redis.exceptions import NoScriptError, RedisError

from shared.laravel import php
from shared.laravel.payload import CALL_QUEUED
from shared.laravel.reservations import Minutes, queue_keys
from shared.laravel.scripts import script

if TYPE_CHECKING:
    from redis import Redis

REMEMBERED_SECONDS = 86_400
"""A dispatch that is repeated within a day is still one job."""


class Options(NamedTuple):
    """How a job is queued and retried, as PHP computes it from the class at dispatch.

    tries None: the worker's own option; 0: without limit. backoff: seconds after each attempt.
    """

    delay_seconds: int = 0
    tries: int | None = None
    backoff: Sequence[int] = ()
    timeout: int | None = None
    tags: Sequence[str] = ()


class Dispatch(NamedTuple):
    """A job on its way. payload: JSON text, complete."""

    uuid: str
    queue: str
    class_name: str
    payload: str
    delay_seconds: int
    tags: Sequence[str]


def object_job(
    class_name: str,
    properties: Mapping[str, php.Value],
    queue: str,
    options: Options,
    *,
    pushed_at: float,
    job_uuid: str | None = None,
) -> Dispatch:
    """A job of a class that implements ShouldQueue.

    properties: its public properties by name; PHP gives every other its default. A protected or
    private one would be ignored by a class that uses SerializesModels. pushed_at: seconds since
    1970.
    """
    own = job_uuid or str(uuid.uuid4())
    named = {php.PropertyName(name, php.PUBLIC): value for name, value in properties.items()}
    command = php.dumps(php.PhpObject(class_name, named)).decode()
    payload: dict[str, Any] = {
        "uuid": own,
        "displayName": class_name,
        "job": CALL_QUEUED,
        "maxTries": options.tries,
        "maxExceptions": None,
        "failOnTimeout": False,
        # Text: a list makes PHP's retry path throw.
        "backoff": ",".join(map(str, options.backoff)) or None,
        "timeout": options.timeout,
        "retryUntil": None,
        "data": {"commandName": class_name, "command": command},
        "id": own,
        "attempts": 0,
        "type": "job",
        "tags": list(options.tags),
        "silenced": False,
        "pushedAt": f"{pushed_at:.4f}",
    }
    text = orjson.dumps(payload).decode()
    return Dispatch(own, queue, class_name, text, options.delay_seconds, options.tags)


class Pusher:
    """Pushes jobs onto Laravel's queues, with Horizon's records first. One per thread."""

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        *,
        connection: str,
        horizon: str = "",
        minutes: Minutes = Minutes(),  # noqa: B008 - immutable
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._connection = connection
        self._horizon = horizon
        self._minutes = minutes
        self._text = script("push", producer=True)
        self._sha: Any = redis.script_load(self._text)

    def push(self, jobs: Iterable[Dispatch]) -> int:
        """In one round trip; returns how many were new. Raises RedisError, then none or some are
        pushed: push all of them again, the second time changes nothing.
        """
        calls = [self._call(job) for job in jobs]
        replies = self._send(calls)
        lost = [
            call
            for call, reply in zip(calls, replies, strict=True)
            if isinstance(reply, NoScriptError)
        ]
        if lost:  # SCRIPT FLUSH, or another Redis: they did nothing
            self._sha = self._redis.script_load(self._text)
            replies = [one for one in replies if not isinstance(one, NoScriptError)]
            replies += self._send(lost)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return sum(replies)

    def _send(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        pipe: Any = self._redis.pipeline(transaction=False)
        for call in calls:
            pipe.evalsha(self._sha, 4, *call)
        return list(pipe.execute(raise_on_error=False))

    def _call(self, job: Dispatch) -> list[Any]:
        keys = queue_keys(self._prefix, job.queue)
        sent = f"{self._prefix}fleet:dispatched:{job.uuid}"
        return [keys.ready, keys.notify, keys.delayed, sent, *self._words(job)]

    def waiting(self, queue: str) -> int:
        """Jobs that are ready and not taken yet."""
        return int(self._redis.llen(queue_keys(self._prefix, queue).ready))

    def _words(self, job: Dispatch) -> list[Any]:
        told = {
            "horizon": self._horizon,
            "delay": job.delay_seconds,
            "remember": REMEMBERED_SECONDS,
            "id": job.uuid,
            "name": job.class_name,
            "queue": job.queue,
            "connection": self._connection,
            "tags": list(job.tags),
            "pending": self._minutes.pending,
        }
        return [job.payload, orjson.dumps(told)]
