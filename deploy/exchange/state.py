"""What the exchange knows: markets, accounts, orders, fills, ledger entries, positions.

Plain data. `books.py` changes it, a venue's front turns it into the venue's JSON. Amounts are
fractions; times are milliseconds of the venue's clock.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

Product = Literal["linear", "inverse", "spot"]
PositionSide = Literal["net", "long", "short"]
FillKind = Literal["normal", "liquidation", "adl", "settlement"]


class Rules(NamedTuple):
    """How a venue books.

    places: every movement of a wallet is rounded to so many decimals. pockets: one wallet for each
    product (Binance) instead of one for all (Bybit, OKX). maker, taker: fee rates. forced: how
    client order ids of liquidations and the like begin, by kind of fill.
    """

    places: int = 8
    pockets: bool = False
    maker: str = "0.0002"
    taker: str = "0.0005"
    forced: Mapping[str, str] = {}


@dataclass(slots=True, eq=False)
class Market:
    """An instrument by the venue's own symbol. contract_size: base (linear) or quote (inverse)."""

    venue: str
    product: Product
    symbol: str
    base: str
    quote: str
    settle: str
    tick: str
    step: str
    mark: Fraction
    contract_size: Fraction = Fraction(1)
    status: str = "TRADING"
    next_trade_id: int = 1_000


@dataclass(slots=True, eq=False)
class Order:
    """status: new, partly_filled, filled, canceled, rejected, expired."""

    order_id: int
    client_order_id: str
    market: Market
    side: str
    type: str
    qty: Fraction
    price: Fraction
    position_side: PositionSide
    status: str
    created_ms: int
    updated_ms: int
    reduce_only: bool = False
    stop_price: Fraction = Fraction(0)
    filled: Fraction = Fraction(0)
    spent: Fraction = Fraction(0)
    """Sum of quantity times price of its fills."""

    @property
    def open(self) -> bool:
        return self.status in {"new", "partly_filled"}


@dataclass(slots=True, eq=False)
class Fill:
    """One trade of an account.

    trade_id: of the market, so that it repeats on other symbols; a self-trade has it twice, once a
    side. seq: of the whole exchange, in the order of booking. fee: paid when positive, None: not
    known yet. realized: price only, rounded as the venue rounds. hidden: booked, but not shown yet
    (a late row). row: the front may keep its JSON here; it is emptied when the fill changes.
    """

    seq: int
    at_ms: int
    trade_id: int
    market: Market
    order: Order
    side: str
    qty: Fraction
    price: Fraction
    position_side: PositionSide
    realized: Fraction
    closed_qty: Fraction
    fee: Fraction | None
    fee_asset: str
    maker: bool
    kind: FillKind
    revision: int = 1
    hidden: bool = False
    row: Any = None


@dataclass(slots=True, eq=False)
class Entry:
    """A movement of one asset of one wallet. It changed by cash + funding - fee; after: the wallet.

    kind: trade (of `fill`), funding, deposit, withdrawal, transfer_in, transfer_out, bonus, rebate,
    liquidation_fee, insurance, interest, conversion, other. A derivative's trade has the realized
    P&L as cash, a spot trade what was bought or sold. ref: the venue's id, unique
    among trades, among funding and among all else, but not between these.
    position_qty: of the position after it, where it has a market.
    """

    seq: int
    at_ms: int
    kind: str
    asset: str
    pocket: str
    ref: int
    cash: Fraction
    fee: Fraction
    funding: Fraction
    after: Fraction
    market: Market | None = None
    fill: Fill | None = None
    position_side: PositionSide = "net"
    position_qty: Fraction = Fraction(0)
    rate: Fraction = Fraction(0)
    note: str = ""
    hidden: bool = False
    row: Any = None

    @property
    def change(self) -> Fraction:
        return self.cash + self.funding - self.fee


@dataclass(slots=True)
class Position:
    """qty and cost are negative for a short; cost: of what is open, in quote (inverse: base)."""

    market: Market
    side: PositionSide
    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    realized: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)
    updated_ms: int = 0
    opened_ms: int = 0

    @property
    def entry(self) -> Fraction:
        """Average entry price: arithmetic for linear, harmonic for inverse; 0 when flat."""
        if not self.qty:
            return Fraction(0)
        size = self.qty * self.market.contract_size
        return size / self.cost if self.market.product == "inverse" else self.cost / size

    @property
    def unrealized(self) -> Fraction:
        """At the market's mark, in the settle asset."""
        size = self.qty * self.market.contract_size
        if self.market.product == "inverse":
            return self.cost - size / self.market.mark
        return size * self.market.mark - self.cost


PositionKey = tuple[Product, str, PositionSide]


class Snapshot(NamedTuple):
    """What an account holds: (pocket, asset) -> wallet, and positions; moved_ms: of wallets."""

    wallets: dict[tuple[str, str], Fraction]
    positions: dict[PositionKey, Position]
    moved_ms: dict[tuple[str, str], int]


class ListenKey(NamedTuple):
    """Of a user data stream, for venues that give one out."""

    account: Account
    product: Product
    expires_ms: int


class Happened(NamedTuple):
    """Told to listeners right after it was booked. kind: fill, cash, order."""

    kind: str
    account: Account
    at_ms: int
    order: Order | None = None
    fill: Fill | None = None
    entries: tuple[Entry, ...] = ()
    """The movements that came with it."""


def _order_of(row: Fill | Entry) -> tuple[int, int]:
    return row.at_ms, row.seq


@dataclass(slots=True, eq=False)
class Account:
    """fills, entries: in the order of time. by_symbol: fills of a market in the order of ids."""

    venue: str
    uid: str
    api_key: str
    secret: str
    passphrase: str = ""
    products: tuple[Product, ...] = ("linear",)
    hedge: bool = False
    withdraw: bool = False
    revoked: bool = False
    frozen: bool = False
    """The venue answers but refuses orders."""
    live: Snapshot = field(default_factory=lambda: Snapshot({}, {}, {}))
    stale: Snapshot | None = None
    """While set, snapshots are answered from it: it was taken before the newest fills."""
    fills: list[Fill] = field(default_factory=list)
    by_symbol: dict[tuple[Product, str], list[Fill]] = field(
        default_factory=lambda: defaultdict(list)
    )
    entries: list[Entry] = field(default_factory=list)
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    listeners: list[Callable[[Happened], None]] = field(default_factory=list)
    answers: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """A front's own: prepared JSON by name, with the state that it was made of."""

    @property
    def shown(self) -> Snapshot:
        """What an answer about balances and positions contains."""
        return self.stale or self.live

    def add_fill(self, fill: Fill) -> None:
        insort(self.fills, fill, key=_order_of)
        self.by_symbol[fill.market.product, fill.market.symbol].append(fill)

    def add_entry(self, entry: Entry) -> None:
        insort(self.entries, entry, key=_order_of)
