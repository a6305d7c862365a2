"""What a reader of a statement has to know before its figures. Pure: one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from shared.ledger.days import day_of, day_text
from shared.ledger.money import plain
from shared.ledger.reconcile import CAUSES
from shared.ledger.valuation import Unpriceable
from shared.mysql.cycles import SidelessFunding
from workers.statement.records import UNATTRIBUTED, AssetStatement, OpenPosition

BREAKS_TOLD = 20
PARTS_TOLD = 5
UNMEASURED = {
    "no_equity": "nothing was invested",
    "unpriceable": "a position had no price",
    "overflow": "it is beyond any figure",
}


class Standing(NamedTuple):
    """How an account stands. parked: open events; waiting: (product, instrument, side, from_ms) of
    positions with a fold that waits; breaks: (kind, identity, cause, opened_at) of those open.
    """

    status: str
    reason: str | None
    parked: int
    waiting: Sequence[tuple[str, str, str, int]]
    breaks: Sequence[tuple[str, str, str | None, datetime]]
    closed_through: date | None


def warnings_of(
    standing: Standing,
    last_day: date,
    assets: Iterable[AssetStatement],
    positions: Iterable[OpenPosition],
    sideless: Iterable[SidelessFunding] = (),
) -> list[str]:
    """Most serious first."""
    return [
        *_account(standing),
        *_breaks(standing),
        *_days(standing.closed_through, last_day),
        *(text for one in assets for text in _asset(one)),
        *_cycles(sideless),
        *_positions(positions),
    ]


def _account(standing: Standing) -> Iterator[str]:
    if standing.parked:
        yield (
            f"The account is incomplete: {_count(standing.parked, 'event')} parked "
            "(`fleet parked list`)."
        )
    if standing.status != "active":
        why = f": {standing.reason}" if standing.reason else ""
        yield f"The account is {standing.status}{why}."
    for product, instrument, position_side, from_ms in standing.waiting:
        yield (
            f"Late fills of {product} {instrument} ({position_side}) wait to be folded: its "
            f"figures from {day_text(day_of(from_ms))} on are not final."
        )


def _breaks(standing: Standing) -> Iterator[str]:
    for kind, identity, cause, opened_at in standing.breaks[:BREAKS_TOLD]:
        known = f" ({cause}: {CAUSES.get(cause, 'see `fleet trace`')})" if cause else ""
        yield f"Open break since {opened_at:%Y-%m-%d}: {kind} of {identity}{known}."
    if len(standing.breaks) > BREAKS_TOLD:
        yield f"And {len(standing.breaks) - BREAKS_TOLD} more open breaks (`fleet reconcile`)."


def _days(closed_through: date | None, last_day: date) -> Iterator[str]:
    if closed_through is None:
        yield "No day has been closed yet: every figure may still change."
    elif closed_through < last_day:
        yield f"Days after {closed_through} are not closed yet: their figures still change."


def _asset(one: AssetStatement) -> Iterator[str]:
    tie_out = one.tie_out()
    if tie_out.difference:
        yield (
            f"{one.asset} does not tie: opening, flows and P&L miss the closing {tie_out.basis} "
            "by the difference below (`fleet trace`, `fleet rebuild`)."
        )
    if tie_out.basis != "equity":
        yield f"Equity in {one.asset} cannot be valued at an end of the period: no fresh price."
    unvalued = sum(fees.unvalued for fees in one.foreign_fees)
    if unvalued:
        yield f"{_count(unvalued, 'fee')} without a price that would tell its value in {one.asset}."
    if any(cause.cause == UNATTRIBUTED for cause in one.causes):
        yield f"Some P&L in {one.asset} is not attributed to its cause yet."
    for part in one.measured.growth.unmeasured[:PARTS_TOLD]:
        why = UNMEASURED.get(part.reason, part.reason)
        yield f"No return in {one.asset} from {part.start:%Y-%m-%d} to {part.end:%Y-%m-%d}: {why}."


def _cycles(sideless: Iterable[SidelessFunding]) -> Iterator[str]:
    for one in sideless:
        yield (
            f"{plain(one.amount)} {one.asset} of funding of {one.product} {one.instrument} in no "
            f"cycle: it names no side, and both were open ({one.payments} times)."
        )


def _positions(positions: Iterable[OpenPosition]) -> Iterator[str]:
    for one in positions:
        if isinstance(one.price, Unpriceable):
            why = "is too old" if one.price.reason == "stale_price" else "is not known"
            yield f"{one.product} {one.instrument} is unpriceable at the end: its price {why}."


def _count(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"
