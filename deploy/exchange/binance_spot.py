"""Binance spot (`/api/v3/`) and what moves its wallets (`/sapi/v1/`)."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import orjson

from deploy.exchange import binance
from deploy.exchange.amounts import ZERO, fixed, plain
from deploy.exchange.binance import DAY_MS, STATUS, VENUE
from deploy.exchange.front import Call, Front, Refused, Route
from deploy.exchange.limits import Budget
from deploy.exchange.state import Account, Entry, Fill, Market, Order, Product

POCKET = "spot"
FOREVER_MS = 20 * 365 * DAY_MS
QUARTER_MS = 90 * DAY_MS


def _market(  # noqa: PLR0917 - rows of a table
    symbol: str, base: str, quote: str, tick: str, step: str, mark: str
) -> Market:
    return Market(VENUE, "spot", symbol, base, quote, quote, tick, step, Fraction(mark))


MARKETS = (
    _market("BTCUSDT", "BTC", "USDT", "0.01000000", "0.00001000", "30000"),
    _market("ETHUSDT", "ETH", "USDT", "0.01000000", "0.00010000", "2000"),
    _market("BNBUSDT", "BNB", "USDT", "0.01000000", "0.00100000", "300"),
    _market("SOLUSDT", "SOL", "USDT", "0.01000000", "0.00100000", "150"),
    _market("ETHBTC", "ETH", "BTC", "0.00001000", "0.00010000", "0.066"),
    _market("BTCUSDC", "BTC", "USDC", "0.01000000", "0.00001000", "30000"),
)


# -- public ----------------------------------------------------------------------------------------


def server_time(call: Call) -> dict[str, int]:
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> dict[str, Any]:
    symbols = [
        {
            "symbol": market.symbol, "status": market.status, "baseAsset": market.base,
            "baseAssetPrecision": 8, "quoteAsset": market.quote, "quotePrecision": 8,
            "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8, "orderTypes": ["LIMIT", "MARKET"],
            "icebergAllowed": True, "ocoAllowed": True, "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
            "filters": binance.filters(market, "5.00000000", futures=False),
        }
        for market in call.exchange.markets_of(VENUE, "spot")
    ]  # fmt: skip
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
               "limit": SPOT.budget.weight}]  # fmt: skip
    return {"timezone": "UTC", "serverTime": call.now_ms, "rateLimits": limits,
            "exchangeFilters": [], "symbols": symbols}  # fmt: skip


def ticker_price(call: Call) -> Any:
    symbol = call.params.get("symbol")
    if symbol:
        return _price(binance.market_of(call, "spot"))
    return [_price(market) for market in call.exchange.markets_of(VENUE, "spot")]


def _price(market: Market) -> dict[str, str]:
    return {"symbol": market.symbol, "price": fixed(market.mark, 8)}


# -- what the account holds ------------------------------------------------------------------------


def account(call: Call) -> dict[str, Any]:
    who = call.who
    wallets = {
        asset: amount for (pocket, asset), amount in who.shown.wallets.items() if pocket == POCKET
    }
    locked = _locked(who)
    listed = [] if call.params.get("omitZeroBalances") == "true" else _assets(call)
    balances = [
        {
            "asset": asset,
            "free": fixed(wallets.get(asset, ZERO) - locked.get(asset, ZERO), 8),
            "locked": fixed(locked.get(asset, ZERO), 8),
        }
        for asset in dict.fromkeys((*listed, *wallets))
    ]
    moved = [at for (pocket, _), at in who.shown.moved_ms.items() if pocket == POCKET]
    rates = {"maker": "0.00020000", "taker": "0.00050000", "buyer": "0.00000000",
             "seller": "0.00000000"}  # fmt: skip
    return {
        "makerCommission": 2, "takerCommission": 5, "buyerCommission": 0, "sellerCommission": 0,
        "commissionRates": rates, "canTrade": not who.frozen, "canWithdraw": True,
        "canDeposit": True, "brokered": False, "requireSelfTradePrevention": False,
        "preventSor": False, "updateTime": max(moved, default=0), "accountType": "SPOT",
        "balances": balances, "permissions": ["SPOT"], "uid": _uid(who),
    }  # fmt: skip


def _uid(who: Account) -> int | str:
    return int(who.uid) if who.uid.isdigit() else who.uid


def _assets(call: Call) -> list[str]:
    markets = call.exchange.markets_of(VENUE, "spot")
    return list(dict.fromkeys(part for one in markets for part in (one.base, one.quote)))


def _locked(who: Account) -> dict[str, Fraction]:
    """What open orders hold back: quote for buys, base for sells."""
    found: dict[str, Fraction] = {}
    for order in who.open_orders.values():
        if order.market.product == "spot":
            left, buys = order.qty - order.filled, order.side == "buy"
            asset = order.market.quote if buys else order.market.base
            found[asset] = found.get(asset, ZERO) + (left * order.price if buys else left)
    return found


def my_trades(call: Call) -> list[orjson.Fragment]:
    """The newest unless an id or a time is given; a window is a day at most."""
    fills = binance.trades(call, "spot", longest_ms=DAY_MS, default_ms=0, horizon_ms=FOREVER_MS)
    return binance.prepared(fills, _trade)


def _trade(fill: Fill) -> dict[str, Any]:
    row = {
        "symbol": fill.market.symbol, "id": fill.trade_id, "orderId": fill.order.order_id,
        "orderListId": -1, "price": fixed(fill.price, 8), "qty": fixed(fill.qty, 8),
        "quoteQty": fixed(fill.qty * fill.price, 8), "time": fill.at_ms,
        "isBuyer": fill.side == "buy", "isMaker": fill.maker, "isBestMatch": True,
    }  # fmt: skip
    if fill.fee is not None:
        row |= {"commission": fixed(fill.fee, 8), "commissionAsset": fill.fee_asset}
    return row


# -- what moved its wallets ------------------------------------------------------------------------


def _moved(call: Call, *kinds: str) -> list[Entry]:
    """Entries of the spot wallet in the time asked for, newest first."""
    words = "Timestamp interval is exceeded."
    start, end = binance.between(call, QUARTER_MS, QUARTER_MS, words)
    coin = call.params.get("coin") or call.params.get("asset")
    rows = [
        entry
        for entry in reversed(call.who.entries)
        if entry.kind in kinds and entry.pocket == POCKET and not entry.hidden
        and start <= entry.at_ms <= end and coin in {None, entry.asset}
    ]  # fmt: skip
    skipped = binance.whole(call, "offset") or 0
    return rows[skipped : skipped + binance.limit_of(call, default=1_000)]


def deposits(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": str(769_800_519_000_000_000 + entry.ref), "amount": plain(entry.cash, 8),
            "coin": entry.asset, "network": "ETH", "status": 1, "address": "0x788cabe9236c",
            "addressTag": "", "txId": f"0x{entry.ref:064x}", "insertTime": entry.at_ms,
            "completeTime": entry.at_ms, "transferType": 0, "confirmTimes": "12/12",
            "unlockConfirm": 12, "walletType": 0,
        }
        for entry in _moved(call, "deposit")
    ]  # fmt: skip


def withdrawals(call: Call) -> list[dict[str, Any]]:
    """Their amount is what arrived; the wallet paid transactionFee besides."""
    return [
        {
            "id": f"b6ae22b3aa844210a7041aee7589{entry.ref:04d}", "amount": plain(-entry.cash, 8),
            "transactionFee": plain(entry.fee, 8), "coin": entry.asset, "status": 6,
            "address": "0x94df8b352de7", "txId": f"0x{entry.ref:064x}",
            "applyTime": _text(entry.at_ms), "network": "ETH", "transferType": 0,
            "withdrawOrderId": "", "info": "", "confirmNo": 12, "walletType": 0, "txKey": "",
            "completeTime": _text(entry.at_ms),
        }
        for entry in _moved(call, "withdrawal")
    ]  # fmt: skip


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def transfers(call: Call) -> dict[str, Any]:
    """Between the account's own wallets, of one direction."""
    type_ = binance.needed(call, "type")
    kinds = {"UMFUTURE_MAIN": "transfer_in", "MAIN_UMFUTURE": "transfer_out"}
    if type_ not in kinds:
        return {"total": 0, "rows": []}
    rows = [
        {
            "asset": entry.asset, "amount": plain(abs(entry.cash), 8), "type": type_,
            "status": "CONFIRMED", "tranId": 11_415_955_596 + entry.ref, "timestamp": entry.at_ms,
        }
        for entry in _moved(call, kinds[type_])
    ]  # fmt: skip
    size = min(binance.whole(call, "size") or 10, 100)
    skipped = size * ((binance.whole(call, "current") or 1) - 1)
    return {"total": len(rows), "rows": rows[skipped : skipped + size]}


