r"""App\Jobs\Fleet\SyncAccount: ask the exchange now what this account holds and did."""

from __future__ import annotations

from pydantic import Field

from workers.laravel_jobs.arguments import AccountId, Arguments
from workers.laravel_jobs.context import Context


class Model(Arguments):
    """Ask the exchange now what an account holds and did, instead of at the next schedule."""

    account_id: AccountId = Field(description="id of the exchange account")


def run(context: Context, arguments: Model) -> None:
    """Recorded; the sync of exchanges takes it from there."""
    context.record(arguments.model_dump_json(by_alias=True), {"state": "recorded"})
