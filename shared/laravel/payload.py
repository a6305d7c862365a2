"""The payload of a queued Laravel job: JSON text, read from the string as PHP pushed it.

What a PHP worker could not run, or could not record when it fails, is InvalidEvent here: such a
payload is set aside with its bytes, not thrown away as PHP does.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared.errors import InvalidEvent
from shared.laravel import php

CALL_QUEUED = "Illuminate\\Queue\\CallQueuedHandler@call"
"""`job` of every class that implements ShouldQueue; its data is a serialized command."""

ID_BYTES = 191
"""Longest identity: a UUID has 36; longer ones fit no key of ours."""

_SHOWN_ERRORS = 3
_ZERO = re.compile(r"[+-]?0+(\.0*)?", re.ASCII)


def _whole(value: object) -> object:
    return math.floor(value) if isinstance(value, float) and math.isfinite(value) else value


def _tries(value: object) -> object:
    """PHP's "no limit" is the integer 0 alone: a text or float that is zero allows no try."""
    zero = isinstance(value, str | float) and _ZERO.fullmatch(str(value))
    return -1 if zero else value


Tries = Annotated[int, BeforeValidator(_whole), BeforeValidator(_tries)]

Whole = Annotated[int, BeforeValidator(_whole)]
"""A retryUntil() may well return microtime(true) + 60: PHP counts its whole seconds."""


class Payload(BaseModel):
    """Fields that a consumer reads. Numbers may come as text, as 3.0 or 1.5, and texts as numbers:
    PHP does not mind.

    max_tries: 0 is no limit, -1 allows none. backoff: comma list of seconds, never a list. delay:
    seconds, the backoff of a job that has none. retry_until: seconds since 1970; 0 means none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    uuid: str | None = None
    id: str | None = None
    display_name: str | None = Field(None, alias="displayName")
    job: str = Field(min_length=1)
    data: Any = None
    attempts: int
    max_tries: Tries | None = Field(None, alias="maxTries")
    max_exceptions: Whole | None = Field(None, alias="maxExceptions")
    fail_on_timeout: bool | None = Field(None, alias="failOnTimeout")
    backoff: str | None = None
    delay: Whole | None = None
    timeout: Whole | None = None
    retry_until: Whole | None = Field(None, alias="retryUntil")
    tags: list[str] | None = None
    silenced: bool | None = None
    retry_of: str | None = None
    pushed_at: Any = Field(None, alias="pushedAt")
    context: Any = Field(None, alias="illuminate:log:context")

    @property
    def identity(self) -> str:
        """`uuid`, else `id`: the key of failed_jobs and of Horizon's records."""
        return self.uuid or self.id or ""

    @property
    def is_object_job(self) -> bool:
        return self.job == CALL_QUEUED

    @property
    def command(self) -> str:
        """The serialized (or encrypted) object of an object job."""
        return str(self.data["command"])

    @property
    def class_name(self) -> str:
        """What a handler is looked up by: the class of an object job, else `Class@method`."""
        if self.is_object_job:
            return str(self.data["commandName"])
        return self.job

    @property
    def unique_key(self) -> str | None:
        """Cache key of the job's unique lock; Laravel 11 and newer say it in the log context."""
        hidden = self.context.get("hidden") if isinstance(self.context, dict) else None
        text = hidden.get("laravel_unique_job_key") if isinstance(hidden, dict) else None
        try:
            key = php.loads(text.encode()) if isinstance(text, str) else None
        except php.PhpFormatError:
            return None
        return key if isinstance(key, str) else None

    @property
    def name(self) -> str:
        """What people and Horizon call it."""
        return self.display_name or self.class_name


def read_payload(text: bytes) -> Payload:
    """text: the string as it was pushed, not as Redis encoded it again: that one has lost digits.

    Raises InvalidEvent with reason `malformed_payload`.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"it is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise _malformed("it is not a JSON object")
    if fields.get("tags") == {}:  # Redis' JSON library writes an empty list so
        fields["tags"] = []
    try:
        payload = Payload.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"`{_path(one['loc'])}`: {one['msg']}" for one in found[:_SHOWN_ERRORS])
        raise _malformed(told) from None
    if not 0 < len(payload.identity.encode()) <= ID_BYTES:
        raise _malformed("it has no `uuid` and no `id`, so a failure could not be recorded")
    if payload.is_object_job and not _holds_command(payload.data):
        raise _malformed("`data` of a queued class needs `commandName` and `command`")
    return payload


def _holds_command(data: object) -> bool:
    return isinstance(data, dict) and all(
        isinstance(data.get(name), str) and data[name] for name in ("commandName", "command")
    )


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)


def _malformed(what: str) -> InvalidEvent:
    return InvalidEvent("malformed_payload", f"no worker can run this payload: {what}")
