"""cash.moved.1: the venue moved money of an account, other than by the price of a trade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, Protocol

from shared.errors import InvalidEvent
from shared.ledger.cash import CashEntry
from shared.ledger.identity import report_hash
from shared.streams.event import Event
from workers.events.amounts import Amount, TimeMs, Unsigned
from workers.events.body import AccountBody, check_account
from workers.events.texts import Asset, Instrument, Venue, VenueId, VenueType


class Model(AccountBody):
    """Body of cash.moved.1. `amount` signed, + received.

    `instrument` and `product` say which position it belongs to (funding); "", null or left out
    where it belongs to none.

    A movement of a spot instrument's base asset that carries `quote_asset` moves the holding, too:
    what comes in with its declared `basis` (in the quote asset) enters at that cost, what goes out
    leaves at average cost, both without P&L. Without a basis it is unknown what it cost: it does
    not enter, and selling it counts as `unknown_basis_qty`.
    """

    venue: Venue
    asset: Asset
    amount: Amount
    kind: Literal[
        "funding",
        "transfer_in",
        "transfer_out",
        "rebate",
        "bonus",
        "liquidation_fee",
        "insurance",
        "conversion",
        "interest",
        "commission",
        "realized",
        "other",
    ]
    venue_type: VenueType
    ref: VenueId
    instrument: NotRequired[Literal[""] | Instrument | None]
    product: NotRequired[Literal["linear", "inverse", "spot", ""] | None]
    at_ms: TimeMs
    quote_asset: NotRequired[Asset | None]
    basis: NotRequired[Unsigned | None]


def check(body: Model, key: str) -> None:
    """Raises InvalidEvent where fields contradict one another or the entry's key."""
    check_account(body, key)
    of_spot = body.get("product") == "spot" and body.get("instrument")
    if body.get("quote_asset") is not None and not of_spot:
        raise InvalidEvent(
            "malformed",
            '`quote_asset` says that a spot holding moves; send `product` "spot" and its '
            "`instrument` with it, or leave it out",
        )
    if body.get("basis") is not None and (body.get("quote_asset") is None or body["amount"] <= 0):
        raise InvalidEvent(
            "malformed",
            "`basis` is the cost of what came in: send it with a positive `amount` and with "
            "`quote_asset`",
        )


class Book(Protocol):
    """What this event needs of the book."""

    def record_cash(self, entries: Sequence[CashEntry]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_cash([entry(event.body, event.data) for event in events])


def entry(body: Model, data: bytes) -> CashEntry:
    """The ledger's input: the body's fields under the same names, and the report verbatim."""
    text = data.decode()
    return CashEntry(
        account_id=body["account_id"],
        venue_type=body["venue_type"],
        ref=body["ref"],
        asset=body["asset"],
        instrument=body.get("instrument") or "",
        product=body.get("product") or "",
        venue=body["venue"],
        amount=body["amount"],
        kind=body["kind"],
        at_ms=body["at_ms"],
        report_hash=report_hash(text),
        data=text,
        quote_asset=body.get("quote_asset"),
        basis=body.get("basis"),
    )
