"""OKX v5: what a trading account is answered. Lists come newest first, by ids."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from deploy.exchange import okx_asks, okx_rows, okx_stream
from deploy.exchange.front import Call, Front, Refused, Route
from deploy.exchange.limits import Budget
from deploy.exchange.okx_asks import ADDRESS, between, limit_of, needed, places, whole, wrong
from deploy.exchange.okx_markets import (
    INST_TYPES,
    MARKETS,
    RULES,
    VENUE,
    inst_type,
    instruments,
    server_time,
)
from deploy.exchange.rows import newest, prepared
from deploy.exchange.state import Entry, Order

DAY_MS = 86_400_000
QUARTER_MS = 90 * DAY_MS
BILL_FILTERS = {"instType", "instId", "ctType", "ccy", "type", "subType"}


# -- what happened ---------------------------------------------------------------------------------


def _fills(call: Call, longest_ms: int) -> list[Any]:
    start, end = between(call, longest_ms)
    asked = call.params
    kind, symbol, order = asked.get("instType"), asked.get("instId"), asked.get("ordId")
    number = okx_rows.order_number(order) if order else None
    rows = (
        fill
        for fill in newest(call.who.fills, start, end, **places(call, shift=1))
        if kind in {None, "", inst_type(fill.market)}
        and symbol in {None, "", fill.market.symbol}
        and number in {None, fill.order.order_id}
    )
    return [prepared(row, okx_rows.fill_row) for row in islice(rows, limit_of(call))]


def fills(call: Call) -> list[Any]:
    """Of the last three days."""
    return _fills(call, 3 * DAY_MS)


def fills_history(call: Call) -> list[Any]:
    """Of the last three months; needs instType."""
    if needed(call, "instType") not in INST_TYPES:
        raise wrong("instType")
    return _fills(call, QUARTER_MS)


def _bills(call: Call, longest_ms: int) -> list[Any]:
    start, end = between(call, longest_ms)
    rows: Iterable[Entry] = newest(call.who.entries, start, end, **places(call))
    if BILL_FILTERS & call.params.keys():
        rows = (entry for entry in rows if _wanted(entry, call.params))
    return [prepared(row, okx_rows.bill) for row in islice(rows, limit_of(call))]


def _wanted(entry: Entry, asked: dict[str, str]) -> bool:
    market = entry.market
    has = {
        "instType": inst_type(market) if market else "",
        "instId": market.symbol if market else "",
        "ctType": market.product if market and market.product != "spot" else "",
        "ccy": entry.asset,
    }
    if any(asked.get(name) not in {None, "", value} for name, value in has.items()):
        return False
    type_, sub_type = okx_rows.bill_types(entry)
    return asked.get("type") in {None, "", type_} and asked.get("subType") in {None, "", sub_type}


def bills(call: Call) -> list[Any]:
    """Of the last week."""
    return _bills(call, 7 * DAY_MS)


def bills_archive(call: Call) -> list[Any]:
    """Of the last three months."""
    return _bills(call, QUARTER_MS)


# -- what is held ----------------------------------------------------------------------------------


def positions(call: Call) -> list[dict[str, Any]]:
    """Open ones; by instId or posId also those that were closed; nothing for what never was."""
    asked = call.params
    symbols = set(filter(None, asked.get("instId", "").split(",")))
    ids = set(filter(None, asked.get("posId", "").split(",")))
    if asked.get("instType") not in {None, "", *INST_TYPES}:
        raise wrong("instType")
    held = [
        one
        for one in call.who.shown.positions.values()
        if (one.qty or ((symbols or ids) and one.opened_ms))
        and asked.get("instType") in {None, "", inst_type(one.market)}
        and (not symbols or one.market.symbol in symbols)
        and (not ids or okx_rows.position_id(one.market.symbol, one.side) in ids)
    ]
    held.sort(key=lambda one: one.opened_ms, reverse=True)
    return [okx_rows.position_row(one) for one in held]


def balance(call: Call) -> list[dict[str, Any]]:
    asked = set(filter(None, call.params.get("ccy", "").split(",")))
    return [okx_rows.balance(call.exchange, call.who.shown, asked, call.now_ms)]


def config(call: Call) -> list[dict[str, Any]]:
    account = call.who
    return [
        {
            "acctLv": "2", "acctStpMode": "cancel_maker", "autoLoan": False,
            "ctIsoMode": "automatic", "enableSpotBorrow": False, "greeksType": "PA",
            "feeType": "0", "ip": "", "type": "0", "kycLv": "3", "label": "key", "level": "Lv1",
            "levelTmp": "", "liquidationGear": "-1", "mainUid": account.uid,
            "mgnIsoMode": "automatic", "opAuth": "1",
            "perm": "read_only,withdraw,trade" if account.withdraw else "read_only,trade",
            "posMode": "long_short_mode" if account.hedge else "net_mode", "roleType": "0",
            "spotBorrowAutoRepay": False, "spotOffsetType": "", "spotRoleType": "0",
            "spotTraderInsts": [], "stgyType": "0", "traderInsts": [], "uid": account.uid,
            "settleCcy": "USDT", "settleCcyList": ["USDT", "USDC", "USD"],
        }
    ]  # fmt: skip


def currencies(_: Call) -> list[dict[str, Any]]:
    """None is described: ccxt asks when it loads markets with a key set."""
    return []


# -- orders ----------------------------------------------------------------------------------------


def orders_pending(call: Call) -> list[dict[str, Any]]:
    return _orders(call, call.who.open_orders.values())


def orders_history(call: Call) -> list[dict[str, Any]]:
    """Those that have ended, of the last week; needs instType."""
    needed(call, "instType")
    start, end = between(call, 7 * DAY_MS)
    every = call.who.orders.values()
    return _orders(
        call, (one for one in every if not one.open and start <= one.created_ms <= end)
    )


def _orders(call: Call, orders: Iterable[Order]) -> list[dict[str, Any]]:
    asked, after, before = call.params, whole(call, "after"), whole(call, "before")
    rows = [
        order
        for order in orders
        if asked.get("instType") in {None, "", inst_type(order.market)}
        and asked.get("instId") in {None, "", order.market.symbol}
        and (after is None or okx_rows.ORDER_IDS + order.order_id < after)
        and (before is None or okx_rows.ORDER_IDS + order.order_id > before)
    ]
    rows.sort(key=lambda order: order.order_id, reverse=True)
    return [okx_rows.order_row(order) for order in rows[: limit_of(call)]]


def order(call: Call) -> list[dict[str, Any]]:
    """One by ordId or clOrdId, open or not."""
    symbol, asked = needed(call, "instId"), call.params
    if not (asked.get("ordId") or asked.get("clOrdId")):
        raise Refused(200, "50015", "Either parameter ordId or clOrdId is required")
    known = call.who.orders
    if asked.get("ordId"):
        found = known.get(okx_rows.order_number(asked["ordId"]))
    else:
        client = asked["clOrdId"]
        found = next((one for one in known.values() if one.client_order_id == client), None)
    if found is not None and found.market.symbol == symbol:
        return [okx_rows.order_row(found)]
    raise Refused(200, "51603", "Order does not exist")


PATHS: dict[str, tuple[Any, int, int]] = {
    "/api/v5/account/config": (config, 5, 2_000),
    "/api/v5/account/balance": (balance, 10, 2_000),
    "/api/v5/account/positions": (positions, 10, 2_000),
    "/api/v5/account/bills": (bills, 5, 1_000),
    "/api/v5/account/bills-archive": (bills_archive, 5, 2_000),
    "/api/v5/trade/fills": (fills, 60, 2_000),
    "/api/v5/trade/fills-history": (fills_history, 10, 2_000),
    "/api/v5/trade/orders-pending": (orders_pending, 60, 2_000),
    "/api/v5/trade/orders-history": (orders_history, 40, 2_000),
    "/api/v5/trade/order": (order, 60, 2_000),
    "/api/v5/asset/currencies": (currencies, 6, 1_000),
}
"""Private paths: handler, and how many requests of a user in how many milliseconds."""

OKX = Front(
    name="okx",
    venue=VENUE,
    rules=RULES,
    markets=MARKETS,
    budget=ADDRESS,
    authenticate=okx_asks.authenticate,
    error=okx_asks.error,
    limited=okx_asks.limited,
    answer=okx_asks.answer,
    retry_after=False,
    sockets={"/ws/v5/private": okx_stream.private},
    per_account={
        path: Budget(f"okx {path}", requests, milliseconds, bans=False, kept=False)
        for path, (_, requests, milliseconds) in PATHS.items()
    },
    routes={
        ("GET", "/api/v5/public/time"): Route(server_time, 1, "public"),
        ("GET", "/api/v5/public/instruments"): Route(instruments, 1, "public"),
        **{("GET", path): Route(handler, 0) for path, (handler, *_) in PATHS.items()},
    },
)
