"""OKX's private stream: login, then the channel `orders`, whose messages carry the fills.

A message that carries a fill has its trade id, quantity, fee and P&L. It has no bill's id, so the
place of a fill among those of one millisecond is known when the sync has found it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

from shared.exchanges.amounts import known, sign
from shared.exchanges.keys import Keys
from shared.exchanges.okx import order_of
from shared.exchanges.okx_api import NAME
from shared.exchanges.okx_history import CONTRACTS, execution, filled
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
from shared.exchanges.venue import Account, Found, Request, Weights

URL = "wss://ws.okx.com:8443/ws/v5/private"
REFUSALS = {"60005", "60007", "60024", "60032"}
"""Key, signature, passphrase, key that does not exist."""
KINDS = {
    "full_liquidation": "liquidation",
    "partial_liquidation": "liquidation",
    "adl": "adl",
    "delivery": "settlement",
}
SUBSCRIBE = {"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}


def open_stream(account: Account, keys: Keys) -> Generator[Request, Any, Opened]:
    yield from ()
    sent = str(account.now_ms // 1000)
    signed = signature(keys, f"{sent}GET/users/self/verify", base64=True)
    login = {
        "apiKey": keys.api_key, "passphrase": keys.passphrase, "timestamp": sent, "sign": signed,
    }  # fmt: skip
    return Opened(URL, Private(account), [json.dumps({"op": "login", "args": [login]})])


class Private:
    def __init__(self, account: Account) -> None:
        self._account = account

    def heard(self, text: str) -> Heard:
        if text == "pong":
            return NOTHING
        message = message_of(text)
        if "event" in message:
            return _answered(message)
        if message["arg"]["channel"] != "orders":
            return NOTHING
        rows = [row for row in message["data"] if row["instType"] in {*CONTRACTS, "SPOT"}]
        return Heard([found for row in rows for found in self._told(row)])

    def _told(self, row: Mapping[str, Any]) -> list[Found]:
        if row["state"] in {"partially_filled", "filled"} and row.get("tradeId"):
            fill = {**row, "billId": "", "fee": row.get("fillFee"), "feeCcy": row.get("fillFeeCcy")}
            kind = KINDS.get(row.get("category") or "")
            found = filled(self._account, Fresh(execution(fill), 1))
            return [told_by_stream(found, kind=kind)]
        executed = sign(known(row.get("accFillSz")) or "0") > 0
        return orders_told(self._account, NAME, order_of(self._account, row), executed=executed)


def _answered(message: Mapping[str, Any]) -> Heard:
    """Of login and subscribe; `notice` says that the connection will be closed."""
    event = message["event"]
    if event == "login":
        return Heard(say=[json.dumps(SUBSCRIBE)])
    if event == "subscribe":
        return Heard(word="ready")
    if event in {"error", "notice"}:
        code = message.get("code") or ""
        says = f"{code} {message.get('msg') or ''}".strip()
        return Heard(word="refused" if code in REFUSALS else "expired", says=says)
    return NOTHING


OKX_STREAM = UserStream(open_stream, Weights(per_window=3, window_ms=1_000), ping="ping")
