"""Errors of servers, as an operator wants to read them: what it is, and what cures it."""

from __future__ import annotations

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - Redis' own
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004 - Redis' own
)

from shared.errors import FleetError
from shared.mysql import connection as mysql
from shared.timescale import connection as timescale

_REDIS: tuple[tuple[type[Exception], str], ...] = (  # the first that fits
    (AuthenticationError, "it refuses user or password: REDIS_USERNAME, REDIS_PASSWORD"),
    (NoPermissionError, "a right is missing: fleet doctor --grants"),
    (OutOfMemoryError, "it is full (maxmemory): make room, or give it more"),
    (ReadOnlyError, "it is a replica: REPLICAOF NO ONE, or point REDIS_HOST at the master"),
    (ConnectionError, "it does not answer: start it; fleet doctor"),
    (TimeoutError, "it does not answer in time: what keeps it busy?"),
)


def in_a_line(error: BaseException) -> str | None:
    """None: nothing that an operator can cure, but a bug."""
    if isinstance(error, FleetError):
        return str(error)
    known = mysql.classify(error) or timescale.classify(error)
    if known is not None:
        return str(known)
    return next((f"Redis: {why}" for kind, why in _REDIS if isinstance(error, kind)), None)
