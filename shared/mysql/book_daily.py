"""Daily P&L as exact differences: what a batch adds to each row, and the rows that may be gone
after it.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.ledger.cash import DAILY_COLUMN, CashEntry
from shared.ledger.days import day_of, day_text
from shared.ledger.fill import Fill
from shared.ledger.money import LEDGER, ZERO
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_daily.sql"))

# Account, product, instrument, day, asset.
DailyKey = tuple[int, str, str, int, str]
_REALIZED, _FEES, _FUNDING, _OTHER, _FILLS, _ENTRIES = range(6)
_COLUMNS = {"funding": _FUNDING, "other": _OTHER}


class Daily:
    """Collects the differences of one batch; `flush` writes them."""

    def __init__(self) -> None:
        self._changes: dict[DailyKey, list[Any]] = {}
        self._emptied: set[DailyKey] = set()

    def fill(self, fill: Fill, sign: int) -> None:
        """A fill appears (+1) or goes (-1): it counts in its settle asset, its fee in the fee's
        own.
        """
        day = day_of(fill.executed_at_ms)
        key = (fill.account_id, fill.product, fill.instrument, day, fill.settle_asset)
        row = self._row(key)
        row[_FILLS] += sign
        row[_ENTRIES] += sign
        if sign < 0:
            self._emptied.add(key)
        if fill.fee:
            asset = fill.fee_asset or fill.settle_asset
            self._amount((*key[:4], asset), _FEES, fill.fee, sign)

    def cash(self, entry: CashEntry, sign: int) -> None:
        column = DAILY_COLUMN.get(entry.kind)
        if column is not None and entry.amount:
            day = day_of(entry.at_ms)
            key = (entry.account_id, entry.product, entry.instrument, day, entry.asset)
            self._amount(key, _COLUMNS[column], entry.amount, sign)

    def realized(self, key: DailyKey, amount: Decimal, *, may_empty: bool = False) -> None:
        """Adds to a row that its fills keep alive, unless they have gone."""
        if amount:
            row = self._row(key)
            row[_REALIZED] = LEDGER.add(row[_REALIZED], amount)
        if may_empty:
            self._emptied.add(key)

    def flush(self, rows: Rows) -> None:
        changes = sorted((key, row) for key, row in self._changes.items() if any(row))
        rows.write(SQL["add"], ((*k[:3], day_text(k[3]), k[4], *row) for k, row in changes))
        emptied = [(*k[:3], day_text(k[3]), k[4]) for k in sorted(self._emptied)]
        rows.change(SQL["remove_empty"], emptied)
        self._changes, self._emptied = {}, set()

    def _amount(self, key: DailyKey, column: int, amount: Decimal, sign: int) -> None:
        row = self._row(key)
        row[column] = (LEDGER.add if sign > 0 else LEDGER.subtract)(row[column], amount)
        row[_ENTRIES] += sign
        if sign < 0:
            self._emptied.add(key)

    def _row(self, key: DailyKey) -> list[Any]:
        row = self._changes.get(key)
        if row is None:
            row = self._changes[key] = [ZERO, ZERO, ZERO, ZERO, 0, 0]
        return row
