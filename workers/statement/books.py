"""A statement from the books: what is read, and how it becomes one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from shared.ledger.days import DAY_MS, day_number
from shared.ledger.equity import FLOW_KINDS
from shared.ledger.money import LEDGER, ZERO
from shared.ledger.performance import Cycle, EquityPoint, cycle_stats
from shared.ledger.position import average_entry
from shared.ledger.valuation import Converted, Price, Unpriceable, unrealized
from shared.mysql import facts
from shared.mysql.book_rows import Rows
from shared.mysql.cycles import SidelessFunding, account_cycles
from shared.mysql.equity import equity_curve
from shared.mysql.equity_books import Account, read_accounts
from shared.mysql.facts import Owner
from shared.mysql.fees import ValuedFee, fees_in
from shared.mysql.prices import latest_prices
from shared.queries import load
from workers.statement.records import (
    AssetStatement,
    Flow,
    ForeignFees,
    OfCause,
    OfDay,
    OfInstrument,
    OpenPosition,
    Pnl,
    RestatedDay,
    Statement,
    UnvaluedFee,
    measured,
    sum_of,
    total,
    with_holdings,
    with_rest,
)
from workers.statement.warnings import Standing, warnings_of

SQL = load(Path(__file__).with_name("books.sql"))

FEE_DAYS = timedelta(days=31)
"""Fees are valued by so many days at once: a year's would be too many to hold."""
UNVALUED_LISTED = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


class NothingToState(ValueError):  # noqa: N818 - named for what it is
    """The message says in one sentence what is not there."""


class Period(NamedTuple):
    """Days, both included."""

    account_id: int
    first: date
    last: date

    @property
    def start_ms(self) -> int:
        return day_number(self.first) * DAY_MS

    @property
    def end_ms(self) -> int:
        return (day_number(self.last) + 1) * DAY_MS


def read_statement(connection: Any, period: Period, now: datetime) -> Statement:
    """Reads many tables: give it a snapshot. Raises NothingToState."""
    rows = Rows(connection)
    standing = _standing(rows, period)
    if standing is None:
        raise NothingToState(f"nothing has ever come of account {period.account_id}")
    books = _read_books(connection, rows, period)
    restated = [RestatedDay._make(row) for row in rows.run(SQL["restated"], period)]
    assets = [books.asset(asset, now) for asset in books.assets()]
    if not assets and not restated:
        raise NothingToState(
            f"account {period.account_id} has nothing from {period.first} to {period.last}"
        )
    positions = _positions(connection, period, books.account)
    return Statement(
        *period, now, standing.closed_through, _owners(connection, period),
        warnings_of(standing, period.last, assets, positions, books.sideless), assets, positions,
        restated,
    )  # fmt: skip


def _standing(rows: Rows, period: Period) -> Standing | None:
    """None: nothing has ever come of the account."""
    state = rows.run(SQL["account"], (period.account_id,))
    if not state:
        return None
    through = rows.run(SQL["closed_through"])
    status, reason, parked = state[0]
    return Standing(
        status,
        reason,
        parked,
        rows.run(SQL["waiting"], (period.account_id, period.end_ms)),
        rows.run(SQL["breaks"], (period.account_id,)),
        date.fromisoformat(through[0][0]) if through else None,
    )


def _owners(connection: Any, period: Period) -> list[Owner]:
    """Whose the account is or becomes within the period, by day."""
    found = facts.owners(connection, account_id=period.account_id)
    dated = sorted(found, key=lambda owner: owner.valid_from)
    before = [owner for owner in dated if owner.valid_from <= period.first]
    within = [owner for owner in dated if period.first < owner.valid_from <= period.last]
    return [*before[-1:], *within]


def _positions(connection: Any, period: Period, account: Account) -> list[OpenPosition]:
    end = _moment(period.end_ms)
    held = ((one, one.before(period.end_ms)) for one in account.positions.values())
    still_open = [(one, now) for one, now in held if now.state.qty]
    prices = latest_prices(connection, {(one.instrument, end) for one, _ in still_open})
    found = []
    for one, now in still_open:
        _, product, instrument, position_side = one.key
        price, worth = prices[one.instrument, end], None
        if isinstance(price, Price):
            worth = unrealized(product, now.state, now.contract_size, price.price)
        entry = average_entry(product, now.state, now.contract_size)
        found.append(
            OpenPosition(
                product, instrument, position_side, now.settle_asset, now.state.qty, entry, price,
                worth,
            )
        )  # fmt: skip
    return found


# ---- by asset

T = TypeVar("T")
ByAsset = Mapping[str, Sequence[T]]


