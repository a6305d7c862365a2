"""Bybit's private stream, `/v5/private`: auth, subscribe, ping."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from aiohttp import web

from deploy.exchange import bybit_rows
from deploy.exchange.amounts import plain
from deploy.exchange.bybit_markets import VENUE
from deploy.exchange.exchange import Exchange
from deploy.exchange.state import Happened, Position
from deploy.exchange.streams import Connection, Message, accept

TOPICS = {"order", "execution", "position", "wallet"}
IDLE_S = 600


async def private(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    connection = Connection(
        VENUE, await accept(request), request, lambda told: _messages(exchange, connection, told)
    )
    return await exchange.streams.serve(
        connection, lambda text: _hear(exchange, connection, text), IDLE_S
    )


# -- what the client says --------------------------------------------------------------------------


def _hear(exchange: Exchange, connection: Connection, text: str) -> None:
    try:
        asked = orjson.loads(text)
        op, args = asked["op"], asked.get("args") or []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        connection.say({"success": False, "ret_msg": "error:invalid op", "conn_id": "local"})
        return
    answer: dict[str, Any] = {"success": True, "ret_msg": "", "op": op, "conn_id": "local"}
    if "req_id" in asked:
        answer["req_id"] = str(asked["req_id"])
    if op == "ping":
        now = str(exchange.now_ms(VENUE))
        answer = {"op": "pong", "args": [now], "conn_id": "local"} | (
            {"req_id": answer["req_id"]} if "req_id" in answer else {}
        )
    elif op == "auth":
        answer |= _authenticated(exchange, connection, args)
    elif connection.account is None:
        answer |= {"success": False, "ret_msg": "Request not authorized", "retCode": 10004}
    elif op in {"subscribe", "unsubscribe"}:
        answer |= _subscribed(connection, op, args)
    else:
        answer |= {"success": False, "ret_msg": f"error:invalid op {op}"}
    connection.say(answer)


def _authenticated(exchange: Exchange, connection: Connection, args: list[Any]) -> dict[str, Any]:
    """[key, expires, HMAC-SHA256 of `GET/realtime` and expires]."""
    key, expires, given = (*map(str, args), "", "", "")[:3]
    account = exchange.accounts.get((VENUE, key))
    if account is None or account.revoked:
        return {"success": False, "ret_msg": "Invalid apikey", "retCode": 10003}
    signed = f"GET/realtime{expires}".encode()
    expected = hmac.digest(account.secret.encode(), signed, hashlib.sha256).hex()
    if not hmac.compare_digest(expected, given):
        return {"success": False, "ret_msg": "Invalid sign", "retCode": 10004}
    if not expires.isdigit() or int(expires) <= exchange.now_ms(VENUE):
        return {"success": False, "ret_msg": "Params Error: expired", "retCode": 10002}
    if connection.account is None:
        connection.listen_to(account)
    return {}


def _subscribed(connection: Connection, op: str, args: list[Any]) -> dict[str, Any]:
    unknown = [topic for topic in args if str(topic).partition(".")[0] not in TOPICS]
    if unknown:
        return {"success": False, "ret_msg": f"error:handler not found,topic:{unknown[0]}"}
    if op == "subscribe":
        connection.subjects.update(args)
    else:
        connection.subjects.difference_update(args)
    return {}


# -- what it is told -------------------------------------------------------------------------------


def _messages(
    exchange: Exchange, connection: Connection, happened: Happened
) -> Sequence[Message]:
    """In the order order, execution, position, wallet; each topic that was asked for."""
    found = []
    for kind, category, data in _data(exchange, happened):
        for topic in (kind, f"{kind}.{category}"):
            if topic in connection.subjects:
                body = {
                    "id": f"{happened.account.uid}_{topic}_{happened.at_ms}", "topic": topic,
                    "creationTime": happened.at_ms, "data": [data],
                }  # fmt: skip
                found.append(Message(topic, body))
    return found


def _data(exchange: Exchange, happened: Happened) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(topic, category, row)."""
    account, order, fill = happened.account, happened.order, happened.fill
    if order is not None:
        category = order.market.product
        yield "order", category, bybit_rows.order_row(order) | {"category": category}
    if fill is not None:
        category = fill.market.product
        row = bybit_rows.execution(fill)
        row |= {"category": category, "feeCoin": row.pop("feeCurrency"), "isLeverage": "0"}
        yield "execution", category, row | {"execPnl": plain(fill.realized)}
        held = account.live.positions.get((category, fill.market.symbol, fill.position_side))
        if held is not None:
            yield "position", category, _position(held)
    for entry in happened.entries:
        if entry.kind == "funding" and entry.market is not None:
            category = entry.market.product
            row = bybit_rows.funding_execution(entry)
            yield "execution", category, row | {"category": category}
    coins = {entry.asset for entry in happened.entries}
    if coins:
        yield "wallet", "", bybit_rows.wallet(exchange, account.live, coins)


def _position(held: Position) -> dict[str, Any]:
    row = bybit_rows.position_row(held)
    return row | {"category": held.market.product, "entryPrice": row["avgPrice"]}
