"""Binance's user streams: by listen key for futures and spot, and signed over the websocket API.

A listen key that is gone or too old is no error: the connection stays open, `listenKeyExpired`
comes if it had been good, and nothing after it. The websocket API is the spot stream that current
libraries use; its events are wrapped.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import urlencode

import orjson
from aiohttp import web

from deploy.exchange import binance
from deploy.exchange.amounts import ZERO, fixed, places_of, plain, written
from deploy.exchange.binance import STATUS, VENUE
from deploy.exchange.exchange import Exchange
from deploy.exchange.front import Socket
from deploy.exchange.state import Account, Entry, Fill, Happened, Order, Position, Product
from deploy.exchange.streams import Connection, Message, Translate, accept

SIDES = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
REASONS = {
    "trade": "ORDER",
    "funding": "FUNDING_FEE",
    "deposit": "DEPOSIT",
    "transfer_in": "DEPOSIT",
    "withdrawal": "WITHDRAW",
    "transfer_out": "WITHDRAW",
    "insurance": "INSURANCE_CLEAR",
    "conversion": "AUTO_EXCHANGE",
}
FORCED = {"liquidation", "adl"}
SUBSCRIBE = "userDataStream.subscribe.signature"


# -- by listen key ---------------------------------------------------------------------------------


async def by_listen_key(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """`/private/ws?listenKey=…` and `/ws/{key}`."""
    name = request.match_info.get("key") or request.query.get("listenKey", "")
    key = exchange.listen_keys.get(name)
    connection = Connection(VENUE, await accept(request), request, lambda _: ())
    if key is not None:
        connection.translate = _until_expired(exchange, connection, name, _TRANSLATORS[key.product])
        connection.expire = lambda: _expired(exchange, name)
        connection.subjects.add(key.product)
        connection.listen_to(key.account)
    return await exchange.streams.serve(connection, lambda _: None)


def _until_expired(
    exchange: Exchange, connection: Connection, name: str, translate: Translate
) -> Translate:
    def messages(happened: Happened) -> Sequence[Message]:
        if not binance.expired(exchange, name):
            return translate(happened)
        connection.set_fault("expired")
        return ()

    return messages


def _expired(exchange: Exchange, name: str) -> dict[str, Any]:
    """The key is gone, too: a new stream needs a new one."""
    exchange.listen_keys.pop(name, None)
    return {"e": "listenKeyExpired", "E": exchange.now_ms(VENUE), "listenKey": name}


# -- by the websocket API --------------------------------------------------------------------------


async def websocket_api(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """`/ws-api/v3`: subscribe to the spot stream by a signature, ping."""

    def wrapped(happened: Happened) -> Sequence[Message]:
        return [
            Message(type_, {"subscriptionId": 0, "event": body})
            for type_, body in _spot(happened)
        ]

    connection = Connection(VENUE, await accept(request), request, wrapped)

    def hear(text: str) -> None:
        try:
            asked = orjson.loads(text)
            number, method = asked["id"], asked["method"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            connection.say(_refusal(None, 400, -1100, "Illegal characters found in parameter."))
            return
        if method == "ping":
            connection.say({"id": number, "status": 200, "result": {}, "rateLimits": []})
        elif method == SUBSCRIBE:
            connection.say(_subscribed(exchange, connection, number, asked.get("params", {})))
        else:
            connection.say(_refusal(number, 400, -1000, f"Unknown method {method}."))

    return await exchange.streams.serve(connection, hear)


def _refusal(number: Any, status: int, code: int, words: str) -> dict[str, Any]:
    return {"id": number, "status": status, "error": {"code": code, "msg": words}}


def _subscribed(
    exchange: Exchange, connection: Connection, number: Any, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Signed over the other parameters in the order of their names."""
    account = exchange.accounts.get((VENUE, str(params.get("apiKey"))))
    if account is None or account.revoked or "spot" not in account.products:
        return _refusal(number, 401, -2015, "Invalid API-key, IP, or permissions for action.")
    sent, now = int(params.get("timestamp", 0)), exchange.now_ms(VENUE)
    window = int(params.get("recvWindow", binance.RECV_WINDOW_MS))
    if not now - window <= sent < now + binance.AHEAD_MS:
        words = "Timestamp for this request is outside of the recvWindow."
        return _refusal(number, 400, -1021, words)
    signed = urlencode([(name, params[name]) for name in sorted(params) if name != "signature"])
    expected = hmac.digest(account.secret.encode(), signed.encode(), hashlib.sha256).hex()
    if not hmac.compare_digest(expected, str(params.get("signature", ""))):
        return _refusal(number, 400, -1022, "Signature for this request is not valid.")
    if connection.account is None:
        connection.subjects.add("spot")
        connection.listen_to(account)
    return {"id": number, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}


