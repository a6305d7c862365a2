"""Each account's figures twice: as our books have them, and as the exchange has them.

The exchange's come from its own books alone (`truth` of deploy/exchange), ours from MySQL alone.
An exchange keeps no realized P&L of spot: there its fills go through the second opinion, oracle.py.
Amounts are integers of 1e-18, as they are there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rich.table import Table

from deploy.desk import oracle
from deploy.desk.oracle import exact, scaled
from deploy.desk.trading import Linked

POSITIONS_WIDTH = 28
PLACES = {"binance": 8, "bybit": 8, "okx": 16}
"""Decimals to which a venue rounds what a fill earns or costs; ours has 18."""

_PNL = """
SELECT asset, SUM(realized), SUM(fees), SUM(funding)
FROM fleet_pnl_daily WHERE account_id = %s GROUP BY asset"""
_POSITIONS = """
SELECT instrument, position_side, settle_asset, qty
FROM fleet_positions WHERE account_id = %s AND qty <> 0 AND product <> 'spot'"""
_LINKED = """
SELECT asset, wallet, watermark_ms FROM fleet_observed_balances
WHERE account_id = %(account)s AND watermark_ms =
  (SELECT MIN(watermark_ms) FROM fleet_observed_balances WHERE account_id = %(account)s)"""
_MOVED = """
SELECT asset, amount FROM fleet_cash_entries
WHERE account_id = %(account)s AND at_ms > %(linked)s"""
# Binance writes no row of a spot fill into a ledger: the fill itself is the movement.
_EXCHANGED = """
SELECT base_asset, IF(side = 'buy', qty, -qty) FROM fleet_fills
WHERE account_id = %(account)s AND executed_at_ms > %(linked)s AND product = 'spot'
UNION ALL
SELECT settle_asset, IF(side = 'buy', -value, value) FROM fleet_fills
WHERE account_id = %(account)s AND executed_at_ms > %(linked)s AND product = 'spot'
UNION ALL
SELECT fee_asset, -fee FROM fleet_fills
WHERE account_id = %(account)s AND executed_at_ms > %(linked)s AND product = 'spot' AND fee <> 0"""


class Figures(NamedTuple):
    """By asset. positions: of contracts, asset -> "instrument side" -> quantity."""

    realized: Mapping[str, int]
    fees: Mapping[str, int]
    funding: Mapping[str, int]
    wallet: Mapping[str, int]
    positions: Mapping[str, Mapping[str, int]]

    def of(self, asset: str) -> list[Any]:
        """One asset's, in the order of the fields."""
        amounts = (self.realized, self.fees, self.funding, self.wallet)
        return [*(amount.get(asset, 0) for amount in amounts), self.positions.get(asset, {})]


class Compared(NamedTuple):
    """One asset of one account; ours, theirs: as `Figures.of` has them."""

    account: Linked
    asset: str
    ours: list[Any]
    theirs: list[Any]
    ties: bool


def compare(connection: Any, account: Linked, truth: Any) -> Iterator[Compared]:
    """truth: the exchange's. Its rounding of every fill is all that may lie between two figures,
    and that only where we compute and it rounds: P&L of contracts, cost of spot.
    """
    mine, others = ours(connection, account), theirs(account, truth)
    slack = len(truth["fills"]) * 10 ** (18 - PLACES[account.venue]) // 2
    spot = account.product == "spot"
    allowed = (0 if spot else slack, 0, 0, slack if spot else 0)
    for asset in sorted({asset for side in (mine, others) for one in side for asset in one}):
        a, b = mine.of(asset), others.of(asset)
        near = all(abs(x - y) <= most for x, y, most in zip(a, b, allowed, strict=False))
        if any(a) or any(b):
            yield Compared(account, asset, a, b, near and a[4] == b[4])


def ours(connection: Any, account: Linked) -> Figures:
    """wallet: what was in it when the account was linked, and every movement booked since."""
    cursor = connection.cursor()
    cursor.execute(_PNL, (account.id,))
    rows = [(asset, *map(exact, figures)) for asset, *figures in cursor.fetchall()]
    realized, fees, funding = ({row[0]: row[place] for row in rows} for place in (1, 2, 3))
    cursor.execute(_POSITIONS, (account.id,))
    positions: dict[str, dict[str, int]] = defaultdict(dict)
    for instrument, side, asset, qty in cursor.fetchall():
        positions[asset][_held(instrument, side)] = exact(qty)
    wallet = _wallet(cursor, account)
    connection.commit()
    return Figures(realized, fees, funding, wallet, positions)


