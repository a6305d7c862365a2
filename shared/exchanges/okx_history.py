"""OKX's history: fills, and the bills of the trading account.

Both are lists, newest first, behind the id of the last row (see newest_first.py). The bills explain
the wallet to the last digit, also what spot trades moved: each becomes what it is made of, so that
the sum is the bill's `balChg`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.exchanges import newest_first
from shared.exchanges.amounts import known, negated, plain, sign, total
from shared.exchanges.newest_first import Asked, Source
from shared.exchanges.okx_api import NAME, get, market_of, types_of
from shared.exchanges.overlap import Fresh, Row
from shared.exchanges.snapshots import told
from shared.exchanges.venue import Account, Cursor, Found, Page, Reading, Request

DAY_MS = 86_400_000
SPAN_MS = 7 * DAY_MS
KEPT_MS = 89 * DAY_MS
"""The venue keeps three months."""
RECENT_MS = 6 * DAY_MS
"""Bills of the last week are a list of their own, with a wider limit."""
LIMIT = 100  # rows of a page
SEQUENCES = 1 << 63


def _since(account: Account) -> int:
    return max(account.since_ms, account.now_ms - KEPT_MS)


def _history(
    name: str, path: Callable[[int], str], row_of: Callable[[Mapping[str, Any]], Row], **params: str
) -> Source:
    """path: of the list that reaches back to a time."""

    def request(asked: Asked) -> Request:
        end: str | int = "" if asked.to_ms is None else asked.to_ms
        times = {"begin": asked.from_ms, "end": end}
        return get(path(asked.from_ms), **params, **times, after=asked.place, limit=LIMIT)

    def page(answer: Any) -> tuple[Sequence[Row], str]:
        rows = answer["data"]
        return [row_of(row) for row in rows], rows[-1]["billId"] if len(rows) >= LIMIT else ""

    return Source(name, SPAN_MS, request, page, LIMIT)


# ---- fills

KINDS = (
    (range(100, 112), "liquidation"),
    (range(112, 114), "settlement"),
    (range(125, 129), "adl"),
)
"""By subType."""


def read_fills(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: of `newest_first.py`, by type of instrument."""
    sources = [
        _history(name, lambda _: "trade/fills-history", execution, instType=name)
        for name in types_of(account)
    ]
    read = yield from newest_first.read(account, cursor, sources, _since(account))
    events = [filled(account, fresh) for _, fresh in read.rows]
    return Page(events, read.cursor, read.through_ms, read.more)


def execution(row: Mapping[str, Any]) -> Row:
    return Row(row["billId"], int(row.get("fillTime") or row["ts"]), row)


def filled(account: Account, fresh: Fresh) -> Found:
    row = fresh.row.data
    market = market_of(account, row)
    fee = known(row.get("fee"))
    is_spot = market.product == "spot"
    return told(
        "order.filled.1",
        account_id=account.account_id,
        venue=NAME,
        product=market.product,
        instrument=market.symbol,
        position_side="net" if is_spot else row.get("posSide") or "net",
        trade_id=row.get("tradeId") or row["billId"],  # a settlement has none
        order_id=row.get("ordId") or None,
        client_order_id=row.get("clOrdId") or None,
        side=row["side"],
        qty=plain(row["fillSz"]),
        price=plain(row["fillPx"]),
        contract_size=market.contract_size,
        fee=None if fee is None else negated(fee),  # theirs is negative when paid
        fee_asset=None if fee is None else row.get("feeCcy") or market.settle,
        settle_asset=market.settle,
        base_asset=market.base,
        quote_asset=market.quote,
        executed_at_ms=fresh.row.at_ms,
        venue_seq=_sequence(row["billId"]),
        revision=fresh.revision,
        source="sync",
        liquidity={"M": "maker", "T": "taker"}.get(row.get("execType") or ""),
        kind=_kind(row),
        realized_pnl=None if is_spot else known(row.get("fillPnl")),
    )


def _sequence(bill_id: str) -> int | None:
    """Ids of bills grow in the order of booking."""
    return int(bill_id) if bill_id.isdecimal() and int(bill_id) < SEQUENCES else None


