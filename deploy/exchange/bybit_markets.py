"""Bybit's instruments and what it says of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from deploy.exchange.front import Call
from deploy.exchange.state import Market, Product, Rules

VENUE = "bybit"
RULES = Rules(places=8, maker="0.0002", taker="0.00055")
MARKS = {"BTC": Fraction(64_000), "ETH": Fraction(3_200), "XRP": Fraction("0.6")}
CATEGORIES: tuple[Product, ...] = ("linear", "inverse", "spot")


def _market(product: Product, symbol: str, settle: str, tick: str, step: str) -> Market:
    quote = "USDT" if symbol.endswith("USDT") else "USD"
    base = symbol.removesuffix(quote)
    return Market(VENUE, product, symbol, base, quote, settle, tick, step, MARKS[base])


MARKETS = (
    _market("linear", "BTCUSDT", "USDT", "0.10", "0.001"),
    _market("linear", "ETHUSDT", "USDT", "0.01", "0.01"),
    _market("linear", "XRPUSDT", "USDT", "0.0001", "0.1"),
    Market(
        VENUE, "linear", "BTCPERP", "BTC", "USDC", "USDC", "0.10", "0.001", MARKS["BTC"]
    ),
    _market("inverse", "BTCUSD", "BTC", "0.50", "1"),
    _market("inverse", "ETHUSD", "ETH", "0.05", "1"),
    _market("spot", "BTCUSDT", "", "0.01", "0.000001"),
    _market("spot", "ETHUSDT", "", "0.01", "0.00001"),
)  # fmt: skip


def server_time(call: Call) -> dict[str, str]:
    return {"timeSecond": str(call.now_ms // 1000), "timeNano": str(call.now_ms * 1_000_000)}


def instruments(call: Call) -> dict[str, Any]:
    """A category that has none here (option) is an empty list."""
    category = call.params.get("category", "")
    rows: list[dict[str, Any]] = []
    if call.params.get("status", "Trading") == "Trading":
        symbol = call.params.get("symbol")
        rows = [
            _instrument(market)
            for market in call.exchange.markets_of(VENUE, *CATEGORIES)
            if market.product == category and symbol in {None, "", market.symbol}
        ]
    return {"category": category, "list": rows, "nextPageCursor": ""}


def _instrument(market: Market) -> dict[str, Any]:
    row = {
        "symbol": market.symbol, "baseCoin": market.base, "quoteCoin": market.quote,
        "status": "Trading" if market.status == "TRADING" else "Closed",
    }  # fmt: skip
    if market.product == "spot":
        return row | {
            "innovation": "0", "marginTrading": "both", "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": market.step, "quotePrecision": "0.00000001",
                "minOrderQty": market.step, "maxOrderQty": "1000000", "minOrderAmt": "1",
                "maxOrderAmt": "4000000",
            },
            "priceFilter": {"tickSize": market.tick},
        }  # fmt: skip
    return row | {
        "contractType": f"{market.product.capitalize()}Perpetual", "launchTime": "1585526400000",
        "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": market.tick, "maxPrice": "1999999.80", "tickSize": market.tick,
        },
        "lotSizeFilter": {
            "maxOrderQty": "1000000", "minOrderQty": market.step, "qtyStep": market.step,
            "postOnlyMaxOrderQty": "1000000", "maxMktOrderQty": "500000", "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": market.settle,
        "isPreListing": False,
    }  # fmt: skip
