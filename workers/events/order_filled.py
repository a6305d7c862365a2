"""order.filled.1: the venue executed (part of) an order. Also what a sync of fills sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from shared.errors import InvalidEvent
from shared.ledger.fill import FillReport
from shared.ledger.identity import report_hash
from shared.streams.event import Event
from workers.events.amounts import Amount, Revision, TimeMs, Unsigned, VenueSequence
from workers.events.body import AccountBody
from workers.events.texts import Asset, Instrument, Label, LaravelId, Venue, VenueId


class Model(AccountBody):
    """Body of order.filled.1. Null means not known yet, as if the field were left out."""

    venue: Venue
    product: Literal["linear", "inverse", "spot"]
    instrument: Instrument
    position_side: Literal["net", "long", "short"]
    trade_id: VenueId
    order_id: VenueId | None = None
    side: Literal["buy", "sell"]
    qty: Unsigned
    price: Unsigned
    contract_size: Unsigned | None = None  # the ledger takes 1 where no report knows it
    fee: Amount | None = None
    fee_asset: Asset | None = None
    settle_asset: Asset
    base_asset: Asset | None = None
    quote_asset: Asset | None = None
    executed_at_ms: TimeMs
    venue_seq: VenueSequence | None = None
    revision: Revision = 1
    source: Literal["laravel", "stream", "sync", "import"] | None = None
    client_order_id: VenueId | None = None
    liquidity: Literal["maker", "taker"] | None = None
    kind: Literal["normal", "liquidation", "adl", "settlement"] | None = None
    realized_pnl: Amount | None = None
    signal_id: LaravelId | None = None
    strategy: Label | None = None

    def check(self, key: str) -> None:
        self.check_account(key)
        size = self.contract_size
        if not (self.qty and self.price) or (size is not None and not size):
            raise InvalidEvent(
                "malformed",
                "`qty`, `price` and `contract_size` must be above zero; send the fill as the venue "
                "reports it",
            )
        if self.fee is not None and self.fee_asset is None:
            raise InvalidEvent(
                "malformed", "`fee` comes without `fee_asset`; send both, or neither if not known"
            )
        if self.product != "linear":
            self._check_product()

    def _check_product(self) -> None:
        if self.product == "inverse":
            raise InvalidEvent(
                "unsupported_product",
                "inverse contracts arrive with the ledger issue; the event stays parked and can be "
                "replayed then (fleet parked replay)",
            )
        if self.base_asset is None or self.quote_asset is None:
            raise InvalidEvent(
                "missing_field", "a spot fill needs `base_asset` and `quote_asset`; send both"
            )
        if self.position_side != "net":
            raise InvalidEvent(
                "malformed",
                f'a spot fill has `position_side` "net", not {self.position_side!r}; long '
                "and short sides exist in hedge mode of linear contracts only",
            )


class Book(Protocol):
    """What this event needs of the book."""

    def record_fills(self, reports: Sequence[FillReport]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_fills([report(event.body, event.data) for event in events])


def report(body: Model, data: bytes) -> FillReport:
    """The ledger's input: the body's fields under the same names, and the report verbatim."""
    text = data.decode()
    return FillReport(**vars(body), data=text, report_hash=report_hash(text))
