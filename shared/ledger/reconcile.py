"""Books against an exchange's own reports: what differs, and why. Pure; nothing is adjusted.

A report is compared with the books AS OF its watermark: fills and entries up to and including that
time are in it, none after. Only what a report names is compared: a venue that answers nothing has
not said that nothing is held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import NamedTuple

from shared.ledger.money import LEDGER, ONE, ZERO, checked

INCOMPLETE = "incomplete"
LATE = "late"
UNKNOWN_PAST = "unknown past"
MISSING_FILLS = "missing fills"
MODE = "position mode"
UNEXPLAINED = "unexplained"

CAUSES: Mapping[str, str] = {
    INCOMPLETE: "events of this account are parked: `fleet parked list`",
    LATE: "late fills wait to be folded; the figures are not final yet",
    UNKNOWN_PAST: "it was held before our first fill of it: `fleet adopt`, or import its fills",
    MISSING_FILLS: "we have no fill since the books last tied, the venue has: sync its fills",
    MODE: "fills of one position mode while the account was in the other",
    UNEXPLAINED: "nothing found that explains it: compare with the exchange's own history",
}
"""What a cause means to an operator."""


class Difference(NamedTuple):
    """Books and exchange differ: a break to be.

    expected: ours; actual: the venue's. details: text by name; `what` says what differs, a name
    that ends in `_ms` is a time.
    """

    kind: str
    identity: str
    expected: Decimal | None
    actual: Decimal | None
    cause: str
    details: dict[str, str]


# ---- positions


class Unequal(NamedTuple):
    """what: quantity, entry_price, negative_leg."""

    what: str
    ours: Decimal
    venues: Decimal | None


def compare_position(
    position_side: str,
    ours: tuple[Decimal, Decimal | None],
    venues: tuple[Decimal, Decimal | None],
    price_unit: Decimal,
) -> Unequal | None:
    """(quantity, entry price) as of one watermark. Quantities are equal, or not; prices may be one
    unit of the report's last decimal apart, because venues round or cut them.
    """
    qty, price = ours
    venue_qty, venue_price = venues
    if is_negative(position_side, qty):
        return Unequal("negative_leg", qty, venue_qty)
    if qty != venue_qty:
        return Unequal("quantity", qty, venue_qty)
    if price is None or venue_price is None:
        return None
    apart = LEDGER.subtract(price, venue_price).copy_abs()
    return Unequal("entry_price", price, venue_price) if apart > price_unit else None


def rounding_of_entry(price: Decimal | None, cost: Decimal, fills: int) -> Decimal:
    """How far an entry price may be off because values are kept with 18 places: each fill rounds
    its own value, and its share of the cost, by half a unit of the last one at most. That is more
    than a venue's last decimal where it prints many and the cost is small, as of inverse contracts.
    """
    if price is None or not cost:
        return ZERO
    off = LEDGER.multiply(Decimal(fills + 1), ONE.scaleb(-18, LEDGER))
    return LEDGER.divide(LEDGER.multiply(price, off), cost).copy_abs()


def is_negative(position_side: str, qty: Decimal) -> bool:
    """A long below zero, a short above: a close came in and what it closes did not."""
    return qty < ZERO if position_side == "long" else qty > ZERO and position_side == "short"


def unit_of(text: str) -> Decimal:
    """One unit of the last decimal of a plain amount: 0.01 for "1.50", 1 for "7"."""
    _, _, decimals = text.partition(".")
    return ONE.scaleb(-len(decimals), LEDGER)


class Looked(NamedTuple):
    """What was found about a position that differs. Times in ms; None: there is none.

    parked: events of the account. waiting: a fold up to the watermark. opened_ms: the newest
    opening. first_held_ms: the first report, if it names a holding. tied_ms: the last report or
    opening at which the books tied; moved: whether any fill of ours came after it.
    """

    parked: bool
    waiting: bool
    opened_ms: int | None
    first_held_ms: int | None
    first_fill_ms: int | None
    tied_ms: int | None
    moved: bool


def cause_of(what: str, looked: Looked) -> str:
    """The first that applies, from what would cure it by itself to what nobody knows."""
    if looked.parked:
        return INCOMPLETE
    if looked.waiting:
        return LATE
    held, filled = looked.first_held_ms, looked.first_fill_ms
    if looked.opened_ms is None and held is not None and (filled is None or held < filled):
        return UNKNOWN_PAST
    if what == "negative_leg":
        return MISSING_FILLS
    if what == "quantity" and looked.tied_ms is not None and not looked.moved:
        return MISSING_FILLS
    return UNEXPLAINED


def last_tied(
    reports: Iterable[tuple[int, Decimal]],
    held: Decimal,
    steps: Iterable[tuple[int, Decimal]],
) -> int | None:
    """The last of these reports whose quantity we held; all are (time, quantity), in order of time.

    held: before the first step.
    """
    moved = iter(steps)
    step = next(moved, None)
    tied = None
    for at_ms, qty in reports:
        while step is not None and step[0] <= at_ms:
            held, step = step[1], next(moved, None)
        if held == qty:
            tied = at_ms
    return tied


# ---- position modes


class DatedMode(NamedTuple):
    """A dated fact: from then on `netting` or `hedge`; instrument "": all of the product."""

    product: str
    instrument: str
    from_ms: int
    mode: str


class Suspect(NamedTuple):
    """No fill of this position may lie in [from_ms, to_ms); to_ms None: for good."""

    mode: str
    from_ms: int
    to_ms: int | None


_SIDES = {"netting": frozenset({"net"}), "hedge": frozenset({"long", "short"})}


def suspects(
    product: str, instrument: str, position_side: str, modes: Collection[DatedMode]
) -> Iterator[Suspect]:
    """When the account's mode did not allow this position. An instrument's own facts, if it has
    any, stand before those of its product; before the first fact nothing is known.
    """
    mine = [one for one in modes if one[:2] == (product, instrument)]
    mine = mine or [one for one in modes if one[:2] == (product, "")]
    dated = sorted(mine, key=lambda one: one.from_ms)
    for fact, after in zip_longest(dated, dated[1:]):
        if position_side not in _SIDES[fact.mode]:
            yield Suspect(fact.mode, fact.from_ms, after.from_ms if after else None)


# ---- wallets


class Reported(NamedTuple):
    """A wallet at a watermark; unit: of its last decimal."""

    at_ms: int
    wallet: Decimal
    unit: Decimal


class Movement(NamedTuple):
    """Of one wallet. rounded: how many of its figures we computed where the venue rounds its own;
    0 for a row of the venue.
    """

    at_ms: int
    amount: Decimal
    rounded: int = 0


class Gap(NamedTuple):
    """A wallet that the books do not explain: they tied at `tied_ms`, did not at `untied_ms`, and
    by the newest report they expect one amount where the venue has another.
    """

    tied_ms: int
    untied_ms: int
    watermark_ms: int
    expected: Decimal
    actual: Decimal


def in_wallet(product: str, wallet: str, *, only: bool) -> bool:
    """Whether a row of a product belongs to a wallet that the venue keeps for one product, or ""
    for all. only: it is the only wallet of its asset, so that a row without a product is its own.
    """
    return wallet in {"", product} or (only and not product)


def wallet_gap(reports: Sequence[Reported], movements: Iterable[Movement]) -> Gap | None:
    """Identity I3, from report to report: what is in (t0, t1] is the difference of the wallets.

    Exactly so for rows of the venue; a computed figure may be off by one unit of the wallets' last
    decimal. Both in order of time, movements after the first report only. A difference that later
    reports take back was one of timing and is none; one that stays is carried to the newest report.
    Raises AmountOverflow.
    """
    tied, *later = reports
    unit = min(report.unit for report in reports)  # a venue's scale is one; trailing zeros may go
    moved = iter(movements)
    movement = next(moved, None)
    total, rounded, gap = ZERO, 0, None
    for report in later:
        while movement is not None and movement.at_ms <= report.at_ms:
            total = LEDGER.add(total, movement.amount)
            rounded += movement.rounded
            movement = next(moved, None)
        expected = checked(LEDGER.add(tied.wallet, total))
        bound = LEDGER.multiply(Decimal(rounded), unit)
        if LEDGER.subtract(report.wallet, expected).copy_abs() <= bound:
            tied, total, rounded, gap = report, ZERO, 0, None
        else:
            untied_ms = gap.untied_ms if gap else report.at_ms
            gap = Gap(tied.at_ms, untied_ms, report.at_ms, expected, report.wallet)
    return gap
