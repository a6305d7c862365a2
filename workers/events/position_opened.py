"""position.opened.1: what an account holds at a moment before which its past is unknown.

From `at_ms` on the position is this, whatever fills before it say; fills up to and including that
millisecond are contained in it. No P&L is realized by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NotRequired, Protocol

from shared.errors import InvalidEvent
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import value_of
from shared.ledger.identity import report_hash
from shared.ledger.money import ONE, ZERO
from shared.streams.event import Event
from workers.events.amounts import Amount, TimeMs, Unsigned
from workers.events.body import AccountBody, check_account
from workers.events.products import PositionSide, Product, check_spot
from workers.events.texts import Asset, Instrument, Venue, VenueId


class Model(AccountBody):
    """Body of position.opened.1. `qty` signed, negative for a short, in the venue's own unit.

    Its cost is told by `entry_price`, or by `cost` itself (positive, in the settle asset); neither
    is needed where `qty` is zero. `ref`: the producer's own id of this opening.
    """

    venue: Venue
    product: Product
    instrument: Instrument
    position_side: PositionSide
    ref: VenueId
    qty: Amount
    entry_price: NotRequired[Unsigned | None]
    cost: NotRequired[Unsigned | None]
    contract_size: NotRequired[Unsigned | None]
    settle_asset: Asset
    base_asset: NotRequired[Asset | None]
    quote_asset: NotRequired[Asset | None]
    at_ms: TimeMs


def check(body: Model, key: str) -> None:
    """Raises InvalidEvent where fields contradict one another or the entry's key."""
    check_account(body, key)
    price, cost, size = (body.get(name) for name in ("entry_price", "cost", "contract_size"))
    if body["qty"] and (price is None) == (cost is None):
        raise InvalidEvent(
            "malformed", "an opening tells its cost by `entry_price` or by `cost`; send one of them"
        )
    if (price is not None and not price) or (size is not None and not size):
        raise InvalidEvent("malformed", "`entry_price` and `contract_size` must be above zero")
    wrong_sign = {"long": body["qty"] < ZERO, "short": body["qty"] > ZERO}
    if wrong_sign.get(body["position_side"]) or (body["product"] == "spot" and body["qty"] < ZERO):
        raise InvalidEvent(
            "malformed",
            "`qty` is negative for a short and positive otherwise; it contradicts the product or "
            "`position_side`",
        )
    if body["product"] == "spot":
        check_spot(body["position_side"], body.get("base_asset"), body.get("quote_asset"))


class Book(Protocol):
    """What this event needs of the book."""

    def record_position_entries(self, entries: Sequence[PositionEntry]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_position_entries([entry(event.body, event.data) for event in events])


def entry(body: Model, data: bytes) -> PositionEntry:
    """The ledger's input. Raises AmountOverflow."""
    text = data.decode()
    size = body.get("contract_size") or ONE
    return PositionEntry(
        account_id=body["account_id"],
        product=body["product"],
        instrument=body["instrument"],
        position_side=body["position_side"],
        kind="open",
        ref=body["ref"],
        venue=body["venue"],
        at_ms=body["at_ms"],
        qty=body["qty"],
        cost=_cost(body, size),
        contract_size=size,
        settle_asset=body["settle_asset"],
        report_hash=report_hash(text),
        data=text,
    )


def _cost(body: Model, size: Decimal) -> Decimal:
    """With the sign of the quantity."""
    if not body["qty"]:
        return ZERO
    cost, price = body.get("cost"), body.get("entry_price")
    if cost is None:
        cost = value_of(body["product"], body["qty"].copy_abs(), price or ONE, size)
    return cost.copy_sign(body["qty"])
