"""Jobs that Laravel dispatches and Python runs. One file and one row per class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from workers.laravel_jobs import ping, rebuild_pnl, replay_parked, sync_account
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context


class JobClass(NamedTuple):
    """model: the arguments. run: does the work; what it raises is an attempt that failed.

    unique_id: as the PHP class computes its uniqueId(), where it implements ShouldBeUnique; None
    where it does not.
    """

    model: type[Arguments]
    run: Callable[[Context, Any], None]
    unique_id: Callable[[Any], str] | None = None


JOBS: Mapping[str, JobClass] = {
    "App\\Jobs\\Fleet\\SyncAccount": JobClass(
        sync_account.Model, sync_account.run, lambda one: str(one.account_id)
    ),
    "App\\Jobs\\Fleet\\RebuildPnl": JobClass(
        rebuild_pnl.Model, rebuild_pnl.run, lambda one: str(one.account_id)
    ),
    "App\\Jobs\\Fleet\\ReplayParked": JobClass(replay_parked.Model, replay_parked.run),
    "Tradefleet\\Laravel\\Jobs\\Ping": JobClass(ping.Model, ping.run),
}
