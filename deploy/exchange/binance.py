"""What Binance's futures and spot have in common: signatures, errors, windows of time, orders.

Facts: the venue's API documentation; weights and codes as documented in 2026.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import orjson

from deploy.exchange.amounts import exact
from deploy.exchange.exchange import Exchange
from deploy.exchange.front import Call, Refused, Route
from deploy.exchange.limits import Spent
from deploy.exchange.state import Account, Fill, ListenKey, Market, Order, Product, Rules

VENUE = "binance"
RULES = Rules(
    places=8,
    pockets=True,
    maker="0.0002",
    taker="0.0005",
    forced={
        "liquidation": "autoclose-",
        "adl": "adl_autoclose",
        "settlement": "settlement_autoclose-",
    },
)
DAY_MS = 86_400_000
LISTEN_KEY_MS = 60 * 60_000
AHEAD_MS = 1_000
RECV_WINDOW_MS = 5_000
MAX_LIMIT = 1_000
_SIGNATURE = re.compile(r"&?signature=([^&]*)")

STATUS = {
    "new": "NEW",
    "partly_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "canceled": "CANCELED",
    "rejected": "REJECTED",
    "expired": "EXPIRED",
}


def authenticate(product: Product) -> Any:
    """Key, clock and signature, in the venue's order; for accounts that hold the product."""

    def check(call: Call, route: Route) -> Account:
        key = call.headers.get("X-MBX-APIKEY", "")
        if not key:
            raise Refused(401, -2014, "API-key format invalid.")
        account = call.exchange.accounts.get((VENUE, key))
        if account is None or account.revoked or product not in account.products:
            raise Refused(
                401, -2015, "Invalid API-key, IP, or permissions for action, request ip: "
                f"{call.address}",
            )  # fmt: skip
        if route.access == "signed":
            check_clock(call)
            check_signature(call, account.secret)
        return account

    return check


def check_clock(call: Call) -> None:
    sent = needed_whole(call, "timestamp")
    window = whole(call, "recvWindow") or RECV_WINDOW_MS
    if sent >= call.now_ms + AHEAD_MS:
        words = f"Timestamp for this request was {AHEAD_MS}ms ahead of the server's time."
        raise Refused(400, -1021, words)
    if call.now_ms - sent > window:
        raise Refused(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(call: Call, secret: str) -> None:
    """HMAC-SHA256 over query and body as they were sent, without the signature."""
    query, body = call.query, call.body.decode()
    given = _SIGNATURE.search(body) or _SIGNATURE.search(query)
    if given is None:
        raise Refused(
            400, -1102, "Mandatory parameter 'signature' was not sent, was empty/null, or "
            "malformed.",
        )  # fmt: skip
    signed = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
    expected = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256).hex()
    if not hmac.compare_digest(expected, given[1]):
        raise Refused(400, -1022, "Signature for this request is not valid.")


def error(refused: Refused, _: Call) -> dict[str, Any]:
    return {"code": refused.code, "msg": refused.words}


def limited(spent: Spent) -> Refused:
    words = "Too many requests; current limit of IP is exceeded. Please use the websocket."
    if spent.status == 418:  # noqa: PLR2004 - the status of a ban
        words = f"Way too many requests; IP banned for {spent.retry_ms} ms."
    return Refused(spent.status, -1003, words)


def used_weight(spent: Spent) -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT-1M": str(spent.used), "X-MBX-USED-WEIGHT": str(spent.used)}


# -- parameters ------------------------------------------------------------------------------------


def whole(call: Call, name: str) -> int | None:
    try:
        return call.whole(name)
    except ValueError:
        raise Refused(
            400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]+$'"
        ) from None


def missing(name: str) -> Refused:
    words = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    return Refused(400, -1102, words)


def needed(call: Call, name: str) -> str:
    if not call.params.get(name):
        raise missing(name)
    return call.params[name]


def needed_whole(call: Call, name: str) -> int:
    found = whole(call, name)
    if found is None:
        raise missing(name)
    return found


def limit_of(call: Call, default: int = 500) -> int:
    """At most 1,000, more is cut."""
    found = whole(call, "limit")
    if found is not None and found <= 0:
        raise Refused(400, -1130, "Data sent for parameter 'limit' is not valid.")
    return min(found or default, MAX_LIMIT)


