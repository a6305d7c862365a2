"""Bybit, unified account: linear, inverse and spot over one wallet."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from shared.exchanges import snapshots
from shared.exchanges.amounts import known, negated, plain, sign
from shared.exchanges.bybit_api import NAME, SETTLES, get, listed, market_of, rows_of, side_of
from shared.exchanges.bybit_history import read_cash, read_fills
from shared.exchanges.errors import Refused
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

POSITIONS, ORDERS = 200, 50  # rows of a page

# ---- what is held


def read_positions(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"held": [[product, symbol, side]]}, at most 500."""
    held: list[Position] = []
    for product, params in _listings(account):
        rows, _ = yield from listed("position/list", POSITIONS, category=product, **params)
        held += [_position(account, product, row) for row in rows if sign(row["size"])]

    def ask(product: Product, symbol: str) -> Generator[Request, Any, list[Position] | None]:
        try:
            answer = yield get("position/list", category=product, symbol=symbol)
        except Refused:  # it does not trade any more
            return []
        # A symbol has a row, flat or not; an answer without any says nothing.
        return [_position(account, product, row) for row in rows_of(answer)[0]] or None

    return (yield from snapshots.positions(account, cursor, NAME, held, ask))


def _listings(account: Account, *more: Product) -> Iterator[tuple[Product, dict[str, str]]]:
    """The lists of contracts (and more), with what they are asked for besides the category."""
    for product in account.products:
        if product == "linear":
            yield from ((product, {"settleCoin": settle}) for settle in SETTLES)
        elif product == "inverse" or product in more:
            yield product, {}


def _position(account: Account, product: Product, row: Mapping[str, Any]) -> Position:
    market = market_of(account, product, row["symbol"])
    size = plain(row["size"])
    return Position(
        product=market.product,
        symbol=row["symbol"],
        side=side_of(row),
        qty=negated(size) if row["side"] == "Sell" else size,
        entry_price=known(row.get("avgPrice")),
        mark_price=known(row.get("markPrice")),
        contract_size=market.contract_size,
        settle=market.settle,
        moved_ms=int(row.get("updatedTime") or 0),
    )


def read_balances(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"assets": {asset: how often it will be asked for}}, at most 500."""

    def wallets(coins: Sequence[str] = ()) -> Generator[Request, Any, list[Wallet]]:
        params = {"accountType": "UNIFIED", "coin": ",".join(coins)}
        answer = yield get("account/wallet-balance", **params)
        rows = [row for one in rows_of(answer)[0] for row in one["coin"]]
        return [Wallet(row["coin"], plain(row["walletBalance"])) for row in rows]

    found = yield from wallets()
    return (yield from snapshots.balances(account, cursor, NAME, found, wallets))


# ---- orders

STATES: Mapping[str, OrderState] = {
    "Filled": "filled",
    "Cancelled": "canceled",
    "PartiallyFilledCanceled": "canceled",
    "Deactivated": "canceled",
    "Rejected": "rejected",
}
"""Of those that ended. A conditional order that was triggered is an open order of the same id."""
REASONS = {"canceled": "cancelType", "rejected": "rejectReason"}


def read_orders(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: {"open": {id: [product, symbol, mark]}}, at most 500."""
    found: list[Order] = []
    cut: set[str] = set()
    for product, params in _listings(account, "spot"):
        rows, whole = yield from listed("order/realtime", ORDERS, category=product, **params)
        found += [order_of(product, row) for row in rows]
        cut |= set() if whole else {product}

    def ask(product: Product, symbol: str, order_id: str) -> Generator[Request, Any, Order | None]:
        for path in ("order/realtime", "order/history"):  # the newest 500 that ended; all of them
            answer = yield get(path, category=product, symbol=symbol, orderId=order_id)
            for row in rows_of(answer)[0]:
                if row["orderId"] == order_id:
                    return order_of(product, row)
        return None

    now_open = [one for one in found if one.state == "placed"]
    return (yield from snapshots.orders(account, cursor, NAME, now_open, ask, cut=cut))


def order_of(product: Product, row: Mapping[str, Any]) -> Order:
    state = STATES.get(row["orderStatus"], "placed")
    at_ms = row["createdTime"] if state == "placed" else row["updatedTime"]
    return Order(
        product=product,
        symbol=row["symbol"],
        order_id=row["orderId"],
        client_order_id=row.get("orderLinkId") or None,
        state=state,
        at_ms=int(at_ms),
        side=row["side"].lower(),
        order_type=row.get("orderType") or None,
        qty=known(row.get("qty")),
        price=known(row.get("price")),
        stop_price=known(row.get("triggerPrice")),
        reduce_only=row.get("reduceOnly"),
        reason=row.get(REASONS.get(state, "")) or None,
    )


# ---- the row


def read_permissions() -> Generator[Request, Any, Permissions]:
    answer = yield get("user/query-api")
    result = answer["result"]
    allowed = result.get("permissions")
    if allowed is None:
        return Permissions(None, uid=str(result["userID"]))
    trades = [name for name in ("ContractTrade", "Spot", "Derivatives") if allowed.get(name)]
    return Permissions(
        withdraw="Withdraw" in (allowed.get("Wallet") or ()),
        trade=bool(trades) and str(result.get("readOnly", 0)) == "0",
        uid=str(result["userID"]),
    )


BYBIT = Venue(
    name=NAME,
    products=("linear", "inverse", "spot"),
    ccxt_class="bybit",
    weights=Weights(per_window=600, window_ms=5_000),
    readings={
        "positions": read_positions,
        "balances": read_balances,
        "cash": read_cash,
        "fills": read_fills,
        "orders": read_orders,
    },
    permissions=read_permissions,
    per_account={
        "v5/execution/list": (10, 1_000),
        "v5/position/list": (10, 1_000),
        "v5/order/realtime": (10, 1_000),
        "v5/order/history": (10, 1_000),
        "v5/account/transaction-log": (30, 1_000),
        "v5/account/wallet-balance": (50, 1_000),
        "v5/user/query-api": (10, 1_000),
    },
)
