r"""App\Jobs\Fleet\RebuildPnl: compute an account's figures again from its immutable rows."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from workers.laravel_jobs.arguments import AccountId, Arguments
from workers.laravel_jobs.context import Context


class Model(Arguments):
    """Compute an account's positions and P&L again from its fills and cash entries."""

    account_id: AccountId = Field(description="id of the exchange account")
    from_: date | None = Field(
        default=None, alias="from", description="first UTC day, YYYY-MM-DD; null for all"
    )


def run(context: Context, arguments: Model) -> None:
    """Starts the operator job that `fleet rebuild` starts; its id is the answer.

    It rebuilds every day, whatever `from` says: a day that was right comes out as it was, and one
    before it that was not would make all after it wrong.
    """
    # RQ reads its prefix when it is imported, so only here.
    from workers.jobs.operator import enqueue  # noqa: PLC0415

    wanted = {"account": arguments.account_id}
    job = enqueue(context.settings, "rebuild", wanted, actor="laravel")
    context.record(arguments.model_dump_json(by_alias=True), {"state": "queued", "job": job})
