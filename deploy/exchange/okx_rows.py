"""OKX's JSON of what an account holds and of what happened to it (v5).

A fee is negative when paid, a rebate positive; a bill's `balChg` of a swap is `pnl + fee`. A spot
trade has one bill for each currency. The id of a fill is that of its first bill.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any
from zlib import crc32

from deploy.exchange.amounts import ZERO, places_of, plain, written
from deploy.exchange.exchange import Exchange
from deploy.exchange.okx_asks import bill_id
from deploy.exchange.okx_markets import RULES, inst_type
from deploy.exchange.state import Entry, Fill, Order, Position, PositionSide, Snapshot

STATE = {
    "new": "live",
    "partly_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "rejected": "canceled",
    "expired": "canceled",
}
BILL_TYPE = {"normal": "2", "settlement": "3", "liquidation": "5", "adl": "9"}
SUB_TYPE = {
    ("normal", "net", "buy"): "1",
    ("normal", "net", "sell"): "2",
    ("normal", "long", "buy"): "3",
    ("normal", "short", "sell"): "4",
    ("normal", "long", "sell"): "5",
    ("normal", "short", "buy"): "6",
    ("liquidation", "long", "sell"): "104",
    ("liquidation", "short", "buy"): "105",
    ("liquidation", "net", "buy"): "106",
    ("liquidation", "net", "sell"): "107",
    ("adl", "long", "sell"): "125",
    ("adl", "short", "buy"): "126",
    ("adl", "net", "buy"): "127",
    ("adl", "net", "sell"): "128",
    ("settlement", "long", "sell"): "112",
    ("settlement", "short", "buy"): "113",
    ("settlement", "net", "sell"): "112",
    ("settlement", "net", "buy"): "113",
}
MOVES = {
    "transfer_in": ("1", "11"),
    "deposit": ("1", "11"),
    "transfer_out": ("1", "12"),
    "withdrawal": ("1", "12"),
    "interest": ("7", "9"),
    "conversion": ("27", "318"),
    "liquidation_fee": ("5", "107"),
    "insurance": ("10", "117"),
}
"""type and subType of bills; all others are the system's own transfers."""
ORDER_IDS = 2 * 10**18
LEVER = 10
FUNDING_ACCOUNT, TRADING_ACCOUNT = "6", "18"
OWN = ("web_", *RULES.forced.values())


# -- ids -------------------------------------------------------------------------------------------


def order_id(order: Order) -> str:
    return str(ORDER_IDS + order.order_id)


def order_number(text: str) -> int:
    """Of what `order_id` made; -1: it made no such text."""
    return int(text) - ORDER_IDS if text.isdigit() else -1


def client_id(order: Order) -> str:
    """Empty for an order that was not given one."""
    return "" if order.client_order_id.startswith(OWN) else order.client_order_id


@cache
def position_id(symbol: str, side: PositionSide) -> str:
    return str(3 * 10**17 + crc32(f"{symbol} {side}".encode()))


def category(order: Order) -> str:
    for kind, begins in RULES.forced.items():
        if order.client_order_id.startswith(begins):
            return {"liquidation": "full_liquidation", "settlement": "delivery"}.get(kind, kind)
    return "normal"


# -- what happened ---------------------------------------------------------------------------------


def _paid(fee: Fraction | None) -> str:
    """As the venue signs it; empty while it is not known."""
    return "" if fee is None else plain(-fee)


def _sub_type(fill: Fill) -> str:
    return SUB_TYPE[fill.kind, fill.position_side, fill.side]


def fill_row(fill: Fill) -> dict[str, Any]:
    """A row of `fills` and `fills-history`."""
    market, order = fill.market, fill.order
    price = written(fill.price, places_of(market.tick))
    return {
        "instType": inst_type(market), "instId": market.symbol, "tradeId": str(fill.trade_id),
        "ordId": order_id(order), "clOrdId": client_id(order),
        "billId": bill_id(fill.at_ms, fill.seq + 1), "subType": _sub_type(fill), "tag": "",
        "fillPx": price, "fillSz": written(fill.qty, places_of(market.step)),
        "fillIdxPx": price, "fillPnl": plain(fill.realized), "fillPxVol": "", "fillPxUsd": "",
        "fillMarkVol": "", "fillFwdPx": "", "fillMarkPx": price, "side": fill.side,
        "posSide": fill.position_side, "execType": "M" if fill.maker else "T",
        "feeCcy": fill.fee_asset, "fee": _paid(fill.fee), "ts": str(fill.at_ms),
        "fillTime": str(fill.at_ms), "feeRate": "", "tradeQuoteCcy": market.quote,
    }  # fmt: skip


def bill_types(entry: Entry) -> tuple[str, str]:
    """(type, subType). A currency's bill of a spot trade is bought (1) or sold (2) by itself."""
    fill = entry.fill
    if fill is not None and fill.market.product == "spot":
        return BILL_TYPE[fill.kind], "1" if entry.change > 0 else "2"
    if fill is not None:
        return BILL_TYPE[fill.kind], _sub_type(fill)
    if entry.kind == "funding":
        return "8", "174" if entry.funding > 0 else "173"
    return MOVES.get(entry.kind, ("1", "200" if entry.change > 0 else "202"))


