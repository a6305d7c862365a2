"""balance.observed.1: what an exchange says that a wallet holds, as of a watermark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, Protocol

from shared.ledger.identity import report_hash
from shared.ledger.observed import ObservedBalance
from shared.streams.event import Event
from workers.events.amounts import Amount, TimeMs
from workers.events.body import AccountBody, check_account
from workers.events.texts import Asset, Venue


class Model(AccountBody):
    """Body of balance.observed.1. `wallet`: without unrealized P&L (ccxt's `total` has it).

    `product`: whose wallet, where the venue keeps one per product; "", null or left out for one
    wallet. `watermark_ms`: every movement up to and including this time is contained in it.
    """

    venue: Venue
    asset: Asset
    wallet: Amount
    watermark_ms: TimeMs
    product: NotRequired[Literal["linear", "inverse", "spot", ""] | None]


check = check_account


class Book(Protocol):
    """What this event needs of the book."""

    def record_observed_balances(self, reports: Sequence[ObservedBalance]) -> object: ...


def apply(book: Book, events: Sequence[Event[Model]]) -> None:
    book.record_observed_balances([observed(event.body, event.data) for event in events])


def observed(body: Model, data: bytes) -> ObservedBalance:
    """The ledger's input: the body's fields under the same names, and the report verbatim."""
    text = data.decode()
    return ObservedBalance(
        account_id=body["account_id"],
        asset=body["asset"],
        product=body.get("product") or "",
        watermark_ms=body["watermark_ms"],
        venue=body["venue"],
        wallet=body["wallet"],
        report_hash=report_hash(text),
        data=text,
    )
