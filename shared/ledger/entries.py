"""Entries: what moves a position beside its fills.

`open` states what is held from a moment on, where the past is unknown; `in` and `out` move a spot
holding that was deposited with a declared basis, or withdrawn. None of them realizes P&L.

Unequal reports of one identity are a break; the one with the smallest content stands, as with cash.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import plain


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