def dividends(call: Call) -> dict[str, Any]:
    """Bonuses, rebates and interest."""
    rows = [
        {
            "id": 242_006_910 + entry.ref, "amount": fixed(entry.cash, 8), "asset": entry.asset,
            "divTime": entry.at_ms, "enInfo": entry.note or entry.kind, "tranId":
            2_968_885_920 + entry.ref, "direction": 1,
        }
        for entry in _moved(call, "bonus", "rebate", "interest", "other")
    ]  # fmt: skip
    return {"total": len(rows), "rows": rows}


def restrictions(call: Call) -> dict[str, Any]:
    who = call.who
    return {
        "ipRestrict": False, "createTime": 1_623_840_271_000, "enableReading": True,
        "enableWithdrawals": who.withdraw, "enableInternalTransfer": False,
        "permitsUniversalTransfer": False, "enableMargin": False,
        "enableFutures": "linear" in who.products, "enableVanillaOptions": False,
        "enableSpotAndMarginTrading": "spot" in who.products,
        "enablePortfolioMarginTrading": False, "enableFixApiTrade": False,
        "enableFixReadOnly": False,
    }  # fmt: skip


# -- orders ----------------------------------------------------------------------------------------


def order_row(order: Order) -> dict[str, Any]:
    return {
        "symbol": order.market.symbol, "orderId": order.order_id, "orderListId": -1,
        "clientOrderId": order.client_order_id, "price": fixed(order.price, 8),
        "origQty": fixed(order.qty, 8), "executedQty": fixed(order.filled, 8),
        "origQuoteOrderQty": "0.00000000", "cummulativeQuoteQty": fixed(order.spent, 8),
        "status": STATUS[order.status], "timeInForce": "GTC", "type": order.type.upper(),
        "side": order.side.upper(), "stopPrice": fixed(order.stop_price, 8),
        "icebergQty": "0.00000000", "time": order.created_ms, "updateTime": order.updated_ms,
        "isWorking": order.open, "workingTime": order.created_ms,
        "selfTradePreventionMode": "NONE",
    }  # fmt: skip