# -- futures ---------------------------------------------------------------------------------------


def _futures(happened: Happened) -> Sequence[Message]:
    """ACCOUNT_UPDATE, then ORDER_TRADE_UPDATE; a fee that comes later changes only the account."""
    found, order, fill = [], happened.order, happened.fill
    entries = [entry for entry in happened.entries if entry.pocket == "linear"]
    if entries:
        found.append(Message("ACCOUNT_UPDATE", _account_update(happened, entries)))
    if _tells_of(order, fill, "linear"):
        body = {
            "e": "ORDER_TRADE_UPDATE", "E": happened.at_ms, "T": happened.at_ms,
            "o": _futures_order(order, fill),
        }  # fmt: skip
        found.append(Message("ORDER_TRADE_UPDATE", body))
    return found


def _tells_of(order: Order | None, fill: Fill | None, product: Product) -> TypeGuard[Order]:
    """Whether there is a message about the order."""
    return (
        order is not None
        and order.market.product == product
        and (fill is None or fill.revision == 1)
    )


def _account_update(happened: Happened, entries: list[Entry]) -> dict[str, Any]:
    """Wallets after it; `bc` is what changed them other than P&L and commission."""
    fill, account = happened.fill, happened.account
    kind = entries[0].kind
    last = {entry.asset: entry for entry in entries}
    balances = [
        {
            "a": asset, "wb": fixed(entry.after, 8), "cw": fixed(entry.after, 8),
            "bc": "0" if kind == "trade" else plain(entry.change),
        }
        for asset, entry in last.items()
    ]  # fmt: skip
    positions = []
    if fill is not None:
        sides = tuple(SIDES) if account.hedge else ("net",)
        positions = [
            _position(account.live.positions.get(("linear", fill.market.symbol, side)), fill, side)  # type: ignore[arg-type]  # one of three
            for side in sides
        ]
    return {
        "e": "ACCOUNT_UPDATE", "E": happened.at_ms, "T": happened.at_ms,
        "a": {"m": REASONS.get(kind, "ADJUSTMENT"), "B": balances, "P": positions},
    }  # fmt: skip


def _position(held: Position | None, fill: Fill, side: str) -> dict[str, Any]:
    """cr: realized so far, before fees."""
    step = places_of(fill.market.step)
    return {
        "s": fill.market.symbol, "pa": written(held.qty if held else ZERO, step),
        "ep": plain(held.entry, 10) if held and held.qty else "0",
        "bep": plain(held.entry, 8) if held and held.qty else "0",
        "cr": plain(held.realized) if held else "0",
        "up": fixed(held.unrealized, 8) if held and held.qty else "0", "mt": "cross", "iw": "0",
        "ps": SIDES[side], "ma": fill.market.settle,
    }  # fmt: skip


def _executed(order: Order, fill: Fill | None) -> str:
    if fill is None:
        return {"new": "NEW", "canceled": "CANCELED"}.get(order.status, "EXPIRED")
    return "CALCULATED" if fill.kind in FORCED else "TRADE"


