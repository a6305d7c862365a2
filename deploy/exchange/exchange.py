"""The exchange: its markets, accounts, clock and numbers, and all that can happen to an account.

Not thread-safe: it belongs to the loop of its server. From another thread go by `Running.do`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import count

from deploy.exchange import books
from deploy.exchange.amounts import ZERO, exact, rounded
from deploy.exchange.faults import Faults
from deploy.exchange.limits import Limiter
from deploy.exchange.state import (
    Account,
    Entry,
    Fill,
    FillKind,
    Happened,
    ListenKey,
    Market,
    Order,
    PositionSide,
    Product,
    Rules,
)
from deploy.exchange.streams import Streams

Amount = str | int | Fraction
OWN_REFS = {"trade", "funding"}
"""Kinds of entries that are numbered apart, so that a ref alone names nothing."""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Exchange:
    """Every venue of one server. rules: by venue. clock: milliseconds, injected in tests."""

    def __init__(
        self,
        rules: dict[str, Rules],
        markets: Iterable[Market],
        *,
        scale: int = 1,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self.rules = rules
        self.scale = scale
        self.clock = clock
        self.skew_ms: dict[str, int] = defaultdict(int)
        self.markets = {(market.venue, market.product, market.symbol): market for market in markets}
        self.accounts: dict[tuple[str, str], Account] = {}
        self.faults = Faults()
        self.limiter = Limiter(clock, scale)
        self.listen_keys: dict[str, ListenKey] = {}
        self.streams = Streams()
        self._seq = count(1)
        self._order_ids = count(8_000_001)
        self._refs: dict[tuple[str, str], count[int]] = defaultdict(lambda: count(9_001))

    def now_ms(self, venue: str) -> int:
        """The venue's own clock, which a fault may have put off."""
        return self.clock() + self.skew_ms[venue]

    def market(self, venue: str, product: Product, symbol: str) -> Market:
        """KeyError: the venue has no such market."""
        return self.markets[venue, product, symbol]

    def markets_of(self, venue: str, *products: Product) -> list[Market]:
        return [
            market
            for (owner, product, _), market in self.markets.items()
            if owner == venue and product in products
        ]

    def add_account(self, account: Account) -> Account:
        if (account.venue, account.api_key) in self.accounts:
            raise ValueError(f"{account.venue} has an account with key {account.api_key} already")
        self.accounts[account.venue, account.api_key] = account
        return account

    def trade(
        self,
        account: Account,
        market: Market,
        side: str,
        qty: Amount,
        price: Amount,
        *,
        at_ms: int | None = None,
        position_side: PositionSide = "net",
        fee: Amount | None = None,
        fee_asset: str = "",
        fee_known: bool = True,
        maker: bool = False,
        kind: FillKind = "normal",
        order: Order | None = None,
        client_order_id: str = "",
        trade_id: int | None = None,
        hidden: bool = False,
    ) -> Fill:
        """Book one fill and tell of it. at_ms: now, if not said.

        fee: in fee_asset, negative for a rebate; without it the venue's rate, in the asset that was
        received (spot) or the settle asset. fee_known: False leaves it out until `settle_fee`.
        trade_id: the one of the other side, for a self-trade. Without an order one is made.
        """
        when = self.now_ms(account.venue) if at_ms is None else at_ms
        amount, at = exact(qty), exact(price)
        taken_by = order or self._made_order(
            account, market, side, amount, at, position_side, client_order_id, kind, when
        )
        charged, asset = self._fee(market, side, amount, at, maker, fee, fee_asset)
        fill = Fill(
            next(self._seq), when, self._trade_id(market, trade_id), market, taken_by, side,
            amount, at, position_side, ZERO, ZERO, charged if fee_known else None, asset,
            maker, kind, hidden=hidden,
        )  # fmt: skip
        if market.product == "spot":
            entries = self._book_spot(account, fill)
        else:
            entries = self._book_contract(account, fill)
        self._advance(account, taken_by, fill)
        account.add_fill(fill)
        tell(account, Happened("fill", account, when, taken_by, fill, tuple(entries)))
        return fill

    def settle_fee(self, account: Account, fill: Fill, fee: Amount, asset: str = "") -> Entry:
        """The fee of a fill that was booked without: the row changes, the wallet pays now."""
        if fill.fee is not None:
            raise ValueError(f"the fee of {fill.trade_id} is known")
        fill.fee, fill.fee_asset = exact(fee), asset or fill.fee_asset
        fill.revision += 1
        fill.row = None
        if fill.market.product != "spot":
            position = books.position_of(account, fill.market, fill.position_side)
            position.fees += fill.fee
        pocket = self._pocket(account, fill.market.product)
        entry = self._entry(
            account, "trade", fill.fee_asset, pocket, fee=fill.fee, fill=fill,
            at_ms=self.now_ms(account.venue),
        )  # fmt: skip
        tell(account, Happened("fill", account, entry.at_ms, fill.order, fill, (entry,)))
        return entry

    def fund(
        self,
        account: Account,
        market: Market,
        *,
        rate: Amount | None = None,
        amount: Amount | None = None,
        asset: str = "",
        position_side: PositionSide = "net",
        at_ms: int | None = None,
    ) -> Entry:
        """Funding of a position: by rate (a long pays a positive one) or as an amount received."""
        position = books.position_of(account, market, position_side)
        share = exact(rate or 0)
        paid = books.value_of(market, position.qty, market.mark) * share
        received = exact(amount) if amount is not None else -paid
        received = rounded(received, self.rules[account.venue].places)
        position.funding += received
        entry = self._entry(
            account, "funding", asset or market.settle, self._pocket(account, market.product),
            funding=received, market=market, position_side=position_side, rate=share,
            position_qty=position.qty, at_ms=at_ms,
        )  # fmt: skip
        tell(account, Happened("cash", account, entry.at_ms, entries=(entry,)))
        return entry

    def move(
        self,
        account: Account,
        kind: str,
        asset: str,
        amount: Amount,
        *,
        product: Product | None = None,
        market: Market | None = None,
        at_ms: int | None = None,
        fee: Amount = 0,
        note: str = "",
        hidden: bool = False,
    ) -> Entry:
        """Anything but trades and funding, as `Entry.kind` has it; amount: positive received.

        note: the venue's own type, where the front's choice for the kind is not meant.
        """
        pocket = self._pocket(account, product or account.products[0])
        entry = self._entry(
            account, kind, asset, pocket, cash=exact(amount), fee=exact(fee), market=market,
            at_ms=at_ms, note=note,
        )  # fmt: skip
        entry.hidden = hidden
        tell(account, Happened("cash", account, entry.at_ms, entries=(entry,)))
        return entry

    def place(
        self,
        account: Account,
        market: Market,
        side: str,
        qty: Amount,
        price: Amount = 0,
        *,
        type_: str = "limit",
        position_side: PositionSide = "net",
        client_order_id: str = "",
        reduce_only: bool = False,
        stop_price: Amount = 0,
        at_ms: int | None = None,
    ) -> Order:
        """An open order. It fills only when `trade` names it."""
        when = self.now_ms(account.venue) if at_ms is None else at_ms
        order_id = next(self._order_ids)
        order = Order(
            order_id, client_order_id or f"web_{order_id}", market, side, type_, exact(qty),
            exact(price), position_side, "new", when, when, reduce_only, exact(stop_price),
        )  # fmt: skip
        account.orders[order_id] = account.open_orders[order_id] = order
        tell(account, Happened("order", account, when, order))
        return order

    def cancel(self, account: Account, order: Order, status: str = "canceled") -> None:
        """End an open order."""
        order.status, order.updated_ms = status, self.now_ms(account.venue)
        account.open_orders.pop(order.order_id, None)
        tell(account, Happened("order", account, order.updated_ms, order))

    # -- how it is booked --------------------------------------------------------------------------

    def _made_order(  # noqa: PLR0917 - a trade taken apart
        self,
        account: Account,
        market: Market,
        side: str,
        qty: Fraction,
        price: Fraction,
        position_side: PositionSide,
        client_order_id: str,
        kind: FillKind,
        at_ms: int,
    ) -> Order:
        """The order of a trade that named none: not told of before its fill."""
        order_id = next(self._order_ids)
        begins = self.rules[account.venue].forced.get(kind, "web_")
        order = Order(
            order_id, client_order_id or f"{begins}{order_id}", market, side, "market", qty, price,
            position_side, "new", at_ms, at_ms,
        )  # fmt: skip
        account.orders[order_id] = account.open_orders[order_id] = order
        return order

    @staticmethod
    def _advance(account: Account, order: Order, fill: Fill) -> None:
        order.filled += fill.qty
        order.spent += fill.qty * fill.price
        order.updated_ms = max(order.updated_ms, fill.at_ms)
        order.status = "filled" if order.filled >= order.qty else "partly_filled"
        if order.status == "filled":
            account.open_orders.pop(order.order_id, None)

    @staticmethod
    def _trade_id(market: Market, given: int | None) -> int:
        if given is not None:
            return given
        market.next_trade_id += 1
        return market.next_trade_id

    def _fee(  # noqa: PLR0917 - a trade taken apart
        self,
        market: Market,
        side: str,
        qty: Fraction,
        price: Fraction,
        maker: bool,  # noqa: FBT001 - a side of the trade, passed on
        given: Amount | None,
        asset: str,
    ) -> tuple[Fraction, str]:
        """(fee, its asset)."""
        spot = market.product == "spot"
        received = market.base if side == "buy" else market.quote
        charged_in = asset or (received if spot else market.settle)
        rules = self.rules[market.venue]
        if given is not None:
            return rounded(exact(given), rules.places), charged_in
        rate = rules.maker if maker else rules.taker
        if spot and charged_in == market.base:
            return rounded(qty * Fraction(rate), rules.places), charged_in
        return books.fee_of(rules, market, qty, price, rate), charged_in

    def _book_contract(self, account: Account, fill: Fill) -> list[Entry]:
        market, rules = fill.market, self.rules[account.venue]
        position = books.position_of(account, market, fill.position_side)
        opened = not position.qty
        signed = fill.qty if fill.side == "buy" else -fill.qty
        closed = books.apply_fill(position, signed, fill.price)
        fill.closed_qty, fill.realized = closed.qty, rounded(closed.realized, rules.places)
        position.realized += fill.realized
        position.fees += fill.fee or ZERO
        position.updated_ms = max(position.updated_ms, fill.at_ms)
        if opened or position.qty * signed > 0 < closed.qty:
            position.opened_ms = fill.at_ms
        moved = defaultdict(lambda: [ZERO, ZERO], {market.settle: [fill.realized, ZERO]})
        moved[fill.fee_asset][1] += fill.fee or ZERO
        return self._trade_entries(account, fill, moved, position.qty)

    def _book_spot(self, account: Account, fill: Fill) -> list[Entry]:
        market, rules = fill.market, self.rules[account.venue]
        sign = 1 if fill.side == "buy" else -1
        spent = rounded(fill.qty * fill.price, rules.places)
        moved = defaultdict(
            lambda: [ZERO, ZERO],
            {market.base: [sign * fill.qty, ZERO], market.quote: [-sign * spent, ZERO]},
        )
        moved[fill.fee_asset][1] += fill.fee or ZERO
        return self._trade_entries(account, fill, moved, ZERO)

    def _trade_entries(
        self, account: Account, fill: Fill, moved: dict[str, list[Fraction]], left: Fraction
    ) -> list[Entry]:
        """One entry for each asset: (cash, fee) of `moved`."""
        pocket = self._pocket(account, fill.market.product)
        return [
            self._entry(
                account, "trade", asset, pocket, cash=cash, fee=fee, fill=fill,
                position_qty=left, at_ms=fill.at_ms,
            )
            for asset, (cash, fee) in moved.items()
        ]  # fmt: skip

    def _entry(
        self,
        account: Account,
        kind: str,
        asset: str,
        pocket: str,
        *,
        cash: Fraction = ZERO,
        fee: Fraction = ZERO,
        funding: Fraction = ZERO,
        market: Market | None = None,
        fill: Fill | None = None,
        position_side: PositionSide = "net",
        position_qty: Fraction = ZERO,
        rate: Fraction = ZERO,
        at_ms: int | None = None,
        note: str = "",
    ) -> Entry:
        when = self.now_ms(account.venue) if at_ms is None else at_ms
        entry = Entry(
            next(self._seq),
            when,
            kind,
            asset,
            pocket,
            next(self._refs[account.venue, kind if kind in OWN_REFS else ""]),
            cash,
            fee,
            funding,
            books.change_wallet(account, pocket, asset, cash + funding - fee, when),
            fill.market if fill else market,
            fill,
            fill.position_side if fill else position_side,
            position_qty,
            rate,
            note,
            hidden=bool(fill and fill.hidden),
        )
        account.add_entry(entry)
        return entry

    def _pocket(self, account: Account, product: Product) -> str:
        return books.pocket_of(self.rules[account.venue], product)


def tell(account: Account, happened: Happened) -> None:
    """Listeners (websocket streams) in the order they came; they must not raise."""
    for listener in list(account.listeners):
        listener(happened)
