"""Folding again: what happens when a fill comes late or changes.

A position is folded again from the last day before its earliest change, over the stored fills, in
whole days. A short fold runs with the batch; a long one waits (`restating_from_ms`), and `restate`
does it in bounded transactions. Either way the rows end up the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.days import DAY_MS, day_of, day_text
from shared.ledger.entries import PositionEntry
from shared.ledger.identity import position_identity
from shared.ledger.money import LEDGER, ZERO, AmountOverflow
from shared.ledger.position import FLAT, Day, DayRow, State, due, fold_days
from shared.mysql.book_breaks import open_breaks
from shared.mysql.book_daily import Daily
from shared.mysql.book_positions import (
    SQL,
    FoldFill,
    Position,
    PositionKey,
    checkpoint,
    day_tuple,
    fills_from_day,
    fills_in_order,
    newest_fill,
    position_at,
    read_days,
    read_positions,
    remove_position,
    write_refolded,
)
from shared.mysql.book_rows import Rows

# Fills folded again within one batch, over all its positions: about 60 ms.
INLINE_REFOLD_FILLS = 5_000
RESTATING_AT_ONCE = 200  # positions looked at by one call of restate

_NO_DAY: dict[str, DayRow] = {}


class Late(NamedTuple):
    """A position with changed fills: from when to when, and how many. `position` None: no row."""

    key: PositionKey
    position: Position | None
    from_ms: int
    to_ms: int
    fills: int


class Bounds(NamedTuple):
    """Where a fold may end early. settled: on one of these days, if it ends in the state that is
    stored; fills: after the day that reaches this many.
    """

    settled: range
    fills: int | None


_NOWHERE = range(0)


class Refolded(NamedTuple):
    """How far a fold came. next_day: where it goes on, None when it ran to the end; settled: it
    met an unchanged day. realized and fills: how much the sums of the days moved.
    """

    next_day: int | None
    settled: bool
    last: FoldFill | None
    state: State
    realized: Decimal
    fills: int
    folded: int


def settle(rows: Rows, daily: Daily, late: Sequence[Late], inline_fills: int) -> None:
    """Folds what is cheap now and marks the rest, shortest folds first."""
    waiting, costs = [], []
    for change in late:
        if change.position is not None and change.position.restating_from_ms is not None:
            waiting.append(change)
        else:
            costs.append((_cost(rows, change, inline_fills), change))
    budget = inline_fills
    for cost, change in sorted(costs, key=lambda item: (item[0], item[1].key)):
        if change.position is None or cost <= budget:
            budget -= cost
            bounds = Bounds(_settled_days(change), fills=None)
            refold(rows, daily, change, bounds)
        else:
            waiting.append(change)
    write_refolded(rows, (_waits(change) for change in sorted(waiting, key=lambda c: c.key)))


def settle_entries(
    rows: Rows,
    daily: Daily,
    changed: Iterable[tuple[PositionEntry | None, PositionEntry | None]],
    inline_fills: int,
) -> None:
    """The same for entries: a position is folded again from the earliest that changed. Each beside
    the one that it replaced; None: there was none, or none is left.
    """
    times: dict[PositionKey, list[int]] = {}
    for pair in changed:
        for entry in pair:
            if entry is not None:
                times.setdefault(entry[:4], []).append(entry.at_ms)
    positions = read_positions(rows, times)
    late = [
        Late(key, positions.get(key), min(at), max(at), len(at))
        for key, at in sorted(times.items())
    ]
    settle(rows, daily, late, inline_fills)


def _cost(rows: Rows, change: Late, inline_fills: int) -> int:
    """An upper bound of the fills to fold; exact only where it decides."""
    stored = 0 if change.position is None else change.position.fills
    if stored + change.fills > inline_fills:
        stored = fills_from_day(rows, change.key, day_of(change.from_ms))
    return stored + change.fills


def _settled_days(change: Late) -> range:
    """From the last change on, but before the position's last day: its last fill must be met
    again.
    """
    if change.position is None:
        return _NOWHERE
    return range(day_of(change.to_ms), day_of(change.position.last[0]))


def _waits(change: Late) -> Position:
    position = change.position
    if position is None:
        raise ValueError("a position without a row is folded at once")
    since = position.restating_from_ms
    from_ms = change.from_ms if since is None else min(since, change.from_ms)
    waiting = position.restating_fills + change.fills
    return position._replace(restating_from_ms=from_ms, restating_fills=waiting)


def refold(rows: Rows, daily: Daily, change: Late, bounds: Bounds) -> Refolded:
    """Folds a position again and writes its days and its row; the daily rows go to `daily`."""
    key, position = change.key, change.position
    result = _refold_days(rows, daily, key, change.from_ms, bounds)
    realized, fills = ZERO, 0
    if position is not None:
        realized, fills = position.realized, position.fills
    realized, fills = LEDGER.add(realized, result.realized), fills + result.fills
    if position is not None and result.next_day is not None:
        # A fold once begun stays due until it ends.
        waiting = max(position.restating_fills, fills)
        begun = position._replace(
            realized=realized, fills=fills, restating_fills=waiting,
            restating_from_ms=result.next_day * DAY_MS,
        )  # fmt: skip
        write_refolded(rows, [begun])
    elif position is not None and result.settled:
        kept = position._replace(
            realized=realized, fills=fills, restating_from_ms=None, restating_fills=0
        )
        write_refolded(rows, [kept])
    else:
        last = result.last or newest_fill(rows, key)
        if last is None:
            remove_position(rows, key)
        else:
            write_refolded(rows, [position_at(key, last, result.state, realized, fills)])
    return result


def _refold_days(
    rows: Rows, daily: Daily, key: PositionKey, from_ms: int, bounds: Bounds
) -> Refolded:
    known = checkpoint(rows, key, day_of(from_ms))
    first_day, state = (0, FLAT) if known is None else (known[0] + 1, known[1])
    changes = _DayChanges(key, read_days(rows, key, first_day))
    last: FoldFill | None = None
    next_day, settled, folded = None, False, 0
    for day in fold_days(state, fills_in_order(rows, key, first_day * DAY_MS), key[1]):
        unchanged = changes.replace(day)
        if day.day >= day_of(from_ms):
            daily.parts(key[:3], day.day)
        state, last = day.state, day.last
        folded += sum(row.fills for row in day.rows.values())
        if unchanged and day.day in bounds.settled:
            settled = True
            break
        # Days before the change only lead up to it: ending among them would end there every time.
        if bounds.fills is not None and folded >= bounds.fills and day.day >= day_of(from_ms):
            next_day = day.day + 1
            break
    else:
        changes.end()
    changes.write(rows, daily)
    return Refolded(next_day, settled, last, state, changes.realized, changes.fills, folded)


class _DayChanges:
    """The difference between the stored days of a position and its days folded again."""

    def __init__(self, key: PositionKey, stored: dict[int, dict[str, DayRow]]) -> None:
        self.realized, self.fills = ZERO, 0
        self._key = key
        self._stored = stored  # in order of day; what the fold has passed is taken out
        self._waiting = sorted(stored, reverse=True)
        self._set: list[tuple[int, DayRow]] = []
        self._moved: list[tuple[int, str, Decimal, DayRow | None]] = []

    def replace(self, day: Day[FoldFill]) -> bool:
        """Puts a folded day in the place of the stored one, and away stored days before it that
        have no fill left. True if the position ends this day as it was stored.
        """
        while self._waiting and self._waiting[-1] < day.day:
            self._put(self._waiting.pop(), _NO_DAY)
        if self._waiting and self._waiting[-1] == day.day:
            self._waiting.pop()
        stored = self._stored.get(day.day, _NO_DAY)
        self._put(day.day, day.rows)
        return len(stored) == 1 and next(iter(stored.values())).state == day.state

    def end(self) -> None:
        """No fills are left: neither are the days behind."""
        while self._waiting:
            self._put(self._waiting.pop(), _NO_DAY)

    def write(self, rows: Rows, daily: Daily) -> None:
        rows.write(SQL["set_days"], (day_tuple(self._key, day, row) for day, row in self._set))
        gone = [(day, asset) for day, asset, _, after in self._moved if after is None]
        keys = [(*self._key, day_text(day), asset) for day, asset in gone]
        rows.change(SQL["remove_days"], keys)
        for day, asset, realized, after in self._moved:
            # A day of entries alone has no P&L, so it has no daily row either.
            no_fills = after is None or not after.fills
            daily.realized((*self._key[:3], day, asset), realized, may_empty=no_fills)

    def _put(self, day: int, folded: dict[str, DayRow]) -> None:
        stored = self._stored.pop(day, _NO_DAY)
        for asset in sorted({*stored, *folded}):
            before, after = stored.get(asset), folded.get(asset)
            if after is not None and after != before:
                self._set.append((day, after))
            moved = LEDGER.subtract(_realized(after), _realized(before))
            self.realized = LEDGER.add(self.realized, moved)
            self.fills += (after.fills if after else 0) - (before.fills if before else 0)
            if moved or after is None:
                self._moved.append((day, asset, moved, after))


def _realized(row: DayRow | None) -> Decimal:
    return ZERO if row is None else row.realized


class Share(NamedTuple):
    """Accounts whose crc32 (of the decimal text) modulo `of` is one of `numbers`."""

    of: int
    numbers: tuple[int, ...]


ALL_ACCOUNTS = Share(1, (0,))


def waiting_positions(rows: Rows, share: Share, *, idle: bool) -> list[PositionKey]:
    """Positions whose fold is due, a bounded number of them."""
    found = rows.run(SQL["restating"], (idle, share.of, share.numbers, RESTATING_AT_ONCE))
    return [row[:4] for row in found if due(row[5], row[4] + row[5], idle=idle)]


def restate(rows: Rows, daily: Daily, keys: Iterable[PositionKey], limit_fills: int) -> bool:
    """Goes on with waiting folds of positions whose accounts are locked, whole days, about
    `limit_fills` fills. True when some are left.
    """
    todo = sorted(keys)
    positions = read_positions(rows, todo)
    left = limit_fills
    for key in todo:
        position = positions.get(key)
        if position is None or position.restating_from_ms is None:
            continue
        if left <= 0:
            return True
        since = position.restating_from_ms
        change = Late(key, position, since, since, position.restating_fills)
        try:
            result = refold(rows, daily, change, Bounds(_NOWHERE, fills=left))
        except AmountOverflow as overflow:
            _set_aside(rows, position, overflow)
            continue
        if result.next_day is not None:
            return True
        left -= max(result.folded, 1)
    return False


def _set_aside(rows: Rows, position: Position, overflow: AmountOverflow) -> None:
    """One position that no column can hold must not stop the others: it stays marked as waiting,
    with a break that says why, and is tried again when another of its fills is late or changes.
    """
    write_refolded(rows, [position._replace(restating_fills=0)])
    identity = position_identity(*position.key)
    open_breaks(rows, "fold_overflow", {(position.key[0], identity): {"error": [str(overflow)]}})
