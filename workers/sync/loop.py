"""One event loop per process, in a thread of its own: connections to venues live there.

uvloop, because a request costs half as much on it as on the loop of the standard library.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class Loop:
    """Started at once; ends with the process."""

    def __init__(self, name: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The result of `work`, from another thread. Raises TimeoutError; the work is cancelled."""
        bounded = asyncio.wait_for(work, seconds)
        return asyncio.run_coroutine_threadsafe(bounded, self._loop).result()

    def close(self) -> None:
        """For tests and short programs."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
