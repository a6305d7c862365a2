"""Jobs that Laravel dispatches and Python runs. One file and one row per class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from workers.laravel_jobs import ping, rebuild_pnl, replay_parked, sync_account
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context


class JobClass(NamedTuple):
    """model: the arguments. run: does the work; what it raises is an attempt that failed.

    unique_by: fields of the model, where the PHP class implements ShouldBeUnique: while one such
    job is on its way, PHP dispatches no second one.
    """

    model: type[Arguments]
    run: Callable[[Context, Any], None]
    unique_by: Sequence[str] = ()

    def unique_id(self, arguments: Arguments) -> str:
        """As the generated class computes its uniqueId()."""
        by_name = arguments.model_dump(mode="json", include=set(self.unique_by))
        values = (by_name[name] for name in self.unique_by)
        return ":".join("" if value is None else str(value) for value in values)


JOBS: Mapping[str, JobClass] = {
    "App\\Jobs\\Fleet\\SyncAccount": JobClass(
        sync_account.Model, sync_account.run, ("account_id",)
    ),
    "App\\Jobs\\Fleet\\RebuildPnl": JobClass(
        rebuild_pnl.Model, rebuild_pnl.run, ("account_id", "from_")
    ),
    "App\\Jobs\\Fleet\\ReplayParked": JobClass(replay_parked.Model, replay_parked.run),
    "Tradefleet\\Laravel\\Jobs\\Ping": JobClass(ping.Model, ping.run),
}
