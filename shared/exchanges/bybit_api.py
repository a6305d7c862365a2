"""Bybit's requests and answers, as its readings share them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from shared.exchanges.errors import UnknownMarket
from shared.exchanges.newest_first import PAGES
from shared.exchanges.venue import Account, Market, Product, Request

NAME = "bybit"
SETTLES = ("USDT", "USDC")
"""What linear contracts settle in."""
QUOTES = (*SETTLES, "EUR", "BTC", "ETH")


def get(path: str, **params: str | int) -> Request:
    """A signed request; empty parameters are left out."""
    given = {name: value for name, value in params.items() if value != ""}
    return Request("private", "GET", f"v5/{path}", given, 1)


def rows_of(answer: Any) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Rows and the token of the next page, which may come with the last page, too."""
    result = answer["result"]
    return result["list"], result.get("nextPageCursor") or ""


def listed(path: str, limit: int, **params: str) -> Generator[Request, Any, tuple[list[Any], bool]]:
    """Every row of a list of what is there now, and whether these are all."""
    rows: list[Any] = []
    place = ""
    for _ in range(PAGES):
        answer = yield get(path, **params, limit=limit, cursor=place)
        found, next_place = rows_of(answer)
        rows += found
        if len(found) < limit or next_place in {"", place}:
            return rows, True
        place = next_place
    return rows, False


def side_of(row: Mapping[str, Any]) -> str:
    """Of a position: net, long or short."""
    return ("net", "long", "short")[int(row.get("positionIdx") or 0)]


def market_of(account: Account, product: Product, symbol: str) -> Market:
    """What is not traded any more is in no list; but a contract of Bybit is of size one, and its
    name tells the rest. Raises UnknownMarket where it does not.
    """
    found = account.markets.get((product, symbol))
    if found is not None:
        return found
    pair, dated, _ = symbol.partition("-")
    if product == "inverse":
        base = pair.partition("USD")[0]
        return Market(symbol, product, base, "USD", base, "1")
    quote = next((one for one in QUOTES if pair.endswith(one)), None)
    if quote is not None:
        return Market(symbol, product, pair.removesuffix(quote), quote, quote, "1")
    if product == "linear" and (dated or pair.endswith("PERP")):
        return Market(symbol, product, pair.removesuffix("PERP"), "USDC", "USDC", "1")
    raise UnknownMarket(product, symbol)
