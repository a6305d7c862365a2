"""What exchanges report of positions and balances: one row per watermark, the smallest stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.ledger.days import time_text
from shared.ledger.identity import observed_identity
from shared.ledger.observed import (
    ObservedBalance,
    ObservedPosition,
    balance_conflicts,
    balance_rank,
    position_conflicts,
    position_rank,
)
from shared.mysql.book_breaks import BreakKey, Details, open_breaks
from shared.mysql.book_entries import keys_of, stand
from shared.mysql.book_rows import Rows
from shared.mysql.prices import StoredPrice, write_prices
from shared.queries import load

SQL = load(Path(__file__).with_name("book_observed.sql"))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION_KEY, _BALANCE_KEY = 5, 4  # the first fields


def record_observed_positions(rows: Rows, reports: Sequence[ObservedPosition]) -> None:
    """A mark price that comes with a report is kept as a price, too."""
    found = rows.read(SQL["read_positions"], keys_of(reports, _POSITION_KEY))
    stored = map(ObservedPosition._make, found)
    changed, breaks = stand(stored, reports, _POSITION_KEY, position_rank, position_conflicts)
    written = [report for _, report in changed]
    rows.write(SQL["write_positions"], ((*one, time_text(one.watermark_ms)) for one in written))
    write_prices(rows, _marks(written))
    rows.write(SQL["due"], keys_of(written, 1))
    named: dict[BreakKey, Details] = {
        (report.account_id, observed_identity(*report.key)): details for report, details in breaks
    }
    open_breaks(rows, "observed_conflict", named)


def _marks(reports: Sequence[ObservedPosition]) -> Iterator[StoredPrice]:
    for one in reports:
        if one.mark_price:
            at = _EPOCH + timedelta(milliseconds=one.watermark_ms)
            place = (one.venue, one.product, one.instrument, "mark", at)
            yield StoredPrice(*place, one.mark_price, None, None, "observed")


def record_observed_balances(rows: Rows, reports: Sequence[ObservedBalance]) -> None:
    found = rows.read(SQL["read_balances"], keys_of(reports, _BALANCE_KEY))
    stored = map(ObservedBalance._make, found)
    changed, breaks = stand(stored, reports, _BALANCE_KEY, balance_rank, balance_conflicts)
    written = [report for _, report in changed]
    rows.write(SQL["write_balances"], ((*one, time_text(one.watermark_ms)) for one in written))
    rows.write(SQL["due"], keys_of(written, 1))
    named: dict[BreakKey, Details] = {
        (report.account_id, observed_identity(*report.key)): details for report, details in breaks
    }
    open_breaks(rows, "observed_conflict", named)