def market_of(call: Call, product: Product, symbol: str | None = None) -> Market:
    found = call.exchange.markets.get((VENUE, product, symbol or needed(call, "symbol")))
    if found is None:
        raise Refused(400, -1121, "Invalid symbol.")
    return found


def between(call: Call, longest_ms: int, default_ms: int, words: str) -> tuple[int, int]:
    """[start, end] of what is asked for, never longer than the venue allows."""
    start, end = whole(call, "startTime"), whole(call, "endTime")
    if start is not None and end is not None:
        if end < start or end - start > longest_ms:
            raise Refused(400, -1127, words)
        return start, end
    if start is not None:
        return start, min(start + longest_ms, call.now_ms)
    end = call.now_ms if end is None else end
    return end - default_ms, end


def page(rows: list[Any], limit: int, *, first: bool) -> list[Any]:
    """The first rows, or the last."""
    return rows[:limit] if first else rows[-limit:]


def trades(
    call: Call, product: Product, *, longest_ms: int, default_ms: int, horizon_ms: int
) -> list[Fill]:
    """By fromId, order or time, as `userTrades` and `myTrades` read; ascending."""
    account, market = call.who, market_of(call, product)
    from_id, order_id = whole(call, "fromId"), whole(call, "orderId")
    timed = bool(call.params.get("startTime") or call.params.get("endTime"))
    if from_id is not None and timed:
        raise Refused(400, -1128, "Combination of optional parameters invalid.")
    oldest = call.now_ms - horizon_ms
    known = account.by_symbol.get((product, market.symbol), [])
    rows = [fill for fill in known if not fill.hidden and fill.at_ms >= oldest]
    if order_id is not None:
        rows = [fill for fill in rows if fill.order.order_id == order_id]
    if from_id is not None:
        rows = [fill for fill in rows if fill.trade_id >= from_id]
    elif timed or (default_ms and order_id is None):
        words = "Invalid time interval, maximum time interval is exceeded."
        start, end = between(call, longest_ms, default_ms or longest_ms, words)
        rows = [fill for fill in rows if start <= fill.at_ms <= end]
    from_start = from_id is not None or bool(call.params.get("startTime"))
    rows.sort(key=lambda fill: (fill.trade_id, fill.seq))
    return page(rows, limit_of(call), first=from_start)


def prepared(rows: Iterable[Any], make: Any) -> list[orjson.Fragment]:
    """JSON of rows, made once for each."""
    found = []
    for row in rows:
        if row.row is None:
            row.row = orjson.Fragment(orjson.dumps(make(row)))
        found.append(row.row)
    return found


# -- orders ----------------------------------------------------------------------------------------


def order_of(call: Call, product: Product) -> Order:
    """By orderId or origClientOrderId."""
    market = market_of(call, product)
    order_id, client = whole(call, "orderId"), call.params.get("origClientOrderId")
    if order_id is None and not client:
        words = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        raise Refused(400, -1102, words)
    orders = call.who.orders
    if order_id is not None:
        found = [orders[order_id]] if order_id in orders else []
    else:
        found = [order for order in orders.values() if order.client_order_id == client]
    found = [order for order in found if order.market is market]
    if not found:
        raise Refused(400, -2013, "Order does not exist.")
    return found[-1]


def open_orders(call: Call, product: Product) -> list[Order]:
    symbol = call.params.get("symbol")
    market = market_of(call, product, symbol) if symbol else None
    return [
        order
        for order in call.who.open_orders.values()
        if order.market.product == product and market in {None, order.market}
    ]


def all_orders(call: Call, product: Product, longest_ms: int) -> list[Order]:
    """From an order id, or by time; ascending by id."""
    market, order_id = market_of(call, product), whole(call, "orderId")
    rows = [order for order in call.who.orders.values() if order.market is market]
    if order_id is not None:
        rows = [order for order in rows if order.order_id >= order_id]
    else:
        start, end = between(call, longest_ms, longest_ms, "Invalid time interval.")
        rows = [order for order in rows if start <= order.created_ms <= end]
    rows.sort(key=lambda order: order.order_id)
    first = order_id is not None or bool(call.params.get("startTime"))
    return page(rows, limit_of(call), first=first)


