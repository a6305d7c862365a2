"""A Binance of lists: what `userTrades`, `myTrades` and `income` answer, and a reading driven by
it.

No server: the answers are decided here, so that page sizes, lateness and the end that a full page
is cut off can be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.exchanges.venue import Account, Market, Request

T = TypeVar("T")
START_MS = 1_790_000_000_000
MINUTE_MS = 60_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
MARKETS = {
    (product, symbol): Market(symbol, product, symbol[:3], "USDT", "USDT", "1")
    for product in ("linear", "spot")
    for symbol in SYMBOLS
}


def account(now_ms: int, since_ms: int = START_MS, **more: Any) -> Account:
    return Account(7, ("linear",), MARKETS, now_ms, since_ms, **more)  # type: ignore[arg-type]


def drive(reading: Generator[Request, Any, T], answer: Callable[[Request], Any]) -> T:
    """What the reading returns; an error is thrown into it."""
    try:
        request = next(reading)
        while True:
            given = answer(request)
            throw = isinstance(given, Exception)
            request = reading.throw(given) if throw else reading.send(given)
    except StopIteration as done:
        result: T = done.value
        return result


@dataclass
class Venue:
    """rows: everything there is; a row is shown from its `shown_ms` on. oldest_first: which end of
    a window of time that is larger than a page is answered.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    now_ms: int = START_MS
    oldest_first: bool = True
    asked: list[Request] = field(default_factory=list)

    def shown(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["shown_ms"] <= self.now_ms]

    def answer(self, request: Request) -> list[dict[str, Any]]:
        """Of the shown rows those that the request names; at most `limit`."""
        self.asked.append(request)
        if request.path == "forceOrders":
            return []
        given = request.params
        found = [
            row
            for row in self.shown()
            if given.get("symbol") in {None, row["symbol"]}
            and given.get("incomeType") in {None, row.get("incomeType")}
            and int(given.get("startTime", 0)) <= int(row["time"])
            and int(row["time"]) <= int(given.get("endTime", 1 << 62))
            and int(row.get("id", 0)) >= int(given.get("fromId", 0))
        ]
        found.sort(key=lambda row: (int(row["time"]), int(row.get("id", 0))))
        limit = int(given["limit"])
        newest = not ("fromId" in given or ("startTime" in given and self.oldest_first))
        page = found[-limit:] if newest else found[:limit]
        return [{name: row[name] for name in row if name != "shown_ms"} for row in page]


def trade(number: int, at_ms: int, side: str = "BUY", **more: Any) -> dict[str, Any]:
    """A row of userTrades and myTrades in one, as the client parses it: numbers are text."""
    return {
        "symbol": "BTCUSDT",
        "id": str(number),
        "orderId": str(9_000 + number),
        "side": side,
        "isBuyer": side == "BUY",
        "price": "100.10",
        "qty": "0.010",
        "realizedPnl": "0",
        "commission": "0.00050050",
        "commissionAsset": "USDT",
        "time": str(at_ms),
        "positionSide": "BOTH",
        "maker": False,
        "shown_ms": at_ms,
    } | more


def income(number: int, at_ms: int, kind: str = "COMMISSION", **more: Any) -> dict[str, Any]:
    """A row of income; numbers are text."""
    return {
        "symbol": "BTCUSDT",
        "incomeType": kind,
        "income": "-0.00050050",
        "asset": "USDT",
        "info": kind,
        "time": str(at_ms),
        "tranId": str(689_322_392_000_000_000 + number),
        "tradeId": str(number),
        "shown_ms": at_ms,
    } | more


def keys_of(rows: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Identities of trades."""
    return sorted((row["symbol"], row["id"], row["side"].lower()) for row in rows)


def told_keys(events: Sequence[Any]) -> list[tuple[str, ...]]:
    """Identities of order.filled.1."""
    return sorted(
        (one.body["instrument"], one.body["trade_id"], one.body["side"]) for one in events
    )
