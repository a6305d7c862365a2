"""Reports of positions and wallets get fewer as they grow old: one an hour, later one a day.

Once a UTC day all accounts are gone through, each looked at where a limit has passed over since
the time before. A run that ends early is taken up by the next. What a report said of the price
stays in fleet_prices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import DAY_MS, day_number
from shared.mysql.book import Book
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("observed_retention.sql"))

HOUR_MS = 3_600_000
ALL_DAYS = 7
"""Younger than so many days every report stays."""
HOURLY_DAYS = 90
"""Then the last of each hour, up to here; then the last of each day."""
ROWS_AT_ONCE = 5_000
RUN_SECONDS = 200.0


class Progress(NamedTuple):
    """done: the day of the last pass that ended, None before the first. day: of the pass that is
    under way; account: it has come so far.
    """

    done: int | None
    day: int
    account: int


class _Kind(NamedTuple):
    """Statements of one table."""

    keys: str
    watermarks: str
    remove: str


_POSITIONS = _Kind(SQL["positions"], SQL["position_watermarks"], SQL["remove_positions"])
_WALLETS = _Kind(SQL["wallets"], SQL["wallet_watermarks"], SQL["remove_wallets"])


def superfluous(watermarks: Sequence[int], keep: Collection[int], day: int) -> list[int]:
    """Which reports of one thing may go on a day. Pure. watermarks: in order, all of each day that
    occurs among them; keep: never these.
    """

    def period(at_ms: int) -> tuple[int, int]:
        length = DAY_MS if at_ms < (day - HOURLY_DAYS) * DAY_MS else HOUR_MS
        return length, at_ms // length

    old = [at_ms for at_ms in watermarks if at_ms < (day - ALL_DAYS) * DAY_MS]
    last = {period(at_ms): at_ms for at_ms in old}
    return [at_ms for at_ms in old if last[period(at_ms)] != at_ms and at_ms not in keep]


def thin_observed(connection: Any, now: datetime, out_of_time: Callable[[], bool]) -> int:
    """Go on with the pass of the day; returns the reports deleted. Commits account by account.

    out_of_time: asked between two accounts.
    """
    removed = 0
    today = day_number(now.date())
    progress = _read_progress(connection) or Progress(None, today, -1)
    while not out_of_time():
        if progress.done == progress.day:
            if progress.day >= today:
                break
            progress = Progress(progress.done, today, -1)
        account_id = _next_account(connection, progress.account)
        if account_id is None:
            progress = progress._replace(done=progress.day)
        else:
            for kind in (_POSITIONS, _WALLETS):
                removed += _thin_account(connection, kind, account_id, progress)
            progress = progress._replace(account=account_id)
        with transaction(connection) as cursor:
            cursor.execute(SQL["remember"], (json.dumps(progress),))
    return removed


def _thin_account(connection: Any, kind: _Kind, account_id: int, progress: Progress) -> int:
    keys = Rows(connection).run(kind.keys, (account_id,))
    connection.commit()
    removed = 0
    for *words, first_ms, newest_ms in keys:
        key = (account_id, *words)
        while True:
            with transaction(connection):
                # Whoever opens a break or an opening holds the same lock.
                Book(connection).lock_accounts([account_id])
                rows = Rows(connection)
                keep = {first_ms, newest_ms, *_named(rows, account_id)}
                found = rows.run(kind.watermarks, (*key, *_windows(progress)))
                doomed = superfluous([at_ms for (at_ms,) in found], keep, progress.day)
                doomed = doomed[:ROWS_AT_ONCE]
                rows.change(kind.remove, [(*key, at_ms) for at_ms in doomed])
                rows.flush()
            removed += len(doomed)
            if len(doomed) < ROWS_AT_ONCE:
                break
    return removed


def _windows(progress: Progress) -> tuple[int, int, int, int]:
    """Two spans of time: what has become older than each limit since the pass before."""
    spans: list[int] = []
    for days in (ALL_DAYS, HOURLY_DAYS):
        since = 0 if progress.done is None else max(progress.done - days, 0) * DAY_MS
        spans += (since, max(progress.day - days, 0) * DAY_MS)
    return (spans[0], spans[1], spans[2], spans[3])


def _named(rows: Rows, account_id: int) -> set[int]:
    """Watermarks that breaks and openings of the account name, of whatever thing."""
    named = {at_ms for (at_ms,) in rows.run(SQL["openings"], (account_id,))}
    for identity, details in rows.run(SQL["named"], (account_id,)):
        named.update(part for part in json.loads(identity) if isinstance(part, int))
        told: dict[str, Any] = json.loads(details)
        for name, value in told.items():
            if name.endswith("_ms"):
                named.update(map(int, value if isinstance(value, list) else [value]))
    return named


def _next_account(connection: Any, account_id: int) -> int | None:
    cursor = connection.cursor()
    cursor.execute(SQL["next_account"], (account_id,))
    (found,) = cursor.fetchone()
    connection.commit()
    return None if found is None else int(found)


def _read_progress(connection: Any) -> Progress | None:
    cursor = connection.cursor()
    cursor.execute(SQL["progress"])
    found = cursor.fetchone()
    connection.commit()
    return None if found is None else Progress(*json.loads(found[0]))
