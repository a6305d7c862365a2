"""Spot fills beside the venue's own rows of them, where it sends such rows.

There the rows explain the wallet, and most venues report no spot position: a fill that is missing
in the books would be seen by nobody. What an instrument's rows moved of its base asset is what its
fills moved, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.ledger.days import DAY_MS
from shared.ledger.identity import position_identity
from shared.ledger.money import ZERO
from shared.ledger.reconcile import (
    INCOMPLETE,
    LATE,
    MISSING_FILLS,
    UNEXPLAINED,
    Difference,
)
from shared.mysql.book_positions import PositionKey
from shared.mysql.book_rows import Rows
from shared.mysql.reconcile_positions import SQL, Books

RECHECKED_MS = 7 * DAY_MS  # as of wallets; an open break is followed from where it began

KIND = "position_diverged"


def compare_spot(rows: Rows, books: Books) -> Iterator[Difference]:
    """In the span of the account's wallet reports; nothing without them."""
    [(first_ms, until_ms)] = rows.run(SQL["reported_span"], (books.account_id,))
    if first_ms is None:
        return
    from_ms = max(first_ms, until_ms - RECHECKED_MS)
    stood = [one.details["from_ms"] for one in books.stood.values() if "from_ms" in one.details]
    from_ms = min([from_ms, *map(int, stood)])
    told: dict[tuple[str, str], Decimal] = {}
    for instrument, asset, amount in rows.run(
        SQL["spot_rows"], (books.account_id, from_ms, until_ms)
    ):
        told[instrument, asset] = amount
    if not told:
        return
    for key in sorted(_moved(books, told, from_ms)):
        for base, ours, fills in rows.run(SQL["spot_fills"], (*key, from_ms, until_ms)) or _none(
            told, key
        ):
            venues = told.get((key[2], base), ZERO)
            if ours != venues:
                yield _difference(books, key, (ours, venues), (from_ms, until_ms), fills)


def _moved(
    books: Books, told: dict[tuple[str, str], Decimal], from_ms: int
) -> set[PositionKey]:
    """Instruments with a row, or with a fill, in the span."""
    by_row = {(books.account_id, "spot", instrument, "net") for instrument, _ in told}
    by_fill = {
        key for key, one in books.positions.items() if key[1] == "spot" and one.last[0] > from_ms
    }
    return by_row | by_fill


def _none(
    told: dict[tuple[str, str], Decimal], key: PositionKey
) -> list[tuple[str, Decimal, int]]:
    """No fill at all: any asset that the rows moved will do, one is the base."""
    assets = sorted(asset for instrument, asset in told if instrument == key[2])
    return [(assets[0], ZERO, 0)]


def _difference(
    books: Books,
    key: PositionKey,
    amounts: tuple[Decimal, Decimal],
    span: tuple[int, int],
    fills: int,
) -> Difference:
    ours, venues = amounts
    details = {
        "what": "bought and sold",
        "from_ms": str(span[0]),
        "watermark_ms": str(span[1]),
        "fills": str(fills),
    }
    cause = UNEXPLAINED if fills and abs(ours) > abs(venues) else MISSING_FILLS
    if books.parked:
        cause = INCOMPLETE
    elif key in books.positions and books.waits(key, span[1]):
        cause = LATE
    return Difference(KIND, position_identity(*key), ours, venues, cause, details)
