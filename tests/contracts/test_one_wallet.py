"""One wallet for linear, inverse and spot: what the readings tell explains it, on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from deploy.exchange.server import Running, new_exchange
from shared.exchanges.venue import Found
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.event import Event
from tests.reports import Desk
from tests.venue_world import ACCOUNT, KEYS, ROUTES, START_MS, Clock, Sync, of_type
from workers.registry import EVENTS

pytestmark = pytest.mark.database

PRODUCTS = ("linear", "inverse", "spot")
ASSETS = ("USDT", "USDC", "BTC", "ETH", "BNB")
MINUTE_MS = 60_000


@pytest.fixture
def desk(mysql_connection: Any, settings_for: Callable[..., Settings]) -> Iterator[Desk]:
    """Recording as the role streams, comparing as the role jobs."""
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Desk(mysql_connection, connection, settings)


@pytest.fixture(params=["bybit", "okx"])
def venue(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def sync(venue: str) -> Iterator[Sync]:
    clock = Clock()
    with Running(new_exchange(clock=clock)) as running:
        account = {
            "venue": venue, "uid": "700", "api_key": KEYS.api_key, "secret": KEYS.secret,
            "passphrase": KEYS.passphrase, "products": list(PRODUCTS),
        }  # fmt: skip
        running.do(lambda desk: desk.add_accounts([account]))
        sync = Sync(running, clock, venue, "linear", since_ms=START_MS)
        for asset in ASSETS:
            sync.desk("move", kind="deposit", asset=asset, amount="1000000", product="spot")
        clock.pass_(MINUTE_MS)
        yield sync
        sync.close()


def storm(sync: Sync, seed: int) -> list[Found]:
    """A minute in which all three products trade; what a run then tells."""
    first = sync.clock()
    sync.clock.pass_(MINUTE_MS)
    # Around snapshots it is quiet.
    times = {"from_ms": first + 2_000, "to_ms": sync.clock() - 2_000}
    sync.running.do(lambda desk: desk.storm(seed, 200, venue=sync.venue, **times))
    return sync.run()


def record(desk: Desk, told: Iterable[Found]) -> None:
    """As the workers of the stream book it."""
    by_type: dict[str, list[Event[Any]]] = {}
    for number, (type_, body) in enumerate(told):
        data, at = json.dumps(body).encode(), f"{number}-0"
        valid = ROUTES[type_.encode()].validate(data)
        event = Event("orders", 0, at, type_, str(ACCOUNT), at, 0, data, None, valid)
        by_type.setdefault(type_, []).append(event)
    book = Book(desk.books)
    book.lock_accounts({ACCOUNT})
    for type_, events in by_type.items():
        EVENTS[type_].apply(book, events)
    desk.books.commit()


def runs(sync: Sync, desk: Desk) -> list[Sequence[Found]]:
    """A run before anything trades, and one after each storm; all of them booked."""
    told: list[Sequence[Found]] = [sync.run(), *(storm(sync, seed) for seed in (1, 2, 3))]
    for one in told:
        record(desk, one)
    return told


def test_a_wallet_that_three_products_move_is_explained_to_the_last_digit(
    sync: Sync, desk: Desk
) -> None:
    told = runs(sync, desk)

    traded = {body["product"] for one in told for body in of_type(one, "order.filled.1")}
    assert traded == set(PRODUCTS)
    assert desk.tells(ACCOUNT) == []


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_cash_row_that_is_missing_is_seen(sync: Sync, desk: Desk, product: str) -> None:
    told = [sync.run(), storm(sync, 4)]
    rows = [
        found
        for found in told[1]
        if found.type == "cash.moved.1"
        and (found.body["product"], found.body["kind"]) == (product, "realized")
    ]
    left_out = rows[len(rows) // 2]
    for one in told:
        record(desk, [found for found in one if found is not left_out])
    ((what, _, _, _),) = desk.tells(ACCOUNT)
    assert what == "wallet"


def test_hedged_positions_and_their_wallet_tie(sync: Sync, desk: Desk) -> None:
    sync.desk("change_account", hedge=True)
    told = runs(sync, desk)

    sides = {body["position_side"] for body in of_type(told[-1], "position.observed.1")}
    assert sides == {"long", "short"}
    assert desk.tells(ACCOUNT) == []
