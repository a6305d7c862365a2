"""Jobs of Laravel's Redis queues under reservation: taken, renewed, ended. Laravel's semantics.

A reserved job stands in `queues:{q}:reserved` as Redis encoded it again, attempts + 1, scored with
the second at which anybody may take it back. Whoever ends a job removes exactly that string; a
reply of 0 means that the reservation ran out and the job is somebody else's now.

A quick worker reserves a few jobs at once, and the next ones while it works. Those are held as
well, for a few seconds: if the worker dies before it tries them, they return as they were, with no
attempt counted.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from shared.laravel.line import Call, Line
from shared.laravel.payload import Payload

if TYPE_CHECKING:
    from redis import Redis

MIGRATE_AT_ONCE = 1_000
"""Due jobs moved by one call; the next call moves the next ones."""


HOLD_SECONDS = 5
"""Until a dead worker's untried jobs return, at most; a short reservation is held for half of it.
One that lives tries them within half of that, or gives them back.
"""

_NAMES = ("reserve", "complete", "fail", "release", "renew", "give_back", "set_aside")


class QueueKeys(NamedTuple):
    """Redis keys of one queue. The last two are ours; below `queues:` Laravel would list them."""

    ready: str
    delayed: str
    reserved: str
    notify: str
    quarantine: str
    held: str


def queue_keys(prefix: str, queue: str) -> QueueKeys:
    ready = f"{prefix}queues:{queue}"
    return QueueKeys(
        ready, f"{ready}:delayed", f"{ready}:reserved", f"{ready}:notify",
        f"{prefix}fleet:quarantine:{queue}", f"{prefix}fleet:held:{queue}",
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

    taken: jobs of one queue in their order. held: `start` each before it is tried. aside: payloads
    that were set aside on the way.
    """

    taken: list[Taken]
    held: bool
    aside: int


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
        self._line = Line(redis, _NAMES)
        self._prefix = prefix
        self._connection = connection
        self.seconds = seconds
        self.hold_seconds = HOLD_SECONDS if seconds is None else min(HOLD_SECONDS, seconds // 2)
        self._horizon = horizon
        self._minutes = minutes
        self._make_token = make_token
        self._completing: deque[tuple[Call, Completed]] = deque()  # not answered yet
        self._ended: list[tuple[Completed, bool]] = []
        self._starting: Call | None = None
        self._ours = True  # the job that was started last
        self._ahead: Call | None = None
        self._ahead_of = ""
        self._brought = Found([], True, 0)

    def reserve(self, queues: Sequence[str], most: int = 1) -> Found:
        """Reserve up to `most` jobs of the first queue that has any. More than one are held. Raises
        RedisError.
        """
        aside, self._ours = 0, True
        for queue in queues:
            held = most > 1
            self._line.add(self._reserve_call(queue, most, held=held))
            found = _found(queue, self._read(), held=held)
            aside += found.aside
            if found.taken:
                return found._replace(aside=aside)
        return Found([], False, aside)

    def ask_ahead(self, queue: str, most: int) -> None:
        """Reserve and hold jobs of a queue while others are worked off; `asked` has them. Goes out
        with the next step.
        """
        self._ahead, self._ahead_of = self._reserve_call(queue, most, held=True), queue
        self._line.add(self._ahead)

    def asked(self) -> Found:
        """What ask_ahead brought."""
        self._read()
        found, self._brought = self._brought, Found([], True, 0)
        return found

    def complete(self, completed: Completed) -> None:
        """The job is done and its effects are committed. Goes out with the next step of any kind;
        `ended` says what became of it.
        """
        call = self._complete_call(completed)
        self._completing.append((call, completed))
        self._line.add(call)

    def start(self, taken: Taken) -> None:
        """A held job is tried now: its attempt counts. Sent, not waited for; ask `started` before
        anything of it is committed.
        """
        keys = queue_keys(self._prefix, taken.queue)
        self._starting, self._ours = Call("ZREM", [keys.held], [_held(taken)]), False
        self._line.add(self._starting)
        self._line.send()

    def started(self) -> bool:
        """False: the job that was started last had already gone back to its queue."""
        if self._starting is not None:
            self._read()
        return self._ours

    @property
    def unconfirmed(self) -> bool:
        """A job was started, and Redis has not said whether it was still ours."""
        return self._starting is not None

    def settle(self) -> None:
        """Send what has not gone out, and wait for every reply."""
        self._read()

    def ended(self) -> list[tuple[Completed, bool]]:
        """Completed jobs that Redis has answered for, each once: was it still ours?"""
        ended, self._ended = self._ended, []
        return ended

    def unanswered(self) -> list[Completed]:
        """After an error: completed jobs of which nobody knows whether Redis heard of it. Complete
        them again; a second time changes nothing.
        """
        lost = [completed for _, completed in self._completing]
        self._completing.clear()
        return lost

    def close(self) -> None:
        self._line.close()

    def fail(self, job: Job, exception: str, back: HandBack | None = None) -> bool:
        """It failed for good; the row in failed_jobs is the caller's. False: it was not ours."""
        told = self._told(job, back) | {"exception": exception, "failed": self._minutes.failed}
        payload = back.payload if back else b""
        keys = self._back_keys(job, back)
        return self._ask("fail", keys, job.reserved, _json(told), payload)

    def release(self, job: Job, delay_seconds: int) -> bool:
        """Let it be tried again after a while; the attempt stays counted."""
        keys = queue_keys(self._prefix, job.queue)
        told = self._who(job.payload.identity) | {"delay": delay_seconds}
        return self._ask("release", [keys.reserved, keys.delayed], job.reserved, _json(told))

    def renew(self, queue: str, reserved: bytes) -> bool:
        """Hold it for another period from now."""
        if self.seconds is None:
            return True
        keys = queue_keys(self._prefix, queue)
        return self._ask("renew", [keys.reserved], reserved, _json({"seconds": self.seconds}))

    def give_back(self, taken: Taken, job_id: str | None = None, *, held: bool = False) -> bool:
        """It was not tried: back to the head of the queue, with no attempt counted.

        held: it was never started.
        """
        keys = queue_keys(self._prefix, taken.queue)
        places = [keys.reserved, keys.ready, keys.notify, keys.held]
        told = _json(self._who(job_id) | {"held": held})
        return self._ask("give_back", places, taken.reserved, told, taken.original)

    def set_aside(self, taken: Taken, why: str) -> bool:
        """No worker can run it: into quarantine, with its bytes."""
        keys = queue_keys(self._prefix, taken.queue)
        told = _json({"token": self._make_token(), "why": " ".join(why.split())})
        places = [keys.reserved, keys.quarantine]
        return self._ask("set_aside", places, taken.reserved, told, taken.original)

    def _ask(self, name: str, keys: Sequence[str], *words: Any) -> bool:
        """One step; False when it did not find the reservation."""
        self._line.add(Call(name, keys, words))
        return bool(self._read())

    def _read(self) -> Any:
        """Everything goes out and is answered; the reply to the last step."""
        reply: Any = None
        for call, reply in self._line.replies():
            if self._completing and call is self._completing[0][0]:
                self._ended.append((self._completing.popleft()[1], bool(reply)))
            elif call is self._starting:
                self._starting, self._ours = None, bool(reply)
            elif call is self._ahead:
                self._brought = _found(self._ahead_of, reply, held=True)
        return reply

    def _reserve_call(self, queue: str, most: int, *, held: bool) -> Call:
        told: dict[str, Any] = {
            "horizon": self._horizon,
            "migrate": MIGRATE_AT_ONCE,
            "token": self._make_token(),
            "most": most,
        }
        if held:
            told["hold"] = self.hold_seconds
        if self.seconds is not None:
            told["seconds"] = self.seconds
        return Call("reserve", queue_keys(self._prefix, queue), [_json(told)])

    def _complete_call(self, completed: Completed) -> Call:
        job, back = completed.job, completed.back
        if not self._horizon and back is None:  # as PHP's own worker does
            return Call("ZREM", [queue_keys(self._prefix, job.queue).reserved], [job.reserved])
        told = self._told(job, back) | {
            "ms": completed.milliseconds,
            "silenced": bool(job.payload.silenced),
            "completed": self._minutes.completed,
            "monitored": self._minutes.monitored,
        }
        words = [job.reserved, _json(told), back.payload if back else b""]
        return Call("complete", self._back_keys(job, back), words)

    def _back_keys(self, job: Job, back: HandBack | None) -> list[str]:
        keys = queue_keys(self._prefix, job.queue)
        target = queue_keys(self._prefix, back.queue) if back else keys
        return [keys.reserved, target.ready, target.notify]

    def _who(self, job_id: str | None) -> dict[str, Any]:
        return {"horizon": self._horizon, **({"id": job_id} if job_id else {})}

    def _told(self, job: Job, back: HandBack | None) -> dict[str, Any]:
        told = self._who(job.payload.identity) | {
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


def _found(queue: str, reply: Sequence[Any], *, held: bool) -> Found:
    aside, *jobs = reply
    pairs = zip(jobs[::2], jobs[1::2], strict=True)
    return Found([Taken(queue, *pair) for pair in pairs], held, aside)


def _held(taken: Taken) -> bytes:
    """As common.lua's hold()."""
    return b"%d:%b%b" % (len(taken.reserved), taken.reserved, taken.original)


_json = orjson.dumps
