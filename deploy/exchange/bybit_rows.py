"""Bybit's JSON of what an account holds and of what happened to it (v5, unified account).

A fee is positive when paid, funding when received; `change = cashFlow + funding - fee`. Execution
ids stand for the trade, so that both sides of a self-trade have the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any
from zlib import crc32

from deploy.exchange.amounts import ZERO, places_of, plain, rounded, written
from deploy.exchange.books import value_of
from deploy.exchange.bybit_markets import RULES
from deploy.exchange.exchange import Exchange
from deploy.exchange.state import Entry, Fill, Market, Order, Position, PositionSide, Snapshot

SIDES = {"buy": "Buy", "sell": "Sell"}
INDEX: dict[PositionSide, int] = {"net": 0, "long": 1, "short": 2}
STATUS = {
    "new": "New",
    "partly_filled": "PartiallyFilled",
    "filled": "Filled",
    "canceled": "Cancelled",
    "rejected": "Rejected",
    "expired": "Deactivated",
}
EXEC_TYPE = {
    "normal": "Trade",
    "liquidation": "BustTrade",
    "adl": "AdlTrade",
    "settlement": "Settle",
}
CREATE_TYPE = {
    "normal": "CreateByUser",
    "liquidation": "CreateByLiq",
    "adl": "CreateByAdl_PassThrough",
    "settlement": "CreateBySettle",
}
TRADE_TYPE = {
    "normal": "TRADE",
    "liquidation": "LIQUIDATION",
    "adl": "ADL",
    "settlement": "DELIVERY",
}
LOG_TYPE = {
    "funding": "SETTLEMENT",
    "deposit": "TRANSFER_IN",
    "transfer_in": "TRANSFER_IN",
    "withdrawal": "TRANSFER_OUT",
    "transfer_out": "TRANSFER_OUT",
    "bonus": "BONUS",
    "rebate": "FEE_REFUND",
    "interest": "INTEREST",
    "liquidation_fee": "LIQUIDATION",
    "insurance": "LIQUIDATION",
}
SPOT_ORDERS = 10**18
LEVERAGE = 10
STABLE = ("USDT", "USDC", "USD")


# -- ids -------------------------------------------------------------------------------------------


@cache
def _number(product: str, symbol: str) -> int:
    return crc32(f"{product} {symbol}".encode())


def trade_id(fill: Fill) -> str:
    number = _number(fill.market.product, fill.market.symbol)
    return f"{number:08x}-0000-5000-8000-{fill.trade_id:012x}"


def funding_id(entry: Entry) -> str:
    assert entry.market is not None
    number = _number(entry.market.product, entry.market.symbol)
    return f"{number:08x}-ffff-5000-8000-{entry.seq:012x}"


def order_id(order: Order) -> str:
    if order.market.product == "spot":
        return str(SPOT_ORDERS + order.order_id)
    number = _number(order.market.product, order.market.symbol)
    return f"{order.order_id:08x}-0000-4000-8000-{number:012x}"


def order_number(text: str) -> int:
    """Of what `order_id` made; -1: it made no such text."""
    try:
        return int(text) - SPOT_ORDERS if text.isdigit() else int(text.partition("-")[0], 16)
    except ValueError:
        return -1


def link_id(order: Order) -> str:
    """Empty for an order that was not given one."""
    return "" if order.client_order_id.startswith("web_") else order.client_order_id


# -- what happened ---------------------------------------------------------------------------------


def _value(market: Market, qty: Fraction, price: Fraction) -> Fraction:
    return abs(value_of(market, qty, price))


def _fee_rate(fill: Fill) -> str:
    if not fill.fee:
        return "0"
    received = fill.market.product == "spot" and fill.fee_asset == fill.market.base
    whole = fill.qty if received else _value(fill.market, fill.qty, fill.price)
    usual = RULES.maker if fill.maker else RULES.taker
    if rounded(whole * Fraction(usual), RULES.places) == fill.fee:
        return usual
    return plain(fill.fee / whole, 8)


def execution(fill: Fill) -> dict[str, Any]:
    """A row of `execution/list`. A fee that is not known yet is empty."""
    market, order = fill.market, fill.order
    price, step = places_of(market.tick), places_of(market.step)
    contract = market.product != "spot"
    return {
        "symbol": market.symbol, "orderId": order_id(order), "orderLinkId": link_id(order),
        "side": SIDES[fill.side], "orderPrice": written(order.price, price),
        "orderQty": written(order.qty, step),
        "leavesQty": written(max(ZERO, order.qty - order.filled), step),
        "createType": CREATE_TYPE[fill.kind], "orderType": order.type.capitalize(),
        "stopOrderType": "UNKNOWN", "execFee": "" if fill.fee is None else plain(fill.fee),
        "execId": trade_id(fill), "execPrice": written(fill.price, price),
        "execQty": written(fill.qty, step), "execType": EXEC_TYPE[fill.kind],
        "execValue": plain(_value(market, fill.qty, fill.price), 8), "execTime": str(fill.at_ms),
        "feeCurrency": fill.fee_asset, "isMaker": fill.maker, "feeRate": _fee_rate(fill),
        "tradeIv": "", "markIv": "", "markPrice": written(fill.price, price) if contract else "",
        "indexPrice": "", "underlyingPrice": "", "blockTradeId": "",
        "closedSize": written(fill.closed_qty, step) if contract else "", "extraFees": "",
        "seq": fill.seq,
    }  # fmt: skip


def funding_execution(entry: Entry) -> dict[str, Any]:
    """A row of `execution/list`, execType Funding: a positive fee is funding that was paid."""
    market = entry.market
    assert market is not None
    qty, step = abs(entry.position_qty), places_of(market.step)
    mark = written(market.mark, places_of(market.tick))
    return {
        "symbol": market.symbol, "orderId": funding_id(entry), "orderLinkId": "",
        "side": "Buy" if entry.position_qty > 0 else "Sell", "orderPrice": "0",
        "orderQty": written(qty, step), "leavesQty": "0", "createType": "",
        "orderType": "UNKNOWN", "stopOrderType": "UNKNOWN", "execFee": plain(-entry.funding),
        "execId": funding_id(entry), "execPrice": mark, "execQty": written(qty, step),
        "execType": "Funding", "execValue": plain(_value(market, qty, market.mark), 8),
        "execTime": str(entry.at_ms), "feeCurrency": entry.asset, "isMaker": False,
        "feeRate": plain(entry.rate), "tradeIv": "", "markIv": "", "markPrice": mark,
        "indexPrice": "", "underlyingPrice": "", "blockTradeId": "", "closedSize": "",
        "extraFees": "", "seq": entry.seq,
    }  # fmt: skip


def log_type(entry: Entry) -> str:
    if entry.fill is not None:
        return TRADE_TYPE[entry.fill.kind]
    if entry.kind == "conversion":
        return "CURRENCY_BUY" if entry.change > 0 else "CURRENCY_SELL"
    return entry.note or LOG_TYPE.get(entry.kind, entry.kind.upper())


def log_row(entry: Entry) -> dict[str, Any]:
    """A row of `account/transaction-log`."""
    row = {
        "id": f"{entry.seq}_{entry.market.symbol if entry.market else entry.asset}_{entry.ref}",
        "symbol": "", "category": "", "side": "None", "transactionTime": str(entry.at_ms),
        "type": log_type(entry), "transSubType": "", "qty": "0", "size": "0",
        "currency": entry.asset, "tradePrice": "0",
        "funding": plain(entry.funding) if entry.kind == "funding" else "",
        "fee": plain(entry.fee), "cashFlow": plain(entry.cash), "change": plain(entry.change),
        "cashBalance": plain(entry.after), "feeRate": "", "bonusChange": "", "tradeId": "",
        "orderId": "", "orderLinkId": "", "extraFees": "",
    }  # fmt: skip
    market, fill = entry.market, entry.fill
    if market is not None:
        row |= {"symbol": market.symbol, "category": market.product}
        row["size"] = plain(entry.position_qty)
    if fill is not None:
        spot = fill.market.product == "spot"
        row |= {
            "side": SIDES[fill.side], "qty": plain(entry.cash if spot else fill.qty),
            "tradePrice": plain(fill.price), "feeRate": _fee_rate(fill),
            "tradeId": trade_id(fill), "orderId": order_id(fill.order),
            "orderLinkId": link_id(fill.order),
        }  # fmt: skip
    elif entry.kind == "funding" and market is not None:
        row |= {
            "side": "Buy" if entry.position_qty > 0 else "Sell",
            "qty": plain(abs(entry.position_qty)), "tradePrice": plain(market.mark),
            "feeRate": plain(entry.rate), "tradeId": funding_id(entry),
            "orderId": funding_id(entry),
        }  # fmt: skip
    return row


def order_row(order: Order) -> dict[str, Any]:
    price, step = places_of(order.market.tick), places_of(order.market.step)
    left = max(ZERO, order.qty - order.filled) if order.open else ZERO
    average = plain(order.spent / order.filled, 8) if order.filled else ""
    return {
        "orderId": order_id(order), "orderLinkId": link_id(order), "blockTradeId": "",
        "symbol": order.market.symbol, "price": written(order.price, price),
        "qty": written(order.qty, step), "side": SIDES[order.side], "isLeverage": "",
        "positionIdx": INDEX[order.position_side], "orderStatus": STATUS[order.status],
        "createType": "CreateByUser",
        "cancelType": "CancelByUser" if order.status == "canceled" else "UNKNOWN",
        "rejectReason": "EC_NoError", "avgPrice": average, "leavesQty": written(left, step),
        "leavesValue": plain(left * order.price, 8), "cumExecQty": written(order.filled, step),
        "cumExecValue": plain(order.spent, 8), "cumExecFee": "",
        "timeInForce": "IOC" if order.type == "market" else "GTC",
        "orderType": order.type.capitalize(), "stopOrderType": "", "orderIv": "",
        "triggerPrice": written(order.stop_price, price) if order.stop_price else "",
        "takeProfit": "", "stopLoss": "", "tpslMode": "", "triggerDirection": 0,
        "triggerBy": "", "lastPriceOnCreated": written(order.price, price),
        "reduceOnly": order.reduce_only, "closeOnTrigger": False, "smpType": "None",
        "smpGroup": 0, "smpOrderId": "", "placeType": "", "extraFees": "",
        "createdTime": str(order.created_ms), "updatedTime": str(order.updated_ms),
    }  # fmt: skip


# -- what is held ----------------------------------------------------------------------------------


def position_row(held: Position) -> dict[str, Any]:
    """Of an open position, or of a flat one: size `0`, no side, average `0`."""
    market, step = held.market, places_of(held.market.step)
    value = abs(held.cost)
    margin = plain(value / LEVERAGE, 8)
    return {
        "positionIdx": INDEX[held.side], "riskId": 1, "riskLimitValue": "2000000",
        "symbol": market.symbol,
        "side": {1: "Buy", -1: "Sell"}.get((held.qty > 0) - (held.qty < 0), ""),
        "size": written(abs(held.qty), step) if held.qty else "0",
        "avgPrice": plain(held.entry, 8), "positionValue": plain(value, 8) if held.qty else "",
        "tradeMode": 0, "positionStatus": "Normal", "autoAddMargin": 0, "adlRankIndicator": 0,
        "leverage": str(LEVERAGE), "positionBalance": margin,
        "markPrice": written(market.mark, places_of(market.tick)), "liqPrice": "",
        "bustPrice": "", "positionMM": plain(value / 200, 8), "positionIM": margin,
        "tpslMode": "Full", "takeProfit": "", "stopLoss": "", "trailingStop": "0",
        "unrealisedPnl": plain(held.unrealized, 8) if held.qty else "",
        "cumRealisedPnl": plain(held.realized - held.fees + held.funding, 8),
        "seq": held.updated_ms, "isReduceOnly": False, "mmrSysUpdateTime": "",
        "leverageSysUpdatedTime": "", "createdTime": str(held.opened_ms),
        "updatedTime": str(held.updated_ms),
    }  # fmt: skip


def wallet(exchange: Exchange, shown: Snapshot, coins: set[str]) -> dict[str, Any]:
    """The unified account: coins that are there, or those that were named, there or not."""
    open_ones = [held for held in shown.positions.values() if held.qty]
    balances = {asset: amount for (_, asset), amount in shown.wallets.items()}
    settled = {held.market.settle for held in open_ones}
    held = {coin for coin, amount in balances.items() if amount}
    named = coins or held | settled
    rows, worth, upl_worth = [], ZERO, ZERO
    for coin in sorted(named):
        own = [held for held in open_ones if held.market.settle == coin]
        upl = sum((held.unrealized for held in own), ZERO)
        amount = balances.get(coin, ZERO)
        usd = usd_price(exchange, coin)
        worth, upl_worth = worth + amount * usd, upl_worth + upl * usd
        rows.append(_coin(coin, amount, usd, own, shown.positions.values()))
    equity, total = plain(worth + upl_worth, 8), plain(worth, 8)
    return {
        "accountType": "UNIFIED", "totalEquity": equity, "totalWalletBalance": total,
        "totalMarginBalance": equity, "totalAvailableBalance": equity,
        "totalPerpUPL": plain(upl_worth, 8), "totalInitialMargin": "0",
        "totalMaintenanceMargin": "0", "accountIMRate": "0", "accountMMRate": "0",
        "accountLTV": "0", "coin": rows,
    }  # fmt: skip


def _coin(
    coin: str, amount: Fraction, usd: Fraction, own: list[Position], every: Iterable[Position]
) -> dict[str, Any]:
    upl = sum((held.unrealized for held in own), ZERO)
    realized = sum(
        (held.realized - held.fees + held.funding for held in every if held.market.settle == coin),
        ZERO,
    )
    margin = plain(sum((abs(held.cost) for held in own), ZERO) / LEVERAGE, 8)
    return {
        "coin": coin, "equity": plain(amount + upl, 8), "usdValue": plain((amount + upl) * usd, 8),
        "walletBalance": plain(amount), "locked": "0", "borrowAmount": "0", "spotBorrow": "0",
        "availableToWithdraw": "", "availableToBorrow": "", "accruedInterest": "0", "bonus": "0",
        "totalOrderIM": "0", "totalPositionIM": margin, "totalPositionMM": "0",
        "unrealisedPnl": plain(upl, 8), "cumRealisedPnl": plain(realized, 8),
        "collateralSwitch": True, "marginCollateral": True, "spotHedgingQty": "0",
    }  # fmt: skip


def usd_price(exchange: Exchange, coin: str) -> Fraction:
    """By its mark in dollars; 0: nobody says."""
    if coin in STABLE:
        return Fraction(1)
    market = exchange.markets.get(("bybit", "spot", f"{coin}USDT"))
    return market.mark if market else ZERO
