"""How a run of a Laravel job ends when it did not succeed: released, failed, or lost.

The lane and the watch both end jobs, each over connections of its own.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from shared import telemetry
from shared.laravel import verdict
from shared.laravel.arguments import CommandError
from shared.laravel.cache import CacheStore, Unreachable
from shared.laravel.command import Command
from shared.laravel.failed_jobs import FailedJob, FailedJobs
from shared.laravel.payload import Payload
from shared.laravel.reservations import HandBack, Job, Reservations
from shared.laravel.verdict import Defaults
from shared.masking import Mask
from workers.laravel.report import Outcome

HAND_BACK = "Tradefleet\\Laravel\\Jobs\\HandBack"
EXCEPTION_BYTES = 64 * 1024
"""Of a failure's text. A traceback has some KB; Horizon keeps it in Redis for a week."""

_log = telemetry.log("fleet.laravel")


class Failure(NamedTuple):
    """Why a run failed, in the words of Laravel's records.

    php_class: or Python's. place: `file:line`. trace: as Python prints it.
    """

    php_class: str
    message: str
    place: str = ""
    trace: str = ""

    def text(self) -> str:
        """As PHP prints an exception: class, message, place, stack."""
        where = f" in {self.place}" if self.place else ""
        stack = f"\nStack trace:\n{self.trace}" if self.trace else ""
        return f"{self.php_class}: {self.message}{where}{stack}"


def failure_of(error: BaseException) -> Failure:
    kind = type(error)
    known = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    trace = "".join(traceback.format_exception(error))
    return Failure(f"{known}{kind.__qualname__}", _utf8(str(error)), place, _utf8(trace))


def _utf8(text: str) -> str:
    """A lone surrogate goes into no JSON and no column."""
    return text.encode("utf-8", "backslashreplace").decode()


def too_many_attempts(name: str) -> Failure:
    return Failure(
        "Illuminate\\Queue\\MaxAttemptsExceededException",
        f"{name} has been attempted too many times.",
    )


def timed_out(name: str) -> Failure:
    return Failure("Illuminate\\Queue\\TimeoutExceededException", f"{name} has timed out.")


class Endings:
    """Over one Redis and one MySQL connection; one instance per thread.

    events_queue: where PHP takes back what follows a job. read: a payload's command. lock_names: of
    a unique job's lock. php_takes_over: Laravel says that it has our package, so every failure of a
    class goes back to it, for `failed()`. now: seconds since 1970.
    """

    def __init__(
        self,
        reservations: Reservations,
        failed_jobs: FailedJobs,
        cache: CacheStore,
        *,
        connection: str,
        events_queue: str,
        defaults: Defaults,
        read: Callable[[Payload], Command],
        lock_names: Callable[[Payload], Sequence[str]],
        php_takes_over: bool,
        mask: Mask,
        now: Callable[[], float],
    ) -> None:
        self._reservations = reservations
        self._failed_jobs = failed_jobs
        self._cache = cache
        self._connection = connection
        self._events_queue = events_queue
        self._defaults = defaults
        self._read = read
        self._lock_names = lock_names
        self._php_takes_over = php_takes_over
        self._mask = mask
        self._now = now

    def is_last(self, job: Job) -> bool:
        """Whether a run that raised or took too long was the last one. Counts the exception, so ask
        once a run.
        """
        last = verdict.is_last_attempt(job.payload, job.attempts, int(self._now()), self._defaults)
        if job.payload.max_exceptions is None:
            return last
        key = f"job-exceptions:{job.payload.identity}"
        try:
            used_up = verdict.exceptions_used_up(job.payload, self._cache.count(key))
            if used_up:
                self._cache.forget(key)
        except Unreachable as error:
            _log.error("exceptions_not_counted", job=job.payload.name, error=str(error))
            used_up = False
        return last or used_up

    def after_error(self, job: Job, failure: Failure, *, last: bool) -> Outcome:
        """A handler raised: release the job, or fail it when this was its last attempt."""
        if last:
            return self.fail(job, failure)
        delay = verdict.backoff_seconds(job.payload, job.attempts, self._defaults)
        return "released" if self._reservations.release(job, delay) else "lost"

    def after_timeout(self, job: Job, *, last: bool) -> Outcome:
        """The run took too long: fail it or leave it reserved. The process must end after this."""
        if last or job.payload.fail_on_timeout:
            return self.fail(job, timed_out(job.payload.name))
        return "timed_out"

    def fail(self, job: Job, failure: Failure) -> Outcome:
        """For good: the row, then out of the reservation, then what PHP has to do about it.

        The row stays even if the reservation turns out to be lost by then: whoever has the job now
        may fail on our row, and then it is the only record.
        """
        if not self._reservations.renew(job.queue, job.reserved):
            return "lost"
        text = self._mask.text(failure.text()).encode()[:EXCEPTION_BYTES].decode(errors="ignore")
        row = FailedJob(
            id=job.payload.identity,
            connection=self._connection,
            queue=job.queue,
            payload=job.original.decode(),
            exception=text,
            failed_at=datetime.fromtimestamp(self._now(), UTC),
        )
        self._failed_jobs.add(row)
        self.unlock(job)
        was_ours = self._reservations.fail(job, text, self._failed_back(job, failure, text))
        return "failed" if was_ours else "lost"

    def after_success(self, job: Job, command: Command) -> HandBack | None:
        """What Laravel does after the work: free the unique lock, let chain and batch go on."""
        self.unlock(job)
        if command.chained or command.batch_id:
            return self._hand_back(job, {"outcome": "completed"})
        return None

    def unlock(self, job: Job) -> None:
        """Release the lock of a unique job, so that the next one may be dispatched."""
        names = self._lock_names(job.payload)
        if not names:
            return
        try:
            self._cache.unlock(names)
        except Unreachable as error:
            _log.error("unique_lock_stays", job=job.payload.name, error=str(error))

    def _failed_back(self, job: Job, failure: Failure, text: str) -> HandBack | None:
        if not job.payload.is_object_job or not self._concerns_php(job.payload):
            return None
        told = {"outcome": "failed", "exception": text, "exceptionClass": failure.php_class}
        return self._hand_back(job, told)

    def _concerns_php(self, payload: Payload) -> bool:
        if self._php_takes_over:
            return True
        try:
            command = self._read(payload)
        except CommandError:
            return False
        return bool(command.batch_id or command.chain_catch)

    def _hand_back(self, job: Job, told: dict[str, str]) -> HandBack:
        data = {"uuid": job.payload.identity, "command": job.payload.command, **told}
        own = str(uuid.uuid4())
        payload = {
            "uuid": own,
            "displayName": HAND_BACK,
            "job": f"{HAND_BACK}@handle",
            "maxTries": 3,
            "maxExceptions": None,
            "failOnTimeout": False,
            "backoff": "1,10",
            "timeout": None,
            "data": data,
            "id": own,
            "attempts": 0,
            "type": "job",
            "tags": [],
            "silenced": False,
            "pushedAt": f"{self._now():.4f}",
        }
        return HandBack(self._events_queue, orjson.dumps(payload), own, HAND_BACK)
