"""How to open each venue's user stream with a plain websocket client, and what a trade is in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType

from deploy.exchange.server import Running
from deploy.exchange.state import Product

Socket = aiohttp.ClientWebSocketResponse
SECRET = "secret-1"
PATIENCE = 5


class Case(NamedTuple):
    """How to open a venue's stream, and what a trade looks like in it.

    types: of the messages of one fill, in their usual order. beat: sends a ping, waits for its pong
    and returns what came before it.
    """

    venue: str
    product: Product
    symbol: str
    connect: Callable[[aiohttp.ClientSession, str], Awaitable[Socket]]
    type_of: Callable[[Any], str]
    trade_of: Callable[[Any], tuple[str, str, str]]
    types: tuple[str, ...]
    beat: Callable[[Socket], Awaitable[list[Any]]]


def _hmac(text: str) -> bytes:
    return hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256)


async def opened(session: aiohttp.ClientSession, url: str) -> Socket:
    return await session.ws_connect(url, autoping=False)


async def heard(socket: Socket) -> Any:
    return await socket.receive_json(timeout=PATIENCE)


# -- one opening for each --------------------------------------------------------------------------


async def _bybit(session: aiohttp.ClientSession, url: str) -> Socket:
    socket = await opened(session, f"{url}/v5/private")
    expires = str(time.time_ns() // 1_000_000 + 10_000)
    signed = _hmac(f"GET/realtime{expires}").hex()
    await socket.send_json({"op": "auth", "args": ["key-1", expires, signed]})
    assert (await heard(socket))["success"]
    topics = ["execution", "position", "wallet"]
    await socket.send_json({"req_id": "1", "op": "subscribe", "args": topics})
    assert await heard(socket) == {
        "success": True, "ret_msg": "", "op": "subscribe", "conn_id": "local", "req_id": "1",
    }  # fmt: skip
    return socket


async def _bybit_beat(socket: Socket) -> list[Any]:
    await socket.send_json({"req_id": "9", "op": "ping"})
    return await _until(socket, lambda message: message.get("op") == "pong")


async def _until(socket: Socket, ends: Callable[[Any], bool]) -> list[Any]:
    found: list[Any] = []
    while True:
        message = await heard(socket)
        if ends(message):
            return found
        found.append(message)


async def _okx(session: aiohttp.ClientSession, url: str) -> Socket:
    socket = await opened(session, f"{url}/ws/v5/private")
    sent = str(int(time.time()))
    signed = base64.b64encode(_hmac(f"{sent}GET/users/self/verify")).decode()
    login = {"apiKey": "key-1", "passphrase": "phrase-1", "timestamp": sent, "sign": signed}
    await socket.send_json({"op": "login", "args": [login]})
    assert (await heard(socket))["event"] == "login"
    args = [{"channel": "orders", "instType": "ANY"}, {"channel": "account"}]
    await socket.send_json({"op": "subscribe", "args": args})
    assert [(await heard(socket))["event"] for _ in args] == ["subscribe", "subscribe"]
    assert (await heard(socket))["eventType"] == "snapshot"
    return socket


async def _okx_beat(socket: Socket) -> list[Any]:
    await socket.send_str("ping")
    found: list[Any] = []
    while True:
        message = await socket.receive(timeout=PATIENCE)
        if message.data == "pong":
            return found
        found.append(message.json())


async def _usdm(session: aiohttp.ClientSession, url: str) -> Socket:
    key = await listen_key(session, url, "/fapi/v1/listenKey")
    return await opened(session, f"{url}/private/ws?listenKey={key}")


async def _spot_by_key(session: aiohttp.ClientSession, url: str) -> Socket:
    key = await listen_key(session, url, "/api/v3/userDataStream")
    return await opened(session, f"{url}/ws/{key}")


async def listen_key(session: aiohttp.ClientSession, url: str, path: str) -> str:
    async with session.post(f"{url}{path}", headers={"X-MBX-APIKEY": "key-1"}) as answer:
        found: str = (await answer.json())["listenKey"]
    return found


async def _spot_by_signature(session: aiohttp.ClientSession, url: str) -> Socket:
    socket = await opened(session, f"{url}/ws-api/v3")
    params = {"apiKey": "key-1", "timestamp": time.time_ns() // 1_000_000}
    signed = {**params, "signature": _hmac(urlencode(params)).hex()}
    method = "userDataStream.subscribe.signature"
    await socket.send_json({"id": "1", "method": method, "params": signed})
    assert (await heard(socket))["result"] == {"subscriptionId": 0}
    return socket


async def _binance_beat(socket: Socket) -> list[Any]:
    await socket.ping()
    found: list[Any] = []
    while True:
        message = await socket.receive(timeout=PATIENCE)
        if message.type == WSMsgType.PONG:
            return found
        found.append(message.json())


def _usdm_trade(message: Any) -> tuple[str, str, str]:
    order = message["o"]
    return str(order["t"]), order["L"], order["n"]


def _spot_trade(message: Any) -> tuple[str, str, str]:
    report = message.get("event", message)
    return str(report["t"]), report["L"], report["n"]


def _bybit_trade(message: Any) -> tuple[str, str, str]:
    [row] = message["data"]
    return str(int(row["execId"].rpartition("-")[2], 16)), row["execPrice"], row["execFee"]


def _okx_trade(message: Any) -> tuple[str, str, str]:
    [row] = message["data"]
    return row["tradeId"], row["fillPx"], row["fillFee"]


CASES = {
    "bybit": Case(
        "bybit", "linear", "BTCUSDT", _bybit, lambda message: message["topic"], _bybit_trade,
        ("execution", "position", "wallet"), _bybit_beat,
    ),
    "okx": Case(
        "okx", "linear", "BTC-USDT-SWAP", _okx, lambda message: message["arg"]["channel"],
        _okx_trade, ("orders", "account"), _okx_beat,
    ),
    "binance usdm": Case(
        "binance", "linear", "BTCUSDT", _usdm, lambda message: message["e"], _usdm_trade,
        ("ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"), _binance_beat,
    ),
    "binance spot by key": Case(
        "binance", "spot", "BTCUSDT", _spot_by_key, lambda message: message["e"], _spot_trade,
        ("executionReport", "outboundAccountPosition"), _binance_beat,
    ),
    "binance spot by signature": Case(
        "binance", "spot", "BTCUSDT", _spot_by_signature, lambda message: message["event"]["e"],
        _spot_trade, ("executionReport", "outboundAccountPosition"), _binance_beat,
    ),
}  # fmt: skip
TRADED = {"execution", "orders", "ORDER_TRADE_UPDATE", "executionReport"}


def add_account(running: Running, case: Case) -> None:
    """`key-1`, with 100,000 USDT."""
    account = {
        "venue": case.venue, "uid": "1", "api_key": "key-1", "secret": SECRET,
        "passphrase": "phrase-1", "products": ["linear", "spot"],
        "wallets": {"linear": {"USDT": "100000"}, "spot": {"USDT": "100000"}},
    }  # fmt: skip
    running.do(lambda desk: desk.add_accounts([account]))


def trade(running: Running, case: Case, price: str = "60000.5", **rest: Any) -> int:
    made: list[int] = running.do(
        lambda desk: desk.trade(
            case.venue, "key-1", case.product, case.symbol, "buy", "0.01", price, **rest
        )
    )
    return made[0]


def fault(running: Running, case: Case, kind: str) -> None:
    assert running.do(lambda desk: desk.stream_fault(kind, case.venue, "key-1")) == 1


@asynccontextmanager
async def stream(running: Running, case: Case) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session:
        socket = await case.connect(session, running.url)
        try:
            await case.beat(socket)
            yield socket
        finally:
            await socket.close()


def traded(case: Case, messages: list[Any]) -> list[tuple[str, str, str]]:
    return [case.trade_of(one) for one in messages if case.type_of(one) in TRADED]