def new_order(call: Call, product: Product) -> Order:
    """A market order fills at the mark at once, a limit order if the mark reaches it.

    The client's id is unique among open orders only, as at the venue: sending an order that is
    filled already once more trades twice.
    """
    account, market = call.who, market_of(call, product)
    side, kind = needed(call, "side").lower(), needed(call, "type").lower()
    qty, price = exact(needed(call, "quantity")), call.amount("price")
    given = call.params.get("newClientOrderId", "")
    if given and any(order.client_order_id == given for order in account.open_orders.values()):
        if product == "linear":
            raise Refused(400, -4116, "ClientOrderId is duplicated.")
        raise Refused(400, -2010, "Duplicate order sent.")
    side_of = call.params.get("positionSide", "BOTH")
    if product == "linear" and account.hedge == (side_of == "BOTH"):
        raise Refused(400, -4061, "Order's position side does not match user's setting.")
    held = {"LONG": "long", "SHORT": "short"}.get(side_of, "net")
    order = call.exchange.place(
        account, market, side, qty, price, type_=kind, client_order_id=given,
        position_side=held,  # type: ignore[arg-type]  # one of three
        reduce_only=call.params.get("reduceOnly") == "true",
        stop_price=call.amount("stopPrice"),
    )  # fmt: skip
    if kind == "market" or (kind == "limit" and _reached(order, market.mark)):
        call.exchange.trade(
            account, market, side, qty, market.mark, order=order,
            position_side=order.position_side,
        )  # fmt: skip
    return order


def _reached(order: Order, mark: Fraction) -> bool:
    return order.price >= mark if order.side == "buy" else order.price <= mark


def end_order(call: Call, product: Product) -> Order:
    order = order_of(call, product)
    if not order.open:
        raise Refused(400, -2011, "Unknown order sent.")
    call.exchange.cancel(call.who, order)
    return order


# -- listen keys -----------------------------------------------------------------------------------


def open_stream(call: Call, product: Product) -> dict[str, str]:
    """The account's key if it has one, else a new one; good for an hour."""
    keys = call.exchange.listen_keys
    name = next((name for name in keys if _owns(call, product, keys[name])), "")
    if not name:
        seed = f"{call.who.uid} {product} {len(keys)} {call.now_ms}"
        name = hashlib.sha256(seed.encode()).hexdigest()
    keys[name] = ListenKey(call.who, product, call.now_ms + LISTEN_KEY_MS)
    return {"listenKey": name}


def _owns(call: Call, product: Product, key: ListenKey) -> bool:
    return key.account is call.who and key.product == product and key.expires_ms > call.now_ms


def stream_of(call: Call, product: Product) -> str:
    """The key that is named, or the account's own. Refused: there is none."""
    named = call.params.get("listenKey", "")
    for name, key in call.exchange.listen_keys.items():
        if _owns(call, product, key) and named in {"", name}:
            return name
    raise Refused(400, -1125, "This listenKey does not exist.")


def keep_stream(call: Call, product: Product) -> str:
    name = stream_of(call, product)
    call.exchange.listen_keys[name] = ListenKey(call.who, product, call.now_ms + LISTEN_KEY_MS)
    return name


def end_stream(call: Call, product: Product) -> dict[str, str]:
    del call.exchange.listen_keys[stream_of(call, product)]
    return {}


def expired(exchange: Exchange, name: str) -> bool:
    """Whether a stream's key is gone or too old."""
    key = exchange.listen_keys.get(name)
    return key is None or key.expires_ms <= exchange.now_ms(VENUE)


def filters(market: Market, notional: str, *, futures: bool) -> Sequence[dict[str, Any]]:
    smallest = {"notional": notional} if futures else {"minNotional": notional}
    return (
        {"filterType": "PRICE_FILTER", "minPrice": market.tick, "maxPrice": "1000000.00000000",
         "tickSize": market.tick},
        {"filterType": "LOT_SIZE", "minQty": market.step, "maxQty": "9000000.00000000",
         "stepSize": market.step},
        {"filterType": "MIN_NOTIONAL" if futures else "NOTIONAL", **smallest},
    )  # fmt: skip