def bill(entry: Entry) -> dict[str, Any]:
    """A row of `bills` and `bills-archive`."""
    market, fill = entry.market, entry.fill
    type_, sub_type = bill_types(entry)
    row = {
        "instType": "", "billId": bill_id(entry.at_ms, entry.seq), "type": type_,
        "subType": sub_type, "ts": str(entry.at_ms), "balChg": plain(entry.change),
        "posBalChg": "0", "bal": plain(entry.after), "posBal": "0",
        "sz": plain(abs(entry.change)), "px": "", "ccy": entry.asset, "pnl": "0",
        "fee": plain(-entry.fee), "earnAmt": "", "earnApr": "", "mgnMode": "", "instId": "",
        "ordId": "", "execType": "", "from": "", "to": "", "notes": entry.note, "interest": "0",
        "tag": "", "fillTime": "", "tradeId": "", "clOrdId": "", "fillIdxPx": "",
        "fillMarkPx": "", "fillPxVol": "", "fillPxUsd": "", "fillMarkVol": "", "fillFwdPx": "",
    }  # fmt: skip
    if market is not None:
        row |= {"instType": inst_type(market), "instId": market.symbol}
        row["mgnMode"] = "cash" if market.product == "spot" else "cross"
    if fill is not None:
        spot = fill.market.product == "spot"
        row |= {
            "sz": plain(abs(entry.cash)) if spot else plain(fill.qty), "px": plain(fill.price),
            "pnl": "0" if spot else plain(entry.cash), "ordId": order_id(fill.order),
            "execType": "M" if fill.maker else "T", "fillTime": str(fill.at_ms),
            "tradeId": str(fill.trade_id), "clOrdId": client_id(fill.order),
        }  # fmt: skip
    elif entry.kind == "funding" and market is not None:
        row |= {
            "sz": plain(abs(entry.position_qty)), "px": plain(market.mark),
            "pnl": plain(entry.funding),
        }  # fmt: skip
    elif type_ == "1" and sub_type in {"11", "12"}:
        into = sub_type == "11"
        row["from"], row["to"] = (
            (FUNDING_ACCOUNT, TRADING_ACCOUNT) if into else (TRADING_ACCOUNT, FUNDING_ACCOUNT)
        )
    return row


def order_row(order: Order, fill: Fill | None = None) -> dict[str, Any]:
    """fill: the one that this row tells of, in a stream."""
    market = order.market
    price, step = places_of(market.tick), places_of(market.step)
    return {
        "accFillSz": written(order.filled, step), "algoClOrdId": "", "algoId": "",
        "attachAlgoClOrdId": "", "attachAlgoOrds": [],
        "avgPx": plain(order.spent / order.filled, 16) if order.filled else "",
        "cTime": str(order.created_ms), "cancelSource": "1" if order.status == "canceled" else "",
        "cancelSourceReason": "", "category": category(order), "ccy": "",
        "clOrdId": client_id(order), "fee": _paid(fill.fee) if fill else "0",
        "feeCcy": market.settle or market.quote,
        "fillPx": written(fill.price, price) if fill else "",
        "fillSz": written(fill.qty, step) if fill else "0",
        "fillTime": str(fill.at_ms) if fill else "", "instId": market.symbol,
        "instType": inst_type(market), "isTpLimit": "false", "lever": str(LEVER),
        "linkedAlgoOrd": {"algoId": ""}, "ordId": order_id(order), "ordType": order.type,
        "pnl": plain(fill.realized) if fill else "0", "posSide": order.position_side,
        "px": written(order.price, price) if order.type != "market" else "", "pxType": "",
        "pxUsd": "", "pxVol": "", "quickMgnType": "", "rebate": "0",
        "rebateCcy": market.settle or market.base,
        "reduceOnly": "true" if order.reduce_only else "false", "side": order.side,
        "slOrdPx": "", "slTriggerPx": "", "slTriggerPxType": "", "source": "",
        "state": STATE[order.status], "stpId": "", "stpMode": "cancel_maker",
        "sz": written(order.qty, step), "tag": "",
        "tdMode": "cash" if market.product == "spot" else "cross", "tgtCcy": "",
        "tpOrdPx": "", "tpTriggerPx": "", "tpTriggerPxType": "",
        "tradeId": str(fill.trade_id) if fill else "", "uTime": str(order.updated_ms),
    }  # fmt: skip


# -- what is held ----------------------------------------------------------------------------------


