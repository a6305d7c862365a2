"""Bybit's history: fills and the ledger of the unified wallet.

Both are lists, newest first, of at most seven days a question (see newest_first.py). The ledger
explains the wallet to the last digit, also what spot trades moved: each of its rows becomes what it
is made of, P&L, fee and funding, so that their sum is the row's `change`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import Any, cast

from shared.exchanges import newest_first
from shared.exchanges.amounts import known, negated, plain, sign, total
from shared.exchanges.bybit_api import NAME, get, market_of, rows_of, side_of
from shared.exchanges.errors import Refused
from shared.exchanges.newest_first import Asked, Source
from shared.exchanges.overlap import Fresh, Row
from shared.exchanges.snapshots import told
from shared.exchanges.venue import Account, Cursor, Found, Market, Page, Product, Reading, Request

DAY_MS = 86_400_000
SPAN_MS = 7 * DAY_MS
KEPT_MS = 729 * DAY_MS
"""The venue keeps two years."""
FILLS, ENTRIES = 100, 50  # rows of a page


def _since(account: Account) -> int:
    return max(account.since_ms, account.now_ms - KEPT_MS)


def _history(
    name: str,
    path: str,
    limit: int,
    row_of: Callable[[Mapping[str, Any]], Row],
    **params: str,
) -> Source:
    def request(asked: Asked) -> Request:
        to_ms = asked.to_ms or asked.from_ms + SPAN_MS
        times = {"startTime": asked.from_ms, "endTime": to_ms}
        return get(path, **params, **times, limit=limit, cursor=asked.place)

    def page(answer: Any) -> tuple[Sequence[Row], str]:
        rows, place = rows_of(answer)
        return [row_of(row) for row in rows], place

    return Source(name, SPAN_MS, request, page, limit)


# ---- fills

NO_FILLS = {"Funding", "SessionSettlePnL", "Dividend"}
KINDS = {
    "AdlTrade": "adl",
    "BustTrade": "liquidation",
    "Delivery": "settlement",
    "Settle": "settlement",
    "ForwardSplitSettle": "settlement",
    "ReverseSplitSettle": "settlement",
}
CREATED = {
    "CreateByLiq": "liquidation",
    "CreateByTakeOver": "liquidation",
    "CreateByAdl": "adl",
    "CreateBySettle": "settlement",
}
"""Prefixes of createType: a liquidation trades like anyone else, only its order says so."""


def read_fills(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: of `newest_first.py`, by product."""
    sources = [
        _history(product, "execution/list", FILLS, execution, category=product)
        for product in account.products
    ]
    read = yield from newest_first.read(account, cursor, sources, _since(account))
    rows = [
        (cast("Product", name), fresh) for name, fresh in read.rows if is_fill(fresh.row.data)
    ]
    hedged = yield from _hedged(rows)
    events = [filled(account, product, fresh, hedged) for product, fresh in rows]
    return Page(events, read.cursor, read.through_ms, read.more)


def execution(row: Mapping[str, Any]) -> Row:
    key = f"{row['symbol']} {row['execId']} {row['side']}"
    return Row(key, int(row["execTime"]), row)


def is_fill(row: Mapping[str, Any]) -> bool:
    return row["execType"] not in NO_FILLS and sign(row["execQty"]) != 0


def _hedged(
    rows: Sequence[tuple[Product, Fresh]],
) -> Generator[Request, Any, set[tuple[Product, str]]]:
    """Symbols that are in hedge mode now. Executions do not say it; the list of positions does,
    with a row for each side even when it is flat.
    """
    hedged, asked = set(), set()
    for product, fresh in rows:
        key = (product, fresh.row.data["symbol"])
        if product == "spot" or "positionIdx" in fresh.row.data or key in asked:
            continue
        asked.add(key)
        try:
            answer = yield get("position/list", category=product, symbol=key[1])
        except Refused:  # it does not trade any more
            continue
        if any(side_of(row) != "net" for row in rows_of(answer)[0]):
            hedged.add(key)
    return hedged


