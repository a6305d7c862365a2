"""What a Binance futures account holds, as `account`, `balance` and `positionRisk` tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import orjson

from deploy.exchange.amounts import ZERO, fixed, places_of, plain, written
from deploy.exchange.binance import VENUE
from deploy.exchange.front import Call
from deploy.exchange.state import Account, Market, Position, PositionSide

POCKET = "linear"
MARGIN = Fraction(1, 20)
MAINTENANCE = Fraction(1, 250)
SIDES = {"net": "BOTH", "long": "LONG", "short": "SHORT"}


def remembered(make: Callable[[Call], Any]) -> Callable[[Call], orjson.Fragment]:
    """The same bytes until something is booked or the mark of what is held moves."""

    def answer(call: Call) -> orjson.Fragment:
        account, symbol = call.who, call.params.get("symbol", "")
        if account.stale is not None:
            return orjson.Fragment(orjson.dumps(make(call)))
        marks = [held.market.mark for held in _held(account)]
        state = (len(account.entries), marks, list(account.open_orders), account.hedge)
        name = f"{make.__name__} {symbol}"
        known = account.answers.get(name)
        if known is None or known[0] != state:
            known = account.answers[name] = state, orjson.Fragment(orjson.dumps(make(call)))
        return known[1]

    return answer


def _held(account: Account) -> list[Position]:
    """Open ones of this product."""
    positions = account.shown.positions.values()
    return [held for held in positions if held.qty and held.market.product == "linear"]


def _assets(account: Account) -> list[dict[str, Any]]:
    positions = _held(account)
    wallets = {
        asset: amount
        for (pocket, asset), amount in account.shown.wallets.items()
        if pocket == POCKET
    }
    return [
        _asset(account, asset, wallets.get(asset, ZERO), positions)
        for asset in dict.fromkeys(("USDT", "USDC", "BNB", *wallets))
    ]


def _asset(
    account: Account, asset: str, wallet: Fraction, positions: list[Position]
) -> dict[str, Any]:
    own = [held for held in positions if held.market.settle == asset]
    unrealized = sum((held.unrealized for held in own), ZERO)
    notional = sum((abs(_notional(held)) for held in own), ZERO)
    margin, text = fixed(notional * MARGIN, 8), fixed(wallet, 8)
    free = fixed(max(ZERO, wallet + unrealized - notional * MARGIN), 8)
    return {
        "asset": asset, "walletBalance": text, "unrealizedProfit": fixed(unrealized, 8),
        "marginBalance": fixed(wallet + unrealized, 8),
        "maintMargin": fixed(notional * MAINTENANCE, 8), "initialMargin": margin,
        "positionInitialMargin": margin, "openOrderInitialMargin": "0.00000000",
        "crossWalletBalance": text, "crossUnPnl": fixed(unrealized, 8),
        "availableBalance": free, "maxWithdrawAmount": free, "marginAvailable": True,
        "updateTime": account.shown.moved_ms.get((POCKET, asset), 0),
    }  # fmt: skip


def _notional(held: Position) -> Fraction:
    return held.qty * held.market.contract_size * held.market.mark


@remembered
def account_v3(call: Call) -> dict[str, Any]:
    return _account(call.who)


def _account(account: Account) -> dict[str, Any]:
    assets = _assets(account)
    usdt = assets[0]
    positions = [
        {
            "symbol": held.market.symbol, "positionSide": SIDES[held.side],
            "positionAmt": written(held.qty, places_of(held.market.step)),
            "unrealizedProfit": fixed(held.unrealized, 8), "isolatedMargin": "0",
            "notional": plain(_notional(held), 8), "isolatedWallet": "0",
            "initialMargin": plain(abs(_notional(held)) * MARGIN, 8),
            "maintMargin": plain(abs(_notional(held)) * MAINTENANCE, 8),
            "updateTime": held.updated_ms,
        }
        for held in _held(account)
    ]  # fmt: skip
    return {
        "totalInitialMargin": usdt["initialMargin"], "totalMaintMargin": usdt["maintMargin"],
        "totalWalletBalance": usdt["walletBalance"],
        "totalUnrealizedProfit": usdt["unrealizedProfit"],
        "totalMarginBalance": usdt["marginBalance"],
        "totalPositionInitialMargin": usdt["initialMargin"],
        "totalOpenOrderInitialMargin": "0.00000000",
        "totalCrossWalletBalance": usdt["walletBalance"],
        "totalCrossUnPnl": usdt["unrealizedProfit"],
        "availableBalance": usdt["availableBalance"],
        "maxWithdrawAmount": usdt["maxWithdrawAmount"], "assets": assets, "positions": positions,
    }  # fmt: skip


def account_v2(call: Call) -> dict[str, Any]:
    """The older one also says what the account may do."""
    return _account(call.who) | {
        "feeTier": 0, "canTrade": not call.who.frozen, "canDeposit": True, "canWithdraw": True,
        "multiAssetsMargin": False, "updateTime": 0,
    }  # fmt: skip


@remembered
def balance(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "accountAlias": call.who.uid, "asset": row["asset"], "balance": row["walletBalance"],
            "crossWalletBalance": row["walletBalance"], "crossUnPnl": row["unrealizedProfit"],
            "availableBalance": row["availableBalance"],
            "maxWithdrawAmount": row["maxWithdrawAmount"], "marginAvailable": True,
            "updateTime": row["updateTime"],
        }
        for row in _assets(call.who)
    ]  # fmt: skip


@remembered
def position_risk_v3(call: Call) -> list[dict[str, Any]]:
    """Symbols with a position or an open order; a flat one without is simply missing."""
    account, symbol = call.who, call.params.get("symbol")
    shown = {held.market.symbol: held.market for held in _held(account)}
    for order in account.open_orders.values():
        if order.market.product == "linear":
            shown.setdefault(order.market.symbol, order.market)
    return [
        _risk(leg)
        for market in shown.values()
        if symbol in {None, "", market.symbol}
        for leg in _legs(account, market)
    ]


def _legs(account: Account, market: Market) -> list[Position]:
    """The one position of a symbol, or both of a hedge, also where they are zero."""
    sides: Sequence[PositionSide] = ("long", "short") if account.hedge else ("net",)
    held = account.shown.positions
    return [held.get(("linear", market.symbol, side)) or Position(market, side) for side in sides]


def position_risk_v2(call: Call) -> list[dict[str, Any]]:
    """Every symbol, held or not."""
    symbol = call.params.get("symbol")
    more = {"leverage": "20", "marginType": "cross", "maxNotionalValue": "50000000"}
    return [
        _risk(leg) | more
        for market in call.exchange.markets_of(VENUE, "linear")
        if symbol in {None, "", market.symbol}
        for leg in _legs(call.who, market)
    ]


def _risk(held: Position) -> dict[str, Any]:
    market = held.market
    notional = _notional(held)
    margin = plain(abs(notional) * MARGIN, 8)
    return {
        "symbol": market.symbol, "positionSide": SIDES[held.side],
        "positionAmt": written(held.qty, places_of(market.step)),
        "entryPrice": plain(held.entry, 10) if held.qty else "0.0",
        "breakEvenPrice": plain(held.entry, 8) if held.qty else "0.0",
        "markPrice": fixed(market.mark, 8), "unRealizedProfit": fixed(held.unrealized, 8),
        "liquidationPrice": "0", "isolatedMargin": "0", "notional": plain(notional, 8),
        "marginAsset": market.settle, "isolatedWallet": "0", "initialMargin": margin,
        "maintMargin": plain(abs(notional) * MAINTENANCE, 8), "positionInitialMargin": margin,
        "openOrderInitialMargin": "0", "adl": 1, "bidNotional": "0", "askNotional": "0",
        "updateTime": held.updated_ms,
    }  # fmt: skip
