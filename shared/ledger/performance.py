"""Performance: returns, drawdowns and closed cycles. Every definition of a measure stands here,
once, in the docstring of the function that computes it.

Nothing is annualized, nothing is smoothed. A return of 5 % is 0.05. Returns are quantized to 18
places when they leave a function, never between two sub-periods.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from shared.ledger.money import LEDGER, ONE, ZERO, quantize
from shared.ledger.position import FILL_SIDES, Leg, Traded, base_fee
from shared.ledger.valuation import Unpriceable

_MICROSECOND = timedelta(microseconds=1)


class EquityPoint(NamedTuple):
    """Equity of one account in one asset, as it stood just before `at` (aware, UTC): what happened
    before that moment is in it, what happened at it or later is not.

    unrealized: None where an open position has no price; `unpriceable` says which.
    flow: money from outside that arrives at this very moment, after the equity was taken, + in,
    - out; None where it cannot be valued.
    """

    at: datetime
    cash: Decimal
    unrealized: Decimal | None
    flow: Decimal | None
    unpriceable: tuple[Unpriceable, ...] = ()
    oldest_price_at: datetime | None = None

    @property
    def equity(self) -> Decimal | None:
        """Cash plus unrealized P&L; None where that is unknown."""
        return None if self.unrealized is None else LEDGER.add(self.cash, self.unrealized)

    @property
    def is_day_end(self) -> bool:
        return self.at.timetz().replace(tzinfo=None) == datetime.min.time()


class IndexPoint(NamedTuple):
    """Growth of one unit that was there from the first point on: 1.05 is 5 % up."""

    at: datetime
    level: Decimal


class Unmeasured(NamedTuple):
    """A part of the period that has no return. reason: `no_equity` (zero or less at its start) or
    `unpriceable`.
    """

    start: datetime
    end: datetime
    reason: str


class TimeWeighted(NamedTuple):
    """total: None if no sub-period could be measured. curve: begins with the baseline 1."""

    total: Decimal | None
    curve: list[IndexPoint]
    unmeasured: list[Unmeasured]


def time_weighted(points: Sequence[EquityPoint]) -> TimeWeighted:
    """Time-weighted return (TWR): the product of 1 + r over sub-periods, less 1.

    A sub-period runs from one point to the next whose equity is known; every flow has a point of
    its own, so none lies inside one. r = E1 / (E0 + flow at its start) - 1. A sub-period that
    starts with zero equity or less, or across a flow at a moment that has no price, has no return:
    the index stays where it was and the part is listed as unmeasured. An account with nothing in
    it from start to end of a sub-period is not unmeasured: there is nothing to measure.
    """
    curve: list[IndexPoint] = []
    unmeasured: list[Unmeasured] = []
    level, measured = ONE, False
    start: EquityPoint | None = None  # the last point with known equity
    broken = False  # a flow came since, at a moment without equity
    for point in points:
        equity = point.equity
        if equity is None:
            broken = broken or point.flow is None or bool(point.flow)
            continue
        if start is not None:
            invested = None if broken else _after_flow(start)
            if invested is None:
                unmeasured.append(Unmeasured(start.at, point.at, "unpriceable"))
            elif invested > ZERO:
                level = LEDGER.divide(LEDGER.multiply(level, equity), invested)
                measured = True
            elif invested or equity:
                unmeasured.append(Unmeasured(start.at, point.at, "no_equity"))
        elif points[0] is not point:
            unmeasured.append(Unmeasured(points[0].at, point.at, "unpriceable"))
        curve.append(IndexPoint(point.at, quantize(level)))
        start, broken = point, False
    if points and start is not points[-1]:
        since = points[0] if start is None else start
        unmeasured.append(Unmeasured(since.at, points[-1].at, "unpriceable"))
    total = quantize(LEDGER.subtract(level, ONE)) if measured else None
    return TimeWeighted(total, curve, _joined(unmeasured))


def _after_flow(point: EquityPoint) -> Decimal | None:
    if point.equity is None or point.flow is None:
        return None
    return LEDGER.add(point.equity, point.flow)


def _joined(parts: Iterable[Unmeasured]) -> list[Unmeasured]:
    """Neighbours with one reason are one part."""
    joined: list[Unmeasured] = []
    for part in parts:
        if joined and joined[-1].end == part.start and joined[-1].reason == part.reason:
            part = joined.pop()._replace(end=part.end)  # noqa: PLW2901 - the same part, longer
        joined.append(part)
    return joined


def modified_dietz(points: Sequence[EquityPoint]) -> Decimal | None:
    """Modified Dietz return: (E1 - E0 - sum CF) / (E0 + sum w*CF), over the whole period.

    w is the share of the period that a flow was there: (T - t) / T. A flow at the first point
    counts whole, one at the last point comes after the period and does not count. None where the
    first or last equity or a flow is unknown, where the capital below the line is zero or less,
    and for a period without a length.
    """
    if len(points) < 2:  # noqa: PLR2004 - a period has two ends
        return None
    first, last = points[0], points[-1]
    flows = [(point.at, point.flow) for point in points[:-1]]
    if first.equity is None or last.equity is None or first.at == last.at:
        return None
    gain, capital = LEDGER.subtract(last.equity, first.equity), first.equity
    period = Decimal((last.at - first.at) // _MICROSECOND)
    for at, flow in flows:
        if flow is None:
            return None
        there = Decimal((last.at - at) // _MICROSECOND)
        gain = LEDGER.subtract(gain, flow)
        weighted = LEDGER.divide(LEDGER.multiply(flow, there), period)
        capital = LEDGER.add(capital, weighted)
    return quantize(LEDGER.divide(gain, capital)) if capital > ZERO else None


class Drawdown(NamedTuple):
    """One fall of the index and the way back. depth: lowest / peak - 1, so negative.

    duration: from the peak to the first time the index stands at the peak or above it again, or
    to now where it does not yet (`recovered_at` None).
    """

    depth: Decimal
    peak_at: datetime
    trough_at: datetime
    recovered_at: datetime | None
    duration: timedelta


def drawdowns(curve: Sequence[IndexPoint], now: datetime) -> list[Drawdown]:
    """Every drawdown of a TWR index, in order. It is taken on the index and not on equity: a
    withdrawal is none. The index begins at 1, so a loss from the first day on is one. A peak is
    the latest moment at which the index stood at its highest so far.
    """
    found: list[Drawdown] = []
    peak: IndexPoint | None = None
    trough: IndexPoint | None = None
    for point in curve:
        if peak is None or point.level >= peak.level:
            if peak is not None and trough is not None:
                found.append(_drawdown(peak, trough, point.at, point.at))
            peak, trough = point, None
        elif trough is None or point.level < trough.level:
            trough = point
    if peak is not None and trough is not None:
        found.append(_drawdown(peak, trough, None, now))
    return found


def _drawdown(
    peak: IndexPoint, trough: IndexPoint, recovered_at: datetime | None, end: datetime
) -> Drawdown:
    depth = _ratio(trough.level, peak.level)
    return Drawdown(depth, peak.at, trough.at, recovered_at, end - peak.at)


def deepest(found: Iterable[Drawdown]) -> Drawdown | None:
    """Maximum drawdown; the first of equals, None if the index never fell."""
    return min(found, key=lambda drawdown: drawdown.depth, default=None)


def under_water(curve: Iterable[IndexPoint]) -> list[IndexPoint]:
    """Per point index / highest so far - 1: zero or negative, for drawing."""
    highest, result = ZERO, []
    for point in curve:
        highest = max(highest, point.level)
        result.append(IndexPoint(point.at, _ratio(point.level, highest)))
    return result


def _ratio(level: Decimal, peak: Decimal) -> Decimal:
    return quantize(LEDGER.subtract(LEDGER.divide(level, peak), ONE)) if peak else ZERO


class Cycle(NamedTuple):
    """A position from flat to flat. closed_ms None: still open.

    fees: paid in the settle asset; other_fees: in others, by asset, and in no figure of `net` (see
    shared/mysql/fees.py for their value). A spot fee in the base asset is part of the cost and in
    neither. fees_unknown: fills whose fee has not come yet. most_qty: the largest quantity, signed.
    """

    opened_ms: int
    closed_ms: int | None
    settle_asset: str
    most_qty: Decimal
    realized: Decimal
    fees: Decimal
    funding: Decimal
    other_fees: dict[str, Decimal]
    fees_unknown: int

    @property
    def net(self) -> Decimal:
        """What the cycle made: realized, less fees, plus funding."""
        return LEDGER.add(LEDGER.subtract(self.realized, self.fees), self.funding)


class Funding(NamedTuple):
    """Funding of a position, + received."""

    at_ms: int
    asset: str
    amount: Decimal


def cycles(product: str, legs: Iterable[Leg[Any]]) -> list[Cycle]:
    """The cycles of one position, in order, the last one perhaps open.

    legs: from `position.legs`, beginning where the position is flat. A flip ends one cycle and
    begins the next; its fee is split by quantity. An opening (`open`) begins a cycle at the cost it
    states, or restates the cost of the cycle that runs. What is sold without a known basis while
    flat is no cycle. Their funding is still zero: see with_funding.
    """
    found: list[Cycle] = []
    current: Cycle | None = None
    before = ZERO
    for leg in legs:
        fill, after = leg.fill, leg.state.qty
        fee, fee_of_next = fill.fee, None
        if product == "spot" and base_fee(fill):
            fee = ZERO
        flips = bool(before and after) and before.is_signed() != after.is_signed()
        if flips and fee:
            share = LEDGER.divide(LEDGER.multiply(fee, before.copy_abs()), fill.qty)
            fee_of_next = LEDGER.subtract(fee, quantize(share))
            fee = quantize(share)
        if current is None and (after or leg.realized):
            current = _begun(fill)
        if current is not None:
            current = _grown(current, fill, before if flips else after, leg.realized, fee)
            if flips or not after:
                found.append(current._replace(closed_ms=fill.executed_at_ms))
                current = None
        if flips:
            current = _grown(_begun(fill), fill, after, ZERO, fee_of_next)
        before = after
    return found if current is None else [*found, current]


def _begun(fill: Traded) -> Cycle:
    return Cycle(fill.executed_at_ms, None, fill.settle_asset, ZERO, ZERO, ZERO, ZERO, {}, 0)


def _grown(
    cycle: Cycle, fill: Traded, qty: Decimal, realized: Decimal, fee: Decimal | None
) -> Cycle:
    asset = fill.fee_asset or fill.settle_asset
    fees, others, unknown = cycle.fees, cycle.other_fees, cycle.fees_unknown
    if fee is None:
        unknown += fill.side in FILL_SIDES
    elif asset == fill.settle_asset:
        fees = LEDGER.add(fees, fee)
    elif fee:
        others = {**others, asset: LEDGER.add(others.get(asset, ZERO), fee)}
    return cycle._replace(
        most_qty=max(cycle.most_qty, qty, key=Decimal.copy_abs),
        realized=LEDGER.add(cycle.realized, realized),
        fees=fees,
        other_fees=others,
        fees_unknown=unknown,
    )


def with_funding(found: Sequence[Cycle], funding: Iterable[Funding]) -> list[Cycle]:
    """The cycles of one position with its funding: each belongs to the last cycle that opened
    before it, if that one settles in its asset, and otherwise to none.
    """
    result, opened = list(found), [cycle.opened_ms for cycle in found]
    for one in funding:
        place = bisect_left(opened, one.at_ms) - 1
        if place >= 0 and result[place].settle_asset == one.asset:
            cycle = result[place]
            result[place] = cycle._replace(funding=LEDGER.add(cycle.funding, one.amount))
    return result


class CycleStats(NamedTuple):
    """Of closed cycles. average_loss is negative."""

    cycles: int
    wins: int
    losses: int
    win_rate: Decimal | None
    profit_factor: Decimal | None
    average_win: Decimal | None
    average_loss: Decimal | None


def cycle_stats(found: Iterable[Cycle]) -> CycleStats:
    """Of the closed cycles among these, which are all of one settle asset, by their `net`:

    win: net above zero; loss: below; a cycle of exactly zero is neither, but it counts as a cycle.
    Win rate: wins / cycles; None without cycles. Profit factor: sum of wins / -(sum of losses);
    None without losses, it has no number then. Average win and loss: mean net of the wins and of
    the losses; None without any.
    """
    nets = [cycle.net for cycle in found if cycle.closed_ms is not None]
    wins, losses = [net for net in nets if net > ZERO], [net for net in nets if net < ZERO]
    gained, lost = _sum(wins), _sum(losses)
    return CycleStats(
        len(nets),
        len(wins),
        len(losses),
        win_rate=_divided(Decimal(len(wins)), Decimal(len(nets))),
        profit_factor=_divided(gained, LEDGER.minus(lost)),
        average_win=_divided(gained, Decimal(len(wins))),
        average_loss=_divided(lost, Decimal(len(losses))),
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = LEDGER.add(total, amount)
    return total


def _divided(amount: Decimal, by: Decimal) -> Decimal | None:
    return quantize(LEDGER.divide(amount, by)) if by else None
