"""What happens to a job: the rules of `queue:work` (Laravel's Queue/Worker.php), as functions.

Pure: time comes as an argument, in whole seconds since 1970. `attempts` counts this run.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from shared.laravel.payload import Payload

_NUMBER = re.compile(r"[ \t\n\r\v\f]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_INT_LEAST, _INT_MOST = -(1 << 63), (1 << 63) - 1


class Defaults(NamedTuple):
    """Options of `queue:work` for what a payload leaves open: --tries, --backoff, --timeout.

    tries 0: no limit. backoff: a comma list of seconds. timeout: seconds, 0: none.
    """

    tries: int = 1
    backoff: str = "0"
    timeout: int = 60


def may_run(payload: Payload, attempts: int, now: int, defaults: Defaults) -> bool:
    """False: fail it with MaxAttemptsExceeded and do not run it."""
    if payload.retry_until:
        return now <= payload.retry_until
    tries = _tries(payload, defaults)
    return tries == 0 or attempts <= tries


def is_last_attempt(payload: Payload, attempts: int, now: int, defaults: Defaults) -> bool:
    """After an error or a timeout: True means it fails for good."""
    if payload.retry_until:
        return payload.retry_until <= now
    tries = _tries(payload, defaults)
    return tries > 0 and attempts >= tries


def exceptions_used_up(payload: Payload, exceptions: int) -> bool:
    """exceptions: the job's counter, this one included."""
    return payload.max_exceptions is not None and payload.max_exceptions <= exceptions


def backoff_seconds(payload: Payload, attempts: int, defaults: Defaults) -> int:
    """Seconds until a released job may run again: item `attempts` of the list, or its last."""
    chosen = payload.backoff
    if chosen is None:
        chosen = defaults.backoff if payload.delay is None else str(payload.delay)
    steps = chosen.split(",")
    return _as_php_int(steps[attempts - 1] if 0 < attempts <= len(steps) else steps[-1])


def timeout_seconds(payload: Payload, defaults: Defaults) -> int:
    """0 or less: it may run as long as it likes."""
    return defaults.timeout if payload.timeout is None else payload.timeout


def _tries(payload: Payload, defaults: Defaults) -> int:
    return defaults.tries if payload.max_tries is None else payload.max_tries


def _as_php_int(text: str) -> int:
    """`(int) $text`: the whole part of the number it begins with, else 0; PHP's widest at most."""
    found = _NUMBER.match(text)
    size = float(found[1]) if found else 0.0
    if math.isinf(size):
        return 0
    return max(_INT_LEAST, min(int(size), _INT_MOST))
