"""An account at the local exchange, read as the sync reads it: one question after the other, signed
by ccxt, with a clock that the test holds.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from shared.exchanges.answers import Answer, parsed
from shared.exchanges.errors import Refused
from shared.exchanges.keys import Keys
from shared.exchanges.markets import Markets
from shared.exchanges.public import read_markets
from shared.exchanges.signing import Signer
from shared.exchanges.table import VENUES
from shared.exchanges.venue import KINDS, Account, Cursor, Found, Kind, Page, Product, Request
from shared.exchanges.verdicts import Said, verdict
from shared.ledger.fill import Fill, FillReport, merge, order_key, read_report
from shared.ledger.position import FLAT, legs
from shared.mysql.book import Book
from shared.streams.decode import routes
from shared.streams.event import Event
from workers.registry import EVENTS

T = TypeVar("T")
ACCOUNT = 7
KEYS = Keys("key-of-seven", "secret-of-seven", "phrase-of-seven", "7")
START_MS = 1_790_000_000_000
PAGES = 500
UNIT = Fraction(1, 10**8)
"""Of the last decimal of a wallet."""
SNAPSHOTS = {"position.observed.1", "balance.observed.1"}
ROUTES = routes(EVENTS)


@dataclass
class Clock:
    """The exchange's, in milliseconds."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def pass_(self, milliseconds: int) -> None:
        self.now_ms += milliseconds


@cache
def markets_at(venue: str, product: Product, url: str) -> Markets:
    """As ccxt reads them of the server."""
    return read_markets(VENUES[venue, product], None, url).markets


@dataclass
class Sync:
    """Readings of one account, with their cursors and everything that they told."""

    running: Any
    clock: Clock
    venue: str
    product: Product
    since_ms: int = START_MS
    held: Sequence[tuple[Product, str]] = ()
    cursors: dict[Kind, Cursor] = field(default_factory=dict)
    pages: list[tuple[dict[Kind, Cursor], list[Found]]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.row = VENUES[self.venue, self.product]
        self.markets = markets_at(self.venue, self.product, self.running.url)
        self._signer = Signer(self.row, self.clock, self.running.url)
        self._connection = http.client.HTTPConnection(urlsplit(self.running.url).netloc)

    def close(self) -> None:
        self._connection.close()

    def desk(self, verb: str, /, **arguments: Any) -> Any:
        """A verb of the exchange's desk about this account."""
        named = {"venue": self.venue, "api_key": KEYS.api_key, **arguments}
        return self.running.do(lambda desk: desk.do(verb, named))

    def desk_fault(self, kind: str, **more: Any) -> None:
        """A fault of the next answers of this venue."""
        self.running.do(lambda desk: desk.fault(kind, venue=self.venue, **more))

    def trade(self, symbol: str, side: str, qty: str, price: str, **more: Any) -> Any:
        """A fill (or `repeat` of them) at the exchange."""
        given = {"product": self.product, "symbol": symbol, "side": side, "qty": qty}
        return self.desk("trade", price=price, **{**given, **more})

    @property
    def account(self) -> Account:
        return Account(
            ACCOUNT, self.row.products, self.markets, self.clock(), self.since_ms, self.held
        )

    def run(self) -> list[Found]:
        """A run over every kind, until nothing is left to be read; what it told."""
        told: list[Found] = []
        before = dict(self.cursors)
        wanted: dict[str, int] = {}
        for kind in KINDS:
            if kind == "fills":
                self.want(wanted)
                wanted = {}
            for _ in range(PAGES if kind in self.row.readings else 0):
                page = self.read(kind)
                told += page.events
                wanted |= page.wanted
                if not page.more:
                    break
            else:
                assert kind not in self.row.readings, f"{kind} does not come to an end"
        self.want(wanted)
        self.pages.append((before, told))
        return told

    def read(self, kind: Kind) -> Page:
        """One page, with the cursor that it leaves."""
        page: Page = self.ask(self.row.readings[kind](self.account, self.cursors.get(kind, {})))
        self.cursors[kind] = json.loads(json.dumps(page.cursor))  # as it is kept
        return page

    def want(self, wanted: Mapping[str, int]) -> None:
        """Symbols whose fills are read next."""
        if wanted:
            fills = self.cursors.get("fills", {})
            self.cursors["fills"] = {**fills, "wanted": {**fills.get("wanted", {}), **wanted}}

    def ask(self, reading: Generator[Request, Any, T]) -> T:
        """What the reading returns."""
        try:
            request = next(reading)
            while True:
                answer = self._send(request)
                refused = answer if isinstance(answer, Refused) else None
                request = reading.throw(refused) if refused else reading.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, request: Request) -> Any:
        self.asked[request.path] += 1
        self.asked["weight"] += request.weight
        self.running.do(lambda desk: desk.exchange.limiter.windows.clear())  # limits are not ours
        signed = self._signer.sign(request, KEYS)
        target = signed.url.removeprefix(self.running.url)
        self._connection.request(
            request.method, target, body=signed.body, headers=dict(signed.headers or {})
        )
        response = self._connection.getresponse()
        body = response.read()
        value = parsed(body.decode())
        answer = Answer(response.status, response.headers, body)
        found = self._signer.judge(request, signed, answer, body.decode(), value)
        if found is None and response.status == 200:
            return value
        error = verdict(self.row, answer, found, Said("", body.decode()[:200]), self.clock())
        if isinstance(error, Refused):
            return error
        raise error

    @property
    def told(self) -> list[Found]:
        """Everything so far."""
        return [found for _, events in self.pages for found in events]

    def truth(self) -> dict[str, Any]:
        truth: dict[str, Any] = self.desk("truth")
        return truth


