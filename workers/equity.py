"""Equity of every account at every full hour, as rows of fleet_equity.

A row says what the books said GRACE after its hour: what comes later changes the books and the
curve of shared/mysql/equity.py, and not the row. Accounts go by in chunks, each in a transaction
that also remembers how far the hour has come, so a run that ends early is taken up by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from shared import telemetry
from shared.ledger.money import AmountOverflow
from shared.mysql.connection import transaction
from shared.mysql.equity import EquityRow, equity_rows
from shared.queries import load

SQL = load(Path(__file__).with_name("equity.sql"))

GRACE = timedelta(minutes=3)
"""Fills and prices of the hour's last seconds are in the books by then."""
ACCOUNTS_AT_ONCE = 100
RUN_SECONDS = 200.0

_log = telemetry.log(__name__)


class Done(NamedTuple):
    """How far an hour has come. account: the last one that is written; None: all are."""

    at: datetime
    account: int | None


def snapshot_equity(connection: Any, now: datetime, out_of_time: Callable[[], bool]) -> int:
    """Go on with the last full hour; returns the rows written. Commits.

    out_of_time: asked between two chunks. An hour that was never begun is left out: its prices are
    known later, too, and the curve has them.
    """
    at = (now - GRACE).replace(minute=0, second=0, microsecond=0)
    written = 0
    while not out_of_time():
        connection.rollback()  # a level of isolation is set before a transaction begins
        connection.cursor().execute(SQL["one_view"])
        with transaction(connection) as cursor:
            done = _done(cursor)
            if done is None or done.at != at:
                done = Done(at, 0)
            if done.account is None:
                break
            cursor.execute(SQL["accounts"], (done.account, ACCOUNTS_AT_ONCE))
            ids = [account_id for (account_id,) in cursor.fetchall()]
            rows = _rows(connection, ids, at)
            cursor.execute(SQL["written_at"])
            (written_at,) = cursor.fetchone()
            cursor.executemany(SQL["write"], [(*row, written_at) for row in rows])
            last = ids[-1] if len(ids) == ACCOUNTS_AT_ONCE else None
            cursor.execute(SQL["remember"], (f"{at.isoformat()} {'' if last is None else last}",))
        written += len(rows)
    return written


def _done(cursor: Any) -> Done | None:
    cursor.execute(SQL["done"])
    found = cursor.fetchone()
    if found is None:
        return None
    at, _, account = found[0].partition(" ")
    return Done(datetime.fromisoformat(at).astimezone(UTC), int(account) if account else None)


def _rows(connection: Any, ids: Sequence[int], at: datetime) -> list[EquityRow]:
    """One account whose amounts no column can hold does not take the others with it."""
    try:
        return equity_rows(connection, ids, at)
    except AmountOverflow as overflow:
        if len(ids) == 1:
            _log.error("equity.overflow", account_id=ids[0], error=str(overflow))
            return []
        return [row for account_id in ids for row in _rows(connection, [account_id], at)]