def _futures_order(order: Order, fill: Fill | None) -> dict[str, Any]:
    """Commission is not there as long as it is not known."""
    market = order.market
    price, step = places_of(market.tick), places_of(market.step)
    average = order.spent / order.filled if order.filled else ZERO
    row = {
        "s": market.symbol, "c": order.client_order_id, "S": order.side.upper(),
        "o": order.type.upper(), "f": "GTC", "q": written(order.qty, step),
        "p": plain(order.price), "ap": written(average, price) if average else "0",
        "sp": plain(order.stop_price), "x": _executed(order, fill), "X": STATUS[order.status],
        "i": order.order_id, "l": written(fill.qty, step) if fill else "0",
        "z": written(order.filled, step), "L": written(fill.price, price) if fill else "0",
        "T": fill.at_ms if fill else order.updated_ms, "t": fill.trade_id if fill else 0,
        "b": "0", "a": "0", "m": fill.maker if fill else False, "R": order.reduce_only,
        "wt": "CONTRACT_PRICE", "ot": order.type.upper(), "ps": SIDES[order.position_side],
        "cp": False, "rp": plain(fill.realized) if fill else "0", "pP": False, "si": 0, "ss": 0,
        "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    if fill is not None and fill.fee is not None:
        row |= {"n": plain(fill.fee), "N": fill.fee_asset}
    return row


# -- spot ------------------------------------------------------------------------------------------


def _spot(happened: Happened) -> Sequence[Message]:
    """executionReport, then outboundAccountPosition; balanceUpdate for what is no trade."""
    found, order, fill = [], happened.order, happened.fill
    if _tells_of(order, fill, "spot"):
        found.append(Message("executionReport", _report(order, fill, happened.at_ms)))
    entries = [entry for entry in happened.entries if entry.pocket == "spot"]
    found += [Message(body["e"], body) for body in _changes(happened.account, entries)]
    return found


def _changes(account: Account, entries: list[Entry]) -> Iterator[dict[str, Any]]:
    if not entries:
        return
    at_ms = entries[0].at_ms
    if entries[0].kind != "trade":
        for entry in entries:
            yield {
                "e": "balanceUpdate", "E": at_ms, "a": entry.asset, "d": fixed(entry.change, 8),
                "T": at_ms,
            }  # fmt: skip
    wallets = account.live.wallets
    yield {
        "e": "outboundAccountPosition", "E": at_ms, "u": at_ms,
        "B": [
            {"a": asset, "f": fixed(wallets["spot", asset], 8), "l": "0.00000000"}
            for asset in dict.fromkeys(entry.asset for entry in entries)
        ],
    }  # fmt: skip


def _report(order: Order, fill: Fill | None, at_ms: int) -> dict[str, Any]:
    last = fill.qty * fill.price if fill else ZERO
    known = fill is not None and fill.fee is not None
    return {
        "e": "executionReport", "E": at_ms, "s": order.market.symbol, "c": order.client_order_id,
        "S": order.side.upper(), "o": order.type.upper(), "f": "GTC", "q": fixed(order.qty, 8),
        "p": fixed(order.price, 8), "P": fixed(order.stop_price, 8), "F": "0.00000000", "g": -1,
        "C": "", "x": "TRADE" if fill else _executed(order, None), "X": STATUS[order.status],
        "r": "NONE", "i": order.order_id, "l": fixed(fill.qty if fill else ZERO, 8),
        "z": fixed(order.filled, 8), "L": fixed(fill.price if fill else ZERO, 8),
        "n": fixed(fill.fee or ZERO, 8) if known and fill else "0",
        "N": fill.fee_asset if known and fill else None,
        "T": fill.at_ms if fill else order.updated_ms, "t": fill.trade_id if fill else -1,
        "I": order.order_id, "w": order.open, "m": fill.maker if fill else False, "M": False,
        "O": order.created_ms, "Z": fixed(order.spent, 8), "Y": fixed(last, 8),
        "Q": "0.00000000", "W": order.created_ms, "V": "NONE",
    }  # fmt: skip


_TRANSLATORS: Mapping[Product, Translate] = {"linear": _futures, "spot": _spot}

SOCKETS: Mapping[str, Socket] = {
    "/private/ws": by_listen_key,
    "/ws/{key}": by_listen_key,
    "/ws-api/v3": websocket_api,
}