def create_order(call: Call) -> dict[str, Any]:
    if call.who.frozen:
        raise Refused(400, -2010, "This action is disabled on this account.")
    order = binance.new_order(call, "spot")
    fills = [fill for fill in call.who.by_symbol["spot", order.market.symbol]
             if fill.order is order]  # fmt: skip
    return order_row(order) | {
        "transactTime": order.created_ms,
        "fills": [
            {
                "price": fixed(fill.price, 8), "qty": fixed(fill.qty, 8),
                "commission": fixed(fill.fee or ZERO, 8), "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in fills
        ],
    }  # fmt: skip


def keep_stream(call: Call) -> dict[str, str]:
    binance.keep_stream(call, "spot")
    return {}


def _weight(name: str, given: int, missing: int) -> Any:
    return lambda call: given if call.params.get(name) else missing


SPOT = Front(
    name="binance spot",
    venue=VENUE,
    rules=binance.RULES,
    markets=MARKETS,
    budget=Budget("binance spot", 6_000),
    authenticate=binance.authenticate("spot"),
    error=binance.error,
    limited=binance.limited,
    headers=binance.used_weight,
    routes={
        ("GET", "/api/v3/ping"): Route(lambda _: {}, 1, "public"),
        ("GET", "/api/v3/time"): Route(server_time, 1, "public"),
        ("GET", "/api/v3/exchangeInfo"): Route(exchange_info, 20, "public"),
        ("GET", "/api/v3/ticker/price"): Route(ticker_price, _weight("symbol", 2, 4), "public"),
        ("GET", "/api/v3/account"): Route(account, 20),
        ("GET", "/api/v3/myTrades"): Route(my_trades, _weight("orderId", 5, 20)),
        ("GET", "/api/v3/openOrders"): Route(
            lambda call: [order_row(one) for one in binance.open_orders(call, "spot")],
            _weight("symbol", 6, 80),
        ),
        ("GET", "/api/v3/allOrders"): Route(
            lambda call: [order_row(one) for one in binance.all_orders(call, "spot", DAY_MS)], 20
        ),
        ("GET", "/api/v3/order"): Route(lambda call: order_row(binance.order_of(call, "spot")), 4),
        ("POST", "/api/v3/order"): Route(create_order, 1),
        ("DELETE", "/api/v3/order"): Route(
            lambda call: order_row(binance.end_order(call, "spot")), 1
        ),
        ("POST", "/api/v3/userDataStream"): Route(
            lambda call: binance.open_stream(call, "spot"), 2, "key"
        ),
        ("PUT", "/api/v3/userDataStream"): Route(keep_stream, 2, "key"),
        ("DELETE", "/api/v3/userDataStream"): Route(
            lambda call: binance.end_stream(call, "spot"), 2, "key"
        ),
    },
)


def sapi_weight(spent: Any) -> dict[str, str]:
    return {"X-SAPI-USED-IP-WEIGHT-1M": str(spent.used)}


def any_product(call: Call, route: Route) -> Account:
    """`/sapi/` is the same for every product of a key."""
    account = call.exchange.accounts.get((VENUE, call.headers.get("X-MBX-APIKEY", "")))
    product: Product = "linear" if account and "spot" not in account.products else "spot"
    found: Account = binance.authenticate(product)(call, route)
    return found


SAPI = Front(
    name="binance sapi",
    venue=VENUE,
    rules=binance.RULES,
    markets=(),
    budget=Budget("binance sapi", 12_000),
    authenticate=any_product,
    error=binance.error,
    limited=binance.limited,
    headers=sapi_weight,
    routes={
        ("GET", "/sapi/v1/capital/deposit/hisrec"): Route(deposits, 1),
        ("GET", "/sapi/v1/capital/withdraw/history"): Route(withdrawals, 1),
        ("GET", "/sapi/v1/asset/transfer"): Route(transfers, 1),
        ("GET", "/sapi/v1/asset/assetDividend"): Route(dividends, 10),
        ("GET", "/sapi/v1/account/apiRestrictions"): Route(restrictions, 1),
        ("GET", "/sapi/v1/margin/allPairs"): Route(lambda _: [], 1, "public"),
        ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(lambda _: [], 1, "public"),
    },
)
