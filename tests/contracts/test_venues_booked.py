"""What the readings tell, in our own books on a real server: reconciliation finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from deploy.exchange.server import Running, new_exchange
from shared.exchanges.table import VENUES
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.reports import Desk
from tests.venue_world import ACCOUNT, KEYS, Clock, Sync, fills_of, of_type, record

pytestmark = pytest.mark.database

MINUTE_MS = 60_000


@pytest.fixture
def desk(mysql_connection: Any, settings_for: Callable[..., Settings]) -> Iterator[Desk]:
    """Recording as the role streams, comparing as the role jobs."""
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Desk(mysql_connection, connection, settings)


@pytest.fixture(params=sorted(VENUES), ids="-".join)
def sync(request: pytest.FixtureRequest) -> Iterator[Sync]:
    venue, product = request.param
    clock = Clock()
    with Running(new_exchange(clock=clock)) as running:
        account = {
            "venue": venue, "uid": "700", "api_key": KEYS.api_key, "secret": KEYS.secret,
            "passphrase": KEYS.passphrase, "products": [product],
        }  # fmt: skip
        running.do(lambda desk: desk.add_accounts([account]))
        sync = Sync(running, clock, venue, product)
        traded = [one for one in sync.markets.values() if one.product == product]
        for asset in sorted({"BNB", *(one.settle for one in traded)}):
            sync.desk("move", kind="deposit", asset=asset, amount="1000000", product=product)
        clock.pass_(MINUTE_MS)
        yield sync
        sync.close()


def storm(sync: Sync, seed: int, trades: int = 150) -> None:
    """A minute of trading; around snapshots it is quiet."""
    first = sync.clock()
    sync.clock.pass_(MINUTE_MS)
    times = {"from_ms": first + 2_000, "to_ms": sync.clock() - 2_000}
    sync.running.do(lambda desk: desk.storm(seed, trades, venue=sync.venue, **times))


def test_books_tie_to_the_venue_after_every_storm(sync: Sync, desk: Desk) -> None:
    record(desk.books, sync.run())
    for seed in (1, 2, 3):
        storm(sync, seed)
        record(desk.books, sync.run())
        assert desk.tells(ACCOUNT) == []
    assert len(fills_of(sync.told)) > 300


def test_the_same_rows_told_again_change_nothing(sync: Sync, desk: Desk) -> None:
    record(desk.books, sync.run())
    storm(sync, 5)
    record(desk.books, sync.run())
    storm(sync, 6)
    sync.cursors = dict(sync.pages[1][0])
    record(desk.books, sync.run())
    assert desk.tells(ACCOUNT) == []


def test_a_fill_that_is_missing_in_the_books_is_seen(sync: Sync, desk: Desk) -> None:
    record(desk.books, sync.run())
    storm(sync, 7)
    told = sync.run()
    fills = of_type(told, "order.filled.1")
    lost = next(body for body in fills if body["side"] == "buy")
    record(desk.books, [found for found in told if found.body is not lost])
    assert desk.tells(ACCOUNT) != []