def position_row(held: Position) -> dict[str, Any]:
    """Of an open position; of one that was closed: `pos` is `0`. Net ones are signed."""
    market = held.market
    signed = held.qty if held.side == "net" else abs(held.qty)
    mark = written(market.mark, places_of(market.tick))
    size = abs(held.qty * market.contract_size)
    worth = size if market.product == "inverse" else size * market.mark
    entry, upl = plain(held.entry, 16), plain(held.unrealized, 16)
    return {
        "adl": "1", "availPos": plain(abs(held.qty)), "avgPx": entry if held.qty else "",
        "baseBal": "", "baseBorrowed": "", "baseInterest": "", "bePx": "", "bizRefId": "",
        "bizRefType": "", "cTime": str(held.opened_ms), "ccy": market.settle,
        "clSpotInUseAmt": "", "closeOrderAlgo": [], "deltaBS": "", "deltaPA": "",
        "fee": plain(-held.fees, 16), "fundingFee": plain(held.funding, 16), "gammaBS": "",
        "gammaPA": "", "idxPx": mark, "imr": plain(abs(held.cost) / LEVER, 16),
        "instId": market.symbol, "instType": inst_type(market), "interest": "", "last": mark,
        "lever": str(LEVER), "liab": "", "liabCcy": "", "liqPenalty": "0", "liqPx": "",
        "margin": "", "markPx": mark, "maxSpotInUseAmt": "", "mgnMode": "cross",
        "mgnRatio": "100", "mmr": plain(abs(held.cost) / 250, 16),
        "notionalUsd": plain(worth, 8), "optVal": "", "pendingCloseOrdLiabVal": "",
        "pnl": plain(held.realized, 16), "pos": plain(signed), "posCcy": "",
        "posId": position_id(market.symbol, held.side), "posSide": held.side, "quoteBal": "",
        "quoteBorrowed": "", "quoteInterest": "",
        "realizedPnl": plain(held.realized - held.fees + held.funding, 16),
        "spotInUseAmt": "", "spotInUseCcy": "", "thetaBS": "", "thetaPA": "", "tradeId": "",
        "uTime": str(held.updated_ms), "upl": upl, "uplLastPx": upl, "uplRatio": "0",
        "uplRatioLastPx": "0", "usdPx": "1", "vegaBS": "", "vegaPA": "", "nonSettleAvgPx": "",
        "settledPnl": "",
    }  # fmt: skip


def balance(exchange: Exchange, shown: Snapshot, asked: set[str], now_ms: int) -> dict[str, Any]:
    """The trading account: currencies that are there; `cashBal` without unrealized P&L."""
    open_ones = [held for held in shown.positions.values() if held.qty]
    balances = {asset: amount for (_, asset), amount in shown.wallets.items()}
    moved = {asset: at_ms for (_, asset), at_ms in shown.moved_ms.items()}
    named = {asset for asset, amount in balances.items() if amount}
    named |= {held.market.settle for held in open_ones}
    details, total = [], ZERO
    for ccy in sorted(named & asked if asked else named):
        own = [held for held in open_ones if held.market.settle == ccy]
        upl = sum((held.unrealized for held in own), ZERO)
        cash = balances.get(ccy, ZERO)
        usd = usd_price(exchange, ccy)
        total += (cash + upl) * usd
        margin = sum((abs(held.cost) for held in own), ZERO) / LEVER
        details.append(_currency(ccy, cash, upl, margin, usd) | {"uTime": str(moved.get(ccy, 0))})
    return {
        "adjEq": "", "availEq": "", "borrowFroz": "", "details": details, "imr": "",
        "isoEq": "0", "mgnRatio": "", "mmr": "", "notionalUsd": "", "notionalUsdForBorrow": "",
        "notionalUsdForFutures": "", "notionalUsdForOption": "", "notionalUsdForSwap": "",
        "ordFroz": "", "totalEq": plain(total, 16), "uTime": str(now_ms), "upl": "",
    }  # fmt: skip


def _currency(
    ccy: str, cash: Fraction, upl: Fraction, margin: Fraction, usd: Fraction
) -> dict[str, Any]:
    free = plain(max(ZERO, cash + upl - margin), 16)
    return {
        "accAvgPx": "", "availBal": free, "availEq": free, "borrowFroz": "",
        "cashBal": plain(cash), "ccy": ccy, "clSpotInUseAmt": "", "collateralEnabled": False,
        "crossLiab": "", "disEq": plain((cash + upl) * usd, 16), "eq": plain(cash + upl, 16),
        "eqUsd": plain((cash + upl) * usd, 16), "fixedBal": "0", "frozenBal": plain(margin, 16),
        "imr": plain(margin, 16), "interest": "", "isoEq": "0", "isoLiab": "", "isoUpl": "0",
        "liab": "", "maxLoan": "", "maxSpotInUseAmt": "", "mgnRatio": "", "mmr": "0",
        "notionalLever": "0", "openAvgPx": "", "ordFrozen": "0", "rewardBal": "0",
        "smtSyncEq": "0", "spotBal": "", "spotCopyTradingEq": "0", "spotInUseAmt": "",
        "spotIsoBal": "0", "spotUpl": "", "spotUplRatio": "", "stgyEq": "0", "totalPnl": "",
        "totalPnlRatio": "", "twap": "0", "upl": plain(upl, 16), "uplLiab": "",
    }  # fmt: skip


def usd_price(exchange: Exchange, ccy: str) -> Fraction:
    """By its mark in dollars; 0: nobody says."""
    if ccy in {"USDT", "USDC", "USD"}:
        return Fraction(1)
    market = exchange.markets.get(("okx", "spot", f"{ccy}-USDT"))
    return market.mark if market else ZERO