def filled(
    account: Account, product: Product, fresh: Fresh, hedged: Collection[tuple[Product, str]]
) -> Found:
    row, symbol = fresh.row.data, fresh.row.data["symbol"]
    market = market_of(account, product, symbol)
    fee = known(row.get("execFee"))
    return told(
        "order.filled.1",
        account_id=account.account_id,
        venue=NAME,
        product=product,
        instrument=symbol,
        position_side=_closing_side(row) if (product, symbol) in hedged else side_of(row),
        trade_id=row["execId"],
        order_id=row.get("orderId") or None,
        client_order_id=row.get("orderLinkId") or None,
        side=row["side"].lower(),
        qty=plain(row["execQty"]),
        price=plain(row["execPrice"]),
        contract_size=market.contract_size,
        fee=fee,
        fee_asset=None if fee is None else _fee_asset(row, market),
        settle_asset=market.settle,
        base_asset=market.base,
        quote_asset=market.quote,
        executed_at_ms=fresh.row.at_ms,
        venue_seq=int(row["seq"]) if row.get("seq") else None,
        revision=fresh.revision,
        source="sync",
        liquidity="maker" if row.get("isMaker") else "taker",
        kind=_kind(row),
        # Of price alone, as the ledger's cashFlow; the list of closed P&L nets fees and funding.
        realized_pnl=known(row.get("execPnl")) if product != "spot" else None,
    )


def _kind(row: Mapping[str, Any]) -> str:
    if row["execType"] in KINDS:
        return KINDS[row["execType"]]
    created = row.get("createType") or ""
    return next((kind for name, kind in CREATED.items() if created.startswith(name)), "normal")


def _closing_side(row: Mapping[str, Any]) -> str:
    """In hedge mode a fill opens or closes, never both: what closes a short is a buy."""
    closes = sign(known(row.get("closedSize")) or "0") != 0
    return "long" if (row["side"] == "Buy") != closes else "short"


def _fee_asset(row: Mapping[str, Any], market: Market) -> str:
    """Where the row leaves it out: of spot, what is received; a maker's rebate, what is given."""
    named = row.get("feeCurrency") or row.get("feeCoin")
    if named:
        return str(named)
    if market.product != "spot":
        return market.settle
    is_base = (row["side"] == "Buy") == (sign(row["execFee"]) >= 0)
    return market.base if is_base else market.quote


# ---- the ledger

CASH = {
    "TRADE": "realized",
    "SETTLEMENT": "realized",
    "DELIVERY": "realized",
    "LIQUIDATION": "realized",
    "ADL": "realized",
    "AIRDROP": "bonus",
    "BONUS": "bonus",
    "BONUS_RECOLLECT": "bonus",
    "FEE_REFUND": "rebate",
    "INTEREST": "interest",
    "CURRENCY_BUY": "conversion",
    "CURRENCY_SELL": "conversion",
}
"""What a row's cashFlow is, by its type. Of a spot trade it is what was bought or sold: "realized",
too, because the rows of one asset explain its wallet wholly or not at all.
"""


def read_cash(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: of `newest_first.py`, one source."""
    source = _history("ledger", "account/transaction-log", ENTRIES, _entry, accountType="UNIFIED")
    read = yield from newest_first.read(account, cursor, [source], _since(account))
    events = [event for _, fresh in read.rows for event in _moves(account, fresh)]
    return Page(events, read.cursor, read.through_ms, read.more)


def _entry(row: Mapping[str, Any]) -> Row:
    return Row(str(row["id"]), int(row["transactionTime"]), row)


def _moves(account: Account, fresh: Fresh) -> Iterator[Found]:
    """The parts of a row, each under a ref of its own."""
    row = fresh.row.data
    category = row.get("category") or ""
    product = category if category in {"linear", "inverse", "spot"} else ""
    change = plain(row["change"])
    parts = [("", _cash_kind(row, change), known(row.get("cashFlow")) or "0")]
    if category == "option":
        parts = [("", "other", change)]  # the ledger keeps no options, but their wallet
    else:
        parts.append((":fee", "commission", negated(known(row.get("fee")) or "0")))
        parts.append((":funding", "funding", known(row.get("funding")) or "0"))
        rest = total(change, *(negated(amount) for _, _, amount in parts))
        parts.append((":rest", "other", rest))  # of a kind that the venue adds one day
    for suffix, kind, amount in parts:
        if sign(amount):
            yield told(
                "cash.moved.1",
                account_id=account.account_id,
                venue=NAME,
                asset=row["currency"],
                amount=amount,
                kind=kind,
                venue_type=row["type"],
                ref=fresh.row.key + suffix,
                instrument=row.get("symbol") or "",
                product=product,
                at_ms=fresh.row.at_ms,
            )


def _cash_kind(row: Mapping[str, Any], change: str) -> str:
    kind = row["type"]
    if kind == "LIQUIDATION" and not row.get("tradeId"):
        return "liquidation_fee"  # no fill tells of it
    if "TRANSFER" in kind and "BONUS" not in kind:
        return "transfer_in" if sign(change) > 0 else "transfer_out"
    return "bonus" if "BONUS" in kind else CASH.get(kind, "other")


