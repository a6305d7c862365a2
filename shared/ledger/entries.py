"""Entries: what moves a position beside its fills.

`open` states what is held from a moment on, where the past is unknown; `in` and `out` move a spot
holding that was deposited with a declared basis, or withdrawn. None of them realizes P&L.

Unequal reports of one identity are a break; the one with the smallest content stands, as with cash.
`in` and `out` follow from the cash entry that stands (`holding_move`), so they are never two.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.cash import CashEntry
from shared.ledger.identity import cash_identity
from shared.ledger.money import ONE, ZERO, plain


class PositionEntry(NamedTuple):
    """One row of fleet_position_entries.

    qty and cost: of `open` signed, negative for a short; of `in` the quantity and its declared
    basis; of `out` the quantity and zero, it leaves at average cost. ref: the source's own id.
    """

    account_id: int
    product: str
    instrument: str
    position_side: str
    kind: str
    ref: str
    venue: str
    at_ms: int
    qty: Decimal
    cost: Decimal
    contract_size: Decimal
    settle_asset: str
    report_hash: bytes
    data: str

    @property
    def key(self) -> EntryKey:
        return self[:6]


EntryKey = tuple[int, str, str, str, str, str]

# The place of an entry among the fills of its millisecond, as a venue sequence: what comes in is
# there before anything of it can be sold, an opening contains whatever happened up to its time.
PLACE: Mapping[str, int] = {"in": -2, "out": 2**63 - 2, "open": 2**63 - 1}

_CONTENT = ("at_ms", "qty", "cost", "contract_size", "settle_asset", "venue")


def holding_move(cash: CashEntry) -> PositionEntry | None:
    """What a movement of a spot instrument's base asset does to the holding; None where it does
    nothing.

    It needs the quote asset. What comes in with its declared basis (in the quote asset) enters at
    that cost, what goes out leaves at average cost, both without P&L. Without a basis it is unknown
    what it cost: it does not enter, and selling it counts as `unknown_basis_qty`.
    """
    comes = cash.amount > 0
    if cash.quote_asset is None or not cash.amount or (comes and cash.basis is None):
        return None
    return PositionEntry(
        account_id=cash.account_id,
        product=cash.product,
        instrument=cash.instrument,
        position_side="net",
        kind="in" if comes else "out",
        ref=cash_identity(*cash[:5]),
        venue=cash.venue,
        at_ms=cash.at_ms,
        qty=cash.amount.copy_abs(),
        cost=cash.basis or ZERO,
        contract_size=ONE,
        settle_asset=cash.quote_asset,
        report_hash=cash.report_hash,
        data=cash.data,
    )


def entry_rank(entry: PositionEntry) -> tuple[tuple[str, ...], bytes]:
    """Smallest stands."""
    return (_content(entry), entry.report_hash)


def entry_conflicts(one: PositionEntry, other: PositionEntry) -> dict[str, list[str]]:
    """Field -> both texts, sorted, where two reports of one identity differ."""
    pairs = zip(_CONTENT, _content(one), _content(other), strict=True)
    return {name: sorted({a, b}) for name, a, b in pairs if a != b}


def _content(entry: PositionEntry) -> tuple[str, ...]:
    return tuple(
        plain(value) if isinstance(value, Decimal) else str(value)
        for value in (getattr(entry, name) for name in _CONTENT)
    )
