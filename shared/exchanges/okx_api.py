"""OKX's requests and instruments, as its readings share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.exchanges.errors import UnknownMarket
from shared.exchanges.venue import Account, Market, Product, Request

NAME = "okx"
DOLLARS = {"USDT", "USDC"}
"""A contract quoted in one of these settles in it; any other in its base."""


def get(path: str, **params: str | int) -> Request:
    """A signed request; empty parameters are left out."""
    given = {name: value for name, value in params.items() if value != ""}
    return Request("private", "GET", path, given, 1)


def types_of(account: Account) -> Iterator[str]:
    """Types of instrument that the account may hold. Each is a question of its own, so
    dated futures are left out where the venue has none.
    """
    contracts = [key for key in account.markets if key[0] != "spot" and key[0] in account.products]
    if {"linear", "inverse"} & set(account.products):
        yield "SWAP"
    if any(not symbol.endswith("-SWAP") for _, symbol in contracts):
        yield "FUTURES"
    if "spot" in account.products:
        yield "SPOT"


def market_of(account: Account, row: Mapping[str, Any]) -> Market:
    """The instrument of a row of type SPOT, SWAP or FUTURES. Where it is listed no more, the name
    says all of spot, and a future has the size of the swap of its family. Raises UnknownMarket.
    """
    symbol = row["instId"]
    base, quote, *_ = symbol.split("-")
    if row["instType"] == "SPOT":
        found = account.markets.get(("spot", symbol))
        return found or Market(symbol, "spot", base, quote, quote, "1")
    product: Product = "linear" if quote in DOLLARS else "inverse"
    for listed in (symbol, f"{base}-{quote}-SWAP" if row["instType"] == "FUTURES" else symbol):
        found = account.markets.get((product, listed))
        if found is not None:
            return found._replace(symbol=symbol)
    raise UnknownMarket(product, symbol)