def _kind(row: Mapping[str, Any]) -> str:
    sub_type = int(row.get("subType") or 0)
    return next((kind for types, kind in KINDS if sub_type in types), "normal")


# ---- bills

CASH = {
    "2": "realized",  # trade
    "3": "realized",  # delivery
    "4": "conversion",  # auto token conversion
    "5": "realized",  # liquidation
    "7": "interest",
    "8": "funding",
    "9": "realized",  # auto-deleveraging
    "10": "insurance",  # clawback
    "11": "conversion",  # system token conversion
    "13": "realized",  # delta hedging
    "14": "realized",  # block trade
    "24": "realized",  # spread trading
    "27": "conversion",  # convert
    "28": "conversion",  # easy convert
    "29": "conversion",  # one-click repay
    "30": "conversion",  # simple trade
    "34": "realized",  # settlement
}
TRANSFERS = {"1", "6", "12", "15"}
"""From and to other accounts, the margin of a position, strategies."""
CONTRACTS = {"SWAP", "FUTURES"}


def read_cash(account: Account, cursor: Cursor) -> Reading:
    """Its cursor: of `newest_first.py`, one source."""

    def path(from_ms: int) -> str:
        recent = from_ms >= account.now_ms - RECENT_MS
        return "account/bills" if recent else "account/bills-archive"

    source = _history("bills", path, _bill)
    read = yield from newest_first.read(account, cursor, [source], _since(account))
    events = [event for _, fresh in read.rows for event in _moves(account, fresh)]
    return Page(events, read.cursor, read.through_ms, read.more)


def _bill(row: Mapping[str, Any]) -> Row:
    return Row(row["billId"], int(row["ts"]), row)


def _moves(account: Account, fresh: Fresh) -> Iterator[Found]:
    """The parts of a bill, each under a ref of its own."""
    row = fresh.row.data
    inst_type = row.get("instType") or ""
    is_kept = inst_type in CONTRACTS or inst_type == "SPOT"
    market = market_of(account, row) if is_kept and row.get("instId") else None
    for suffix, kind, amount in _parts(row, inst_type):
        if sign(amount):
            yield told(
                "cash.moved.1",
                account_id=account.account_id,
                venue=NAME,
                asset=row["ccy"],
                amount=amount,
                kind=kind,
                venue_type=row["type"],
                ref=fresh.row.key + suffix,
                instrument=row.get("instId") or "",
                product=market.product if market else "",
                at_ms=fresh.row.at_ms,
            )


def _parts(row: Mapping[str, Any], inst_type: str) -> list[tuple[str, str, str]]:
    """(suffix of the ref, kind, amount); their sum is the change of the wallet.

    What a spot trade bought or sold is "realized", too, because the bills of one asset explain its
    wallet wholly or not at all. The margin of an isolated position is no part of the wallet: what a
    bill moved there is a transfer, so that its P&L and fee are told all the same.
    """
    change, type_ = plain(row["balChg"]), row["type"]
    if type_ in TRANSFERS:
        return [("", _transfer(change), change)]
    if type_ == "5" and not row.get("tradeId"):
        return [("", "liquidation_fee", change)]  # no fill tells of it
    kind = CASH.get(type_, "other")
    if kind not in {"realized", "funding"}:
        return [("", kind, change)]
    if inst_type not in CONTRACTS and inst_type != "SPOT":
        return [("", "other", change)]  # margin and options: no fills of ours, but their wallet
    fee = known(row.get("fee")) or "0"
    parts = [(":fee", "commission", fee)]
    if sign(known(row.get("posBalChg")) or "0"):
        pnl = known(row.get("pnl")) or "0"
        margin = total(change, negated(pnl), negated(fee))
        return [("", kind, pnl), *parts, (":margin", _transfer(margin), margin)]
    return [("", kind, total(change, negated(fee))), *parts]


def _transfer(amount: str) -> str:
    return "transfer_in" if sign(amount) > 0 else "transfer_out"
