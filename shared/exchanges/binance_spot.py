"""Binance spot.

Trades are told by symbol only, and nothing lists the symbols that traded. They are concluded from
the wallets: a trade moves base and quote, so the markets between two assets that moved are asked
for. Where an asset moved alone (a symbol was bought and sold again), it is the known symbols of
that asset. What that leaves is a symbol never seen before, bought and sold between two looks: it
is found when it is named (held in the books, an open order), or by the break of its wallet.

The wallets' own history is deposits, withdrawals, transfers between the user's wallets and what the
venue paid out. Conversions of dust, Convert and fiat are not read: their wallets open a break.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from shared.exchanges.amounts import sign, total
from shared.exchanges.binance_orders import Orders, read_orders
from shared.exchanges.binance_spot_cash import read_cash
from shared.exchanges.binance_trades import Trades, read_fills
from shared.exchanges.snapshots import told
from shared.exchanges.venue import (
    Account,
    Cursor,
    Market,
    Page,
    Permissions,
    Request,
    Venue,
    Weights,
)

TRADES = Trades(
    "spot", "private", "myTrades", weight=20, longest_ms=86_400_000, newest=True,
    side_of=lambda row: "buy" if row["isBuyer"] else "sell",
)  # fmt: skip
ORDERS = Orders("spot", "private", of_symbol=6, of_all=80, one=4)
KNOWN = 200
"""Symbols that are asked for when an asset moved alone."""


def read_balances(account: Account, cursor: Cursor) -> Generator[Request, Any, Page]:
    """Every asset that holds something, or did. Its cursor: {"wallets": {asset: amount}, "symbols":
    [those that were wanted, newest first]}, at most KNOWN symbols.
    """
    answer = yield Request("private", "GET", "account", {}, 20)
    moved_ms = int(answer.get("updateTime") or 0)
    before: Mapping[str, str] = cursor.get("wallets", {})
    wallets = {row["asset"]: total(row["free"], row["locked"]) for row in answer["balances"]}
    wallets = {
        asset: amount for asset, amount in wallets.items() if sign(amount) or asset in before
    }
    found = [
        told(
            "balance.observed.1",
            account_id=account.account_id,
            venue="binance",
            product="spot",
            asset=asset,
            wallet=amount,
            watermark_ms=account.now_ms,
        )
        for asset, amount in wallets.items()
        if moved_ms < account.now_ms
    ]
    known: list[str] = cursor.get("symbols", [])
    changed = {asset for asset, amount in wallets.items() if amount != before.get(asset)}
    symbols = traded(account, changed, known)
    newest_first = list(dict.fromkeys([*symbols, *known]))[:KNOWN]
    left = {"wallets": {**before, **wallets}, "symbols": newest_first}
    return Page(found, left, wanted=dict.fromkeys(symbols, moved_ms))


def traded(account: Account, changed: set[str], known: Iterable[str]) -> list[str]:
    """Symbols whose trades may have moved these assets."""
    spot = [market for (product, _), market in account.markets.items() if product == "spot"]
    between = [one for one in spot if one.base in changed and one.quote in changed]
    alone = changed - {asset for one in between for asset in (one.base, one.quote)}
    held = {symbol for product, symbol in account.held if product == "spot"}
    named = [account.markets.get(("spot", symbol)) for symbol in sorted(held.union(known))]
    return sorted({one.symbol for one in between} | {one.symbol for one in _of(named, alone)})


def _of(markets: Iterable[Market | None], assets: set[str]) -> list[Market]:
    return [one for one in markets if one is not None and {one.base, one.quote} & assets]


def read_permissions() -> Generator[Request, Any, Permissions]:
    """What the key may do, and the account's own number."""
    may = yield Request("sapi", "GET", "account/apiRestrictions", {}, 1)
    account = yield Request("private", "GET", "account", {"omitZeroBalances": "true"}, 20)
    uid = account.get("uid")
    return Permissions(
        may.get("enableWithdrawals"),
        may.get("enableSpotAndMarginTrading"),
        None if uid is None else str(uid),
    )


BINANCE_SPOT = Venue(
    name="binance",
    products=("spot",),
    ccxt_class="binance",
    weights=Weights(6_000, 60_000, "X-MBX-USED-WEIGHT-1M"),
    readings={
        "balances": read_balances,
        "cash": read_cash,
        "fills": lambda account, cursor: read_fills(TRADES, account, cursor),
        "orders": lambda account, cursor: read_orders(ORDERS, account, cursor),
    },
    permissions=read_permissions,
    per_account={"capital/withdraw/history": (10, 60_000)},
)
