"""Binance USDⓈ-M futures: `/fapi/`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from typing import Any

import orjson

from deploy.exchange import binance
from deploy.exchange.amounts import ZERO, fixed, places_of, written
from deploy.exchange.binance import DAY_MS, STATUS, VENUE
from deploy.exchange.binance_holdings import (
    POCKET,
    SIDES,
    account_v2,
    account_v3,
    balance,
    position_risk_v2,
    position_risk_v3,
)
from deploy.exchange.binance_streams import SOCKETS
from deploy.exchange.front import Call, Front, Refused, Route
from deploy.exchange.limits import Budget
from deploy.exchange.state import Entry, Fill, Market, Order

WEEK_MS = 7 * DAY_MS
TRADES_MS = 183 * DAY_MS
INCOME_MS = 92 * DAY_MS
TRAN_ID = 689_322_392_000_000_000
"""Above what a float holds, as the venue's are."""
INCOME = {
    "funding": "FUNDING_FEE",
    "deposit": "TRANSFER",
    "withdrawal": "TRANSFER",
    "transfer_in": "TRANSFER",
    "transfer_out": "TRANSFER",
    "bonus": "WELCOME_BONUS",
    "rebate": "COMMISSION_REBATE",
    "liquidation_fee": "INSURANCE_CLEAR",
    "insurance": "INSURANCE_CLEAR",
    "conversion": "AUTO_EXCHANGE",
    "interest": "BFUSD_REWARD",
    "other": "OPTIONS_SETTLE_PROFIT",
}


def _market(  # noqa: PLR0917 - rows of a table
    symbol: str, base: str, settle: str, tick: str, step: str, mark: str
) -> Market:
    return Market(VENUE, "linear", symbol, base, settle, settle, tick, step, Fraction(mark))


MARKETS = (
    _market("BTCUSDT", "BTC", "USDT", "0.10", "0.001", "30000"),
    _market("ETHUSDT", "ETH", "USDT", "0.01", "0.001", "2000"),
    _market("SOLUSDT", "SOL", "USDT", "0.0100", "0.01", "150"),
    _market("XRPUSDT", "XRP", "USDT", "0.0001", "0.1", "0.6"),
    _market("DOGEUSDT", "DOGE", "USDT", "0.000010", "1", "0.1"),
    _market("1000PEPEUSDT", "1000PEPE", "USDT", "0.0000001", "1", "0.012"),
    _market("BTCUSDC", "BTC", "USDC", "0.1", "0.001", "30000"),
    _market("ETHUSDC", "ETH", "USDC", "0.01", "0.001", "2000"),
)


# -- public ----------------------------------------------------------------------------------------


def server_time(call: Call) -> dict[str, int]:
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> dict[str, Any]:
    symbols = [
        {
            "symbol": market.symbol, "pair": market.symbol, "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000, "onboardDate": 1_569_398_400_000,
            "status": market.status, "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000", "baseAsset": market.base,
            "quoteAsset": market.quote, "marginAsset": market.settle,
            "pricePrecision": places_of(market.tick), "quantityPrecision": places_of(market.step),
            "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN",
            "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            "filters": binance.filters(market, "5", futures=True),
        }
        for market in call.exchange.markets_of(VENUE, "linear")
    ]  # fmt: skip
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
               "limit": USDM.budget.weight}]  # fmt: skip
    return {
        "timezone": "UTC", "serverTime": call.now_ms, "futuresType": "U_MARGINED",
        "rateLimits": limits, "exchangeFilters": [], "assets": [], "symbols": symbols,
    }  # fmt: skip


def no_coin_margined(call: Call) -> dict[str, Any]:
    """COIN-M has no markets here; ccxt's class for everything asks for them."""
    return {"timezone": "UTC", "serverTime": call.now_ms, "rateLimits": [], "symbols": []}