class _Books(NamedTuple):
    """What was read, by asset."""

    period: Period
    account: Account
    curves: ByAsset[EquityPoint]
    instruments: ByAsset[OfInstrument]
    days: ByAsset[OfDay]
    causes: ByAsset[OfCause]
    cash: ByAsset[Flow]
    cycles: ByAsset[Cycle]
    sideless: Sequence[SidelessFunding]
    fees: _Fees

    def assets(self) -> list[str]:
        return sorted({*self.curves, *self.instruments})

    def asset(self, asset: str, now: datetime) -> AssetStatement:
        points, instruments = self.curves.get(asset, ()), self.instruments.get(asset, ())
        pnl = sum_of(one.pnl for one in instruments)
        bases = self.account.bases
        return AssetStatement(
            asset,
            points,
            pnl,
            fees_in_cost=total(
                one.pnl.fees
                for one in instruments
                if one.product == "spot" and bases.get(one.instrument) == asset
            ),
            moved=total(one.amount for one in self._outside(asset)),
            flows=with_holdings(self.cash.get(asset, ()), self._holdings(asset), points),
            cycles=cycle_stats(self.cycles.get(asset, ())),
            foreign_fees=self.fees.into(asset),
            unvalued_fees=self.fees.unvalued[asset],
            instruments=instruments,
            days=self.days.get(asset, ()),
            causes=with_rest(self.causes.get(asset, ()), pnl),
            measured=measured(points, now),
        )

    def _outside(self, asset: str) -> list[Any]:
        start, end = self.period.start_ms, self.period.end_ms
        came = self.account.outside.get(asset, ())
        return [one for one in came if start <= one.at_ms < end]

    def _holdings(self, asset: str) -> dict[datetime, str]:
        """What came from outside without a row of the venue, by its moment."""
        rows = Counter((row.at, row.amount) for row in self.cash.get(asset, ()))
        names: dict[datetime, set[str]] = defaultdict(set)
        for one in self._outside(asset):
            at = _moment(one.at_ms)
            if one.revalued is None and rows[at, one.amount]:
                rows[at, one.amount] -= 1
            else:
                names[at].add(one.revalued.instrument[2] if one.revalued else "")
        return {at: " ".join(sorted(found)).strip() for at, found in names.items()}


def _read_books(connection: Any, rows: Rows, period: Period) -> _Books:
    days = (day_number(period.first), day_number(period.last))
    (account,) = read_accounts(rows, [period.account_id], *days)
    fees = _Fees(account.bases)
    for first, last in _spans(period):
        fees.add(fees_in(connection, period.account_id, first, last))
    cycles = account_cycles(connection, *period)
    span = (period.account_id, period.start_ms, period.end_ms, FLOW_KINDS)
    return _Books(
        period,
        account,
        curves=equity_curve(connection, *period),
        instruments=_grouped(
            (row[0], OfInstrument(row[1], row[2], _pnl(row[3:])))
            for row in rows.run(SQL["by_instrument"], period)
        ),
        days=_grouped(
            (row[0], OfDay(row[1], _pnl(row[2:]))) for row in rows.run(SQL["by_day"], period)
        ),
        causes=_grouped(
            (row[0], OfCause(row[1], row[2], row[3], _pnl(row[4:])))
            for row in rows.run(SQL["by_cause"], period)
        ),
        cash=_grouped(
            (asset, Flow(_moment(at_ms), kind, f"{venue_type} {ref}", amount))
            for at_ms, asset, kind, venue_type, ref, amount in rows.run(SQL["flows"], span)
        ),
        cycles=_grouped((cycle.settle_asset, cycle) for _, cycle in cycles.closed),
        sideless=cycles.sideless,
        fees=fees,
    )


def _pnl(row: Sequence[Any]) -> Pnl:
    return Pnl(row[0], row[1], row[2], row[3], int(row[4]))


def _spans(period: Period) -> Iterator[tuple[date, date]]:
    first = period.first
    while first <= period.last:
        last = min(first + FEE_DAYS - _DAY, period.last)
        yield first, last
        first = last + _DAY


def _grouped(found: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for asset, one in found:
        grouped[asset].append(one)
    return grouped


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


class _Fees:
    """Fees in other assets, summed as they come."""

    def __init__(self, bases: Mapping[str, str]) -> None:
        """bases: of spot instruments."""
        self.unvalued: dict[str, list[UnvaluedFee]] = defaultdict(list)
        self._bases = bases
        self._sums: dict[tuple[str, str, bool], ForeignFees] = {}

    def add(self, fees: Iterable[ValuedFee]) -> None:
        for one in fees:
            in_cost = one.product == "spot" and self._bases.get(one.instrument) == one.fee_asset
            key = (one.into, one.fee_asset, in_cost)
            before = self._sums.get(key, ForeignFees(one.fee_asset, in_cost, 0, ZERO, ZERO, 0))
            valued = isinstance(one.value, Converted)
            self._sums[key] = before._replace(
                fills=before.fills + 1,
                paid=LEDGER.add(before.paid, one.fee),
                value=LEDGER.add(before.value, _worth(one)),
                unvalued=before.unvalued + (not valued),
            )
            if isinstance(one.value, Unpriceable):
                self._note(one, one.value)

    def into(self, asset: str) -> list[ForeignFees]:
        return [fees for key, fees in sorted(self._sums.items()) if key[0] == asset]

    def _note(self, one: ValuedFee, why: Unpriceable) -> None:
        noted = self.unvalued[one.into]
        if len(noted) < UNVALUED_LISTED:
            noted.append(
                UnvaluedFee(
                    one.executed_at, one.instrument, one.trade_id, one.fee, one.fee_asset, *why
                )
            )


def _worth(fee: ValuedFee) -> Decimal:
    return fee.value.amount if isinstance(fee.value, Converted) else ZERO
