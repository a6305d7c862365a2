"""position.observed.1: what an exchange says that an account holds, as of a watermark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, Protocol

from shared.ledger.identity import report_hash
from shared.ledger.observed import ObservedPosition
from shared.streams.event import Event
from workers.events.amounts import Amount, TimeMs, Unsigned
from workers.events.body import AccountBody, check_account
from workers.events.products import PositionSide, Product
from workers.events.texts import Asset, Instrument, Venue


class Model(AccountBody):
    """Body of position.observed.1. `qty` signed, negative for a short, "0" when flat.

    `watermark_ms`: every fill up to and including this time is contained in the report, none after
    it. `mark_price` is stored as a price of that moment.
    """

    venue: Venue
    product: Product
    instrument: Instrument
    position_side: PositionSide
    qty: Amount
    watermark_ms: TimeMs
    entry_price: NotRequired[Unsigned | None]
    mark_price: NotRequired[Unsigned | None]
    contract_size: NotRequired[Unsigned | None]
    settle_asset: NotRequired[Asset | None]


check = check_account


class Book(Protocol):
    """What this event needs of the book."""

    def record_observed_positions(self, reports: Sequence[ObservedPosition]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_observed_positions([observed(event.body, event.data) for event in events])


def observed(body: Model, data: bytes) -> ObservedPosition:
    """The ledger's input: the body's fields under the same names, and the report verbatim."""
    text = data.decode()
    return ObservedPosition(
        account_id=body["account_id"],
        product=body["product"],
        instrument=body["instrument"],
        position_side=body["position_side"],
        watermark_ms=body["watermark_ms"],
        venue=body["venue"],
        qty=body["qty"],
        entry_price=body.get("entry_price"),
        mark_price=body.get("mark_price"),
        contract_size=body.get("contract_size"),
        settle_asset=body.get("settle_asset"),
        report_hash=report_hash(text),
        data=text,
    )
