"""Waiting for something that happens elsewhere: bounded, and loud about what did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def eventually(fn: Callable[[], T], seconds: float = 10) -> T:
    """The first truthy result of fn; an AssertionError inside it counts as not yet.

    Fails after `seconds` with the last AssertionError or the last result.
    """
    end = time.monotonic() + seconds
    while True:
        result: T | None = None
        failed: AssertionError | None = None
        try:
            result = fn()
            if result:
                return result
        except AssertionError as error:
            failed = error
        if time.monotonic() >= end:
            name = getattr(fn, "__name__", "condition")
            raise AssertionError(f"{name} not met in {seconds} s: {failed or result!r}") from failed
        time.sleep(POLL_SECONDS)
