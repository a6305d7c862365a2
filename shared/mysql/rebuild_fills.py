"""Fills again from their verbatim reports: what a rebuild can do when fleet_fills itself is wrong
or gone.

Only rows of fleet_fills are written, under the account's lock. Positions and days follow with the
rebuild that comes after it; booked one by one, fills that were counted already would be counted
twice until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import day_of, day_text, time_text
from shared.ledger.fill import Fill, FillReport, merge, read_report
from shared.mysql.book import Book
from shared.mysql.book_daily import SQL as DAILY_SQL
from shared.mysql.book_fills import SQL as FILLS_SQL
from shared.mysql.book_fills import FillKey
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("rebuild_fills.sql"))

FILLS_AT_ONCE = 2_000
# Product, instrument, trade id, side: of the last fill that was looked at.
Place = tuple[str, str, str, str]
FIRST: Place = ("", "", "", "")


class Merged(NamedTuple):
    """A page of fills. next: where the following one begins, None when there is none."""

    fills: int
    repaired: int
    next: Place | None


def merge_again(connection: Any, account_id: int, after: Place = FIRST) -> Merged:
    """Merges the account's next fills from their reports, and mends rows that say something else.

    Locks the account only where something is to be mended.
    """
    with transaction(connection):
        rows = Rows(connection)
        keys = _next_keys(rows, account_id, after)
        if _differing(rows, keys):
            connection.commit()
            Book(connection).lock_accounts([account_id])
            repaired = _mend(rows, keys)
        else:
            repaired = 0
    following = keys[-1][1:] if len(keys) == FILLS_AT_ONCE else None
    return Merged(len(keys), repaired, following)


def _next_keys(rows: Rows, account_id: int, after: Place) -> list[FillKey]:
    product, instrument, trade_id, side = after
    place = (product, product, instrument, instrument, trade_id, trade_id, side)
    return [row[:5] for row in rows.run(SQL["next_keys"], (account_id, *place, FILLS_AT_ONCE))]


def _differing(rows: Rows, keys: Sequence[FillKey]) -> list[tuple[Fill | None, Fill]]:
    """Fills as they stand, None for none, beside what their reports say, where these differ."""
    stored = {row[:5]: Fill._make(row) for row in rows.read(FILLS_SQL["read_fills"], keys)}
    reports: dict[FillKey, list[FillReport]] = {key: [] for key in keys}
    for row in rows.read(FILLS_SQL["read_report_data"], keys):
        reports[row[:5]].append(read_report(row[5]))
    told = ((stored.get(key), merge(reports[key])[0]) for key in keys)
    return [(stands, fill) for stands, fill in told if stands != fill]


def _mend(rows: Rows, keys: Sequence[FillKey]) -> int:
    found = _differing(rows, keys)
    written = ((*fill, time_text(fill.executed_at_ms)) for _, fill in found)
    rows.write(FILLS_SQL["write_fills"], written)
    days = {
        (*fill[:3], day_text(day_of(fill.executed_at_ms)))
        for pair in found
        for fill in pair
        if fill is not None
    }
    rows.change(DAILY_SQL["attribute_again"], sorted(days))
    rows.flush()
    return len(found)
