"""Binance: an account's trades, symbol by symbol, by id.

Binance tells trades of one symbol only, so something must say which symbols to ask for: what other
readings found (`wanted`), what is held, and what traded lately. A symbol that moved is asked again
at growing distances until the overlap is over, because rows come late and change; after that only
when something moves, or every SWEEP_MS.

Its cursor: {"wanted": {symbol: ms}, "symbols": {symbol: state}}. A state is the overlap of
`overlap.py`, by time of trade, and

    after      trades up to this id are done with: older than the overlap
    resume     id to go on at, where a reading ended in the middle
    empty_ms   before the first trade is known: there is none up to this time; span_ms: how long a
               window to ask for then
    active_ms  when the symbol moved last
    read_ms    when it was asked last

at most REMEMBERED trades over all symbols that trade now (LEAST for each), 40 bytes each, and 100
bytes for every symbol that ever traded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shared.exchanges import overlap, windows
from shared.exchanges.amounts import known, plain
from shared.exchanges.overlap import OVERLAP_MS, Fresh, Row
from shared.exchanges.snapshots import told
from shared.exchanges.venue import Account, Cursor, Found, Page, Product, Request

LIMIT = 1_000
PAGES = 10
SWEEP_MS = 6 * 3_600_000
REMEMBERED, LEAST = 2_000, 100

State = dict[str, Any]
SIDES = {"BOTH": "net", "LONG": "long", "SHORT": "short"}


class Trades(NamedTuple):
    """Where trades of a product are. longest_ms: of a window of time. horizon_ms: how far back the
    venue goes, 0: to the first. newest: whether a request without time or id answers the newest
    trades of all time. side_of: buy or sell.
    """

    product: Product
    section: str
    path: str
    weight: int
    longest_ms: int
    newest: bool
    side_of: Callable[[Mapping[str, Any]], str]
    horizon_ms: int = 0
    limit: int = LIMIT

    def ask(self, symbol: str, **params: int) -> Request:
        """Request for a page of a symbol."""
        given: dict[str, str | int] = {"symbol": symbol, **params, "limit": self.limit}
        return Request(self.section, "GET", self.path, given, self.weight)


class SymbolRead(NamedTuple):
    """done: there is no more for now. pages: requests that are left."""

    state: State
    found: list[Found]
    pages: int
    done: bool


def read_fills(
    trades: Trades, account: Account, cursor: Cursor, *, pages: int = PAGES
) -> Generator[Request, Any, Page]:
    """Fills of every symbol that is due. What is wanted and no market of ours (a symbol that was
    listed a moment ago) stays wanted. `through_ms` counts on the other readings to want what moved.
    """
    wanted = dict(cursor.get("wanted", {}))
    symbols: dict[str, State] = dict(cursor.get("symbols", {}))
    found: list[Found] = []
    more = False
    asked = due(trades.product, account, wanted, symbols)
    keep = max(LEAST, REMEMBERED // max(1, len(asked)))
    for symbol in asked:
        must = symbol in wanted or "read_ms" not in symbols.get(symbol, {})
        if pages <= 0:
            more = more or must
            continue
        before = symbols.get(symbol, {})
        if moved_ms := wanted.get(symbol, 0):
            before = {**before, "active_ms": max(moved_ms, before.get("active_ms", 0))}
        read = yield from _read_symbol(trades, account, symbol, before, pages, keep=keep)
        symbols[symbol], pages = read.state, read.pages
        found += read.found
        if read.done:
            wanted.pop(symbol, None)
        else:
            more = True
    left: dict[str, Any] = {"symbols": symbols}
    if wanted:
        left["wanted"] = wanted
    return Page(found, left, None if more or wanted else account.now_ms, more)


def due(
    product: Product,
    account: Account,
    wanted: Mapping[str, int],
    symbols: Mapping[str, State],
) -> list[str]:
    """Wanted ones first, then by their last reading, those that had none before all."""
    held = {symbol for held_product, symbol in account.held if held_product == product}
    asked = [
        symbol
        for symbol in {*wanted, *held, *symbols}
        if (product, symbol) in account.markets
        and (symbol in wanted or _is_due(symbols.get(symbol, {}), account.now_ms))
    ]
    return sorted(
        asked, key=lambda one: (one not in wanted, symbols.get(one, {}).get("read_ms", 0), one)
    )


def _is_due(state: State, now_ms: int) -> bool:
    if "read_ms" not in state or "resume" in state:
        return True
    read_ms, active_ms = int(state["read_ms"]), int(state["active_ms"])
    if now_ms - read_ms >= SWEEP_MS:
        return True
    return read_ms < active_ms + OVERLAP_MS and now_ms >= active_ms + 2 * (read_ms - active_ms)


def _read_symbol(
    trades: Trades, account: Account, symbol: str, state: State, pages: int, *, keep: int
) -> Generator[Request, Any, SymbolRead]:
    rows: list[Mapping[str, Any]] = []
    next_id: int | None = state.get("resume", state["after"] + 1 if "after" in state else None)
    done = False
    if next_id is None:
        first = yield from _first(trades, account, symbol, state, pages)
        rows, pages = list(first.rows), first.pages
        done = first.through_ms >= account.now_ms and len(rows) < trades.limit
        if not rows and not done:
            left = {"empty_ms": first.through_ms, "span_ms": first.span_ms}
            return SymbolRead({**state, **left}, [], pages, done=False)
        next_id = max((int(row["id"]) for row in rows), default=0)
    while not done and pages > 0:
        page = yield trades.ask(symbol, fromId=next_id)
        pages -= 1
        rows += page
        done = len(page) < trades.limit
        if not done:
            newest = max(int(row["id"]) for row in page)
            # A self-trade has its id twice, and the page may end between the two.
            next_id = newest if newest > next_id else newest + 1
    if not done:  # the id that is read again is told then
        rows = [row for row in rows if int(row["id"]) != next_id]
    fresh = overlap.fresh(state, _placed(trades, rows))
    after = _advanced(account, state, fresh, keep)
    if not done:
        after["resume"] = max(next_id, after.get("after", 0) + 1)
    found = [filled(trades, account, one.row.data, one.revision) for one in fresh]
    return SymbolRead(after, found, pages, done)


def _first(
    trades: Trades, account: Account, symbol: str, state: State, pages: int
) -> Generator[Request, Any, windows.History]:
    """The first window with trades in it."""
    oldest_ms = account.now_ms - trades.horizon_ms if trades.horizon_ms else 0
    start_ms = max(account.since_ms, oldest_ms, state.get("empty_ms", 0) + 1)
    if trades.newest and account.now_ms - start_ms >= trades.longest_ms and "span_ms" not in state:
        page = yield trades.ask(symbol)
        pages -= 1
        if len(page) < trades.limit or min(int(row["time"]) for row in page) < start_ms:
            rows = [row for row in page if int(row["time"]) >= start_ms]
            return windows.History(rows, account.now_ms, pages, trades.longest_ms)
    paged = windows.Paged(
        lambda from_ms, to_ms: trades.ask(symbol, startTime=from_ms, endTime=to_ms),
        lambda row: int(row["time"]),
        trades.limit,
        trades.longest_ms,
        _by_id,
    )
    return (
        yield from windows.read_windows(
            paged, start_ms, account.now_ms + OVERLAP_MS, pages, span_ms=state.get("span_ms"),
            first=True,
        )
    )  # fmt: skip


def _by_id(_: int, page: Sequence[Any]) -> Generator[Request, Any, list[Any]]:
    """A millisecond that fills a page, with the oldest: those that follow are read by id."""
    yield from ()
    return list(page)


def _placed(trades: Trades, rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """In the order of ids, and in time no earlier than those before: so that what leaves the
    overlap are always the lowest ids.
    """
    at_ms = 0
    for row in sorted(rows, key=lambda one: int(one["id"])):
        at_ms = max(at_ms, int(row["time"]))
        yield Row(f"{row['id']}{trades.side_of(row)[0]}", at_ms, row)


def _advanced(account: Account, state: State, fresh: Sequence[Fresh], keep: int) -> State:
    """The state after `fresh` was told. Its `after` is the highest id that left the overlap, below
    every one that is still in it.
    """
    now_ms = account.now_ms
    left = overlap.advanced(state, fresh, now_ms, keep=keep)
    kept = {key for marks in left["seen"].values() for key in marks}
    known = {key for marks in state.get("seen", {}).values() for key in marks}
    gone = [int(key[:-1]) for key in known.union(one.row.key for one in fresh) - kept]
    after = state.get("after")
    if gone:
        first_kept = min((int(key[:-1]) for key in kept), default=max(gone) + 1)
        after = max(after or 0, min(max(gone), first_kept - 1))
    if after is not None:
        left["after"] = after
    else:  # as late as a trade may still come in, and before the first
        first_ms = min(map(int, left["seen"]), default=now_ms)
        left["empty_ms"] = max(min(now_ms - OVERLAP_MS, first_ms - 1), account.since_ms - 1)
    moved_ms = max((int(one.row.data["time"]) for one in fresh), default=0)
    left["active_ms"] = max(state.get("active_ms", 0), moved_ms)
    left["read_ms"] = now_ms
    return left


def filled(
    trades: Trades,
    account: Account,
    row: Mapping[str, Any],
    revision: int = 1,
    kind: str | None = None,
) -> Found:
    """The event of a trade. kind: where something else told it, a trade itself does not."""
    market = account.markets[trades.product, row["symbol"]]
    fee, fee_asset = known(row.get("commission")), row.get("commissionAsset") or None
    return told(
        "order.filled.1",
        account_id=account.account_id,
        venue="binance",
        product=trades.product,
        instrument=market.symbol,
        position_side=SIDES[row.get("positionSide", "BOTH")],
        trade_id=str(row["id"]),
        order_id=str(row["orderId"]),
        side=trades.side_of(row),
        qty=plain(row["qty"]),
        price=plain(row["price"]),
        contract_size=market.contract_size,
        fee=fee if fee_asset else None,
        fee_asset=fee_asset if fee is not None else None,
        settle_asset=market.settle,
        base_asset=market.base,
        quote_asset=market.quote,
        executed_at_ms=int(row["time"]),
        revision=revision,
        source="sync",
        kind=kind,
        liquidity="maker" if row.get("maker", row.get("isMaker")) else "taker",
        realized_pnl=known(row.get("realizedPnl")),
    )
