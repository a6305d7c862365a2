"""Jobs of Laravel's Redis queues under reservation: taken, renewed, ended. Laravel's semantics.

A reserved job stands in `queues:{q}:reserved` as Redis encoded it again, attempts + 1, scored with
the second at which anybody may take it back. Whoever ends a job removes exactly that string; a
reply of 0 means that the reservation ran out and the job is somebody else's now.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from redis.exceptions import NoScriptError

from shared.laravel.payload import Payload
from shared.laravel.scripts import script

if TYPE_CHECKING:
    from redis import Redis

MIGRATE_AT_ONCE = 1_000
"""Due jobs moved by one call; the next call moves the next ones."""


_NAMES = ("reserve", "complete", "fail", "release", "renew", "give_back", "set_aside")


class QueueKeys(NamedTuple):
    """Redis keys of one queue. The last is ours, and not below `queues:`: Laravel lists those."""

    ready: str
    delayed: str
    reserved: str
    notify: str
    quarantine: str


def queue_keys(prefix: str, queue: str) -> QueueKeys:
    ready = f"{prefix}queues:{queue}"
    return QueueKeys(
        ready, f"{ready}:delayed", f"{ready}:reserved", f"{ready}:notify",
        f"{prefix}fleet:quarantine:{queue}",
    )  # fmt: skip


class Taken(NamedTuple):
    """A job that was just reserved. original: as it was pushed; reserved: as it stands in Redis."""

    queue: str
    original: bytes
    reserved: bytes


class Job(NamedTuple):
    """A reserved job that can be run. attempts counts this run."""

    queue: str
    original: bytes
    reserved: bytes
    payload: Payload
    attempts: int


class Minutes(NamedTuple):
    """How long Horizon keeps its records: config/horizon.php `trim`, as shipped."""

    pending: int = 60
    completed: int = 60
    failed: int = 10_080
    monitored: int = 10_080


class HandBack(NamedTuple):
    """A job for PHP that takes the place of the one that ended, in the same step."""

    queue: str
    payload: bytes
    id: str
    name: str


class Completed(NamedTuple):
    """A job that ran to its end. milliseconds: its run time."""

    job: Job
    milliseconds: float
    back: HandBack | None = None


class Found(NamedTuple):
    """What a look at the queues brought.

    aside: payloads that were set aside on the way. was_ours: False when the job to complete was
    somebody else's already.
    """

    taken: Taken | None
    aside: int
    was_ours: bool


class Reservations:
    """Over one Redis connection; one instance per thread.

    prefix: Laravel's Redis prefix. connection: name of Laravel's queue connection. seconds: how
    long a reservation holds (`retry_after`), None for ever. horizon: Horizon's key prefix, "" for
    no records.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        *,
        connection: str,
        seconds: int | None,
        horizon: str = "",
        minutes: Minutes = Minutes(),  # noqa: B008 - immutable
        make_token: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._connection = connection
        self._seconds = seconds
        self._horizon = horizon
        self._minutes = minutes
        self._make_token = make_token
        self._scripts = {name: redis.register_script(script(name)) for name in _NAMES}

    def reserve(self, queues: Sequence[str], completed: Completed | None = None) -> Found:
        """Reserve the next job, by strict order of queues; complete one in the same round trip."""
        was_ours = True
        aside = 0
        for number, queue in enumerate(queues):
            if number == 0 and completed is not None:
                was_ours, reply = self._complete_and_reserve(completed, queue)
            else:
                reply = self._scripts["reserve"](*self._reserve_words(queue))
            payload, reserved, found = reply
            aside += found
            if payload:
                return Found(Taken(queue, payload, reserved), aside, was_ours)
        return Found(None, aside, was_ours)

    def complete(self, completed: Completed) -> bool:
        """The job is done and its effects are committed. False: it was not ours any more."""
        return bool(self._scripts["complete"](*self._complete_words(completed)))

    def fail(self, job: Job, exception: str, back: HandBack | None = None) -> bool:
        """The job failed for good; the row in failed_jobs is the caller's."""
        told = self._told(job, back) | {"exception": exception, "failed": self._minutes.failed}
        words = [job.reserved, orjson.dumps(told), back.payload if back else b""]
        return bool(self._scripts["fail"](self._back_keys(job, back), words))

    def release(self, job: Job, delay_seconds: int) -> bool:
        """Let it be tried again after a while; the attempt stays counted."""
        told = {**self._who(job), "delay": delay_seconds}
        keys = queue_keys(self._prefix, job.queue)
        words = [job.reserved, orjson.dumps(told)]
        return bool(self._scripts["release"]([keys.reserved, keys.delayed], words))

    def renew(self, queue: str, reserved: bytes) -> bool:
        """Hold it for another period from now."""
        if self._seconds is None:
            return True
        keys = queue_keys(self._prefix, queue)
        words = [reserved, orjson.dumps({"seconds": self._seconds})]
        return bool(self._scripts["renew"]([keys.reserved], words))

    def give_back(self, job: Job) -> bool:
        """It was not tried: back to the head of the queue, with no attempt counted."""
        keys = queue_keys(self._prefix, job.queue)
        words = [job.reserved, orjson.dumps(self._who(job)), job.original]
        places = [keys.reserved, keys.ready, keys.notify]
        return bool(self._scripts["give_back"](places, words))

    def set_aside(self, taken: Taken, why: str) -> bool:
        """No worker can run it: into quarantine, with its bytes."""
        keys = queue_keys(self._prefix, taken.queue)
        told = {"token": self._make_token(), "why": " ".join(why.split())}
        words = [taken.reserved, orjson.dumps(told), taken.original]
        return bool(self._scripts["set_aside"]([keys.reserved, keys.quarantine], words))

    def _complete_and_reserve(self, completed: Completed, queue: str) -> tuple[bool, Any]:
        steps = (
            (self._scripts["complete"], self._complete_words(completed)),
            (self._scripts["reserve"], self._reserve_words(queue)),
        )
        pipe = self._redis.pipeline(transaction=False)
        for step, (keys, words) in steps:
            pipe.evalsha(step.sha, len(keys), *keys, *words)
        replies = pipe.execute(raise_on_error=False)
        for number, (step, (keys, words)) in enumerate(steps):
            if isinstance(replies[number], NoScriptError):  # SCRIPT FLUSH, or another Redis
                replies[number] = step(keys, words)
            if isinstance(replies[number], Exception):
                raise replies[number]
        return bool(replies[0]), replies[1]

    def _reserve_words(self, queue: str) -> tuple[Sequence[str], Sequence[Any]]:
        told = {
            "horizon": self._horizon,
            "migrate": MIGRATE_AT_ONCE,
            "token": self._make_token(),
        }
        if self._seconds is not None:
            told["seconds"] = self._seconds
        return queue_keys(self._prefix, queue), [orjson.dumps(told)]

    def _complete_words(self, completed: Completed) -> tuple[Sequence[str], Sequence[Any]]:
        job, back = completed.job, completed.back
        told = self._told(job, back) | {
            "ms": completed.milliseconds,
            "silenced": bool(job.payload.silenced),
            "completed": self._minutes.completed,
            "monitored": self._minutes.monitored,
        }
        words = [job.reserved, orjson.dumps(told), back.payload if back else b""]
        return self._back_keys(job, back), words

    def _back_keys(self, job: Job, back: HandBack | None) -> list[str]:
        keys = queue_keys(self._prefix, job.queue)
        target = queue_keys(self._prefix, back.queue) if back else keys
        return [keys.reserved, target.ready, target.notify]

    def _who(self, job: Job) -> dict[str, Any]:
        return {"horizon": self._horizon, "id": job.payload.identity}

    def _told(self, job: Job, back: HandBack | None) -> dict[str, Any]:
        told = self._who(job) | {
            "name": job.payload.name,
            "connection": self._connection,
            "queue": job.queue,
            "tags": job.payload.tags or [],
        }
        if job.payload.retry_of:
            told["retry_of"] = job.payload.retry_of
        if back is not None:
            told["back"] = {
                "id": back.id,
                "name": back.name,
                "connection": self._connection,
                "queue": back.queue,
                "tags": [],
                "pending": self._minutes.pending,
            }
        return told
