"""Jobs towards Laravel: what Python dispatches and a PHP worker runs. One class, one row.

Off until Laravel says that it has the class (FLEET_LARAVEL_JOBS, written by `fleet:export`): a
PHP worker that meets an unknown class fails the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from workers.laravel_jobs.arguments import I63_LIMIT, AccountId, Arguments

ACCOUNTS_PER_JOB = 500
"""A day's end of 100,000 accounts is 200 jobs, each of some 4 KB."""
DAYS_PER_JOB = 100
CAUSES_PER_JOB = 20


class DayClosed(Arguments):
    """A UTC day is closed for these accounts: their daily P&L is final unless it is restated."""

    day: date = Field(description="the UTC day, YYYY-MM-DD")
    account_ids: Annotated[list[AccountId], Field(min_length=1, max_length=ACCOUNTS_PER_JOB)] = (
        Field(description="ids of the exchange accounts, 500 at most")
    )


class DayRestated(Arguments):
    """Something late has changed closed days of an account: read their daily P&L again."""

    account_id: AccountId = Field(description="id of the exchange account")
    days: Annotated[list[date], Field(min_length=1, max_length=DAYS_PER_JOB)] = Field(
        description="the UTC days, YYYY-MM-DD, in order; where there are 100, there may be more"
    )
    causes: Annotated[list[str], Field(max_length=CAUSES_PER_JOB)] = Field(
        description="identities of what came late, 20 at most"
    )


class PositionDiverged(Arguments):
    """Our books and the exchange disagree; the break says where."""

    break_id: Annotated[int, Field(strict=True, ge=1, lt=I63_LIMIT)] = Field(
        description="id in fleet_breaks"
    )


class AccountSuspended(Arguments):
    """An account is not synced any more, for example because its key was refused."""

    account_id: AccountId = Field(description="id of the exchange account")
    reason: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=512)] = Field(
        description="one sentence for the account's owner"
    )


NAMESPACE = "App\\Jobs\\Fleet\\"

OUTGOING: Mapping[str, type[Arguments]] = {
    f"{NAMESPACE}DayClosed": DayClosed,
    f"{NAMESPACE}DayRestated": DayRestated,
    f"{NAMESPACE}PositionDiverged": PositionDiverged,
    f"{NAMESPACE}AccountSuspended": AccountSuspended,
}