def news(events: Iterable[Found]) -> list[Found]:
    """Without snapshots, which are told in every run."""
    return [found for found in events if found.type not in SNAPSHOTS]


def of_type(events: Iterable[Found], type_: str) -> list[Mapping[str, Any]]:
    return [found.body for found in events if found.type == type_]


def assert_valid(events: Iterable[Found]) -> None:
    """As the stream workers read them."""
    for type_, body in events:
        route = ROUTES[type_.encode()]
        route.check(route.validate(json.dumps(body).encode()), str(ACCOUNT))


def record(books: Any, told: Iterable[Found]) -> None:
    """Books them in one transaction, as the workers of the stream do; books: a connection."""
    by_type: dict[str, list[Event[Any]]] = {}
    for number, (type_, body) in enumerate(told):
        data, at = json.dumps(body).encode(), f"{number}-0"
        valid = ROUTES[type_.encode()].validate(data)
        event = Event("orders", 0, at, type_, str(ACCOUNT), at, 0, data, None, valid)
        by_type.setdefault(type_, []).append(event)
    book = Book(books)
    book.lock_accounts({ACCOUNT})
    for type_, events in by_type.items():
        EVENTS[type_].apply(book, events)
    books.commit()


def fills_of(events: Iterable[Found]) -> dict[tuple[Any, ...], Fill]:
    """Every fill once, as the ledger merges its reports; no two of them contradict each other."""
    reports: dict[tuple[Any, ...], list[FillReport]] = defaultdict(list)
    for body in of_type(events, "order.filled.1"):
        report = read_report(json.dumps(body))
        reports[report[:5]].append(report)
    merged = {key: merge(found) for key, found in reports.items()}
    assert {key: conflicts for key, (_, conflicts) in merged.items() if conflicts} == {}
    return {key: fill for key, (fill, _) in merged.items()}


