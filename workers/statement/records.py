"""What an account made in a period, per asset: composed from the books, shown elsewhere.

Nothing is added up over assets. Every measure is defined where it is computed: equity and flows in
shared/mysql/equity.py, returns, drawdowns and cycles in shared/ledger/performance.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import LEDGER, ZERO, AmountOverflow
from shared.ledger.performance import (
    CycleStats,
    Drawdown,
    EquityPoint,
    IndexPoint,
    TimeWeighted,
    Unmeasured,
    deepest,
    drawdowns,
    modified_dietz,
    time_weighted,
    under_water,
)
from shared.ledger.valuation import Price, Unpriceable
from shared.mysql.facts import Owner


class Pnl(NamedTuple):
    """The columns of fleet_pnl_daily, summed: fees positive when paid, funding when received."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    other: Decimal = ZERO
    fills: int = 0

    @property
    def net(self) -> Decimal:
        return total((self.realized, LEDGER.minus(self.fees), self.funding, self.other))


def sum_of(parts: Iterable[Pnl]) -> Pnl:
    whole = Pnl()
    for part in parts:
        whole = _combined(LEDGER.add, whole, part, whole.fills + part.fills)
    return whole


def less(whole: Pnl, part: Pnl) -> Pnl:
    return _combined(LEDGER.subtract, whole, part, whole.fills - part.fills)


def _combined(
    operation: Callable[[Decimal, Decimal], Decimal], one: Pnl, other: Pnl, fills: int
) -> Pnl:
    return Pnl(
        operation(one.realized, other.realized),
        operation(one.fees, other.fees),
        operation(one.funding, other.funding),
        operation(one.other, other.other),
        fills,
    )


def total(amounts: Iterable[Decimal]) -> Decimal:
    found = ZERO
    for amount in amounts:
        found = LEDGER.add(found, amount)
    return found


class Flow(NamedTuple):
    """Money from outside. amount None: a holding that cannot be valued. ref: the venue's own id."""

    at: datetime
    kind: str
    ref: str
    amount: Decimal | None


class ForeignFees(NamedTuple):
    """Fees paid in one other asset, and their value at the times of their fills. value: of those
    that could be valued, `unvalued` could not. in_cost: of spot fills in their base asset, which
    are part of the holding's cost.
    """

    fee_asset: str
    in_cost: bool
    fills: int
    paid: Decimal
    value: Decimal
    unvalued: int


class UnvaluedFee(NamedTuple):
    """One of them; what: the pair that has no price."""

    at: datetime
    instrument: str
    trade_id: str
    fee: Decimal
    fee_asset: str
    reason: str
    what: str


class OfInstrument(NamedTuple):
    product: str
    instrument: str
    pnl: Pnl


class OfDay(NamedTuple):
    day: date
    pnl: Pnl


class OfCause(NamedTuple):
    """cause: a bucket of shared/ledger/attribution.py, or UNATTRIBUTED."""

    cause: str
    strategy: str
    signal_id: str
    pnl: Pnl


UNATTRIBUTED = "not attributed yet"


class OpenPosition(NamedTuple):
    """Held at the end. unrealized None: `price` says why."""

    product: str
    instrument: str
    position_side: str
    asset: str
    qty: Decimal
    average_entry: Decimal | None
    price: Price | Unpriceable
    unrealized: Decimal | None


class RestatedDay(NamedTuple):
    day: date
    times: int
    last_at: datetime


class Measured(NamedTuple):
    """What the points of an asset say of its growth."""

    growth: TimeWeighted
    dietz: Decimal | None
    drawdown: Drawdown | None
    under_water: list[IndexPoint]


@dataclass(frozen=True)
class AssetStatement:
    """One settle asset. points: of shared/mysql/equity.py; none where nothing was ever held.

    fees_in_cost: fees of spot fills in their base asset, which are part of the holding's cost and
    not of the cash. moved: what came from outside, at cost where `flows` has its value.
    """

    asset: str
    points: Sequence[EquityPoint]
    pnl: Pnl
    fees_in_cost: Decimal
    moved: Decimal
    flows: Sequence[Flow]
    cycles: CycleStats
    foreign_fees: Sequence[ForeignFees]
    unvalued_fees: Sequence[UnvaluedFee]
    instruments: Sequence[OfInstrument]
    days: Sequence[OfDay]
    causes: Sequence[OfCause]
    measured: Measured

    @property
    def opening(self) -> EquityPoint | None:
        return self.points[0] if self.points else None

    @property
    def closing(self) -> EquityPoint | None:
        return self.points[-1] if self.points else None

    def tie_out(self) -> TieOut:
        """Identity I5, of equity; of cash alone where equity cannot be valued."""
        whole = TieOut.of_equity(self)
        return whole if whole is not None else TieOut.of_cash(self)


