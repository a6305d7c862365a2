"""Accounts as their equity sees them: cash and positions at any moment, and what came from outside.

Everything is read from the books as they stand: a late fill changes the past here as it does there,
and where a fold still waits the figures are those of before it. A moment contains what happened
before it, and nothing of its own millisecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.cash import DAILY_COLUMN
from shared.ledger.days import DAY_MS, day_number, day_of, day_text
from shared.ledger.equity import FLOW_KINDS, Held, Moved, Outside, from_outside
from shared.ledger.money import LEDGER, ZERO, checked
from shared.ledger.position import FILL_SIDES, FLAT, Leg, State, base_fee, legs
from shared.mysql.book_positions import FoldFill, PositionKey, fills_in_order
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("equity.sql"))


class PositionHistory:
    """One position through time. Ends of days are read once, a day's fills only when asked for."""

    def __init__(
        self, rows: Rows, key: PositionKey, venue: str, now: Held, last_ms: int
    ) -> None:
        self.key, self.now, self.last_ms = key, now, last_ms
        self.instrument = (venue, key[1], key[2])
        self._rows = rows
        self._from_day: int | None = None  # ends are read from the last one before this day on
        self._ends: list[tuple[int, Held | None]] = []  # None: in two assets, its fills must say
        self._legs: dict[int, list[Leg[FoldFill]]] = {}

    def before(self, at_ms: int) -> Held:
        """What was held just before a moment."""
        if at_ms > self.last_ms:
            return self.now
        day = day_of(at_ms)
        held = self._end_before(day)
        for leg in self._day(day, held) if at_ms % DAY_MS else ():
            if leg.fill.executed_at_ms >= at_ms:
                break
            held = _held(leg)
        return held

    def legs_of(self, day: int) -> list[Leg[FoldFill]]:
        return self._day(day, self._end_before(day))

    def from_outside(self, day: int) -> Iterator[Moved]:
        """See shared/ledger/equity.py."""
        start = self._end_before(day)
        return from_outside(self.instrument, start, self._day(day, start))

    def _end_before(self, day: int) -> Held:
        self._read_ends(day)
        place = bisect_left(self._ends, (day,)) - 1
        if place < 0:
            return Held(FLAT, self.now.settle_asset, self.now.contract_size)
        end_day, held = self._ends[place]
        if held is None:
            held = _held(self.legs_of(end_day)[-1])
            self._ends[place] = (end_day, held)
        return held

    def _day(self, day: int, start: Held) -> list[Leg[FoldFill]]:
        found = self._legs.get(day)
        if found is None:
            found = []
            if any(end_day == day for end_day, _ in self._ends):
                fills = fills_in_order(self._rows, self.key, day * DAY_MS)
                today = takewhile(lambda one: day_of(one.executed_at_ms) == day, fills)
                found = list(legs(start.state, today, self.key[1]))
            self._legs[day] = found
        return found

    def _read_ends(self, day: int) -> None:
        if self._from_day is not None and self._from_day <= day:
            return
        last = day_text(day_of(self.last_ms))
        found = self._rows.run(SQL["days"], (*self.key, last, *self.key, day_text(day)))
        ends: dict[int, Held | None] = {}
        for row in found:
            number = day_number(row[0])
            held = Held(State(*row[2:5]), row[1], row[5])
            ends[number] = None if number in ends else held
        self._from_day, self._ends = day, list(ends.items())


def _held(leg: Leg[FoldFill]) -> Held:
    return Held(leg.state, leg.fill.settle_asset, leg.fill.contract_size)


class Wallet(NamedTuple):
    """What a wallet held when it was first seen."""

    asset: str
    at_ms: int
    amount: Decimal


