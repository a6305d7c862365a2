"""OKX's private stream, `/ws/v5/private`: login, subscribe, `ping` and `pong` as bare text.

A subscription is remembered as `channel instType instId`; `account` and `positions` begin with what
there is.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from aiohttp import web

from deploy.exchange import okx_rows
from deploy.exchange.amounts import plain
from deploy.exchange.exchange import Exchange
from deploy.exchange.okx_asks import signature
from deploy.exchange.okx_markets import VENUE, inst_type
from deploy.exchange.state import Account, Fill, Happened, Market
from deploy.exchange.streams import Connection, Message, accept

CHANNELS = {"orders", "account", "positions", "balance_and_position"}
IDLE_S = 30
EXPIRES_S = 30
EVENT_TYPES = {"funding": "funding_fee", "trade": "filled"}


async def private(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    connection = Connection(
        VENUE, await accept(request), request, lambda told: _messages(exchange, connection, told)
    )
    return await exchange.streams.serve(
        connection, lambda text: _hear(exchange, connection, text), IDLE_S
    )


# -- what the client says --------------------------------------------------------------------------


def _failure(code: str, words: str) -> dict[str, str]:
    return {"event": "error", "code": code, "msg": words, "connId": "local"}


def _hear(exchange: Exchange, connection: Connection, text: str) -> None:
    if text == "ping":
        connection.say("pong")
        return
    try:
        asked = orjson.loads(text)
        op, args = asked["op"], asked["args"]
        assert isinstance(args, list)
    except (orjson.JSONDecodeError, KeyError, TypeError, AssertionError):
        connection.say(_failure("60012", f"Illegal request: {text}"))
        return
    if op == "login":
        connection.say(_logged_in(exchange, connection, args[0] if args else {}))
    elif connection.account is None:
        connection.say(_failure("60011", "Please log in"))
    else:
        for arg in args:
            _subscribe(exchange, connection, op, arg)


def _logged_in(
    exchange: Exchange, connection: Connection, arg: dict[str, str]
) -> dict[str, str]:
    account = exchange.accounts.get((VENUE, arg.get("apiKey", "")))
    sent = str(arg.get("timestamp", ""))
    if account is None or account.revoked:
        return _failure("60005", "Invalid apiKey")
    if not sent.isdigit() or abs(exchange.now_ms(VENUE) - int(sent) * 1000) > EXPIRES_S * 1000:
        return _failure("60006", "Timestamp request expired")
    if arg.get("passphrase") != account.passphrase:
        return _failure("60024", "Wrong passphrase")
    expected = signature(account.secret, f"{sent}GET/users/self/verify".encode())
    if not hmac.compare_digest(expected, str(arg.get("sign", ""))):
        return _failure("60007", "Invalid sign")
    if connection.account is None:
        connection.listen_to(account)
    return {"event": "login", "code": "0", "msg": "", "connId": "local"}


def _subscribe(exchange: Exchange, connection: Connection, op: str, arg: dict[str, str]) -> None:
    channel = arg.get("channel", "")
    if channel not in CHANNELS or op not in {"subscribe", "unsubscribe"}:
        words = f"Wrong URL or channel:{channel},instId:{arg.get('instId', '')} doesn't exist."
        connection.say(_failure("60018", words))
        return
    connection.say({"event": op, "arg": arg, "connId": "local"})
    subject = f"{channel} {arg.get('instType', 'ANY')} {arg.get('instId', '')}"
    if op == "unsubscribe":
        connection.subjects.discard(subject)
    elif subject not in connection.subjects:
        connection.subjects.add(subject)
        assert connection.account is not None
        for data in _snapshot(exchange, connection.account, channel, arg.get("instType", "ANY")):
            connection.say(_event(connection.account, subject, data) | {"eventType": "snapshot"})


def _snapshot(
    exchange: Exchange, account: Account, channel: str, kind: str
) -> Iterator[list[dict[str, Any]]]:
    now = exchange.now_ms(VENUE)
    rows = [
        okx_rows.position_row(held)
        for held in account.live.positions.values()
        if held.qty and kind in {"ANY", inst_type(held.market)}
    ]
    if channel == "account":
        yield [okx_rows.balance(exchange, account.live, set(), now)]
    elif channel == "positions":
        yield rows
    elif channel == "balance_and_position":
        details = okx_rows.balance(exchange, account.live, set(), now)["details"]
        yield [_both(now, "snapshot", details, rows, None)]


# -- what it is told -------------------------------------------------------------------------------


def _event(account: Account, subject: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    channel, kind, symbol = subject.split(" ")
    arg = {"channel": channel, "uid": account.uid}
    if channel in {"orders", "positions"}:
        arg["instType"] = kind
    return {"arg": arg | ({"instId": symbol} if symbol else {}), "data": data}


def _messages(
    exchange: Exchange, connection: Connection, happened: Happened
) -> Sequence[Message]:
    """orders, positions, account, balance_and_position; each subscription by itself."""
    found = []
    for channel, market, row in _rows(exchange, happened):
        for subject in sorted(connection.subjects):
            name, kind, symbol = subject.split(" ")
            fits = market is None or (
                kind in {"ANY", inst_type(market)} and symbol in {"", market.symbol}
            )
            if name == channel and fits:
                found.append(Message(channel, _event(happened.account, subject, [row])))
    return found


def _rows(
    exchange: Exchange, happened: Happened
) -> Iterator[tuple[str, Market | None, dict[str, Any]]]:
    account, order, fill = happened.account, happened.order, happened.fill
    if order is not None:
        row = okx_rows.order_row(order, fill)
        yield "orders", order.market, row | _only_in_streams(fill)
    positions = []
    if fill is not None:
        key = (fill.market.product, fill.market.symbol, fill.position_side)
        held = account.live.positions.get(key)
        if held is not None:
            positions.append(okx_rows.position_row(held))
            yield "positions", fill.market, positions[0]
    assets = {entry.asset for entry in happened.entries}
    if assets:
        whole = okx_rows.balance(exchange, account.live, assets, happened.at_ms)
        yield "account", None, whole
        kind = EVENT_TYPES.get(happened.entries[0].kind, "transferred")
        both = _both(happened.at_ms, kind, whole["details"], positions, fill)
        yield "balance_and_position", None, both


def _only_in_streams(fill: Fill | None) -> dict[str, Any]:
    row = {"amendResult": "", "code": "0", "msg": "", "reqId": "", "lastPx": ""}
    if fill is None:
        return row
    return row | {
        "execType": "M" if fill.maker else "T", "fillPnl": plain(fill.realized),
        "fillFee": "" if fill.fee is None else plain(-fill.fee), "fillFeeCcy": fill.fee_asset,
        "fillNotionalUsd": "", "fillMarkPx": "", "fillIdxPx": "",
    }  # fmt: skip


def _both(
    at_ms: int,
    kind: str,
    details: list[dict[str, Any]],
    positions: list[dict[str, Any]],
    fill: Fill | None,
) -> dict[str, Any]:
    named = ("posId", "instId", "instType", "mgnMode", "posSide", "pos", "ccy", "posCcy", "avgPx",
             "uTime")  # fmt: skip
    trade = {"instId": fill.market.symbol, "tradeId": str(fill.trade_id)} if fill else None
    return {
        "pTime": str(at_ms), "eventType": kind,
        "balData": [{key: row[key] for key in ("ccy", "cashBal", "uTime")} for row in details],
        "posData": [{key: row[key] for key in named} for row in positions],
        "trades": [trade] if trade else [],
    }  # fmt: skip
