"""Bybit v5: what a unified account is answered. Lists come newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from typing import Any

from deploy.exchange import bybit_asks, bybit_rows, bybit_stream
from deploy.exchange.bybit_asks import (
    ADDRESS,
    DAY_MS,
    WEEK_MS,
    between,
    category_of,
    cursor_of,
    cursor_to,
    limit_of,
    next_cursor,
    page,
    wrong,
)
from deploy.exchange.bybit_markets import MARKETS, RULES, VENUE, instruments, server_time
from deploy.exchange.front import Call, Front, Route
from deploy.exchange.limits import Budget
from deploy.exchange.rows import newest, place_of, prepared
from deploy.exchange.state import Entry, Fill, Order, Position, Product

# -- what happened ---------------------------------------------------------------------------------


def _executions(call: Call, category: Product) -> Iterator[Fill | Entry]:
    """Fills and funding, the newest first."""
    start, end = between(call, WEEK_MS)
    below, wanted = cursor_of(call), call.params.get("execType", "")
    account = call.who
    found: list[Iterator[Fill | Entry]] = []
    if wanted != "Funding":
        found.append(newest(account.fills, start, end, below=below))
    if wanted in {"", "Funding"}:
        entries = newest(account.entries, start, end, below=below)
        found.append(entry for entry in entries if entry.kind == "funding")
    for row in merge(*found, key=place_of, reverse=True):
        if row.market is not None and row.market.product == category:
            yield row


def executions(call: Call) -> dict[str, Any]:
    category, limit = category_of(call), limit_of(call, 50, 100)
    symbol, order_id = call.params.get("symbol"), call.params.get("orderId")
    wanted = call.params.get("execType", "")
    rows = page(
        (
            row
            for row in _executions(call, category)
            if (not symbol or row.market.symbol == symbol)  # type: ignore[union-attr]  # it has one
            and (not order_id or _order_id(row) == order_id)
            and (not wanted or _exec_type(row) == wanted)
        ),
        limit,
    )
    return {
        "category": category,
        "list": [_row(row) for row in rows],
        "nextPageCursor": next_cursor(rows, limit),
    }


def _row(row: Fill | Entry) -> Any:
    """An entry keeps the JSON of the transaction log."""
    if isinstance(row, Fill):
        return prepared(row, bybit_rows.execution)
    return bybit_rows.funding_execution(row)


def _exec_type(row: Fill | Entry) -> str:
    return bybit_rows.EXEC_TYPE[row.kind] if isinstance(row, Fill) else "Funding"


def _order_id(row: Fill | Entry) -> str:
    return bybit_rows.order_id(row.order) if isinstance(row, Fill) else bybit_rows.funding_id(row)


def transaction_log(call: Call) -> dict[str, Any]:
    limit = limit_of(call, 20, 50)
    start, end = between(call, DAY_MS)
    asked = call.params
    if asked.get("accountType", "UNIFIED") != "UNIFIED":
        raise wrong("params error: accountType only support UNIFIED.")
    rows = page(
        (
            entry
            for entry in newest(call.who.entries, start, end, below=cursor_of(call))
            if asked.get("currency", entry.asset) == entry.asset
            and ("category" not in asked or _category(entry) == asked["category"])
            and ("type" not in asked or bybit_rows.log_type(entry) == asked["type"])
        ),
        limit,
    )
    return {
        "list": [prepared(row, bybit_rows.log_row) for row in rows],
        "nextPageCursor": next_cursor(rows, limit),
    }


def _category(entry: Entry) -> str:
    return entry.market.product if entry.market else ""


# -- what is held ----------------------------------------------------------------------------------


def positions(call: Call) -> dict[str, Any]:
    """By symbol also a flat one, as a row of its own; by settle coin only open ones."""
    category, limit = category_of(call), limit_of(call, 20, 200)
    if category == "spot":
        raise wrong("params error: Illegal category")
    symbol, settle = call.params.get("symbol"), call.params.get("settleCoin")
    if symbol:
        held = _of_symbol(call, category, symbol)
    elif category == "linear" and not settle:
        raise wrong("Missing some parameters that must be filled in, symbol or settleCoin")
    else:
        held = [
            one
            for one in call.who.shown.positions.values()
            if one.qty and one.market.product == category and settle in {None, one.market.settle}
        ]
    first = int(call.params.get("cursor") or 0)
    rows = held[first : first + limit]
    more = str(first + limit) if len(rows) == limit and not symbol else ""
    return {
        "category": category,
        "list": [bybit_rows.position_row(one) for one in rows],
        "nextPageCursor": more,
    }


def _of_symbol(call: Call, category: Product, symbol: str) -> list[Position]:
    market = call.exchange.markets.get((VENUE, category, symbol))
    if market is None:
        raise wrong(f"params error: symbol invalid {symbol}")
    known = call.who.shown.positions
    sides = ("long", "short") if call.who.hedge else ("net",)
    return [
        known.get((category, symbol, side)) or Position(market, side)  # type: ignore[arg-type]  # one of three
        for side in sides
    ]


def wallet_balance(call: Call) -> dict[str, Any]:
    if call.params.get("accountType") != "UNIFIED":
        raise wrong("accountType only support UNIFIED.")
    coins = set(filter(None, call.params.get("coin", "").split(",")))
    return {"list": [bybit_rows.wallet(call.exchange, call.who.shown, coins)]}


def key_info(call: Call) -> dict[str, Any]:
    account = call.who
    moves = ["AccountTransfer", "SubMemberTransfer"] + ["Withdraw"] * account.withdraw
    return {
        "id": "1", "note": "", "apiKey": account.api_key, "readOnly": 0, "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": moves,
            "Options": [], "Derivatives": ["DerivativesTrade"], "CopyTrading": [],
            "BlockTrade": [], "Exchange": ["ExchangeHistory"], "NFT": [], "Affiliate": [],
        },
        "ips": ["*"], "type": 1, "deadlineDay": 83, "expiredAt": "2027-05-15T03:21:05Z",
        "createdAt": "2026-01-01T00:00:00Z", "unified": 0, "uta": 1,
        "userID": int(account.uid) if account.uid.isdigit() else 0, "inviterID": 0,
        "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "rsaPublicKey": "",
        "isMaster": True, "parentUid": "0", "kycLevel": "LEVEL_1", "kycRegion": "",
    }  # fmt: skip


def coins(_: Call) -> dict[str, Any]:
    """None is described: ccxt asks when it loads markets with a key set."""
    return {"rows": []}


def account_info(_: Call) -> dict[str, Any]:
    return {
        "marginMode": "REGULAR_MARGIN", "updatedTime": "1697078946000", "unifiedMarginStatus": 6,
        "dcpStatus": "OFF", "timeWindow": 10, "smpGroup": 0, "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }  # fmt: skip


# -- orders ----------------------------------------------------------------------------------------


def open_orders(call: Call) -> dict[str, Any]:
    """Open ones; by id also one that has ended."""
    category = category_of(call)
    asked = call.params
    named = asked.get("orderId") or asked.get("orderLinkId")
    scoped = asked.get("symbol") or asked.get("settleCoin") or asked.get("baseCoin")
    if category == "linear" and not (named or scoped):
        raise wrong("Missing some parameters that must be filled in, symbol or settleCoin")
    ended = bool(named) or asked.get("openOnly") == "1"
    return _orders(call, category, call.who.orders if ended else call.who.open_orders)


def order_history(call: Call) -> dict[str, Any]:
    """Those that have ended, by the time they were placed."""
    start, end = between(call, WEEK_MS)
    ended = {
        number: order
        for number, order in call.who.orders.items()
        if not order.open and start <= order.created_ms <= end
    }
    return _orders(call, category_of(call), ended)


def _orders(call: Call, category: Product, orders: Mapping[int, Order]) -> dict[str, Any]:
    asked, limit, below = call.params, limit_of(call, 20, 50), cursor_of(call)
    number = bybit_rows.order_number(asked["orderId"]) if asked.get("orderId") else None
    if number is not None:
        orders = {number: orders[number]} if number in orders else {}
    rows = [
        order
        for order in orders.values()
        if order.market.product == category
        and asked.get("orderLinkId") in {None, "", order.client_order_id}
        and asked.get("symbol") in {None, "", order.market.symbol}
        and asked.get("settleCoin") in {None, "", order.market.settle}
        and (below is None or (order.created_ms, order.order_id) < below)
    ]
    rows.sort(key=lambda order: (order.created_ms, order.order_id), reverse=True)
    rows = rows[:limit]
    full = len(rows) == limit and number is None
    cursor = cursor_to((rows[-1].created_ms, rows[-1].order_id)) if full else ""
    return {
        "category": category,
        "list": [bybit_rows.order_row(order) for order in rows],
        "nextPageCursor": cursor,
    }


# -- the front -------------------------------------------------------------------------------------


def _per_uid(path: str, requests: int) -> Budget:
    return Budget(f"bybit {path}", requests, 1_000, bans=False, kept=False)


PATHS: dict[str, tuple[Any, int]] = {
    "/v5/user/query-api": (key_info, 10),
    "/v5/asset/coin/query-info": (coins, 5),
    "/v5/account/info": (account_info, 50),
    "/v5/account/wallet-balance": (wallet_balance, 50),
    "/v5/account/transaction-log": (transaction_log, 30),
    "/v5/position/list": (positions, 10),
    "/v5/execution/list": (executions, 10),
    "/v5/order/realtime": (open_orders, 50),
    "/v5/order/history": (order_history, 50),
}
"""Private paths: handler and requests per second and uid."""

BYBIT = Front(
    name="bybit",
    venue=VENUE,
    rules=RULES,
    markets=MARKETS,
    budget=ADDRESS,
    authenticate=bybit_asks.authenticate,
    error=bybit_asks.error,
    limited=bybit_asks.limited,
    answer=bybit_asks.answer,
    headers=bybit_asks.headers_of,
    retry_after=False,
    sockets={"/v5/private": bybit_stream.private},
    per_account={path: _per_uid(path, requests) for path, (_, requests) in PATHS.items()},
    routes={
        ("GET", "/v5/market/time"): Route(server_time, 1, "public"),
        ("GET", "/v5/market/instruments-info"): Route(instruments, 1, "public"),
        **{("GET", path): Route(handler) for path, (handler, _) in PATHS.items()},
    },
)
