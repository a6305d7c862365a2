"""OKX, trading account: swaps, futures and spot over one wallet. Quantities are in contracts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from shared.exchanges import snapshots
from shared.exchanges.amounts import known, negated, plain, total
from shared.exchanges.errors import Refused
from shared.exchanges.newest_first import PAGES
from shared.exchanges.okx_api import NAME, get, market_of, types_of
from shared.exchanges.okx_history import CONTRACTS, read_cash, read_fills
from shared.exchanges.snapshots import Order, OrderState, Position, Wallet
from shared.exchanges.venue import (
    Account,
    Cursor,
    Permissions,
    Product,
    Reading,
    Request,
    Venue,
    Weights,
)

ORDERS = 100  # rows of a page


# ---- what is held


def read_positions(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"held": [[product, symbol, side]]}, at most 500."""

    def ask(_: Product, symbol: str) -> Generator[Request, Any, list[Position] | None]:
        try:
            answer = yield get("account/positions", instId=symbol)
        except Refused:  # it does not trade any more
            return []
        return _positions(account, answer["data"])

    answer = yield get("account/positions")
    held = _positions(account, answer["data"])
    return (yield from snapshots.positions(account, cursor, NAME, held, ask))


def _positions(account: Account, rows: Iterable[Mapping[str, Any]]) -> list[Position]:
    """Cross and isolated margin make two positions of one side; the books know one."""
    by_id = {
        (row["instId"], row["posSide"], row.get("posId")): row
        for row in rows
        if row["instType"] in CONTRACTS
    }
    found: dict[tuple[str, str], Position] = {}
    for row in by_id.values():
        one = _position(account, row)
        other = found.get((one.symbol, one.side))
        if other is not None:
            one = one._replace(
                qty=total(one.qty, other.qty),
                entry_price=None,
                moved_ms=max(one.moved_ms, other.moved_ms),
            )
        found[one.symbol, one.side] = one
    return list(found.values())


def _position(account: Account, row: Mapping[str, Any]) -> Position:
    market = market_of(account, row)
    qty = known(row.get("pos")) or "0"
    # Of a long-short account `pos` has no sign, its side has.
    is_short = row["posSide"] == "short"
    return Position(
        product=market.product,
        symbol=market.symbol,
        side=row["posSide"],
        qty=negated(qty.removeprefix("-")) if is_short else qty,
        entry_price=known(row.get("avgPx")),
        mark_price=known(row.get("markPx")),
        contract_size=market.contract_size,
        settle=market.settle,
        moved_ms=int(row.get("uTime") or 0),
    )


def read_balances(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"assets": {asset: how often it will be asked for}}, at most 500."""

    def wallets(assets: Sequence[str] = ()) -> Generator[Request, Any, list[Wallet]]:
        answer = yield get("account/balance", ccy=",".join(assets))
        rows = [row for one in answer["data"] for row in one["details"]]
        return [
            Wallet(row["ccy"], plain(row["cashBal"]), int(row.get("uTime") or 0)) for row in rows
        ]

    found = yield from wallets()
    return (yield from snapshots.balances(account, cursor, NAME, found, wallets))


# ---- orders

STATES: Mapping[str, OrderState] = {
    "live": "placed",
    "partially_filled": "placed",
    "filled": "filled",
    "canceled": "canceled",
    "mmp_canceled": "canceled",
}


def read_orders(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"open": {id: [product, symbol, mark]}}, at most 500. Conditional orders are in
    lists of their own and are not read: they become orders when they are triggered.
    """
    found: list[Order] = []
    types = set(types_of(account))
    after, whole = "", False
    for _ in range(PAGES):
        answer = yield get("trade/orders-pending", after=after, limit=ORDERS)
        rows = answer["data"]
        found += [order_of(account, row) for row in rows if row["instType"] in types]
        if len(rows) < ORDERS:
            whole = True
            break
        after = rows[-1]["ordId"]

    def ask(_: Product, symbol: str, order_id: str) -> Generator[Request, Any, Order | None]:
        try:
            answer = yield get("trade/order", instId=symbol, ordId=order_id)
        except Refused as refused:
            if refused.missing:
                return None  # canceled without a fill, two hours ago or more
            raise
        return next((order_of(account, row) for row in answer["data"]), None)

    cut = () if whole else account.products
    return (yield from snapshots.orders(account, cursor, NAME, found, ask, cut=cut))


def order_of(account: Account, row: Mapping[str, Any]) -> Order:
    market = market_of(account, row)
    state = STATES.get(row["state"], "placed")
    in_quote = row.get("tgtCcy") == "quote_ccy"
    return Order(
        product=market.product,
        symbol=market.symbol,
        order_id=row["ordId"],
        client_order_id=row.get("clOrdId") or None,
        state=state,
        at_ms=int(row["cTime"] if state == "placed" else row["uTime"]),
        side=row["side"],
        order_type=row.get("ordType") or None,
        qty=None if in_quote else known(row.get("sz")),
        price=known(row.get("px")),
        stop_price=None,
        reduce_only=row.get("reduceOnly") in {True, "true"},
        reason=row.get("cancelSourceReason") or None,
    )


# ---- the row


def read_permissions() -> Generator[Request, Any, Permissions]:
    answer = yield get("account/config")
    config = answer["data"][0]
    if not config.get("perm"):
        return Permissions(None, uid=config.get("uid"))
    allowed = set(config["perm"].split(","))
    return Permissions("withdraw" in allowed, "trade" in allowed, config.get("uid"))


OKX = Venue(
    name=NAME,
    products=("linear", "inverse", "spot"),
    ccxt_class="okx",
    weights=Weights(per_window=1_000, window_ms=2_000),
    readings={
        "positions": read_positions,
        "balances": read_balances,
        "cash": read_cash,
        "fills": read_fills,
        "orders": read_orders,
    },
    permissions=read_permissions,
    per_account={
        "account/balance": (10, 2_000),
        "account/positions": (10, 2_000),
        "account/bills": (10, 2_000),
        "account/bills-archive": (5, 2_000),
        "account/config": (5, 2_000),
        "trade/fills-history": (10, 2_000),
        "trade/orders-pending": (60, 2_000),
        "trade/order": (60, 2_000),
    },
)
