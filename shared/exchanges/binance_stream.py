"""Binance's user streams.

Futures: a listen key (POST), good for an hour and renewed by PUT. One that is gone is no error: the
connection stays open and says nothing but, mostly, `listenKeyExpired`.
Spot: the websocket API, by a signature; listen keys of spot are on their way out.

ORDER_TRADE_UPDATE and executionReport are the rows of `userTrades`, `myTrades` and `order` under
short names. Unlike those they name the client order id, which tells forced orders.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlencode

from shared.exchanges import binance_spot, binance_usdm
from shared.exchanges.amounts import sign
from shared.exchanges.binance_orders import Orders, order_of
from shared.exchanges.binance_trades import filled
from shared.exchanges.errors import UnknownMarket
from shared.exchanges.keys import Keys
from shared.exchanges.streams import (
    NOTHING,
    Heard,
    Opened,
    UserStream,
    message_of,
    orders_told,
    signature,
    told_by_stream,
)
from shared.exchanges.venue import Account, Found, Request, Weights

CONNECTS = Weights(per_window=300, window_ms=300_000)
FUTURES_URL = "wss://fstream.binance.com/private/ws?listenKey="
SPOT_URL = "wss://ws-api.binance.com:443/ws-api/v3"
SUBSCRIBE = "userDataStream.subscribe.signature"
WINDOW_MS = 10_000
ENDS = {"listenKeyExpired", "eventStreamTerminated", "serverShutdown"}
REFUSALS = {"-2014", "-2015", "-1022"}
"""Format of the key, key or address or permission, signature."""
FORCED = (
    ("autoclose-", "liquidation"),
    ("adl_autoclose", "adl"),
    ("settlement_autoclose-", "settlement"),
)
"""Beginnings of client order ids."""


# -- futures ---------------------------------------------------------------------------------------


def open_futures(account: Account, keys: Keys) -> Generator[Request, Any, Opened]:
    """The key that the account has already is answered again, and good for an hour from now."""
    del keys  # they sign the request
    answer = yield Request("fapiPrivate", "POST", "listenKey", {}, 1)
    return Opened(FUTURES_URL + answer["listenKey"], Futures(account))


def renew_futures() -> Request:
    return Request("fapiPrivate", "PUT", "listenKey", {}, 1)


class Futures:
    def __init__(self, account: Account) -> None:
        self._account = account

    def heard(self, text: str) -> Heard:
        message = message_of(text)
        if message.get("e") in ENDS:
            return Heard(word="expired", says=message["e"])
        if message.get("e") != "ORDER_TRADE_UPDATE":
            return NOTHING
        row = message["o"]
        _known(self._account, "linear", row["s"])
        if _is_trade(row):
            return Heard([_future_trade(self._account, row)])
        return Heard(_ended_or_placed(self._account, binance_usdm.ORDERS, _future_order(row)))


def _future_trade(account: Account, row: Mapping[str, Any]) -> Found:
    forced = next((kind for begins, kind in FORCED if row["c"].startswith(begins)), None)
    trade = {
        **_trade(row), "side": row["S"], "positionSide": row["ps"], "maker": row["m"],
        "realizedPnl": row["rp"],
    }  # fmt: skip
    found = filled(binance_usdm.TRADES, account, trade, kind=forced)
    return told_by_stream(found, client_order_id=row["c"] or None)


def _future_order(row: Mapping[str, Any]) -> dict[str, Any]:
    """`time` is that of the order's beginning, which only its first message tells."""
    return {**_order(row), "clientOrderId": row["c"], "stopPrice": row["sp"], "time": row["T"],
            "reduceOnly": row["R"]}  # fmt: skip


# -- spot ------------------------------------------------------------------------------------------


def open_spot(account: Account, keys: Keys) -> Generator[Request, Any, Opened]:
    yield from ()
    params: dict[str, str | int] = {
        "apiKey": keys.api_key, "recvWindow": WINDOW_MS, "timestamp": account.now_ms,
    }  # fmt: skip
    signed = {**params, "signature": signature(keys, urlencode(params), base64=False)}
    asked = json.dumps({"id": "1", "method": SUBSCRIBE, "params": signed})
    return Opened(SPOT_URL, Spot(account), [asked])


class Spot:
    def __init__(self, account: Account) -> None:
        self._account = account

    def heard(self, text: str) -> Heard:
        message = message_of(text)
        if "status" in message:
            return _answered(message)
        row = message.get("event", message)
        if row.get("e") in ENDS:
            return Heard(word="expired", says=row["e"])
        if row.get("e") != "executionReport":
            return NOTHING
        _known(self._account, "spot", row["s"])
        if _is_trade(row):
            trade = {**_trade(row), "isBuyer": row["S"] == "BUY", "isMaker": row["m"]}
            found = filled(binance_spot.TRADES, self._account, trade)
            return Heard([told_by_stream(found, client_order_id=row["c"] or None)])
        return Heard(_ended_or_placed(self._account, binance_spot.ORDERS, _spot_order(row)))


def _answered(message: Mapping[str, Any]) -> Heard:
    if message["status"] == "200":
        return Heard(word="ready")
    error = message["error"]
    says = f"{error['code']} {error['msg']}"
    return Heard(word="refused" if error["code"] in REFUSALS else "expired", says=says)


def _spot_order(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is canceled has a client order id of the cancellation; `C` is the order's own."""
    own = row["C"] if row["x"] == "CANCELED" and row["C"] else row["c"]
    return {**_order(row), "clientOrderId": own, "stopPrice": row["P"], "time": row["O"]}


# -- both ------------------------------------------------------------------------------------------


def _known(account: Account, product: Any, symbol: str) -> None:
    if (product, symbol) not in account.markets:
        raise UnknownMarket(product, symbol)


def _is_trade(row: Mapping[str, Any]) -> bool:
    """x: TRADE; CALCULATED where a liquidation is told, without a trade it is none."""
    return row["x"] in {"TRADE", "CALCULATED"} and int(row["t"]) > 0 and sign(row["l"]) > 0


def _trade(row: Mapping[str, Any]) -> dict[str, Any]:
    """N is not there as long as the commission is not known, or is none."""
    return {
        "symbol": row["s"], "id": row["t"], "orderId": row["i"], "qty": row["l"],
        "price": row["L"], "time": row["T"],
        "commission": row.get("n") if row.get("N") else None, "commissionAsset": row.get("N"),
    }  # fmt: skip


def _order(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "symbol": row["s"], "orderId": row["i"], "status": row["X"], "side": row["S"],
        "type": row["o"], "origQty": row["q"], "price": row["p"], "updateTime": row["T"],
        "executedQty": row["z"],
    }  # fmt: skip


def _ended_or_placed(account: Account, orders: Orders, row: Mapping[str, Any]) -> list[Found]:
    executed = sign(row["executedQty"]) > 0
    return orders_told(account, "binance", order_of(orders, row), executed=executed)


BINANCE_FUTURES = UserStream(open_futures, CONNECTS, renew=renew_futures)
BINANCE_SPOT = UserStream(open_spot, CONNECTS)
