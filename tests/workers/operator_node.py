"""The worker of operator jobs with jobs made for tests: `python -m tests.workers.operator_node`."""

from __future__ import annotations

import sys
import threading
from typing import Any

from shared.settings import Settings
from workers import rq_worker
from workers.jobs import table
from workers.jobs.operator import Progress
from workers.jobs.table import OperatorJob

JOBS = {
    "count": OperatorJob("tests.workers.operator_node:count", 60, "counts"),
    "fail": OperatorJob("tests.workers.operator_node:fail", 60, "fails"),
}


def count(settings: Settings, progress: Progress, to: int, pause: float = 0) -> dict[str, Any]:
    """Counts from the checkpoint on, and says how many steps this run did."""
    assert settings.role == "rq"
    start = (progress.checkpoint or {"at": 0})["at"]
    for number in range(start, to):
        if progress.cancelled():
            return {"steps": number - start, "from": start}
        threading.Event().wait(pause)
        progress.update(number + 1, to, checkpoint={"at": number + 1})
    return {"steps": to - start, "from": start}


def fail(settings: Settings, progress: Progress) -> dict[str, Any]:
    del settings, progress
    message = "no such account"
    raise ValueError(message)


if __name__ == "__main__":
    table.OPERATOR_JOBS = JOBS
    sys.exit(rq_worker.main())
