"""What exchanges say of an account, each report with a watermark: everything up to and including
that time is contained in it. Unequal reports of one watermark are a break; the smallest content
stands, as with cash.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from shared.ledger.money import plain


class ObservedPosition(NamedTuple):
    """`position.observed.1`. `qty` signed, in the venue's own unit; None: not reported."""

    account_id: int
    product: str
    instrument: str
    position_side: str
    watermark_ms: int
    venue: str
    qty: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    contract_size: Decimal | None
    settle_asset: str | None
    report_hash: bytes
    data: str

    @property
    def key(self) -> tuple[int, str, str, str, int]:
        return self[:5]


class ObservedBalance(NamedTuple):
    """`balance.observed.1`. `wallet` is what cash movements add up to, without unrealized P&L."""

    account_id: int
    asset: str
    product: str
    watermark_ms: int
    venue: str
    wallet: Decimal
    report_hash: bytes
    data: str

    @property
    def key(self) -> tuple[int, str, str, int]:
        return self[:4]


_POSITION = ("venue", "qty", "entry_price", "mark_price", "contract_size", "settle_asset")
# A mark moves within the millisecond: it ranks, and contradicts nobody.
_POSITION_COMPARED = ("qty", "entry_price", "contract_size", "settle_asset")
_BALANCE = ("venue", "wallet")


def position_rank(report: ObservedPosition) -> tuple[tuple[str, ...], bytes]:
    """Smallest stands."""
    return (_texts(report, _POSITION), report.report_hash)


def balance_rank(report: ObservedBalance) -> tuple[tuple[str, ...], bytes]:
    """Smallest stands."""
    return (_texts(report, _BALANCE), report.report_hash)


def position_conflicts(one: ObservedPosition, other: ObservedPosition) -> dict[str, list[str]]:
    """Field -> both texts, sorted, where two reports of one watermark differ."""
    return _conflicts(one, other, _POSITION_COMPARED)


def balance_conflicts(one: ObservedBalance, other: ObservedBalance) -> dict[str, list[str]]:
    """Field -> both texts, sorted, where two reports of one watermark differ."""
    return _conflicts(one, other, ("wallet",))


Observed = ObservedPosition | ObservedBalance


def _conflicts(one: Observed, other: Observed, names: tuple[str, ...]) -> dict[str, list[str]]:
    pairs = zip(names, _texts(one, names), _texts(other, names), strict=True)
    return {name: sorted({a, b}) for name, a, b in pairs if a != b}


def _texts(report: Observed, names: tuple[str, ...]) -> tuple[str, ...]:
    values = (getattr(report, name) for name in names)
    return tuple(
        plain(value) if isinstance(value, Decimal) else "" if value is None else str(value)
        for value in values
    )
