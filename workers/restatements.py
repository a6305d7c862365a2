"""What changed closed days is told to Laravel: DayRestated, once per account and batch.

A batch is one transaction of the books; it left the figures as they stood in fleet_restatements.
The dispatch and the mark on its rows are one transaction, so a crash tells nothing twice and
loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from shared import telemetry
from shared.mysql.connection import transaction
from shared.queries import load
from shared.settings import Settings
from workers.dispatches import dispatch
from workers.laravel_jobs.arguments import I63_LIMIT
from workers.laravel_jobs.outgoing import CAUSES_PER_JOB, DAYS_PER_JOB, DayRestated

SQL = load(Path(__file__).with_name("restatements.sql"))

AT_ONCE = 100
"""Of one transaction."""
MOST_OF_A_RUN = 2_000

_log = telemetry.log(__name__)


class Restated(NamedTuple):
    """What one batch changed of one account."""

    account_id: int
    batch: str


def announce(connection: Any, settings: Settings) -> int:
    """Tell what waits, oldest first; returns how many accounts and batches. Commits.

    What comes up while Laravel has no DayRestated is marked all the same: installed later, the
    class is told of what is new.
    """
    told = 0
    while told < MOST_OF_A_RUN:
        with transaction(connection) as cursor:
            claimed = _claim(cursor)
            for restated in claimed:
                _tell(connection, settings, restated)
        told += len(claimed)
        if len(claimed) < AT_ONCE:
            break
    return told


def _claim(cursor: Any) -> list[Restated]:
    cursor.execute(SQL["waiting"], (AT_ONCE,))
    heads = [head for (head,) in cursor.fetchall()]
    if not heads:
        return []
    cursor.execute(SQL["claim"], (heads,))
    return [Restated(*row) for row in cursor.fetchall()]


def _tell(connection: Any, settings: Settings, restated: Restated) -> None:
    cursor = connection.cursor()
    cursor.execute(SQL["days"], (*restated, DAYS_PER_JOB))
    days = [day for (day,) in cursor.fetchall()]
    cursor.execute(SQL["causes"], (*restated, CAUSES_PER_JOB))
    causes = identities(cause for (cause,) in cursor.fetchall())
    sent = None
    if restated.account_id < I63_LIMIT:  # Laravel has no account beyond
        job = DayRestated(account_id=restated.account_id, days=days, causes=causes)
        sent = dispatch(connection, settings, job)
    cursor.execute(SQL["mark"], restated)
    _log.info("day_restated", **restated._asdict(), first=str(days[0]), days=len(days), job=sent)


def identities(causes: Iterable[str]) -> list[str]:
    """The first CAUSES_PER_JOB identities that these causes name, each once."""
    named = (one for cause in causes for one in json.loads(cause)["identities"])
    return list(dict.fromkeys(named))[:CAUSES_PER_JOB]