class Sums:
    """Amounts at times (days or moments), and their sum before any time."""

    def __init__(self) -> None:
        self._amounts: dict[int, Decimal] = {}
        self._times: list[int] | None = None
        self._sums: list[Decimal] = []

    def add(self, time: int, amount: Decimal) -> None:
        self._amounts[time] = LEDGER.add(self._amounts.get(time, ZERO), amount)
        self._times = None

    def before(self, time: int) -> Decimal:
        if self._times is None:
            self._times = sorted(self._amounts)
            amounts = (self._amounts[one] for one in self._times)
            self._sums = list(accumulate(amounts, LEDGER.add, initial=ZERO))
        return self._sums[bisect_left(self._times, time)]


class Account:
    """One account's books. outside: what came from outside, by asset."""

    def __init__(self, rows: Rows, account_id: int) -> None:
        self.id = account_id
        self.positions: dict[PositionKey, PositionHistory] = {}
        self.outside: dict[str, list[Outside]] = defaultdict(list)
        self.wallets: dict[str, list[Wallet]] = defaultdict(list)
        self.bases: dict[str, str] = {}  # of spot instruments
        self.pnl: dict[str, Sums] = defaultdict(Sums)  # by asset; times are days
        self.last_cash_ms = 0
        self._rows = rows
        self._outside: dict[str, Sums] = defaultdict(Sums)  # by asset; times are moments
        self._openings: dict[str, Decimal] = {}
        self._parts: dict[int, dict[str, Decimal]] = {}

    def assets(self) -> list[str]:
        """Every asset that may have equity."""
        settled = {one.now.settle_asset for one in self.positions.values()}
        return sorted({*self.pnl, *self.wallets, *self.outside, *settled})

    def came(self, one: Outside) -> None:
        """Notes what came from outside."""
        self.outside[one.asset].append(one)
        self._outside[one.asset].add(one.at_ms, one.amount)

    def cash(self, asset: str, at_ms: int) -> Decimal:
        """The opening, and what the books moved before the moment. Raises AmountOverflow."""
        if asset not in self._openings:
            self._openings[asset] = self._opening(asset)
        return checked(LEDGER.add(self._openings[asset], self._moves(asset, at_ms)))

    def _opening(self, asset: str) -> Decimal:
        wallets = self.wallets.get(asset)
        if not wallets:
            return ZERO
        at_ms = max(wallet.at_ms for wallet in wallets) + 1
        opening = LEDGER.minus(self._moves(asset, at_ms))
        for wallet in wallets:
            opening = LEDGER.add(opening, wallet.amount)
        for position in self.positions.values():
            if position.key[1] == "spot":
                state, settle_asset, _ = position.before(at_ms)
                if settle_asset == asset:
                    opening = LEDGER.add(opening, state.cost)
                if self.bases.get(position.key[2]) == asset:
                    opening = LEDGER.subtract(opening, state.qty)
        return opening

    def _moves(self, asset: str, at_ms: int) -> Decimal:
        day, part = day_of(at_ms), at_ms % DAY_MS
        is_whole = part and self._is_after_all(at_ms)
        total = self.pnl[asset].before(day + 1 if is_whole else day)
        if part and not is_whole:
            total = LEDGER.add(total, self._part_of_day(at_ms).get(asset, ZERO))
        return LEDGER.add(total, self._outside[asset].before(at_ms))

    def _is_after_all(self, at_ms: int) -> bool:
        last_ms = max((position.last_ms for position in self.positions.values()), default=0)
        return at_ms > max(last_ms, self.last_cash_ms)

    def _part_of_day(self, at_ms: int) -> dict[str, Decimal]:
        """P&L of the moment's day before the moment, by asset: from its fills and cash entries."""
        found = self._parts.get(at_ms)
        if found is None:
            found = defaultdict(lambda: ZERO)
            for asset, amount in self._booked(at_ms):
                found[asset] = LEDGER.add(found[asset], amount)
            self._parts[at_ms] = found
        return found

    def _booked(self, at_ms: int) -> Iterator[tuple[str, Decimal]]:
        day = day_of(at_ms)
        for position in self.positions.values():
            for leg in position.legs_of(day) if position.last_ms >= day * DAY_MS else ():
                fill = leg.fill
                if fill.executed_at_ms >= at_ms:
                    break
                if fill.side in FILL_SIDES:
                    yield fill.settle_asset, leg.realized
                    if fill.fee and not (position.key[1] == "spot" and base_fee(fill)):
                        yield fill.fee_asset or fill.settle_asset, LEDGER.minus(fill.fee)
        if day * DAY_MS <= self.last_cash_ms:
            span = (self.id, day * DAY_MS, at_ms, tuple(DAILY_COLUMN))
            yield from self._rows.run(SQL["cash_between"], span)


