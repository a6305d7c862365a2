"""Operator jobs: long, few, started by a person. One row per job.

A body is `run(settings, progress, **kwargs) -> dict` in the named module. It does its work in
small steps, tells `progress.update(done, total, checkpoint=...)` after each, returns soon after
`progress.cancelled()`, and starts from `progress.checkpoint` if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class OperatorJob(NamedTuple):
    """run: `module:function`, imported where the job runs. seconds: hard limit of one run."""

    run: str
    seconds: int
    help: str


OPERATOR_JOBS: Mapping[str, OperatorJob] = {
    "replay_parked": OperatorJob(
        "workers.jobs.replay_parked:run", 4 * 3600, "apply parked events again"
    ),
    "recover": OperatorJob(
        "workers.jobs.recover:run", 24 * 3600, "after a loss of MySQL or Redis: send all again"
    ),
    "rebuild": OperatorJob(
        "workers.jobs.rebuild:run", 7 * 24 * 3600, "positions and P&L again from immutable rows"
    ),
}
