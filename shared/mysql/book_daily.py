"""Daily P&L as exact differences: what a batch adds to each row, and the rows that may be gone
after it. What changes a closed day leaves the figures that stood there as a restatement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.ledger.cash import DAILY_COLUMN, CashEntry
from shared.ledger.days import day_number, day_of, day_text
from shared.ledger.fill import Fill
from shared.ledger.money import LEDGER, ZERO
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_daily.sql"))

# Account, product, instrument, day, asset.
DailyKey = tuple[int, str, str, int, str]
_REALIZED, _FEES, _FUNDING, _OTHER, _FILLS, _ENTRIES = range(6)
CAUSES_KEPT = 20
_COLUMNS = {"funding": _FUNDING, "other": _OTHER}


AccountInstrument = tuple[int, str, str]  # with the product between
# Identities of what came, of every account's instrument in the batch.
Causes = Callable[[], Mapping[AccountInstrument, Collection[str]]]


class Closed:
    """The last closed day, as this transaction sees it. Once asked, no day closes before it ends:
    a change is either in the figures of the close, or restates them.
    """

    def __init__(self) -> None:
        self._through: int | None = None
        self._batch: str | None = None

    def through(self, rows: Rows) -> int:
        """Its number; below every day while none is closed."""
        if self._through is None:
            found = rows.run(SQL["closed_through"])
            text = found[0][0] if found else ""
            self._through = day_number(date.fromisoformat(text)) if text else -1
        return self._through

    @property
    def batch(self) -> str:
        """What the restatements of this transaction have in common."""
        if self._batch is None:
            self._batch = uuid4().hex
        return self._batch


class Daily:
    """Collects the differences of one batch; `flush` writes them.

    causes: what came with the batch; asked once, and only where a closed day is restated.
    """

    def __init__(self, causes: Causes) -> None:
        self._causes = causes
        self._changes: dict[DailyKey, list[Any]] = {}
        self._emptied: set[DailyKey] = set()
        self._parts: set[tuple[int, str, str, int]] = set()

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

    def changed(self, before: Fill, after: Fill) -> None:
        """A fill that was booked is known better now."""
        self.fill(before, -1)
        self.fill(after, +1)
        if _attributed(before) != _attributed(after):
            for fill in (before, after):
                self.parts(fill[:3], day_of(fill.executed_at_ms))

    def parts(self, key: AccountInstrument, day: int) -> None:
        """The parts of a day may be others now, even where its sums are not."""
        self._parts.add((*key, day))

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

    def flush(self, rows: Rows, closed: Closed) -> None:
        changes = sorted((key, row) for key, row in self._changes.items() if any(row))
        if changes:
            self._restate(rows, closed, changes)
        rows.write(SQL["add"], ((*k[:3], day_text(k[3]), k[4], *row) for k, row in changes))
        emptied = [(*k[:3], day_text(k[3]), k[4]) for k in sorted(self._emptied)]
        rows.change(SQL["remove_empty"], emptied)
        maybe_gone = [(*k[:3], day_text(k[3]), k[4]) for k, _ in changes if k in self._emptied]
        rows.change(SQL["remove_parts"], maybe_gone)
        rows.change(SQL["remove_rounding"], maybe_gone)
        written = {key[:4] for key, _ in changes if key not in self._emptied}
        parts = [(*k[:3], day_text(k[3])) for k in sorted(self._parts - written)]
        rows.change(SQL["attribute_again"], parts)
        self._changes, self._emptied, self._parts = {}, set(), set()

    def _restate(
        self, rows: Rows, closed: Closed, changes: Sequence[tuple[DailyKey, list[Any]]]
    ) -> None:
        through = closed.through(rows)
        keys = [key for key, row in changes if key[3] <= through and any(row[:_ENTRIES])]
        if not keys:
            return
        texts = [(*key[:3], day_text(key[3]), key[4]) for key in keys]
        stood = {row[:5]: row[5:] for row in rows.read(SQL["figures"], texts)}
        causes = {key: _told(found) for key, found in self._causes().items()}
        rows.write(
            SQL["restate"],
            ((closed.batch, *text, *stood.get(text, _NO_ROW), causes.get(text[:3], _NO_CAUSE))
             for text in texts),
        )  # fmt: skip

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


def _told(identities: Collection[str]) -> str:
    """The first of them as JSON, and how many more there are."""
    told: dict[str, Any] = {"identities": sorted(identities)[:CAUSES_KEPT]}
    if len(identities) > CAUSES_KEPT:
        told["more"] = len(identities) - CAUSES_KEPT
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


_NO_ROW = (0, ZERO, ZERO, ZERO, ZERO, 0)  # version and figures
_NO_CAUSE = _told(())


def _attributed(fill: Fill) -> tuple[object, ...]:
    """Everything of a fill that its part of a day shows; what the fold reads is seen to there."""
    return (
        fill.signal_id, fill.strategy, fill.order_id, fill.client_order_id, fill.kind, fill.fee,
        fill.fee_asset, fill.settle_asset, fill.executed_at_ms, fill.reported_realized,
    )  # fmt: skip
