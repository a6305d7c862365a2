"""What a venue is to the sync: a row of readings. A reading decides; others send and store.

A reading is a generator: it yields the requests it needs, is sent each answer (JSON whose numbers
are the venue's own text), and returns a Page. It knows no clock, no connection and no database, so
the same code runs against a real venue, the local one and a list of answers in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Kind = Literal["positions", "balances", "cash", "fills", "orders"]
KINDS: tuple[Kind, ...] = ("positions", "balances", "cash", "fills", "orders")
"""In the order of a run: snapshots first, then what moved, so that what a snapshot contains has
been read when it is judged.
"""

Product = Literal["linear", "inverse", "spot"]
Cursor = Mapping[str, Any]
"""Where a reading goes on; JSON, and its own business. Empty at the first run."""


class Request(NamedTuple):
    """One request.

    section, method, path: as ccxt's `sign` takes them (`fapiPrivate`, `GET`, `userTrades`).
    weight: of the venue's documentation, for the reservation; the answer's headers correct it.
    """

    section: str
    method: str
    path: str
    params: Mapping[str, str | int]
    weight: int


class Market(NamedTuple):
    """An instrument, by the venue's own symbol."""

    symbol: str
    product: Product
    base: str
    quote: str
    settle: str
    contract_size: str


class Account(NamedTuple):
    """What a reading may know. now_ms: the venue's clock when the run began.

    since_ms: nothing before it is asked for; what was held then is an opening. markets: by product
    and symbol. held: instruments that the books or the last snapshot say are held.
    """

    account_id: int
    products: Sequence[Product]
    markets: Mapping[tuple[Product, str], Market]
    now_ms: int
    since_ms: int
    held: Sequence[tuple[Product, str]] = ()


class Found(NamedTuple):
    """One event to be recorded: type and body of the contract, amounts as the venue wrote them."""

    type: str
    body: Mapping[str, Any]


class Page(NamedTuple):
    """What a reading found.

    cursor: where the next one goes on; committed with the events. through_ms: the account's history
    is complete up to this time, as far as this kind tells; None: nothing new is known about it.
    more: the bound of pages was reached, run again at once. wanted: symbols whose fills should be
    read now, because something moved there, with the time it moved (0: not known). The run hands
    them to the reading of fills as its cursor's "wanted" (the same mapping, merged); what it has
    served it leaves out of the cursor that it returns.
    """

    events: Sequence[Found]
    cursor: Cursor
    through_ms: int | None = None
    more: bool = False
    wanted: Mapping[str, int] = {}


Reading = Generator[Request, Any, Page]


class Permissions(NamedTuple):
    """What a key may do, as the venue says. None: it does not say."""

    withdraw: bool | None
    trade: bool | None = None
    uid: str | None = None


class Weights(NamedTuple):
    """The venue's budget per egress address.

    used_header: of an answer, with the weight used in this window; "": the venue sends none.
    """

    per_window: int
    window_ms: int
    used_header: str = ""


class Venue(NamedTuple):
    """One row.

    name: `venue` of accounts and events. products: what an account of it may hold. ccxt_class:
    signs, addresses, symbols, errors. per_account: further limits per account, by name of Request's
    path or "" for all: (requests, milliseconds).
    """

    name: str
    products: Sequence[Product]
    ccxt_class: str
    weights: Weights
    readings: Mapping[Kind, Callable[[Account, Cursor], Reading]]
    permissions: Callable[[], Generator[Request, Any, Permissions]]
    per_account: Mapping[str, tuple[int, int]] = {}
