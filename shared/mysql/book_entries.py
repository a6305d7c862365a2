"""Cash entries and signals: one row per identity, the smallest report stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shared.ledger.cash import CashEntry, cash_rank, conflicts, union
from shared.ledger.days import time_text
from shared.ledger.identity import cash_identity, signal_identity
from shared.ledger.signals import SignalReport, signal_conflicts, signal_rank
from shared.mysql.book_breaks import BreakKey, Details, open_breaks
from shared.mysql.book_daily import Daily
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_entries.sql"))

E = TypeVar("E", CashEntry, SignalReport)


def record_cash(rows: Rows, daily: Daily, entries: Sequence[CashEntry]) -> None:
    stored = (CashEntry._make(row) for row in rows.read(SQL["read_cash"], _keys(entries, 5)))
    changed, breaks = _stand(stored, entries, 5, cash_rank, conflicts)
    for before, entry in changed:
        if before is not None:
            daily.cash(before, -1)
        daily.cash(entry, +1)
    rows.write(SQL["write_cash"], ((*entry, time_text(entry.at_ms)) for _, entry in changed))
    named: dict[BreakKey, Details] = {
        (entry.account_id, cash_identity(*entry[:5])): details for entry, details in breaks
    }
    open_breaks(rows, "cash_conflict", named)


def record_signals(rows: Rows, signals: Sequence[SignalReport]) -> None:
    stored = (SignalReport._make(row) for row in rows.read(SQL["read_signals"], _keys(signals, 4)))
    changed, breaks = _stand(stored, signals, 4, signal_rank, signal_conflicts)
    write = ((*signal, time_text(signal.received_at_ms)) for _, signal in changed)
    rows.write(SQL["write_signals"], write)
    named: dict[BreakKey, Details] = {
        (None, signal_identity(*signal[:4])): details for signal, details in breaks
    }
    open_breaks(rows, "signal_conflict", named)


def _keys(entries: Iterable[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return sorted({entry[:width] for entry in entries})


def _stand(
    stored: Iterable[E],
    entries: Sequence[E],
    width: int,
    rank: Callable[[E], Any],
    compare: Callable[[E, E], Details],
) -> tuple[list[tuple[E | None, E]], list[tuple[E, Details]]]:
    """Which entries must be written, each beside the one it replaces, and the conflicts found."""
    before = {entry[:width]: entry for entry in stored}
    standing = dict(before)
    found: dict[tuple[Any, ...], Details] = {}
    for entry in entries:
        key = entry[:width]
        other = standing.get(key)
        if other is not None and other.report_hash == entry.report_hash:
            continue
        if other is not None:
            details = compare(other, entry)
            if details:
                found[key] = union([details, found.get(key, {})])
            if rank(other) <= rank(entry):
                continue
        standing[key] = entry
    changed = [
        (before.get(key), entry)
        for key, entry in sorted(standing.items())
        if before.get(key) is not entry
    ]
    return changed, [(standing[key], details) for key, details in sorted(found.items())]
