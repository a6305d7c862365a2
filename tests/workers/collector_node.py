"""A collector that dies: `python -m tests.workers.collector_node`.

DIE_AT: `append:before:3` ends it as SIGKILL does, just before its third append; `after` means that
Redis has done it and nobody heard. Empty: it lives.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from redis import Redis

from shared.cdc.log import ChangeLog
from workers.cdc import collect
from workers.cdc.appender import BatchBounds
from workers.cdc.collector_build import collector_of
from workers.cdc.ports import Bounds
from workers.roles import load_settings

BOUNDS = Bounds(
    batch=BatchBounds(entries=3, place_seconds=0.05), look_seconds=0.05, full_seconds=0.05,
    pause_seconds_most=0.1,
)  # fmt: skip
_script, _, _moment = os.environ.get("DIE_AT", "").partition(":")
_when, _, _number = _moment.partition(":")


class DyingLog(ChangeLog):
    """See the module."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        super().__init__(redis, prefix)
        self._left = int(_number or 0)

    def _run(self, name: str, words: Sequence[bytes | str | int]) -> list[bytes]:
        mine = name == _script
        self._left -= mine
        if mine and not self._left and _when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = super()._run(name, words)
        if mine and not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def main() -> None:
    process = collector_of(load_settings("collector"), "node", BOUNDS, DyingLog)
    signal.signal(signal.SIGTERM, lambda *_: process.collector.stop())
    collect.run(process)


if __name__ == "__main__":
    main()
