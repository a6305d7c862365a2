r"""App\Jobs\Fleet\SyncAccount: ask the exchange now what this account holds and did."""

from __future__ import annotations

from pydantic import Field

from workers.laravel_jobs.arguments import AccountId, Arguments
from workers.laravel_jobs.context import Context
from workers.sync import planner


class Model(Arguments):
    """Ask the exchange now what an account holds and did, instead of at the next schedule."""

    account_id: AccountId = Field(description="id of the exchange account")


def run(context: Context, arguments: Model) -> None:
    """Its turn is now; the sync takes it from there. An account that is not synced is no error: it
    may be suspended, switched off, or newer than beat's last look.
    """
    asked = planner.ask_now(context.mysql(), [arguments.account_id])
    answer = {"state": "due" if asked else "not_synced"}
    context.record(arguments.model_dump_json(by_alias=True), answer)