class TieOut(NamedTuple):
    """What makes the closing of the opening. The difference is 0, or the books do not tie.

    basis: equity or cash. unrealized: its change, without what holdings from outside brought.
    """

    basis: str
    opening: Decimal
    flows: Decimal
    pnl: Pnl
    fees_in_cost: Decimal
    unrealized: Decimal
    closing: Decimal

    @property
    def difference(self) -> Decimal:
        parts = (self.opening, self.flows, self.pnl.net, self.fees_in_cost, self.unrealized)
        return LEDGER.subtract(self.closing, total(parts))

    @classmethod
    def of_equity(cls, one: AssetStatement) -> TieOut | None:
        if one.opening is None or one.closing is None:
            return cls("equity", ZERO, one.moved, one.pnl, one.fees_in_cost, ZERO, ZERO)
        flows = [point.flow for point in one.points[:-1]]
        known = [flow for flow in flows if flow is not None]
        before, after = one.opening.unrealized, one.closing.unrealized
        if before is None or after is None or len(known) < len(flows):
            return None
        flowed = total(known)
        brought = LEDGER.subtract(flowed, one.moved)
        moved = LEDGER.subtract(LEDGER.subtract(after, before), brought)
        opening = LEDGER.add(one.opening.cash, before)
        closing = LEDGER.add(one.closing.cash, after)
        return cls("equity", opening, flowed, one.pnl, one.fees_in_cost, moved, closing)

    @classmethod
    def of_cash(cls, one: AssetStatement) -> TieOut:
        opening = one.opening.cash if one.opening else ZERO
        closing = one.closing.cash if one.closing else ZERO
        return cls("cash", opening, one.moved, one.pnl, one.fees_in_cost, ZERO, closing)


@dataclass(frozen=True)
class Statement:
    """Both days included, UTC. closed_through: the last closed day; None: none is."""

    account_id: int
    first_day: date
    last_day: date
    made_at: datetime
    closed_through: date | None
    owners: Sequence[Owner]
    warnings: Sequence[str]
    assets: Sequence[AssetStatement]
    positions: Sequence[OpenPosition]
    restated: Sequence[RestatedDay]


# ---- of one asset


def measured(points: Sequence[EquityPoint], now: datetime) -> Measured:
    """An index that no column could hold, as of dust that became a fortune, is unmeasured."""
    try:
        growth, dietz = time_weighted(points), modified_dietz(points)
    except AmountOverflow:
        beyond = Unmeasured(points[0].at, points[-1].at, "overflow")
        return Measured(TimeWeighted(None, [], [beyond]), None, None, [])
    until = min(points[-1].at, now) if points else now
    fall = deepest(drawdowns(growth.curve, until))
    return Measured(growth, dietz, fall, under_water(growth.curve))


def with_rest(causes: Sequence[OfCause], whole: Pnl) -> list[OfCause]:
    """The parts, and what is still to be attributed: together always the whole."""
    rest = less(whole, sum_of(one.pnl for one in causes))
    if not any(rest):
        return list(causes)
    return [*causes, OfCause(UNATTRIBUTED, "", "", rest)]


def with_holdings(
    cash: Sequence[Flow], holdings: Mapping[datetime, str], points: Iterable[EquityPoint]
) -> list[Flow]:
    """The venue's rows, and holdings that came or went: worth what a moment's flow is beyond its
    rows. holdings: what they are, by their moments.
    """
    flowed = {point.at: point.flow for point in points}
    flows = list(cash)
    for at, name in holdings.items():
        worth = flowed.get(at)
        if worth is not None:
            rows = total(row.amount for row in cash if row.at == at and row.amount is not None)
            worth = LEDGER.subtract(worth, rows)
        flows.append(Flow(at, "holding", name, worth))
    return sorted(flows, key=lambda flow: flow.at)
