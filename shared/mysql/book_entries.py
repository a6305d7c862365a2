"""Cash, position entries and signals: one row per identity, the smallest report stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shared.ledger.cash import CashEntry, cash_rank, conflicts, union
from shared.ledger.days import time_text
from shared.ledger.entries import PositionEntry, entry_conflicts, entry_rank, holding_move
from shared.ledger.identity import cash_identity, entry_identity, signal_identity
from shared.ledger.observed import ObservedBalance, ObservedPosition
from shared.ledger.signals import SignalReport, signal_conflicts, signal_rank
from shared.mysql.book_breaks import BreakKey, Details, open_breaks
from shared.mysql.book_daily import Daily
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_entries.sql"))

E = TypeVar("E", CashEntry, PositionEntry, SignalReport, ObservedPosition, ObservedBalance)


Changed = list[tuple[E | None, E]]
"""Entries that were written, each beside the one that it replaced."""


def record_cash(rows: Rows, daily: Daily, entries: Sequence[CashEntry]) -> Changed[CashEntry]:
    stored = (CashEntry._make(row) for row in rows.read(SQL["read_cash"], keys_of(entries, 5)))
    changed, breaks = stand(stored, entries, 5, cash_rank, conflicts)
    for before, entry in changed:
        if before is not None:
            daily.cash(before, -1)
        daily.cash(entry, +1)
    rows.write(SQL["write_cash"], ((*entry, time_text(entry.at_ms)) for _, entry in changed))
    named: dict[BreakKey, Details] = {
        (entry.account_id, cash_identity(*entry[:5])): details for entry, details in breaks
    }
    open_breaks(rows, "cash_conflict", named)
    return changed


def move_holdings(
    rows: Rows, changed: Changed[CashEntry]
) -> list[tuple[PositionEntry | None, PositionEntry | None]]:
    """Position entries follow the cash entries that stand; returns those that changed."""
    moved = [
        (None if before is None else holding_move(before), holding_move(entry))
        for before, entry in changed
    ]
    moved = [pair for pair in moved if pair != (None, None)]
    kept = {after.key for _, after in moved if after is not None}
    gone = [before.key for before, _ in moved if before is not None and before.key not in kept]
    rows.change(SQL["remove_position_entries"], gone)
    write = ((*entry, time_text(entry.at_ms)) for _, entry in moved if entry is not None)
    rows.write(SQL["write_position_entries"], write)
    return moved


def record_position_entries(
    rows: Rows, entries: Sequence[PositionEntry]
) -> Changed[PositionEntry]:
    found = rows.read(SQL["read_position_entries"], keys_of(entries, 6))
    stored = (PositionEntry._make(row) for row in found)
    changed, breaks = stand(stored, entries, 6, entry_rank, entry_conflicts)
    write = ((*entry, time_text(entry.at_ms)) for _, entry in changed)
    rows.write(SQL["write_position_entries"], write)
    named: dict[BreakKey, Details] = {
        (entry.account_id, entry_identity(*entry.key)): details for entry, details in breaks
    }
    open_breaks(rows, "entry_conflict", named)
    return changed


def record_signals(rows: Rows, signals: Sequence[SignalReport]) -> None:
    found = rows.read(SQL["read_signals"], keys_of(signals, 4))
    stored = (SignalReport._make(row) for row in found)
    changed, breaks = stand(stored, signals, 4, signal_rank, signal_conflicts)
    write = ((*signal, time_text(signal.received_at_ms)) for _, signal in changed)
    rows.write(SQL["write_signals"], write)
    named: dict[BreakKey, Details] = {
        (None, signal_identity(*signal[:4])): details for signal, details in breaks
    }
    open_breaks(rows, "signal_conflict", named)


def keys_of(entries: Iterable[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    """Their identities: the first fields, sorted, each once."""
    return sorted({entry[:width] for entry in entries})


def stand(
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
