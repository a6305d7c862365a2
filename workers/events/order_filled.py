"""order.filled.1: the venue executed (part of) an order. Also what a sync of fills sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, Protocol

from shared.errors import InvalidEvent
from shared.ledger.fill import FillReport
from shared.ledger.identity import report_hash
from shared.streams.event import Event
from workers.events.amounts import Amount, Revision, TimeMs, Unsigned, VenueSequence
from workers.events.body import AccountBody, check_account
from workers.events.products import PositionSide, Product, check_spot
from workers.events.texts import Asset, Instrument, Label, LaravelId, Venue, VenueId


class Model(AccountBody):
    """Body of order.filled.1. Null means not known yet, as if the field were left out."""

    venue: Venue
    product: Product
    instrument: Instrument
    position_side: PositionSide
    trade_id: VenueId
    order_id: NotRequired[VenueId | None]
    side: Literal["buy", "sell"]
    qty: Unsigned
    price: Unsigned
    contract_size: NotRequired[Unsigned | None]  # the ledger takes 1 where no report knows it
    fee: NotRequired[Amount | None]
    fee_asset: NotRequired[Asset | None]
    settle_asset: Asset
    base_asset: NotRequired[Asset | None]
    quote_asset: NotRequired[Asset | None]
    executed_at_ms: TimeMs
    venue_seq: NotRequired[VenueSequence | None]
    revision: NotRequired[Revision]  # 1 where it is left out
    source: NotRequired[Literal["laravel", "stream", "sync", "import"] | None]
    client_order_id: NotRequired[VenueId | None]
    liquidity: NotRequired[Literal["maker", "taker"] | None]
    kind: NotRequired[Literal["normal", "liquidation", "adl", "settlement"] | None]
    realized_pnl: NotRequired[Amount | None]
    signal_id: NotRequired[LaravelId | None]
    strategy: NotRequired[Label | None]


def check(body: Model, key: str) -> None:
    """Raises InvalidEvent where fields contradict one another or the entry's key."""
    check_account(body, key)
    size = body.get("contract_size")
    if not (body["qty"] and body["price"]) or (size is not None and not size):
        raise InvalidEvent(
            "malformed",
            "`qty`, `price` and `contract_size` must be above zero; send the fill as the venue "
            "reports it",
        )
    if body.get("fee") is not None and body.get("fee_asset") is None:
        raise InvalidEvent(
            "malformed", "`fee` comes without `fee_asset`; send both, or neither if not known"
        )
    if body["product"] == "spot":
        check_spot(body["position_side"], body.get("base_asset"), body.get("quote_asset"))


class Book(Protocol):
    """What this event needs of the book."""

    def record_fills(self, reports: Sequence[FillReport]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_fills([report(event.body, event.data) for event in events])


def report(body: Model, data: bytes) -> FillReport:
    """The ledger's input: the body's fields under the same names, and the report verbatim."""
    text = data.decode()
    return FillReport(**body, data=text, report_hash=report_hash(text))
