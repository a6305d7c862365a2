"""Equity of accounts, marked to stored prices: the curve of one, and a moment of many.

Per account and settle asset, never added up over assets:

- cash = opening + what came from outside + realized - fees + funding + other, of everything before
  the moment (the columns of fleet_pnl_daily). A spot holding is in it at cost, so a purchase leaves
  it alone; a spot fee in the base asset is part of that cost.
- opening = what the account's wallets of that asset held when each was first observed, with spot
  holdings of then at cost, less what the books say came together up to then. So the curve ties with
  the first report, and begins at zero where none was ever observed.
- unrealized = the open positions that settle in the asset, at the price of the moment.
- flows = what came from outside (shared/ledger/equity.py): transfers, conversions, cash that nobody
  could name, and holdings at the price of the moment they came or went. They are no P&L: from one
  point to another equity changes by flows, P&L and change of unrealized, exactly (identity I5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from shared.ledger.days import DAY_MS, day_number, day_of
from shared.ledger.equity import Held, Outside
from shared.ledger.money import LEDGER, ZERO, AmountOverflow, checked
from shared.ledger.performance import EquityPoint
from shared.ledger.valuation import Price, Unpriceable, unrealized
from shared.mysql.book_rows import Rows
from shared.mysql.equity_books import Account, read_accounts
from shared.mysql.prices import Instrument, latest_prices

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class EquityRow(NamedTuple):
    """One row of fleet_equity. flows: all before `at`; None: one of them cannot be valued."""

    account_id: int
    asset: str
    at: datetime
    cash: Decimal
    unrealized: Decimal | None
    flows: Decimal | None
    unpriceable: int
    oldest_price_at: datetime | None


def equity_curve(
    connection: Any, account_id: int, first_day: date, last_day: date
) -> dict[str, list[EquityPoint]]:
    """Per asset: the start of the first day, the moment of every flow, and the end of every day.
    Assets in which nothing was are left out.

    Where the books move meanwhile, it wants a transaction that sees them as of one moment
    (REPEATABLE READ).
    """
    first, last = day_number(first_day), day_number(last_day)
    start, end = first * DAY_MS, (last + 1) * DAY_MS
    (account,) = read_accounts(Rows(connection), [account_id], first, last)
    days = range(start, end + 1, DAY_MS)
    drafts = []
    for asset in account.assets():
        flows: dict[int, list[Outside]] = {at_ms: [] for at_ms in days}
        for one in account.outside.get(asset, ()):
            if start <= one.at_ms <= end:
                flows.setdefault(one.at_ms, []).append(one)
        drafts += [_draft(account, asset, at_ms, flows[at_ms]) for at_ms in sorted(flows)]
    prices = _read_prices(connection, drafts)
    curves: dict[str, list[EquityPoint]] = defaultdict(list)
    for draft in drafts:
        curves[draft.asset].append(draft.point(prices))
    return {asset: points for asset, points in curves.items() if any(map(_is_something, points))}


def equity_rows(connection: Any, account_ids: Collection[int], at: datetime) -> list[EquityRow]:
    """Of many accounts at one moment, by account and asset, as equity_curve. Assets in which
    nothing is, nor ever came from outside, are left out.
    """
    at_ms = (at - _EPOCH) // _MS
    accounts = read_accounts(Rows(connection), account_ids, day_of(at_ms), day_of(at_ms))
    drafts = [
        (account, _draft(account, asset, at_ms), _flows_until(account, asset, at_ms))
        for account in accounts
        for asset in account.assets()
    ]
    wanted = [draft for _, now, flows in drafts for draft in (now, *flows)]
    prices = _read_prices(connection, wanted)
    rows = []
    for account, now, flows in drafts:
        point = now.point(prices)
        before = [flow.flow(prices) for flow in flows]
        total = None if None in before else _sum(flow for flow in before if flow is not None)
        if _is_something(point) or total != ZERO:
            rows.append(
                EquityRow(
                    account.id, now.asset, at, point.cash, point.unrealized, total,
                    len(point.unpriceable), point.oldest_price_at,
                )
            )  # fmt: skip
    return rows


def _is_something(point: EquityPoint) -> bool:
    return point.equity != ZERO or point.cash != ZERO or point.flow != ZERO


Prices = Mapping[tuple[Instrument, datetime], Price | Unpriceable]


class _Draft(NamedTuple):
    """A point whose prices are not read yet. outside: what comes at the moment."""

    asset: str
    at: datetime
    cash: Decimal
    held: Sequence[tuple[Instrument, Held]]
    outside: Sequence[Outside]

    def wanted(self) -> Iterator[tuple[Instrument, datetime]]:
        for instrument, _ in self.held:
            yield instrument, self.at
        for one in self.outside:
            if one.revalued is not None:
                yield one.revalued.instrument, self.at

    def point(self, prices: Prices) -> EquityPoint:
        values = [self._value(instrument, held, prices) for instrument, held in self.held]
        unpriceable = tuple(value for value in values if isinstance(value, Unpriceable))
        used = [prices[instrument, self.at] for instrument, _ in self.held]
        oldest = min((price.at for price in used if isinstance(price, Price)), default=None)
        return EquityPoint(
            self.at, self.cash, _sum(values), self.flow(prices), unpriceable, oldest
        )

    def flow(self, prices: Prices) -> Decimal | None:
        came: list[Decimal | Unpriceable] = []
        went: list[Decimal | Unpriceable] = []
        for one in self.outside:
            came.append(one.amount)
            if one.revalued is not None:
                instrument, before, after = one.revalued
                came.append(self._value(instrument, after, prices))
                went.append(self._value(instrument, before, prices))
        plus, minus = _sum(came), _sum(went)
        return None if plus is None or minus is None else LEDGER.subtract(plus, minus)

    def _value(
        self, instrument: Instrument, held: Held, prices: Prices
    ) -> Decimal | Unpriceable:
        price = prices[instrument, self.at]
        if not held.state.qty:
            return ZERO
        if isinstance(price, Unpriceable):
            return price
        try:
            return unrealized(instrument[1], held.state, held.contract_size, price.price)
        except AmountOverflow:
            return Unpriceable("overflow", instrument[2])


def _draft(
    account: Account, asset: str, at_ms: int, outside: Sequence[Outside] = ()
) -> _Draft:
    held = ((one.instrument, one.before(at_ms)) for one in account.positions.values())
    open_now = [(name, one) for name, one in held if one.settle_asset == asset and one.state.qty]
    return _Draft(asset, _moment(at_ms), account.cash(asset, at_ms), open_now, outside)


def _flows_until(account: Account, asset: str, at_ms: int) -> list[_Draft]:
    """Drafts of nothing but what came from outside before a moment."""
    return [
        _Draft(asset, _moment(one.at_ms), ZERO, (), [one])
        for one in account.outside.get(asset, ())
        if one.at_ms < at_ms
    ]


def _read_prices(connection: Any, drafts: Iterable[_Draft]) -> Prices:
    wanted = {question for draft in drafts for question in draft.wanted()}
    return latest_prices(connection, wanted)


def _moment(at_ms: int) -> datetime:
    return _EPOCH + at_ms * _MS


def _sum(amounts: Iterable[Decimal | Unpriceable]) -> Decimal | None:
    """None if one of them is unknown. Raises AmountOverflow."""
    total = ZERO
    for amount in amounts:
        if isinstance(amount, Unpriceable):
            return None
        total = checked(LEDGER.add(total, amount))
    return total