def cash_of(events: Iterable[Found]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Every cash row once; what is told twice is told alike."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for body in of_type(events, "cash.moved.1"):
        key = tuple(body.get(name) for name in ("venue_type", "ref", "asset", "instrument"))
        assert found.setdefault(key, body) == body
    return found


# -- against the truth -----------------------------------------------------------------------------


def exact(text: Any) -> Fraction:
    return Fraction(Decimal(text))


def true_fills(truth: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    return {
        (
            one["product"], one["symbol"], str(one["trade_id"]), one["side"], one["position_side"],
            exact(one["qty"]), exact(one["price"]), one["at_ms"],
            None if one["fee"] is None else exact(one["fee"]),
            one["fee_asset"] if one["fee"] is not None else None,
        )
        for one in truth["fills"]
    }  # fmt: skip


def told_fills(events: Iterable[Found]) -> set[tuple[Any, ...]]:
    """As `true_fills`."""
    return {
        (
            one.product, one.instrument, _number(one.trade_id), one.side, one.position_side,
            exact(one.qty), exact(one.price), one.executed_at_ms,
            None if one.fee is None else exact(one.fee), one.fee_asset,
        )
        for one in fills_of(events).values()
    }  # fmt: skip


def true_wallets(truth: Mapping[str, Any]) -> dict[str, Fraction]:
    """By asset: the accounts of these tests have one product."""
    wallets = [(asset, exact(amount)) for one in truth["wallets"].values()
               for asset, amount in one.items()]  # fmt: skip
    return {asset: amount for asset, amount in wallets if amount}


def assert_explained(events: Sequence[Found], wallets: Mapping[str, Fraction]) -> None:
    """The events add up to the wallets, as reconciliation adds them (shared/decisions/0014): the
    venue's rows; where it has none of a kind, the fills stand in. Exactly, but for figures of fills
    that the venue rounds: each may be off by one unit.
    """
    cash = cash_of(events).values()
    sent = {(body["asset"], body["kind"]) for body in cash}
    sums: dict[str, Fraction] = defaultdict(Fraction)
    rounded: Counter[str] = Counter()
    for body in cash:
        sums[body["asset"]] += exact(body["amount"])
    fills = fills_of(events)
    for fill in fills.values():
        if fill.fee is not None and (fill.fee_asset, "commission") not in sent:
            sums[str(fill.fee_asset)] -= exact(fill.fee)
        if fill.product == "spot":
            sign = 1 if fill.side == "buy" else -1
            if (fill.base_asset, "realized") not in sent:
                sums[str(fill.base_asset)] += sign * exact(fill.qty)
            if (fill.quote_asset, "realized") not in sent:
                sums[str(fill.quote_asset)] -= sign * exact(fill.value)
                rounded[str(fill.quote_asset)] += (exact(fill.value) / UNIT).denominator > 1
    for asset, realized in realized_of(fills.values()):
        if realized and (asset, "realized") not in sent:
            sums[asset] += realized
            rounded[asset] += 1
    apart = {
        asset: float(sums[asset] - wallets.get(asset, 0))
        for asset in sums.keys() | wallets.keys()
        if abs(sums[asset] - wallets.get(asset, 0)) > rounded[asset] * UNIT
    }
    assert apart == {}


def realized_of(fills: Iterable[Fill]) -> Iterator[tuple[str, Fraction]]:
    """(settle asset, realized P&L) of each fill of a contract, by our own fold."""
    by_position: dict[tuple[str, str, str], list[Fill]] = defaultdict(list)
    for fill in fills:
        if fill.product != "spot":
            key = (fill.product, fill.instrument, fill.position_side)
            by_position[key].append(fill)
    for (product, _, _), own in by_position.items():
        for leg in legs(FLAT, sorted(own, key=order_key), product):
            yield leg.fill.settle_asset, exact(leg.realized)


def reported_wallets(events: Iterable[Found]) -> dict[str, Fraction]:
    """Of the newest reports that hold anything."""
    found = {one["asset"]: exact(one["wallet"]) for one in of_type(events, "balance.observed.1")}
    return {asset: amount for asset, amount in found.items() if amount}


def true_positions(truth: Mapping[str, Any]) -> dict[tuple[str, str, str], Fraction]:
    """Open contracts."""
    found = {
        (one["product"], one["symbol"], one["side"]): exact(one["qty"])
        for one in truth["positions"]
        if one["product"] != "spot"
    }
    return {key: qty for key, qty in found.items() if qty}


def reported_positions(events: Iterable[Found]) -> dict[tuple[str, str, str], Fraction]:
    """Of the newest reports that hold anything."""
    found = {
        (one["product"], one["instrument"], one["position_side"]): exact(one["qty"])
        for one in of_type(events, "position.observed.1")
    }
    return {key: qty for key, qty in found.items() if qty}


def folded_positions(events: Iterable[Found]) -> dict[tuple[str, str, str], Fraction]:
    """What the fills add up to."""
    found: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for fill in fills_of(events).values():
        if fill.product != "spot":
            key = (fill.product, fill.instrument, fill.position_side)
            found[key] += exact(fill.qty) * (1 if fill.side == "buy" else -1)
    return {key: qty for key, qty in found.items() if qty}


def assert_tied(sync: Sync, last: Sequence[Found]) -> None:
    """Everything that was told is what happened, and all of it. last: of the last run."""
    assert_valid(sync.told)
    truth = sync.truth()
    assert told_fills(sync.told) == true_fills(truth)
    assert_explained(sync.told, true_wallets(truth))
    assert reported_wallets(last) == true_wallets(truth)
    assert reported_positions(last) == true_positions(truth)
    assert folded_positions(sync.told) == true_positions(truth)


def _number(trade_id: str) -> str:
    """The exchange's own number; Bybit's ids are UUIDs that end in it."""
    _, is_uuid, last = trade_id.rpartition("-")
    return str(int(last, 16)) if is_uuid else trade_id
