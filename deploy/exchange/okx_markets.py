"""OKX's instruments and what it says of them. Sizes of swaps are contracts of `ctVal`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from deploy.exchange.amounts import plain
from deploy.exchange.front import Call, Refused
from deploy.exchange.state import Market, Product, Rules

VENUE = "okx"
RULES = Rules(
    places=16,
    maker="0.0002",
    taker="0.0005",
    forced={"liquidation": "liquidation_", "adl": "adl_", "settlement": "delivery_"},
)
MARKS = {"BTC": Fraction(64_000), "ETH": Fraction(3_200), "XRP": Fraction("0.6")}
PRODUCTS: tuple[Product, ...] = ("linear", "inverse", "spot")
INST_TYPES = {"SWAP", "SPOT", "FUTURES", "OPTION", "MARGIN"}


def _swap(symbol: str, tick: str, step: str, contract: str) -> Market:
    base, quote, _ = symbol.split("-")
    product: Product = "inverse" if quote == "USD" else "linear"
    settle = base if product == "inverse" else quote
    size = Fraction(contract)
    return Market(
        VENUE, product, symbol, base, quote, settle, tick, step, MARKS[base], contract_size=size
    )


def _spot(symbol: str, tick: str, step: str) -> Market:
    base, quote = symbol.split("-")
    return Market(VENUE, "spot", symbol, base, quote, "", tick, step, MARKS[base])


MARKETS = (
    _swap("BTC-USDT-SWAP", "0.1", "0.01", "0.01"),
    _swap("ETH-USDT-SWAP", "0.01", "0.01", "0.1"),
    _swap("XRP-USDT-SWAP", "0.0001", "0.01", "100"),
    _swap("BTC-USD-SWAP", "0.1", "1", "100"),
    _swap("ETH-USD-SWAP", "0.01", "1", "10"),
    _spot("BTC-USDT", "0.1", "0.00000001"),
    _spot("ETH-USDT", "0.01", "0.000001"),
)


def inst_type(market: Market) -> str:
    return "SPOT" if market.product == "spot" else "SWAP"


def server_time(call: Call) -> list[dict[str, str]]:
    return [{"ts": str(call.now_ms)}]


def instruments(call: Call) -> list[dict[str, Any]]:
    """By instType; futures and options: none here."""
    wanted = call.params.get("instType", "")
    if wanted not in INST_TYPES:
        raise Refused(200, "51000", "Parameter instType error")
    symbol = call.params.get("instId")
    return [
        _instrument(market)
        for market in call.exchange.markets_of(VENUE, *PRODUCTS)
        if inst_type(market) == wanted and symbol in {None, "", market.symbol}
    ]


def _instrument(market: Market) -> dict[str, Any]:
    swap = market.product != "spot"
    pair = f"{market.base}-{market.quote}" if swap else ""
    return {
        "alias": "", "auctionEndTime": "", "baseCcy": "" if swap else market.base,
        "category": "1", "ctMult": "1" if swap else "", "ctType": market.product if swap else "",
        "ctVal": plain(market.contract_size) if swap else "",
        "ctValCcy": (market.base if market.product == "linear" else "USD") if swap else "",
        "expTime": "", "instFamily": pair, "instId": market.symbol,
        "instType": inst_type(market), "lever": "100" if swap else "10",
        "listTime": "1573557408000", "lotSz": market.step, "maxIcebergSz": "100000000",
        "maxLmtAmt": "20000000", "maxLmtSz": "100000000", "maxMktAmt": "1000000",
        "maxMktSz": "1000000", "maxStopSz": "1000000", "maxTriggerSz": "100000000",
        "maxTwapSz": "100000000", "minSz": market.step, "optType": "",
        "quoteCcy": "" if swap else market.quote, "ruleType": "normal",
        "settleCcy": market.settle, "state": "live" if market.status == "TRADING" else "suspend",
        "stk": "", "tickSz": market.tick, "uly": pair,
    }  # fmt: skip
