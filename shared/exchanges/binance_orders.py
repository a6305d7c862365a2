"""Binance: open orders, and what became of those that are open no more.

All open orders cost 40, those of one symbol 1 (spot: 80 and 6). So all are asked for every SLOW_MS
only, and in between the symbols that had some. An order on another symbol is found by the slow
question, or by its fill.

Its cursor: that of `snapshots.orders`, and {"all_ms": when all were asked for}.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from shared.exchanges import snapshots
from shared.exchanges.amounts import known, plain, sign
from shared.exchanges.errors import Refused
from shared.exchanges.snapshots import Order, OrderState
from shared.exchanges.venue import Account, Cursor, Page, Product, Request

SLOW_MS = 15 * 60_000
SYMBOLS = 20
"""Where more symbols have orders, all at once costs less."""
_STATES: Mapping[str, OrderState] = {
    "NEW": "placed", "PARTIALLY_FILLED": "placed", "PENDING_NEW": "placed",
    "PENDING_CANCEL": "placed", "FILLED": "filled", "REJECTED": "rejected",
}  # fmt: skip


class Orders(NamedTuple):
    """Where orders of a product are. of_symbol, of_all, one: weights of openOrders with a symbol
    and without, and of order.
    """

    product: Product
    section: str
    of_symbol: int
    of_all: int
    one: int


def read_orders(
    orders: Orders, account: Account, cursor: Cursor
) -> Generator[Request, Any, Page]:
    """What is filled is left to the reading of fills, which is told the symbol."""
    all_ms = cursor.get("all_ms", 0)
    symbols = sorted({symbol for _, symbol, _ in cursor.get("open", {}).values()})
    rows: list[Any] = []
    if account.now_ms - all_ms >= SLOW_MS or len(symbols) > SYMBOLS:
        rows += yield Request(orders.section, "GET", "openOrders", {}, orders.of_all)
        all_ms = account.now_ms
    else:
        for symbol in symbols:
            given = {"symbol": symbol}
            rows += yield Request(orders.section, "GET", "openOrders", given, orders.of_symbol)
    wanted: dict[str, int] = {}

    def ask(_: Product, symbol: str, order_id: str) -> Generator[Request, Any, Order | None]:
        given = {"symbol": symbol, "orderId": order_id}
        try:
            row = yield Request(orders.section, "GET", "order", given, orders.one)
        except Refused as refused:
            if not refused.missing:
                raise
            return None  # canceled without a fill, days ago: those are what the venue forgets
        if sign(row["executedQty"]):
            wanted[symbol] = max(wanted.get(symbol, 0), int(row["updateTime"]))
        return order_of(orders, row)

    listed = [order_of(orders, row) for row in rows]
    page = yield from snapshots.orders(account, cursor, "binance", listed, ask)
    return page._replace(cursor={**page.cursor, "all_ms": all_ms}, wanted=wanted)


def order_of(orders: Orders, row: Mapping[str, Any]) -> Order:
    state = _STATES.get(row["status"], "canceled")  # EXPIRED, EXPIRED_IN_MATCH, CANCELED
    return Order(
        product=orders.product,
        symbol=row["symbol"],
        order_id=str(row["orderId"]),
        client_order_id=row["clientOrderId"] or None,
        state=state,
        at_ms=int(row["time"] if state == "placed" else row["updateTime"]),
        side=row["side"].lower(),
        order_type=row["type"],
        qty=plain(row["origQty"]),
        price=plain(row["price"]),
        stop_price=known(row.get("stopPrice")) if sign(row.get("stopPrice") or "0") else None,
        reduce_only=row.get("reduceOnly"),
        reason=row["status"] if state in {"canceled", "rejected"} else None,
    )
