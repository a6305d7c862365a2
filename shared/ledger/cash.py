"""Cash entries: the venue's own movements of money, copied to the digit.

Two unequal reports of one identity are a break. Which of them stands must not depend on arrival:
of those that tell most of a holding the one with the smallest canonical content does, so the merge
is a minimum, which is order-free by nature.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import plain


class CashEntry(NamedTuple):
    """`cash.moved.1`. `amount` signed, + received; `product` and `instrument` "" where the venue
    gives none. quote_asset and basis: see shared/ledger/entries.py; None: not told.
    """

    account_id: int
    venue_type: str
    ref: str
    asset: str
    instrument: str
    product: str
    venue: str
    amount: Decimal
    kind: str
    at_ms: int
    report_hash: bytes
    data: str
    quote_asset: str | None = None
    basis: Decimal | None = None


# The daily column of each kind. Commission and realized stand in the fills already; transfers and
# conversions are no P&L; `other` is what nobody could name, so it is kept but not counted.
DAILY_COLUMN = {
    "funding": "funding",
    "rebate": "other",
    "bonus": "other",
    "liquidation_fee": "other",
    "insurance": "other",
    "interest": "other",
}

_CONTENT = ("amount", "at_ms", "kind", "product", "venue", "quote_asset", "basis")
_MAY_BE_UNTOLD = frozenset({"quote_asset", "basis"})


def cash_rank(entry: CashEntry) -> tuple[int, tuple[str, ...], bytes]:
    """Smallest stands. What is known of the holding goes before everything else: only so it does
    not depend on arrival whether two reports that both know it are seen beside one another.
    """
    unknown = (entry.quote_asset is None) + (entry.basis is None)
    return (unknown, content(entry), entry.report_hash)


def content(entry: CashEntry) -> tuple[str, ...]:
    """Texts of the fields that two reports may contradict each other in; "": not told."""
    basis = "" if entry.basis is None else plain(entry.basis)
    return (
        plain(entry.amount), str(entry.at_ms), entry.kind, entry.product, entry.venue,
        entry.quote_asset or "", basis,
    )  # fmt: skip


def conflicts(one: CashEntry, other: CashEntry) -> dict[str, list[str]]:
    """Field -> both texts, sorted, where two reports of one identity differ. A report that does
    not tell of the holding contradicts nobody in that.
    """
    return {
        name: sorted({a, b})
        for name, a, b in zip(_CONTENT, content(one), content(other), strict=True)
        if a != b and not (name in _MAY_BE_UNTOLD and "" in (a, b))
    }


def union(details: Iterable[dict[str, list[str]]]) -> dict[str, list[str]]:
    """All conflicts in one: every field with every value, sorted. Order-free."""
    values: dict[str, set[str]] = {}
    for conflict in details:
        for name, texts in conflict.items():
            values.setdefault(name, set()).update(texts)
    return {name: sorted(texts) for name, texts in sorted(values.items())}