def read_accounts(
    rows: Rows, account_ids: Collection[int], first_day: int, last_day: int
) -> list[Account]:
    """Accounts in order of id, in a few statements for all of them together; they can tell of
    moments from the start of the first day to the end of the last one.
    """
    ids = sorted(set(account_ids))
    accounts = {account_id: Account(rows, account_id) for account_id in ids}
    if ids:
        _read_positions(rows, accounts)
        _read_money(rows, accounts, (day_text(first_day), day_text(last_day)))
        _read_outside(rows, accounts)
    return list(accounts.values())


def _read_positions(rows: Rows, accounts: Mapping[int, Account]) -> None:
    for row in rows.run(SQL["positions"], (list(accounts),)):
        key, (venue, qty, cost, unknown, settle_asset, size, last_ms) = row[:4], row[4:]
        now = Held(State(qty, cost, unknown), settle_asset, size)
        accounts[key[0]].positions[key] = PositionHistory(rows, key, venue, now, last_ms)
    for account_id, instrument, base in rows.run(SQL["bases"], (list(accounts),)):
        if base is not None:
            accounts[account_id].bases[instrument] = base


def _read_money(rows: Rows, accounts: Mapping[int, Account], span: tuple[str, str]) -> None:
    ids = list(accounts)
    named = {"accounts": ids, "first": span[0], "last": span[1]}
    for account_id, asset, at_ms, wallet in rows.run(SQL["first_wallets"], (ids,)):
        accounts[account_id].wallets[asset].append(Wallet(asset, at_ms, wallet))
    for account_id, asset, day, instrument, gain, fees in rows.run(SQL["pnl"], named):
        account = accounts[account_id]
        is_cost = instrument and account.bases.get(instrument) == asset
        amount = gain if is_cost else LEDGER.subtract(gain, fees)
        account.pnl[asset].add(day_number(day), amount)
    for account_id, last_ms in rows.run(SQL["last_cash"], (ids,)):
        accounts[account_id].last_cash_ms = last_ms


def _read_outside(rows: Rows, accounts: Mapping[int, Account]) -> None:
    ids = list(accounts)
    for account_id, at_ms, asset, amount in rows.run(SQL["flows"], (ids, FLOW_KINDS)):
        accounts[account_id].came(Outside(at_ms, asset, amount))
    for key, day in _days_from_outside(rows, ids):
        account = accounts[key[0]]
        history = account.positions.get(key)
        for moved in history.from_outside(day) if history else ():
            account.came(moved.outside)
            base = account.bases.get(key[2]) if key[1] == "spot" else None
            # Without a wallet that was seen, an opening took the holding from nowhere.
            if base and moved.base_qty and (base in account.wallets or not moved.opened):
                account.came(Outside(moved.outside.at_ms, base, moved.base_qty))


def _days_from_outside(rows: Rows, ids: Sequence[int]) -> list[tuple[PositionKey, int]]:
    """Days of positions on which something came from outside, or may have."""
    found = {(row[:4], row[4]) for row in rows.run(SQL["entry_days"], (ids,))}
    before: tuple[Any, ...] = ()
    for row in rows.run(SQL["unknown_basis"], (ids,)):
        now = (row[:4], row[5])
        if now != before:
            found.add((row[:4], day_number(row[4])))
        before = now
    return sorted(found)
