"""RQ for operator jobs: enqueue, watch, cancel, resume; and `perform`, which runs one.

Why RQ beside Celery: the state of a job can be looked at. One queue only, because a worker of
several falls back to a fetch that loses the job when it is killed. JSON, never pickle.

RQ fixes its key prefix when first imported, from the environment, so nothing here imports RQ
before `use_prefix`, and one process can only serve one prefix.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from shared import telemetry
from shared.errors import FleetError, SettingsError
from shared.settings import Settings
from workers import roles
from workers.jobs import table
from workers.lease import broker_redis

QUEUE = "operator"
RESULT_SECONDS = 7 * 86_400
FAILURE_SECONDS = 30 * 86_400
# Runs after the first: a stop of the worker (deploy) or its death costs one each.
RETRIES = 20
_SAVE_SECONDS = 0.5
_ENDED = frozenset({"finished", "failed", "stopped", "canceled"})
_log = telemetry.log(__name__)


class Interrupted(Exception):  # noqa: N818 - a state, not a mistake
    """The worker is stopping: the job goes back to the queue with its checkpoint."""


class JobState(NamedTuple):
    """A job as an operator sees it.

    status: RQ's word (`queued`, `started`, `finished`, `failed`, `stopped`, `canceled`), and
    `cancelled` for a job that ended early on request. total: None while unknown.
    """

    id: str
    name: str
    status: str
    done: int
    total: int | None
    note: str
    actor: str
    checkpoint: dict[str, Any] | None
    result: Any
    error: str | None

    @property
    def ended(self) -> bool:
        return self.status in _ENDED or self.status == "cancelled"


class Progress:
    """What a job's body is given. Writes to job.meta at most twice a second."""

    def __init__(
        self,
        job: Any,
        cancel_asked: Callable[[], bool],
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._cancel_asked = cancel_asked
        self._stopping = stopping
        self._clock = clock
        self._saved_at = self._asked_at = float("-inf")
        self._cancelled = False

    @property
    def checkpoint(self) -> dict[str, Any] | None:
        """Where an earlier run of this job got to; None at the first run."""
        found: dict[str, Any] | None = self._job.meta.get("checkpoint")
        return found

    def update(
        self,
        done: int,
        total: int | None = None,
        *,
        checkpoint: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> None:
        """checkpoint: plain JSON, of work that is committed. It is saved within half a second; a
        crash before that repeats the work since, which must be harmless.
        """
        self._job.meta["done"] = done
        if total is not None:
            self._job.meta["total"] = total
        if note:
            self._job.meta["note"] = note
        if checkpoint is not None:
            self._job.meta["checkpoint"] = dict(checkpoint)
        if self._clock() - self._saved_at >= _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        self._job.save_meta()
        self._saved_at = self._clock()

    def cancelled(self) -> bool:
        """True when the body should return soon: an operator's cancel, or the worker's stop."""
        if self.interrupted():
            return True
        if not self._cancelled and self._clock() - self._asked_at >= _SAVE_SECONDS:
            self._cancelled = self._cancel_asked()
            self._asked_at = self._clock()
        return self._cancelled

    def interrupted(self) -> bool:
        return self._stopping()


class Stopping:
    """Set in the work-horse by a signal of its worker; read by Progress."""

    asked = False


def key_prefix(settings: Settings) -> str:
    """All of RQ's keys begin with it (`{prefix}:job:...`)."""
    prefix = f"{settings.broker_prefix}rq"
    if not re.fullmatch(r"[A-Za-z0-9_.:{}-]+", prefix):
        raise SettingsError(
            f"FLEET_BROKER_PREFIX {settings.broker_prefix!r}: RQ takes letters, digits and "
            "_ . : - { } only; write FLEET_BROKER_PREFIX with these"
        )
    return prefix


def use_prefix(settings: Settings) -> None:
    """Must come before the first import of RQ (also Sentry's integration imports it)."""
    prefix = key_prefix(settings)
    loaded = sys.modules.get("rq.defaults")
    if loaded is None:
        os.environ["RQ_KEY_PREFIX"] = prefix
    elif prefix != loaded.RQ_KEY_PREFIX:
        raise SettingsError(
            f"RQ was imported with the prefix {loaded.RQ_KEY_PREFIX!r}, not {prefix!r}: "
            "call use_prefix() first, one prefix per process"
        )


def queue(settings: Settings) -> Any:
    """The one queue, on a connection of its own."""
    use_prefix(settings)
    from rq import Queue  # noqa: PLC0415 - after use_prefix
    from rq.serializers import JSONSerializer  # noqa: PLC0415

    return Queue(QUEUE, connection=broker_redis(settings), serializer=JSONSerializer)


def enqueue(
    settings: Settings,
    name: str,
    kwargs: Mapping[str, Any],
    *,
    resume: str | None = None,
    actor: str | None = None,
) -> str:
    """Queues a job of OPERATOR_JOBS and returns its id.

    kwargs: plain JSON. resume: id of an earlier job whose checkpoint to start from.
    """
    if name not in table.OPERATOR_JOBS:
        raise SettingsError(f"no operator job {name!r}: {', '.join(sorted(table.OPERATOR_JOBS))}")
    operator = queue(settings)
    from rq import Retry  # noqa: PLC0415 - after use_prefix

    meta: dict[str, Any] = {"name": name, "actor": actor or _user(), "done": 0}
    if resume is not None:
        before = _fetch(operator, resume)
        meta["checkpoint"] = before.meta.get("checkpoint")
        meta["resumed_from"] = resume
    job = operator.enqueue_call(
        "workers.jobs.operator.perform",
        kwargs={"name": name, "kwargs": dict(kwargs)},
        timeout=table.OPERATOR_JOBS[name].seconds,
        result_ttl=RESULT_SECONDS,
        failure_ttl=FAILURE_SECONDS,
        description=name,  # the default shows all arguments in logs
        retry=Retry(max=RETRIES),
        meta=meta,
    )
    return str(job.id)


def look(settings: Settings, job_id: str) -> JobState:
    """The state of a job now. KeyError: no such job (results are kept for a week)."""
    return _state(_fetch(queue(settings), job_id))


def failed(settings: Settings, limit: int) -> list[tuple[float, JobState]]:
    """The newest jobs that failed for good, with when, in seconds since 1970."""
    operator = queue(settings)
    registry = operator.failed_job_registry
    # Not RQ's own list: it tidies up first, which is not for a reader.
    found = operator.connection.zrange(registry.key, -limit, -1, withscores=True)
    told = []
    for job_id, forgotten_at in reversed(found):
        with contextlib.suppress(KeyError):  # forgotten this moment
            state = _state(_fetch(operator, job_id.decode()))
            told.append((forgotten_at - FAILURE_SECONDS, state))
    operator.connection.close()
    return told


def states(
    settings: Settings,
    job_id: str,
    *,
    every: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[JobState]:
    """Every change of a job until it ended; the last state is the end."""
    operator = queue(settings)
    last: JobState | None = None
    while True:
        state = _state(_fetch(operator, job_id))
        if state != last:
            yield state
        if state.ended:
            return
        last = state
        sleep(every)


def watch(settings: Settings, job_id: str, say: Callable[[str], object]) -> Any:
    """Says each change as a line, and returns the job's result.

    FleetError: it did not end well; the message says how to go on.
    """
    state: JobState | None = None
    for state in states(settings, job_id):
        say(line_of(state))
    if state is None or state.status not in {"finished", "cancelled"}:
        word = state.status if state else "gone"
        raise FleetError(f"job {job_id} {word}: {state.error if state else ''}")
    return state.result


def line_of(state: JobState) -> str:
    """A state as one line for a terminal."""
    total = "" if state.total is None else f" of {state.total}"
    note = f" {state.note}" if state.note else ""
    return f"{state.name} {state.status}: {state.done}{total}{note}"


def cancel(settings: Settings, job_id: str, *, now: bool = False) -> None:
    """Asks a job to stop at its next step. now: kills its process (what is committed stays).

    The flag has a key of its own: the running job rewrites job.meta as a whole and would undo it.
    """
    operator = queue(settings)
    from rq.command import send_stop_job_command  # noqa: PLC0415 - after use_prefix
    from rq.exceptions import InvalidJobOperation  # noqa: PLC0415

    job = _fetch(operator, job_id)
    if job.get_status() == "queued":
        job.cancel()
        return
    operator.connection.set(_cancel_key(settings, job_id), "1", ex=FAILURE_SECONDS)
    if now:
        try:
            send_stop_job_command(operator.connection, job_id, serializer=operator.serializer)
        except InvalidJobOperation:
            return  # it ended meanwhile


def perform(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Runs a job; RQ calls it in the work-horse. The result is plain JSON."""
    from rq import get_current_job  # noqa: PLC0415 - RQ is running us

    job = get_current_job()
    settings = roles.load_settings("rq")
    connection, key = job.connection, _cancel_key(settings, job.id)
    progress = Progress(job, lambda: bool(connection.exists(key)), lambda: Stopping.asked)
    started = time.monotonic()
    outcome = job.meta["outcome"] = "failed"
    job.save_meta()  # if it is killed it has failed, whatever an earlier run said
    try:
        result = _body(table.OPERATOR_JOBS[name].run)(settings, progress, **kwargs)
        if progress.interrupted():
            outcome = "interrupted"
            raise Interrupted("the worker is stopping; the job goes on in the next one")
        outcome = "cancelled" if progress.cancelled() else "done"
    finally:
        job.meta["outcome"] = outcome
        progress.save()
        seconds = round(time.monotonic() - started, 6)
        _log.info("job", job=name, id=job.id, outcome=outcome, seconds=seconds)
    return {"outcome": outcome, **result}


def count_run(job: Any) -> None:
    """In the worker, when the work-horse is gone, and with it whatever it counted itself. A failed
    run that RQ tries again is `retried`.
    """
    meta, status = job.get_meta(refresh=True), job.get_status(refresh=True)
    outcome = "cancelled" if status == "stopped" else meta.get("outcome", "failed")
    if outcome == "failed" and status != "failed":
        outcome = "retried"
    name = meta.get("name", "")
    telemetry.count("fleet_operator_jobs_total", job_name=name, outcome=outcome)


def _body(path: str) -> Callable[..., dict[str, Any]]:
    module, _, function = path.partition(":")
    body: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), function)
    return body


def _fetch(operator: Any, job_id: str) -> Any:
    from rq.exceptions import NoSuchJobError  # noqa: PLC0415 - after use_prefix
    from rq.job import Job  # noqa: PLC0415

    try:
        return Job.fetch(job_id, connection=operator.connection, serializer=operator.serializer)
    except NoSuchJobError:
        raise KeyError(job_id) from None


def _state(job: Any) -> JobState:
    meta, status = job.meta, str(job.get_status(refresh=False).value)
    latest = job.latest_result() if status in _ENDED else None
    result = latest.return_value if latest is not None else None
    trace = latest.exc_string if latest is not None else None
    if status == "finished" and meta.get("outcome") == "cancelled":
        status = "cancelled"
    return JobState(
        id=job.id,
        name=meta.get("name", ""),
        status=status,
        done=int(meta.get("done", 0)),
        total=meta.get("total"),
        note=meta.get("note", ""),
        actor=meta.get("actor", ""),
        checkpoint=meta.get("checkpoint"),
        result=result,
        error=trace.strip().splitlines()[-1] if trace else None,
    )


def _cancel_key(settings: Settings, job_id: str) -> str:
    return f"{key_prefix(settings)}:fleet_cancel:{job_id}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
