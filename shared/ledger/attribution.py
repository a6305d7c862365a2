"""What caused a fill's P&L, and how far the venue's own figure of it may be from ours. Pure.

The rule of the buckets, the only place where it stands:

1. A fill's own `signal_id` and `strategy`, as one pair, if it has any of the two; else those of its
   order. Its order is the one of its `order_id`, then the one of its `client_order_id`. A pair with
   a signal belongs to bucket `signal`, one without to `strategy`.
2. Without such a pair: a fill with a client's order id, of its own or of its order, came of an
   order that somebody's program sent: bucket `order`.
3. The rest is `manual`: trades made by hand on the exchange, and whatever the venue did by itself
   (liquidation, ADL, settlement), whose client order ids are the venue's.

Funding and the other cash entries belong to no fill: bucket `cash`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from shared.ledger.money import LEDGER


class Tag(NamedTuple):
    """Where a part belongs; texts are empty where there is none."""

    bucket: str
    strategy: str
    signal_id: str


CASH = Tag("cash", "", "")


class Tagged(Protocol):
    """What a fill and an order say of it."""

    @property
    def client_order_id(self) -> str | None: ...
    @property
    def signal_id(self) -> str | None: ...
    @property
    def strategy(self) -> str | None: ...


def tag_of(kind: str, sources: Sequence[Tagged]) -> Tag:
    """sources: the fill itself, then its orders as far as they are known."""
    for source in sources:
        if source.signal_id is not None or source.strategy is not None:
            bucket = "strategy" if source.signal_id is None else "signal"
            return Tag(bucket, source.strategy or "", source.signal_id or "")
    if kind == "normal" and any(source.client_order_id is not None for source in sources):
        return Tag("order", "", "")
    return Tag("manual", "", "")


class Due(NamedTuple):
    """A day of an account's instrument, counted as in days.py, and how many fills it has."""

    product: str
    instrument: str
    day: int
    fills: int


DAY_FILLS = 100  # what a day costs beside its fills, in fills


def affordable(due: Sequence[Due], fills: int) -> Sequence[Due]:
    """As many of the first days as stay within about so many fills; one at least."""
    left = fills
    for index, day in enumerate(due):
        left -= day.fills + DAY_FILLS
        if left < 0:
            return due[: max(index, 1)]
    return due


# ---- the venue's figure of a fill's realized P&L beside ours

DEFAULT_STEP = Decimal("1E-8")
"""The last decimal of a venue's own amounts where nobody has noted it."""

NET_OF_FEE = "net of fee"
UNKNOWN_PAST = "unknown past"
UNEXPLAINED = "unexplained"


class Steps:
    """Dated last decimals of an instrument: (valid from, in ms; step), None where not known."""

    def __init__(self, dated: Iterable[tuple[int, Decimal | None]]) -> None:
        self._dated = sorted(dated, key=lambda fact: fact[0], reverse=True)

    def at(self, at_ms: int) -> Decimal:
        for from_ms, step in self._dated:
            if from_ms <= at_ms:
                return DEFAULT_STEP if step is None else step
        return DEFAULT_STEP


def diverges(computed: Decimal, reported: Decimal, step: Decimal) -> bool:
    """More than one unit of the venue's last decimal: not explained by its rounding."""
    return LEDGER.subtract(reported, computed).copy_abs() > step


def cause_of(computed: Decimal, reported: Decimal, step: Decimal, fee: Decimal | None) -> str:
    """Why they differ. fee: where it was paid in the same asset."""
    if fee and not diverges(LEDGER.subtract(computed, fee), reported, step):
        return NET_OF_FEE
    # The venue closed something; in our books it only opened or added.
    return UNEXPLAINED if computed else UNKNOWN_PAST
