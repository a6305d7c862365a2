"""Bybit's private stream: auth, subscribe, then `order` and `execution`.

An execution does not say which side of a hedged symbol it moved; its order does. The two come by
topics of their own, in no order, so an execution waits for its order. One whose order is never
told, as of an ADL, is left to the sync.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any, cast

from shared.exchanges.amounts import known, sign
from shared.exchanges.bybit import order_of
from shared.exchanges.bybit_api import NAME
from shared.exchanges.bybit_history import execution, filled, is_fill
from shared.exchanges.keys import Keys
from shared.exchanges.overlap import Fresh
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
from shared.exchanges.venue import Account, Found, Product, Request, Weights

URL = "wss://stream.bybit.com/v5/private"
EXPIRES_MS = 10_000
TOPICS = ("order", "execution")
PRODUCTS = {"linear", "inverse", "spot"}
REFUSALS = {"10003", "10004", "10005", "10007", "10010", "33004"}
"""Key, signature, permission, authentication, address, expired."""
REMEMBERED = 1_000
"""Orders, and executions that wait for theirs."""


def open_stream(account: Account, keys: Keys) -> Generator[Request, Any, Opened]:
    yield from ()
    expires = str(account.now_ms + EXPIRES_MS)
    signed = signature(keys, f"GET/realtime{expires}")
    auth = json.dumps({"op": "auth", "args": [keys.api_key, expires, signed]})
    return Opened(URL, Private(account), [auth])


class Private:
    """At most REMEMBERED sides of orders, and as many executions that wait."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._sides: dict[str, Any] = {}
        self._waiting: dict[str, list[Mapping[str, Any]]] = {}

    def heard(self, text: str) -> Heard:
        message = message_of(text)
        if "topic" in message:
            rows = [row for row in message["data"] if row.get("category") in PRODUCTS]
            if message["topic"] == "order":
                return Heard([found for row in rows for found in self._ordered(row)])
            if message["topic"] == "execution":
                return Heard([found for row in rows for found in self._executed(row)])
            return NOTHING
        return _answered(message)

    def _ordered(self, row: Mapping[str, Any]) -> list[Found]:
        order_id = row["orderId"]
        _remember(self._sides, order_id, row.get("positionIdx"))
        executed = sign(known(row.get("cumExecQty")) or "0") > 0
        order = order_of(cast("Product", row["category"]), row)
        found = orders_told(self._account, NAME, order, executed=executed)
        waiting = self._waiting.pop(order_id, ())
        return found + [self._filled(one) for one in waiting]

    def _executed(self, row: Mapping[str, Any]) -> list[Found]:
        if not is_fill(row):
            return []
        if row["category"] == "spot" or row["orderId"] in self._sides:
            return [self._filled(row)]
        waiting = self._waiting.get(row["orderId"], [])
        _remember(self._waiting, row["orderId"], [*waiting, row])
        return []

    def _filled(self, row: Mapping[str, Any]) -> Found:
        product = cast("Product", row["category"])
        side = self._sides.get(row["orderId"])
        sided = row if product == "spot" or side is None else {**row, "positionIdx": side}
        return told_by_stream(filled(self._account, product, Fresh(execution(sided), 1), ()))


def _remember(kept: dict[str, Any], name: str, value: Any) -> None:
    kept.pop(name, None)
    kept[name] = value
    if len(kept) > REMEMBERED:
        del kept[next(iter(kept))]


def _answered(message: Mapping[str, Any]) -> Heard:
    """Of auth, subscribe and ping. A pong of the private stream has no `success`."""
    op, says = message.get("op"), message.get("ret_msg") or ""
    if message.get("success") is False:
        code = str(message.get("retCode") or "")
        refused = op == "auth" and code in REFUSALS
        return Heard(word="refused" if refused else "expired", says=f"{code} {says}".strip())
    if op == "auth":
        return Heard(say=[json.dumps({"op": "subscribe", "args": list(TOPICS)})])
    return Heard(word="ready") if op == "subscribe" else NOTHING


BYBIT_STREAM = UserStream(
    open_stream, Weights(per_window=500, window_ms=300_000), ping=json.dumps({"op": "ping"})
)
