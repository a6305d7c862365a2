"""Venues that answer from lists: readings as simple as the interface allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from shared.exchanges.client import Caller
from shared.exchanges.venue import (
    Account,
    Cursor,
    Found,
    Kind,
    Page,
    Permissions,
    Reading,
    Request,
    Venue,
    Weights,
)

NOW_MS = 1_764_000_000_000


def fill_found(account_id: int = 7, trade: int = 1, at_ms: int = NOW_MS - 60_000) -> Found:
    return Found(
        "order.filled.1",
        {
            "account_id": account_id, "venue": "testing", "product": "linear",
            "instrument": "BTCUSDT", "position_side": "net", "trade_id": str(trade),
            "order_id": "1", "side": "buy", "qty": "0.1", "price": "60000.10", "fee": "0.01",
            "fee_asset": "USDT", "settle_asset": "USDT", "executed_at_ms": at_ms, "source": "sync",
        },
    )  # fmt: skip


def position_found(
    account_id: int = 7, qty: str = "2.5", at_ms: int = NOW_MS, **more: Any
) -> Found:
    body = {
        "account_id": account_id, "venue": "testing", "product": "linear", "instrument": "BTCUSDT",
        "position_side": "net", "qty": qty, "entry_price": "60000.5", "settle_asset": "USDT",
        "watermark_ms": at_ms, **more,
    }  # fmt: skip
    return Found("position.observed.1", {k: v for k, v in body.items() if v is not None})


def balance_found(account_id: int = 7, wallet: str = "1000", at_ms: int = NOW_MS) -> Found:
    body = {"account_id": account_id, "venue": "testing", "asset": "USDT", "wallet": wallet}
    return Found("balance.observed.1", {**body, "watermark_ms": at_ms})


def page(*events: Found, cursor: Cursor | None = None, **more: Any) -> Page:
    return Page(events=events, cursor=cursor if cursor is not None else {"at": 1}, **more)


Answer = Page | Exception | Callable[[Account, Cursor], Page]


def venue_of(answers: Mapping[Kind, Answer], permissions: Permissions | None = None) -> Venue:
    """A venue whose readings ask one question each, and make nothing of the answer."""
    told = permissions or Permissions(withdraw=False)
    return Venue(
        name="testing",
        products=("linear",),
        ccxt_class="binanceusdm",
        weights=Weights(2_400, 60_000),
        readings={kind: _reading(answers[kind]) for kind in answers},
        permissions=lambda: _permissions(told),
    )


def _reading(answer: Answer) -> Callable[[Account, Cursor], Reading]:
    def read(account: Account, cursor: Cursor) -> Reading:
        yield Request("private", "GET", "anything", {}, 1)
        if isinstance(answer, Exception):
            raise answer
        return answer(account, cursor) if callable(answer) else answer

    return read


def _permissions(told: Permissions) -> Generator[Request, Any, Permissions]:
    yield Request("private", "GET", "permissions", {}, 1)
    return told


def drive(reading: Generator[Request, Any, Any]) -> Any:
    """To its end; each request is answered with nothing."""
    try:
        next(reading)
        while True:
            reading.send(None)
    except StopIteration as ended:
        return ended.value


async def read(reading: Reading) -> Page:
    await asyncio.sleep(0)
    found: Page = drive(reading)
    return found


class Exchanges:
    """As shared/exchanges/client.py, without a network. asked: account ids in order."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS
        self.troubles: dict[int, Exception] = {}
        self.asked: list[int] = []

    async def read(self, venue: Venue, reading: Any, caller: Caller) -> Any:
        del venue
        self.asked.append(caller.account_id)
        if caller.account_id in self.troubles:
            raise self.troubles[caller.account_id]
        return await read(reading)

    async def now_ms(self, venue: Venue, egress: str) -> int:
        del venue, egress
        return self.at_ms

    async def markets(self, venue: Venue, egress: str, wanted: Any = None) -> Mapping[Any, Any]:
        del venue, egress, wanted
        return {}


def account_of(now_ms: int = NOW_MS, products: Sequence[Any] = ("linear",)) -> Account:
    return Account(7, products, {}, now_ms, now_ms - 3_600_000)
