"""Wallets: the difference of two reports is what was booked between them (identity I3).

Which book explains a wallet, its rows decide, for each figure and asset alone. Where a venue sends
rows of kind `realized` (or `commission`), the cash book must explain the wallet to the last digit.
Where it sends none, the performance book stands in with the realized P&L (the fees) of the fills,
and with what spot fills bought and sold. A computed figure may then be off by one unit of the
wallet's last decimal, because venues round theirs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from shared.ledger.days import DAY_MS
from shared.ledger.identity import balance_identity
from shared.ledger.money import LEDGER
from shared.ledger.position import FILL_SIDES, Leg
from shared.ledger.reconcile import (
    INCOMPLETE,
    LATE,
    UNEXPLAINED,
    Difference,
    Gap,
    Movement,
    Reported,
    in_wallet,
    unit_of,
    wallet_gap,
)
from shared.mysql.book_positions import FoldFill
from shared.mysql.book_rows import Rows
from shared.mysql.reconcile_positions import SQL, Books, Compared, legs_since

RECHECKED_MS = 7 * DAY_MS
"""What comes later than this behind its time is not looked for, except where a break is open: that
one is followed from the report where the books tied last.
"""
LOOK_BACK_MS = 90 * DAY_MS  # for rows that tell what the venue sends

FIGURES = ("realized", "commission")

Wallet = tuple[str, str]  # asset, product


class Computed(NamedTuple):
    """What a fill moved, where the venue tells it by no row of its own."""

    at_ms: int
    asset: str
    product: str
    figure: str
    amount: Decimal
    rounded: int


def compare_wallets(
    rows: Rows, books: Books, positions: Sequence[Compared]
) -> Iterator[Difference]:
    """positions: those that differ; where they stand in, theirs is the wallet's cause, too."""
    wallets = _read_wallets(rows, books)
    if not wallets:
        return
    from_ms = min(reports[0].at_ms for reports in wallets.values())
    until_ms = max(reports[-1].at_ms for reports in wallets.values())
    booked = rows.run(SQL["cash"], (books.account_id, from_ms, until_ms))
    span = (books.account_id, from_ms - LOOK_BACK_MS, until_ms)
    sent: set[tuple[str, str, str]] = set(rows.run(SQL["venue_rows"], span))
    of_asset = Counter(asset for asset, _ in wallets)
    computed: list[Computed] | None = None
    for (asset, product), reports in sorted(wallets.items()):
        only = of_asset[asset] == 1
        told = {
            kind for a, p, kind in sent if a == asset and in_wallet(p, product, only=only)
        }
        movements = [
            Movement(at_ms, amount)
            for at_ms, a, p, amount in booked
            if a == asset and at_ms > reports[0].at_ms and in_wallet(p, product, only=only)
        ]
        stand_in = [figure for figure in FIGURES if figure not in told]
        if stand_in:
            if computed is None:
                computed = list(_computed(rows, books, from_ms, until_ms))
            movements += [
                Movement(one.at_ms, one.amount, one.rounded)
                for one in computed
                if one.asset == asset and one.figure in stand_in and one.at_ms > reports[0].at_ms
                and in_wallet(one.product, product, only=only)
            ]  # fmt: skip
            movements.sort(key=lambda one: one.at_ms)
        gap = wallet_gap(reports, movements)
        if gap is not None:
            of_positions = positions if "realized" in stand_in else []
            cause = _cause(books, asset, product, gap, of_positions)
            yield _difference(books, (asset, product), gap, cause, stand_in)


def _read_wallets(rows: Rows, books: Books) -> dict[Wallet, list[Reported]]:
    """Those with two reports at least, from the newest that is RECHECKED_MS older than the last; an
    open break's from where it tied last.
    """
    wallets: dict[Wallet, list[Reported]] = {}
    for asset, product, first_ms, newest_ms in rows.run(SQL["wallets"], (books.account_id,)):
        if first_ms == newest_ms:
            continue
        key = (books.account_id, asset, product)
        before = rows.run(SQL["wallet_before"], (*key, newest_ms - RECHECKED_MS))
        since_ms = before[0][0] if before else first_ms
        stood = books.stood.get(("balance_diverged", balance_identity(*key)))
        if stood is not None:
            since_ms = min(since_ms, int(stood.details["tied_ms"]))
        reports = rows.run(SQL["wallet_since"], (*key, since_ms))
        wallets[asset, product] = [_reported(*row) for row in reports]
    return wallets


def _reported(at_ms: int, wallet: Decimal, data: str) -> Reported:
    return Reported(at_ms, wallet, unit_of(json.loads(data)["wallet"]))


def _computed(rows: Rows, books: Books, from_ms: int, until_ms: int) -> Iterator[Computed]:
    for key, position in sorted(books.positions.items()):
        if position.last[0] > from_ms:
            _, done = legs_since(rows, key, from_ms + 1, until_ms)
            for leg in done:
                if leg.fill.executed_at_ms > from_ms and leg.fill.side in FILL_SIDES:
                    yield from _moved(key[1], leg)


def _moved(product: str, leg: Leg[FoldFill]) -> Iterator[Computed]:
    fill = leg.fill
    at_ms = fill.executed_at_ms
    if product != "spot":
        if leg.realized:
            yield Computed(at_ms, fill.settle_asset, product, "realized", leg.realized, 1)
    else:
        qty, value = fill.qty, LEDGER.minus(fill.value)
        if fill.side == "sell":
            qty, value = LEDGER.minus(qty), fill.value
        yield Computed(at_ms, fill.base_asset or "", product, "realized", qty, 0)
        yield Computed(at_ms, fill.settle_asset, product, "realized", value, 1)
    if fill.fee:
        paid = LEDGER.minus(fill.fee)
        asset = fill.fee_asset or fill.settle_asset
        yield Computed(at_ms, asset, product, "commission", paid, 0)


def _cause(
    books: Books, asset: str, product: str, gap: Gap, positions: Sequence[Compared]
) -> str:
    if books.parked:
        return INCOMPLETE
    for key, position in books.positions.items():
        concerned = position.settle_asset == asset and product in {"", key[1]}
        if concerned and books.waits(key, gap.watermark_ms):
            return LATE
    causes = [one.difference.cause for one in positions if one.settle_asset == asset]
    return next((cause for cause in causes if cause != UNEXPLAINED), UNEXPLAINED)


def _difference(
    books: Books, wallet: Wallet, gap: Gap, cause: str, stand_in: Sequence[str]
) -> Difference:
    details = {
        "what": "wallet",
        "tied_ms": str(gap.tied_ms),
        "untied_ms": str(gap.untied_ms),
        "watermark_ms": str(gap.watermark_ms),
        "from_fills": ", ".join(stand_in),
    }
    identity = balance_identity(books.account_id, *wallet)
    return Difference("balance_diverged", identity, gap.expected, gap.actual, cause, details)
