"""What a venue lists now: positions, balances and open orders, against what it listed before.

A venue lists what there is and leaves out the rest, so absence says little: an answer can be short
for many reasons. What was listed before and is missing is asked for by its name, and only that
answer is believed. What is known to be listed is the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, cast

from shared.exchanges.amounts import sign
from shared.exchanges.venue import Account, Cursor, Found, Page, Product, Request

ASKED = 20
"""Names that one reading asks for; the others keep their place in the cursor for the next."""
KNOWN = 500
"""Names that a cursor holds."""
ZERO_ASKED = 3
"""How often a wallet is asked for after it was last seen to hold something. More than once, because
a report that was not recorded is not repeated by anything else.
"""

SIDES = ("net", "long", "short")


# ---- positions


class Position(NamedTuple):
    """qty: signed, "0" when flat. moved_ms: when the venue last changed it; 0: it does not say."""

    product: Product
    symbol: str
    side: str
    qty: str
    entry_price: str | None
    mark_price: str | None
    contract_size: str | None
    settle: str | None
    moved_ms: int


PositionKey = tuple[Product, str, str]


def positions(
    account: Account,
    cursor: Cursor,
    venue: str,
    listed: Iterable[Position],
    ask: Callable[[Product, str], Generator[Request, Any, list[Position] | None]],
) -> Generator[Request, Any, Page]:
    """ask: all that a venue says of one symbol, flat or not; None: it says nothing, so nothing is
    told of it. A symbol whose answer leaves a side out is flat there.
    """
    found = {_key(one): one for one in listed}
    known: set[PositionKey] = {(p, s, side) for p, s, side in cursor.get("held", ())}
    missing = _missing(account, known, found)
    for product, symbol in missing[:ASKED]:
        answer = yield from ask(product, symbol)
        if answer is None:
            continue
        found.update({_key(one): one for one in answer})
        sides = {side for p, s, side in known if (p, s) == (product, symbol)}
        for side in SIDES if not (answer or sides) else sides:
            if (product, symbol, side) not in found:
                found[product, symbol, side] = _flat(account, product, symbol, side)
    still = [one for one in found.values() if one.moved_ms < account.now_ms]
    moved = {_key(one) for one in found.values()} - {_key(one) for one in still}
    held = {_key(one) for one in still if sign(one.qty)}
    unasked = {key for key in known if key not in found}
    kept = sorted(held | moved | unasked)[:KNOWN]
    return Page([_observed(account, venue, one) for one in still], {"held": [*map(list, kept)]})


def _missing(
    account: Account, known: set[PositionKey], found: Mapping[PositionKey, Position]
) -> list[tuple[Product, str]]:
    named = {key[:2] for key in found}
    by_books = {key for key in account.held if key[0] != "spot" and key not in named}
    by_list = {key[:2] for key in known if key not in found}
    return sorted({*by_books, *by_list})


def _key(one: Position) -> PositionKey:
    return one.product, one.symbol, one.side


def _flat(account: Account, product: Product, symbol: str, side: str) -> Position:
    market = account.markets.get((product, symbol))  # none: it was delisted
    size, settle = (market.contract_size, market.settle) if market else (None, None)
    return Position(product, symbol, side, "0", None, None, size, settle, 0)


def _observed(account: Account, venue: str, one: Position) -> Found:
    return told(
        "position.observed.1",
        account_id=account.account_id,
        venue=venue,
        product=one.product,
        instrument=one.symbol,
        position_side=one.side,
        qty=one.qty,
        entry_price=one.entry_price if sign(one.qty) else None,
        mark_price=one.mark_price,
        contract_size=one.contract_size,
        settle_asset=one.settle,
        watermark_ms=account.now_ms,
    )


# ---- balances


class Wallet(NamedTuple):
    """wallet: without unrealized P&L. moved_ms: 0 where the venue does not say."""

    asset: str
    wallet: str
    moved_ms: int = 0


def balances(
    account: Account,
    cursor: Cursor,
    venue: str,
    listed: Iterable[Wallet],
    ask: Callable[[Sequence[str]], Generator[Request, Any, list[Wallet]]],
) -> Generator[Request, Any, Page]:
    """One wallet for all products. ask: of some assets; one that is then not answered is zero."""
    found = {one.asset: one for one in listed}
    known: Mapping[str, int] = cursor.get("assets", {})
    missing = sorted(asset for asset in known if asset not in found)[:ASKED]
    if missing:
        answered = {one.asset: one for one in (yield from ask(missing))}
        found |= {asset: answered.get(asset, Wallet(asset, "0")) for asset in missing}
    left = {asset: times for asset, times in known.items() if asset not in found}
    for asset, one in found.items():
        times = ZERO_ASKED if sign(one.wallet) else known.get(asset, 1) - 1
        if times > 0:
            left[asset] = times
    events = [
        told(
            "balance.observed.1",
            account_id=account.account_id,
            venue=venue,
            asset=one.asset,
            wallet=one.wallet,
            watermark_ms=account.now_ms,
        )
        for one in found.values()
        if one.moved_ms < account.now_ms
    ]
    return Page(events, {"assets": dict(sorted(left.items())[:KNOWN])})


# ---- orders

OrderState = Literal["placed", "filled", "canceled", "rejected"]


class Order(NamedTuple):
    """state: placed while it is open, filled when nothing of it is left, canceled, rejected."""

    product: Product
    symbol: str
    order_id: str
    client_order_id: str | None
    state: OrderState
    at_ms: int
    side: str
    order_type: str | None
    qty: str | None
    price: str | None
    stop_price: str | None
    reduce_only: bool | None
    reason: str | None = None


def orders(
    account: Account,
    cursor: Cursor,
    venue: str,
    listed: Iterable[Order],
    ask: Callable[[Product, str, str], Generator[Request, Any, Order | None]],
    *,
    cut: Collection[str] = (),
) -> Generator[Request, Any, Page]:
    """ask: by product, symbol and id; None: the venue does not know the order (any more).
    cut: products whose list did not reach its end: none of their orders has vanished.
    """
    open_now = {one.order_id: one for one in listed}
    known: Mapping[str, Sequence[str]] = cursor.get("open", {})
    kept = {one.order_id: [one.product, one.symbol, _mark(one)] for one in open_now.values()}
    events = [
        order_event(account, venue, one)
        for one in open_now.values()
        if known.get(one.order_id, ("", "", ""))[2] != _mark(one)
    ]
    vanished = [order_id for order_id in known if order_id not in open_now]
    left, more = ASKED, False
    for order_id in vanished:
        product, symbol, mark = cast("tuple[Product, str, str]", known[order_id])
        if product in cut:
            kept[order_id] = [product, symbol, mark]
            continue
        if left == 0:
            kept[order_id], more = [product, symbol, mark], True
            continue
        left -= 1
        ended = yield from ask(product, symbol, order_id)
        if ended is None:
            events.append(_gone(account, venue, product, symbol, order_id))
        elif ended.state == "placed":
            kept[order_id] = [product, symbol, mark]
        elif ended.state != "filled":  # of what was filled the fills tell
            events.append(order_event(account, venue, ended))
    return Page(events, {"open": dict(sorted(kept.items())[-KNOWN:])}, more=more)


def _mark(order: Order) -> str:
    """Changes when the order was amended, not when it was filled in part."""
    terms = json.dumps([order.qty, order.price, order.stop_price])
    return blake2b(terms.encode(), digest_size=6).hexdigest()


def order_event(account: Account, venue: str, one: Order) -> Found:
    return told(
        f"order.{one.state}.1",
        account_id=account.account_id,
        venue=venue,
        product=one.product,
        instrument=one.symbol,
        order_id=one.order_id,
        client_order_id=one.client_order_id,
        at_ms=one.at_ms,
        side=one.side,
        order_type=one.order_type,
        qty=one.qty,
        price=one.price,
        stop_price=one.stop_price,
        reduce_only=one.reduce_only,
        reason=one.reason,
    )


def _gone(account: Account, venue: str, product: str, symbol: str, order_id: str) -> Found:
    return told(
        "order.canceled.1",
        account_id=account.account_id,
        venue=venue,
        product=product,
        instrument=symbol,
        order_id=order_id,
        at_ms=account.now_ms,
        reason="it is open no more, and the venue does not know how it ended",
    )


def told(type_: str, **body: Any) -> Found:
    """An event; what is None was not said."""
    return Found(type_, {name: value for name, value in body.items() if value is not None})