def _wallet(cursor: Any, account: Linked) -> dict[str, int]:
    cursor.execute(_LINKED, {"account": account.id})
    linked = cursor.fetchall()
    wallet: dict[str, int] = defaultdict(int)
    for asset, held, _ in linked:
        wallet[asset] += exact(held)
    since = {"account": account.id, "linked": max((row[2] for row in linked), default=0)}
    for query in (_MOVED, *((_EXCHANGED,) if account.product == "spot" else ())):
        cursor.execute(query, since)
        for asset, amount in cursor.fetchall():
            wallet[asset] += exact(amount)
    return wallet


def theirs(account: Linked, truth: Any) -> Figures:
    realized: dict[str, int] = defaultdict(int)
    fees: dict[str, int] = defaultdict(int)
    funding: dict[str, int] = defaultdict(int)
    wallet: dict[str, int] = defaultdict(int)
    positions: dict[str, dict[str, int]] = defaultdict(dict)
    for fill in truth["fills"]:
        realized[fill["settle"]] += scaled(fill["realized"])
        fees[fill["fee_asset"]] += scaled(fill["fee"])
    if account.product == "spot":
        realized = _spot_realized(truth["fills"])
    for one in truth["positions"]:
        funding[one["settle"]] += scaled(one["funding"])
        if scaled(one["qty"]):
            held = _held(one["symbol"], one["side"])
            positions[one["settle"]][held] = scaled(one["qty"])
    for assets in truth["wallets"].values():
        for asset, amount in assets.items():
            wallet[asset] += scaled(amount)
    return Figures(realized, fees, funding, wallet, positions)


def _spot_realized(fills: list[dict[str, Any]]) -> dict[str, int]:
    told = [
        {
            "account_id": 0, "product": "spot", "instrument": fill["symbol"],
            "position_side": "net", "trade_id": str(fill["trade_id"]), "side": fill["side"],
            "qty": fill["qty"], "price": fill["price"], "fee": fill["fee"],
            "fee_asset": fill["fee_asset"], "settle_asset": fill["quote"],
            "base_asset": fill["base"], "executed_at_ms": fill["at_ms"],
        }
        for fill in fills
    ]  # fmt: skip
    books = oracle.books([("order.filled.1", json.dumps(one)) for one in told])
    realized: dict[str, int] = defaultdict(int)
    for (*_, asset), figures in books.daily.items():
        realized[asset] += figures.get("realized", 0)
    return realized


def _held(instrument: str, side: str) -> str:
    return instrument if side == "net" else f"{instrument} {side}"


def table(compared: list[Compared]) -> Table:
    """Two lines for each asset in which an account did something: ours, and the exchange's."""
    made = Table("account", "asset", "", "realized", "fees", "funding", "wallet", "positions", "")
    named = None
    for one in compared:
        if one.ties and not any((*one.ours[:3], one.ours[4])):
            continue
        if one.account != named:
            made.add_section()
        account = "" if one.account == named else f"{one.account.id} {one.account.venue}"
        product = "" if one.account == named else f"   {one.account.product}"
        named = one.account
        made.add_row(account, one.asset, "ours", *_cells(one.ours))
        tie = "ties" if one.ties else "[red]DIFFERS"
        made.add_row(product, "", "exchange", *_cells(one.theirs), tie)
    return made


def _cells(figures: list[Any]) -> list[str]:
    """The first positions are shown, as many as there is room for; all are compared."""
    *amounts, positions = figures
    held = [f"{name} {_text(qty)}" for name, qty in sorted(positions.items())]
    shown = 1
    while len(", ".join(held[: shown + 1])) < POSITIONS_WIDTH and shown < len(held):
        shown += 1
    more = [f"+{len(held) - shown}"] if len(held) > shown else []
    return [*map(_text, amounts), ", ".join([*held[:shown], *more])]


def _text(amount: int) -> str:
    whole, part = divmod(abs(amount), oracle.ONE)
    text = f"{whole}.{part:018}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text