def premium_index(call: Call) -> Any:
    symbol = call.params.get("symbol")
    markets = call.exchange.markets_of(VENUE, "linear")
    rows = [
        {
            "symbol": market.symbol, "markPrice": fixed(market.mark, 8),
            "indexPrice": fixed(market.mark, 8), "estimatedSettlePrice": fixed(market.mark, 8),
            "lastFundingRate": "0.00010000", "interestRate": "0.00010000",
            "nextFundingTime": (call.now_ms // 28_800_000 + 1) * 28_800_000, "time": call.now_ms,
        }
        for market in ([binance.market_of(call, "linear")] if symbol else markets)
    ]  # fmt: skip
    return rows[0] if symbol else rows


def leverage_bracket(call: Call) -> list[dict[str, Any]]:
    bracket = {"bracket": 1, "initialLeverage": 20, "notionalCap": 50_000_000, "notionalFloor": 0,
               "maintMarginRatio": 0.004, "cum": 0.0}  # fmt: skip
    return [
        {"symbol": market.symbol, "notionalCoef": 1.0, "brackets": [bracket]}
        for market in call.exchange.markets_of(VENUE, "linear")
    ]


# -- what happened ---------------------------------------------------------------------------------


def user_trades(call: Call) -> list[orjson.Fragment]:
    fills = binance.trades(
        call, "linear", longest_ms=WEEK_MS, default_ms=WEEK_MS, horizon_ms=TRADES_MS
    )
    return binance.prepared(fills, _trade)


def _trade(fill: Fill) -> dict[str, Any]:
    market = fill.market
    price, step = places_of(market.tick), places_of(market.step)
    row = {
        "symbol": market.symbol, "id": fill.trade_id, "orderId": fill.order.order_id,
        "side": fill.side.upper(), "price": written(fill.price, price),
        "qty": written(fill.qty, step),
        "realizedPnl": fixed(fill.realized, 8) if fill.realized else "0",
        "quoteQty": written(fill.qty * fill.price, price + step),
        "time": fill.at_ms, "positionSide": SIDES[fill.position_side],
        "buyer": fill.side == "buy", "maker": fill.maker,
    }  # fmt: skip
    if fill.fee is not None:
        row |= {
            "commission": fixed(fill.fee, 8) if fill.fee else "0",
            "commissionAsset": fill.fee_asset,
        }
    return row


def income(call: Call) -> list[orjson.Fragment]:
    """Of one type or all; the last week unless a time is given; ascending."""
    kind, symbol = call.params.get("incomeType"), call.params.get("symbol")
    start, end = binance.whole(call, "startTime"), binance.whole(call, "endTime")
    limit = binance.limit_of(call, default=100)
    upper = call.now_ms if end is None else end
    lower = max(upper - WEEK_MS if start is None else start, call.now_ms - INCOME_MS)
    entries = call.who.entries
    at = bisect_left(entries, lower, key=lambda entry: entry.at_ms)
    to = bisect_right(entries, upper, key=lambda entry: entry.at_ms)
    rows: list[orjson.Fragment] = []
    for entry in entries[at:to]:
        if entry.hidden or entry.pocket != POCKET:
            continue
        if entry.row is None:
            entry.row = _income_rows(entry)
        rows += [
            row
            for (type_, row) in entry.row
            if kind in {None, "", type_} and (not symbol or _symbol(entry) == symbol)
        ]
        if start is not None and len(rows) >= limit:
            break
    return binance.page(rows, limit, first=start is not None)


def _symbol(entry: Entry) -> str:
    return entry.market.symbol if entry.market else ""


def _income_rows(entry: Entry) -> list[tuple[str, orjson.Fragment]]:
    """A trade's P&L and its commission are two rows, with one tranId; nothing for zero."""
    if entry.kind == "trade":
        parts = [("REALIZED_PNL", entry.cash), ("COMMISSION", -entry.fee)]
    else:
        parts = [(entry.note or INCOME[entry.kind], entry.change)]
    return [
        (
            type_,
            orjson.Fragment(
                orjson.dumps(
                    {
                        "symbol": _symbol(entry), "incomeType": type_, "income": fixed(amount, 8),
                        "asset": entry.asset, "time": entry.at_ms, "info": type_,
                        "tranId": TRAN_ID + entry.ref,
                        "tradeId": str(entry.fill.trade_id) if entry.fill else "",
                    }
                )
            ),
        )
        for type_, amount in parts
        if amount
    ]  # fmt: skip


def position_mode(call: Call) -> dict[str, bool]:
    return {"dualSidePosition": call.who.hedge}


# -- orders ----------------------------------------------------------------------------------------


def order_row(order: Order) -> dict[str, Any]:
    price, step = places_of(order.market.tick), places_of(order.market.step)
    average = order.spent / order.filled if order.filled else ZERO
    return {
        "orderId": order.order_id, "symbol": order.market.symbol, "status": STATUS[order.status],
        "clientOrderId": order.client_order_id, "price": written(order.price, price),
        "avgPrice": fixed(average, max(price, 5)), "origQty": written(order.qty, step),
        "executedQty": written(order.filled, step), "cumQuote": written(order.spent, price + step),
        "timeInForce": "GTC", "type": order.type.upper(), "reduceOnly": order.reduce_only,
        "closePosition": False, "side": order.side.upper(),
        "positionSide": SIDES[order.position_side], "stopPrice": fixed(order.stop_price, price),
        "workingType": "CONTRACT_PRICE", "priceProtect": False, "origType": order.type.upper(),
        "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 0,
        "time": order.created_ms, "updateTime": order.updated_ms,
    }  # fmt: skip


def force_orders(call: Call) -> list[dict[str, Any]]:
    """Liquidations and ADL of the account."""
    start, end = binance.between(call, WEEK_MS, WEEK_MS, "Invalid time interval.")
    symbol, rows = call.params.get("symbol"), []
    for fill in call.who.fills:
        wanted = start <= fill.at_ms <= end and symbol in {None, "", fill.market.symbol}
        if wanted and fill.kind in {"liquidation", "adl"} and fill.market.product == "linear":
            type_ = "LIQUIDATION" if fill.kind == "liquidation" else "ADL"
            rows.append(order_row(fill.order) | {"autoCloseType": type_})
    return rows[-binance.limit_of(call, default=50) :]


def create_order(call: Call) -> dict[str, Any]:
    if call.who.frozen:
        raise Refused(400, -4087, "User can only place reduce only order")
    return order_row(binance.new_order(call, "linear"))


def keep_stream(call: Call) -> dict[str, str]:
    return {"listenKey": binance.keep_stream(call, "linear")}


def _by_symbol(one: int, every: int) -> Any:
    return lambda call: one if call.params.get("symbol") else every


USDM = Front(
    name="binance usdm",
    venue=VENUE,
    rules=binance.RULES,
    markets=MARKETS,
    budget=Budget("binance usdm", 2_400),
    authenticate=binance.authenticate("linear"),
    error=binance.error,
    limited=binance.limited,
    headers=binance.used_weight,
    sockets=SOCKETS,
    routes={
        ("GET", "/fapi/v1/ping"): Route(lambda _: {}, 1, "public"),
        ("GET", "/fapi/v1/time"): Route(server_time, 1, "public"),
        ("GET", "/fapi/v1/exchangeInfo"): Route(exchange_info, 1, "public"),
        ("GET", "/dapi/v1/exchangeInfo"): Route(no_coin_margined, 1, "public"),
        ("GET", "/fapi/v1/premiumIndex"): Route(premium_index, _by_symbol(1, 10), "public"),
        ("GET", "/fapi/v1/leverageBracket"): Route(leverage_bracket, 1),
        ("GET", "/fapi/v3/account"): Route(account_v3, 5),
        ("GET", "/fapi/v2/account"): Route(account_v2, 5),
        ("GET", "/fapi/v3/balance"): Route(balance, 5),
        ("GET", "/fapi/v2/balance"): Route(balance, 5),
        ("GET", "/fapi/v3/positionRisk"): Route(position_risk_v3, 5),
        ("GET", "/fapi/v2/positionRisk"): Route(position_risk_v2, 5),
        ("GET", "/fapi/v1/positionSide/dual"): Route(position_mode, 30),
        ("GET", "/fapi/v1/userTrades"): Route(user_trades, 5),
        ("GET", "/fapi/v1/income"): Route(income, 30),
        ("GET", "/fapi/v1/forceOrders"): Route(force_orders, _by_symbol(20, 50)),
        ("GET", "/fapi/v1/openOrders"): Route(
            lambda call: [order_row(one) for one in binance.open_orders(call, "linear")],
            _by_symbol(1, 40),
        ),
        ("GET", "/fapi/v1/allOrders"): Route(
            lambda call: [order_row(one) for one in binance.all_orders(call, "linear", WEEK_MS)], 5
        ),
        ("GET", "/fapi/v1/order"): Route(
            lambda call: order_row(binance.order_of(call, "linear")), 1
        ),
        ("POST", "/fapi/v1/order"): Route(create_order, 1),
        ("DELETE", "/fapi/v1/order"): Route(
            lambda call: order_row(binance.end_order(call, "linear")), 1
        ),
        ("POST", "/fapi/v1/listenKey"): Route(
            lambda call: binance.open_stream(call, "linear"), 1, "key"
        ),
        ("PUT", "/fapi/v1/listenKey"): Route(keep_stream, 1, "key"),
        ("DELETE", "/fapi/v1/listenKey"): Route(
            lambda call: binance.end_stream(call, "linear"), 1, "key"
        ),
    },
)
