"""`data.command` of a Laravel job: the PHP object that Laravel serialized, and perhaps encrypted.

Encrypted jobs (ShouldBeEncrypted) are serialized twice: what comes out of the envelope is a PHP
string that holds the serialized object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.laravel.arguments import CommandError, Model, arguments_of
from shared.laravel.encrypter import DecryptError, Encrypter
from shared.laravel.php import PhpFormatError, PhpObject, Value, loads, same_class
from shared.laravel.php_objects import UnreadableObject, datetime_of

CLOSURE = r"Illuminate\Queue\CallQueuedClosure"


@dataclass(frozen=True, slots=True)
class Command:
    """A job as Laravel dispatched it.

    properties: by plain name; since Laravel 9.4 without those that had their default. delay: in
    seconds, or the moment it was due; None also for an interval. chained: the serialized jobs that
    follow. unique_id: of the property; what a method of that name says is known only to PHP.
    """

    class_name: str
    properties: Mapping[str, Value] = field(repr=False)
    queue: str | None
    connection: str | None
    delay: int | datetime | None
    chained: tuple[str | bytes, ...] = field(repr=False)
    chain_queue: str | None
    chain_connection: str | None
    chain_catch: bool
    batch_id: str | None
    unique_id: str | None
    unique_lock_owner: str | None

    def arguments(self, model: type[Model]) -> Model:
        """The job's own properties as a model: `arguments.arguments_of`. Raises CommandError."""
        return arguments_of(self.properties, model)


def read_command(command: str, encrypter: Encrypter | None) -> Command:
    """Read `data.command`. encrypter: None where APP_KEY is not at hand. Raises CommandError."""
    # PHP looks at the same two characters.
    text = command if command.startswith("O:") else _decrypted(command, encrypter)
    try:
        job = loads(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    except PhpFormatError as error:
        raise CommandError(
            f"`data.command` is not what PHP's serialize() writes: {error}"
        ) from None
    if not isinstance(job, PhpObject):
        raise CommandError("`data.command` holds no object; dispatch a class that is ShouldQueue")
    if same_class(job.class_name, CLOSURE):
        raise CommandError(
            "the job is a closure, and only PHP can run its code; dispatch it to a queue of "
            "Laravel's own workers, or make it a class"
        )
    return _command(job)


def _decrypted(command: str, encrypter: Encrypter | None) -> str | bytes:
    if encrypter is None:
        raise CommandError(
            "the job is encrypted (ShouldBeEncrypted) and this worker has no APP_KEY; write "
            "Laravel's APP_KEY into the worker's settings"
        )
    try:
        text = encrypter.decrypt(command)
    except DecryptError as error:
        raise CommandError(
            f"`data.command` is no serialized object and cannot be decrypted: {error}"
        ) from None
    if not isinstance(text, str | bytes):
        raise CommandError("what was encrypted is no serialized job; encrypt(serialize($job)) is")
    return text


def _command(job: PhpObject) -> Command:
    properties = {name: value for name, value in job.plain().items() if isinstance(name, str)}
    return Command(
        class_name=job.class_name,
        properties=properties,
        queue=_text(properties, "queue"),
        connection=_text(properties, "connection"),
        delay=_delay(properties.get("delay")),
        chained=_chained(properties.get("chained")),
        chain_queue=_text(properties, "chainQueue"),
        chain_connection=_text(properties, "chainConnection"),
        chain_catch=bool(properties.get("chainCatchCallbacks")),
        batch_id=_text(properties, "batchId"),
        unique_id=_unique_id(properties.get("uniqueId")),
        unique_lock_owner=_text(properties, "uniqueLockOwner") or None,
    )


def _text(properties: Mapping[str, Value], name: str) -> str | None:
    found = properties.get(name)
    if found is None or isinstance(found, str):
        return found
    raise CommandError(f"`{name}` is no text; the name is Laravel's, give your property another")


def _delay(value: Value) -> int | datetime | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return datetime_of(value)
    except UnreadableObject:
        return None  # an interval: when the job is due was settled when it was pushed


def _chained(value: Value) -> tuple[str | bytes, ...]:
    jobs = list(value.values()) if isinstance(value, dict) else value or []
    if isinstance(jobs, list) and all(isinstance(job, str | bytes) for job in jobs):
        return tuple(job for job in jobs if isinstance(job, str | bytes))
    raise CommandError("`chained` holds something else than serialized jobs")


def _unique_id(value: Value) -> str | None:
    is_key = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value) if is_key else None
