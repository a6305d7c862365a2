"""Positions and their days as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import day_number, day_text, time_text
from shared.ledger.entries import PLACE
from shared.ledger.fill import OrderKey, order_key
from shared.ledger.position import DayRow, State, Traded, average_entry
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_positions.sql"))

FOLD_CHUNK = 5_000  # fills read at once: about 3 MB
FIRST_CHUNK = 300  # of the first chunk: who wants a day's fills stops there
_CHECKPOINT_CHUNK = 16

# Account, product, instrument, position side.
PositionKey = tuple[int, str, str, str]


class Position(NamedTuple):
    """One row of fleet_positions. `realized` and `fills` are always the sums of its days."""

    key: PositionKey
    venue: str
    state: State
    realized: Decimal
    settle_asset: str
    contract_size: Decimal
    fills: int
    last: OrderKey
    restating_from_ms: int | None
    restating_fills: int


class FoldFill(NamedTuple):
    """What a fold reads of a stored fill, in the order of the query. Of an entry: `side` is its
    kind, `value` its cost, `trade_id` its ref.
    """

    executed_at_ms: int
    venue_seq: int
    trade_id: str
    side: str
    venue: str
    qty: Decimal
    value: Decimal
    fee: Decimal | None
    fee_asset: str | None
    base_asset: str | None
    settle_asset: str
    contract_size: Decimal


def position_at(
    key: PositionKey, last: Traded, state: State, realized: Decimal, fills: int
) -> Position:
    """A position with final figures, whose newest fill is `last`."""
    return Position(
        key, last.venue, state, realized, last.settle_asset, last.contract_size, fills,
        order_key(last), None, 0,
    )  # fmt: skip


def read_positions(rows: Rows, keys: Iterable[PositionKey]) -> dict[PositionKey, Position]:
    return {row[:4]: position_of(row) for row in rows.read(SQL["read"], sorted(keys))}


def position_of(row: tuple[Any, ...]) -> Position:
    """From the columns in the order of the query `read`."""
    return Position(
        row[:4], row[4], State(row[5], row[6], row[7]), row[8], row[9], row[10], row[11],
        (row[12], row[13], len(row[14].encode()), row[14].encode(), row[15]), row[16], row[17],
    )  # fmt: skip


def write_positions(rows: Rows, positions: Iterable[Position]) -> None:
    """Positions that moved on by newer fills."""
    rows.write(SQL["write"], (position_tuple(position) for position in positions))


def write_refolded(rows: Rows, positions: Iterable[Position]) -> None:
    """Positions where something older than their newest fill has changed, or waits to."""
    rows.write(SQL["write_refolded"], (position_tuple(position) for position in positions))


def position_tuple(position: Position) -> tuple[object, ...]:
    """The columns in the order of the query `write`."""
    ms, seq, _, trade_id, side = position.last
    state = position.state
    return (
        *position.key, position.venue, state.qty, state.cost, state.unknown_basis_qty,
        position.realized, position.settle_asset, position.contract_size, position.fills,
        average_entry(position.key[1], state, position.contract_size), time_text(ms), ms, seq,
        trade_id.decode(), side, position.restating_from_ms, position.restating_fills,
    )  # fmt: skip


def remove_position(rows: Rows, key: PositionKey) -> None:
    rows.run(SQL["remove"], key)


# ---- days


def day_tuple(key: PositionKey, day: int, row: DayRow) -> tuple[object, ...]:
    return (
        *key,
        day_text(day),
        row.settle_asset,
        *row.state,
        row.realized,
        row.fills,
        row.contract_size,
    )


def read_days(rows: Rows, key: PositionKey, first_day: int) -> dict[int, dict[str, DayRow]]:
    days: dict[int, dict[str, DayRow]] = {}
    for row in rows.run(SQL["read_days"], (*key, day_text(first_day))):
        day_row = DayRow(row[1], State(row[2], row[3], row[4]), row[5], row[6], row[7])
        days.setdefault(day_number(row[0]), {})[row[1]] = day_row
    return days


def checkpoint(rows: Rows, key: PositionKey, before_day: int) -> tuple[int, State] | None:
    """The newest day before `before_day` whose end state is known, and that state. A day in two
    settle assets does not say which of its rows is the later one, so it is no checkpoint.
    """
    while True:
        found = rows.run(SQL["days_before"], (*key, day_text(before_day), _CHECKPOINT_CHUNK))
        states: dict[int, list[State]] = {}
        for day, *state in found:
            states.setdefault(day_number(day), []).append(State(*state))
        whole = list(states)
        if len(found) == _CHECKPOINT_CHUNK:
            whole.pop()  # may go on beyond the chunk
        for day in whole:
            if len(states[day]) == 1:
                return day, states[day][0]
        if len(found) < _CHECKPOINT_CHUNK or not whole:
            return None
        before_day = whole[-1]


def fills_from_day(rows: Rows, key: PositionKey, day: int) -> int:
    return int(rows.run(SQL["fills_from_day"], (*key, day_text(day)))[0][0])


# ---- fills of a position


def fills_in_order(rows: Rows, key: PositionKey, from_ms: int) -> Iterator[FoldFill]:
    """The position's fills and entries from a time on, in their order; fills in chunks by key."""
    return fills_behind(rows, key, (from_ms, -(2**63), 0, b"", ""))


def fills_behind(rows: Rows, key: PositionKey, place: OrderKey) -> Iterator[FoldFill]:
    """The same, behind a place in the order."""
    ms, seq, size, trade_id, side = place
    fills = _stored_fills(rows, key, (ms, seq, size, trade_id.decode(), side))
    behind = [one for one in _entries(rows, key, ms) if order_key(one) > place]
    return merge(fills, sorted(behind, key=order_key), key=order_key) if behind else fills


def _entries(rows: Rows, key: PositionKey, from_ms: int) -> list[FoldFill]:
    """Few, so all at once."""
    return [entry_of(row) for row in rows.run(SQL["entries"], (*key, from_ms))]


def entry_of(row: tuple[Any, ...]) -> FoldFill:
    """From the columns in the order of the query `entries`."""
    kind, ref, venue, at_ms, qty, cost, size, asset = row
    return FoldFill(at_ms, PLACE[kind], ref, kind, venue, qty, cost, None, None, None, asset, size)


def _stored_fills(
    rows: Rows, key: PositionKey, after: tuple[int, int, int, str, str]
) -> Iterator[FoldFill]:
    limit = min(FIRST_CHUNK, FOLD_CHUNK)
    while True:
        ms, seq, size, trade_id, side = after
        place = (ms, ms, ms, seq, seq, size, size, trade_id, trade_id, side)
        chunk = rows.run(SQL["fills_in_order"], (*key, *place, limit))
        yield from map(FoldFill._make, chunk)
        if len(chunk) < limit:
            return
        limit = min(limit * 4, FOLD_CHUNK)
        last = FoldFill._make(chunk[-1])
        after = (
            last.executed_at_ms, last.venue_seq, len(last.trade_id.encode()), last.trade_id,
            last.side,
        )  # fmt: skip


def newest_fill(rows: Rows, key: PositionKey) -> FoldFill | None:
    """The last fill or entry of all."""
    found = [FoldFill._make(row) for row in rows.run(SQL["newest_fill"], key)]
    return max([*found, *_entries(rows, key, 0)], key=order_key, default=None)
