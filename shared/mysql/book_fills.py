"""Recording fills: reports in, merged fills, positions, days and daily rows out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from shared.ledger.days import time_text
from shared.ledger.fill import Fill, FillReport, merge, order_key, read_report
from shared.ledger.identity import fill_identity
from shared.ledger.money import LEDGER
from shared.ledger.orders import OrderReport
from shared.ledger.position import FLAT, base_fee, fold
from shared.mysql import book_positions
from shared.mysql.book_breaks import BreakKey, Details, open_breaks
from shared.mysql.book_daily import Daily
from shared.mysql.book_folds import Late, settle
from shared.mysql.book_positions import (
    Position,
    PositionKey,
    day_tuple,
    position_at,
    read_positions,
    write_positions,
)
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_fills.sql"))

# Account, product, instrument, trade id, side.
FillKey = tuple[int, str, str, str, str]
Told = dict[FillKey, dict[bytes, FillReport]]


class Merged(NamedTuple):
    """A batch against the book. unseen: reports that are new to it; fresh: fills that are;
    changed: a fill before and after its new reports; told: all reports of each of these fills.
    """

    unseen: list[FillReport]
    fresh: list[Fill]
    changed: list[tuple[Fill, Fill]]
    conflicts: dict[BreakKey, Details]
    told: list[Collection[FillReport]]


def record_fills(
    rows: Rows, daily: Daily, reports: Sequence[FillReport], inline_fills: int
) -> list[OrderReport]:
    """Applies reports; returns what they tell about orders. Accounts are locked by the caller."""
    told: Told = {}
    for report in reports:
        told.setdefault(report[:5], {}).setdefault(report.report_hash, report)
    merged = _merge(rows, told)
    rows.write(SQL["write_reports"], ((*r[:5], r.report_hash, r.data) for r in merged.unseen))
    written = sorted([*merged.fresh, *(after for _, after in merged.changed)], key=_fill_key)
    rows.write(SQL["write_fills"], ((*f, time_text(f.executed_at_ms)) for f in written))
    for fill in merged.fresh:
        daily.fill(fill, +1)
    for before, after in merged.changed:
        daily.changed(before, after)
    _advance(rows, daily, merged, inline_fills)
    open_breaks(rows, "fill_conflict", merged.conflicts)
    return [order for reports in merged.told for order in _orders(reports)]


def _fill_key(fill: Fill) -> FillKey:
    return fill[:5]


def _merge(rows: Rows, told: Told) -> Merged:
    stored: dict[FillKey, set[bytes]] = {}
    for row in rows.read(SQL["read_reports"], sorted(told)):
        stored.setdefault(row[:5], set()).add(row[5])
    result = Merged([], [], [], {}, [])
    again = []
    for key, by_hash in sorted(told.items()):  # in the order of the key: neighbours share pages
        seen = stored.get(key)
        if seen is None:
            result.unseen.extend(by_hash.values())
            fill, conflicts = merge(by_hash.values())
            result.fresh.append(fill)
            result.told.append(by_hash.values())
            _note(result, key, conflicts)
        elif by_hash.keys() - seen:
            result.unseen.extend(by_hash[digest] for digest in sorted(by_hash.keys() - seen))
            again.append(key)
    if again:
        _merge_again(rows, told, again, result)
    return result


def _merge_again(rows: Rows, told: Told, keys: list[FillKey], result: Merged) -> None:
    keys = sorted(keys)
    before = {row[:5]: Fill._make(row) for row in rows.read(SQL["read_fills"], keys)}
    reports: Told = {}
    for row in rows.read(SQL["read_report_data"], keys):
        report = read_report(row[5])
        reports.setdefault(row[:5], {})[report.report_hash] = report
    for key in keys:
        # The batch's own reports are read from their JSON too, so that all are read in one way.
        for digest, report in told[key].items():
            reports[key][digest] = read_report(report.data)
        fill, conflicts = merge(reports[key].values())
        result.changed.append((before[key], fill))
        result.told.append(reports[key].values())
        _note(result, key, conflicts)


def _note(result: Merged, key: FillKey, conflicts: Details) -> None:
    if conflicts:
        result.conflicts[(key[0], fill_identity(*key))] = conflicts


def _advance(rows: Rows, daily: Daily, merged: Merged, inline_fills: int) -> None:
    """Moves positions on: forward where all fills are newer than the position, by a new fold
    elsewhere.
    """
    fresh: dict[PositionKey, list[Fill]] = {}
    for fill in merged.fresh:
        fresh.setdefault(_position_key(fill), []).append(fill)
    changed: dict[PositionKey, list[int]] = {}
    for before, after in merged.changed:
        if _folded(before) != _folded(after):
            for fill in (before, after):
                changed.setdefault(_position_key(fill), []).append(fill.executed_at_ms)
    positions = read_positions(rows, {*fresh, *changed})
    late: list[Late] = []
    moved: list[Position] = []
    days: list[tuple[object, ...]] = []
    for key in sorted({*fresh, *changed}):
        position, fills = positions.get(key), fresh.get(key, [])
        if key not in changed and _is_forward(position, fills):
            fills.sort(key=order_key)
            moved.append(_forward(daily, key, position, fills, days))
        else:
            times = [fill.executed_at_ms for fill in fills] + changed.get(key, [])
            late.append(Late(key, position, min(times), max(times), len(times)))
    write_positions(rows, moved)
    rows.write(book_positions.SQL["add_days"], days)
    if late:
        settle(rows, daily, late, inline_fills)


def _position_key(fill: Fill) -> PositionKey:
    return (fill.account_id, fill.product, fill.instrument, fill.position_side)


def _folded(fill: Fill) -> tuple[object, ...]:
    """Everything of a fill that a position or its days show."""
    return (
        fill.position_side, fill.qty, fill.value, fill.executed_at_ms, fill.venue_seq,
        fill.settle_asset, fill.contract_size, fill.venue,
        base_fee(fill) if fill.product == "spot" else None,
    )  # fmt: skip


def _is_forward(position: Position | None, fills: Iterable[Fill]) -> bool:
    if position is None:
        return True
    if position.restating_from_ms is not None:
        return False
    return all(order_key(fill) > position.last for fill in fills)


def _forward(
    daily: Daily,
    key: PositionKey,
    position: Position | None,
    fills: Sequence[Fill],
    days: list[tuple[object, ...]],
) -> Position:
    state = FLAT if position is None else position.state
    folded = fold(state, fills, key[1])
    for day, day_rows in folded.days:
        for asset, row in day_rows.items():
            days.append(day_tuple(key, day, row))
            daily.realized((key[0], key[1], key[2], day, asset), row.realized)
    realized, count = folded.realized, len(fills)
    if position is not None:
        realized, count = LEDGER.add(position.realized, realized), position.fills + count
    return position_at(key, fills[-1], folded.state, realized, count)


def _orders(reports: Collection[FillReport]) -> list[OrderReport]:
    """What the reports of one fill tell about its order. Its time is told by all of them, and not
    each of them names the order.
    """
    times = [report.executed_at_ms for report in reports]
    first, last = min(times), max(times)
    return [
        OrderReport(
            r.account_id, r.product, r.instrument, r.order_id, r.client_order_id, r.venue, "filled",
            r.executed_at_ms, r.side, signal_id=r.signal_id, strategy=r.strategy,
            first_fill_ms=first, last_fill_ms=last,
        )
        for r in reports
        if r.order_id is not None or r.client_order_id is not None
    ]  # fmt: skip
