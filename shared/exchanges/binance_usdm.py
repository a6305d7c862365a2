"""Binance USDⓈ-M futures.

The ledger of cash (`income`) tells what moved, and so which symbols traded: it is the only history
that needs no symbol. A trade that moved no cash (it opened, and cost nothing) is found by the
position that it changed. Amounts of `income` are signed; what is paid as commission is negative
there and positive in a trade. `realizedPnl` is price only.

Trades carry no mark of a liquidation. `forceOrders` (50) names the orders of liquidations and ADL;
it is asked at once where the insurance fund was paid, else every FORCED_MS while the account
trades. Their fills are then told once more, with their kind. That a fill was a settlement is left
to the user stream, which has the client order id: it changes no figure.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from shared.exchanges import overlap, snapshots
from shared.exchanges.amounts import plain, sign
from shared.exchanges.binance_orders import Orders, read_orders
from shared.exchanges.binance_trades import SIDES, Trades, filled, read_fills
from shared.exchanges.errors import Refused
from shared.exchanges.overlap import OVERLAP_MS, Fresh, Row
from shared.exchanges.snapshots import Position, told
from shared.exchanges.venue import (
    Account,
    Cursor,
    Found,
    Page,
    Permissions,
    Product,
    Request,
    Venue,
    Weights,
)
from shared.exchanges.windows import Paged, read_windows, too_many

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
INCOME_MS = 90 * DAY_MS
"""Older income is not told."""
LIMIT = 1_000
PAGES = 10
AHEAD_MS = 60_000
"""What moved after the run began is wanted as well: it says which snapshots are none."""
FORCED_MS = 3_600_000

TRADES = Trades(
    "linear", "fapiPrivate", "userTrades", weight=5, longest_ms=WEEK_MS, newest=False,
    side_of=lambda row: str(row["side"]).lower(), horizon_ms=180 * DAY_MS,
)  # fmt: skip
ORDERS = Orders("linear", "fapiPrivate", of_symbol=1, of_all=40, one=1)

_KINDS = {
    "REALIZED_PNL": "realized",
    "DELIVERED_SETTELMENT": "realized",  # the venue's spelling
    "COMMISSION": "commission",
    "FUNDING_FEE": "funding",
    "REFERRAL_KICKBACK": "rebate",
    "COMMISSION_REBATE": "rebate",
    "API_REBATE": "rebate",
    "FEE_RETURN": "rebate",
    "WELCOME_BONUS": "bonus",
    "CONTEST_REWARD": "bonus",
    "BFUSD_REWARD": "interest",
    "AUTO_EXCHANGE": "conversion",
    "COIN_SWAP_DEPOSIT": "conversion",
    "COIN_SWAP_WITHDRAW": "conversion",
}
_TRANSFERS = {
    "TRANSFER",
    "INTERNAL_TRANSFER",
    "CROSS_COLLATERAL_TRANSFER",
    "STRATEGY_UMFUTURES_TRANSFER",
}
_OTHER = {"INSURANCE_CLEAR", "OPTIONS_PREMIUM_FEE", "OPTIONS_SETTLE_PROFIT",
          "POSITION_LIMIT_INCREASE_FEE"}  # fmt: skip
INCOME_TYPES = sorted({*_KINDS, *_TRANSFERS, *_OTHER})
_TRADED = {"REALIZED_PNL", "COMMISSION", "INSURANCE_CLEAR", "DELIVERED_SETTELMENT"}


# -- cash ------------------------------------------------------------------------------------------


def read_cash(
    account: Account, cursor: Cursor, *, limit: int = LIMIT, pages: int = PAGES
) -> Generator[Request, Any, Page]:
    """Its cursor: the overlap's, the length of a window where rows are dense (`span_ms`), and when
    forced orders were asked for (`forced_ms`); 1,000 remembered rows at most.
    """
    now_ms = account.now_ms
    start_ms = overlap.start_ms(cursor, max(account.since_ms, now_ms - INCOME_MS))
    paged = Paged(
        lambda from_ms, to_ms: _income(limit, startTime=from_ms, endTime=to_ms),
        lambda row: int(row["time"]),
        limit,
        WEEK_MS,
        lambda at_ms, page: _narrowed(account, limit, at_ms, page),
    )
    history = yield from read_windows(
        paged, start_ms, now_ms + AHEAD_MS, pages, span_ms=cursor.get("span_ms")
    )
    more = history.through_ms < now_ms
    fresh = overlap.fresh(cursor, (_row(row) for row in history.rows))
    found = [_moved(account, one.row.data) for one in fresh]
    wanted: dict[str, int] = {}
    for row in (one.row for one in fresh):
        if row.data["incomeType"] in _TRADED and row.data["symbol"]:
            wanted[row.data["symbol"]] = max(wanted.get(row.data["symbol"], 0), row.at_ms)
    forced_ms = cursor.get("forced_ms", account.since_ms)
    if wanted and not more and _may_be_forced(fresh, now_ms - forced_ms):
        orders, fills = yield from _forced(account, cursor, forced_ms)
        found += fills
        fresh += orders
        forced_ms = now_ms
    through_ms = max(min(history.through_ms, now_ms), cursor.get("through_ms", 0))
    resume_ms = history.through_ms + 1 if more else None
    after = overlap.advanced(cursor, fresh, through_ms, resume_ms=resume_ms)
    after["forced_ms"] = forced_ms
    if history.span_ms < WEEK_MS:
        after["span_ms"] = history.span_ms
    return Page(found, after, through_ms, more, wanted)


def _income(limit: int, **params: str | int) -> Request:
    return Request("fapiPrivate", "GET", "income", {**params, "limit": limit}, 30)


def _narrowed(
    account: Account, limit: int, at_ms: int, page: Sequence[Mapping[str, Any]]
) -> Generator[Request, Any, list[Any]]:
    """A millisecond by types, and a full type by the symbols that rows or the books name. `income`
    knows nothing finer. Raises LimitReached.
    """
    held = {symbol for product, symbol in account.held if product == "linear"}
    rows = list(page)
    within = {"startTime": at_ms, "endTime": at_ms}
    for kind in sorted({*INCOME_TYPES, *(row["incomeType"] for row in page)}):
        of_kind = yield _income(limit, incomeType=kind, **within)
        rows += of_kind
        if len(of_kind) >= limit:
            for symbol in sorted(held.union(row["symbol"] for row in rows) - {""}):
                of_symbol = yield _income(limit, incomeType=kind, symbol=symbol, **within)
                if len(of_symbol) >= limit:
                    raise too_many(limit, at_ms)
                rows += of_symbol
    return rows


def _row(row: Mapping[str, Any]) -> Row:
    """Trap: a tranId is unique within its type only."""
    key = f"{row['incomeType']}:{row['tranId']}:{row['asset']}:{row['symbol']}"
    return Row(key, int(row["time"]), row)


def _moved(account: Account, row: Mapping[str, Any]) -> Found:
    amount, venue_type = plain(row["income"]), row["incomeType"]
    received = sign(amount) >= 0
    kind = _KINDS.get(venue_type, "other")
    if venue_type in _TRANSFERS:
        kind = "transfer_in" if received else "transfer_out"
    elif venue_type == "INSURANCE_CLEAR":
        kind = "insurance" if received else "liquidation_fee"
    return told(
        "cash.moved.1",
        account_id=account.account_id,
        venue="binance",
        product="linear",
        asset=row["asset"],
        amount=amount,
        kind=kind,
        venue_type=venue_type,
        ref=str(row["tranId"]),
        instrument=row["symbol"],
        at_ms=int(row["time"]),
    )


def _may_be_forced(fresh: Sequence[Fresh], since_asked_ms: int) -> bool:
    liquidated = any(one.row.data["incomeType"] == "INSURANCE_CLEAR" for one in fresh)
    return liquidated or since_asked_ms >= FORCED_MS


def _forced(
    account: Account, cursor: Cursor, asked_ms: int
) -> Generator[Request, Any, tuple[list[Fresh], list[Found]]]:
    """Fills of liquidations and ADL since we asked last, with their kind."""
    start_ms = max(asked_ms - OVERLAP_MS, account.since_ms, account.now_ms - WEEK_MS + AHEAD_MS)
    given: dict[str, str | int] = {"startTime": start_ms, "limit": 100}
    orders = yield Request("fapiPrivate", "GET", "forceOrders", given, 50)
    rows = (Row(f"F{one['orderId']}", int(one["updateTime"]), one) for one in orders)
    fresh = overlap.fresh(cursor, rows)
    found = []
    for order in (one.row.data for one in fresh):
        if ("linear", order["symbol"]) in account.markets:
            kind = "adl" if order["clientOrderId"].startswith("adl_autoclose") else "liquidation"
            given = {"symbol": order["symbol"], "orderId": str(order["orderId"]), "limit": LIMIT}
            trades = yield Request(TRADES.section, "GET", TRADES.path, given, TRADES.weight)
            found += [filled(TRADES, account, row, kind=kind) for row in trades]
    return fresh, found


# -- snapshots -------------------------------------------------------------------------------------


def read_positions(account: Account, cursor: Cursor) -> Generator[Request, Any, Page]:
    """The newer question (v3) leaves out what is flat; the older one by symbol says so.

    Its cursor: that of `snapshots.positions`, and {"moved": {symbol: its newest updateTime}} of
    those that were told.
    """
    moved: dict[str, int] = {}

    def read(row: Mapping[str, Any]) -> Position:
        position = _position(account, row)
        moved[position.symbol] = max(moved.get(position.symbol, 0), position.moved_ms)
        return position

    def ask(_: Product, symbol: str) -> Generator[Request, Any, list[Position] | None]:
        try:
            rows = yield Request("fapiPrivateV2", "GET", "positionRisk", {"symbol": symbol}, 5)
        except Refused as refused:
            if not refused.missing:
                raise
            return []  # it does not trade any more, and was settled
        hedged = any(row["positionSide"] != "BOTH" for row in rows)
        # In hedge mode an empty BOTH may stand beside LONG and SHORT.
        said = [row for row in rows if _held(row) or not hedged or row["positionSide"] != "BOTH"]
        return [read(row) for row in said] or None

    rows = yield Request("fapiPrivateV3", "GET", "positionRisk", {}, 5)
    listed = [read(row) for row in rows if _held(row)]
    page = yield from snapshots.positions(account, cursor, "binance", listed, ask)
    before: Mapping[str, int] = cursor.get("moved", {})
    wanted = {
        symbol: at_ms
        for symbol, at_ms in moved.items()
        if at_ms >= account.since_ms and at_ms != before.get(symbol)
    }
    return page._replace(cursor={**page.cursor, "moved": moved}, wanted=wanted)


def _held(row: Mapping[str, Any]) -> bool:
    return sign(row["positionAmt"]) != 0


def _position(account: Account, row: Mapping[str, Any]) -> Position:
    market = account.markets.get(("linear", row["symbol"]))
    return Position(
        product="linear",
        symbol=row["symbol"],
        side=SIDES[row["positionSide"]],
        qty=plain(row["positionAmt"]),
        entry_price=plain(row["entryPrice"]),
        mark_price=plain(row["markPrice"]),
        contract_size=market.contract_size if market else None,
        settle=market.settle if market else row.get("marginAsset"),
        moved_ms=int(row["updateTime"]),
    )


def read_balances(account: Account, cursor: Cursor) -> Generator[Request, Any, Page]:
    """Wallets without unrealized P&L. The venue lists every asset; those that never held anything
    are left out. Its cursor: {"assets": [those that held something]}.
    """
    rows = yield Request("fapiPrivateV3", "GET", "balance", {}, 5)
    known = {*cursor.get("assets", ()), *(row["asset"] for row in rows if sign(row["balance"]))}
    found = [
        told(
            "balance.observed.1",
            account_id=account.account_id,
            venue="binance",
            product="linear",
            asset=row["asset"],
            wallet=plain(row["balance"]),
            watermark_ms=account.now_ms,
        )
        for row in rows
        if row["asset"] in known and int(row.get("updateTime") or 0) < account.now_ms
    ]
    return Page(found, {"assets": sorted(known)})


# -- the row ---------------------------------------------------------------------------------------


def read_permissions() -> Generator[Request, Any, Permissions]:
    """What the key may do; the uid is the alias that the venue gives the futures account."""
    may = yield Request("sapi", "GET", "account/apiRestrictions", {}, 1)
    balances = yield Request("fapiPrivateV3", "GET", "balance", {}, 5)
    alias = balances[0].get("accountAlias") if balances else None
    return Permissions(may.get("enableWithdrawals"), may.get("enableFutures"), alias)


BINANCE_USDM = Venue(
    name="binance",
    products=("linear",),
    ccxt_class="binanceusdm",
    weights=Weights(2_400, 60_000, "X-MBX-USED-WEIGHT-1M"),
    readings={
        "positions": read_positions,
        "balances": read_balances,
        "cash": read_cash,
        "fills": lambda account, cursor: read_fills(TRADES, account, cursor),
        "orders": lambda account, cursor: read_orders(ORDERS, account, cursor),
    },
    permissions=read_permissions,
)
