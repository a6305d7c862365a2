"""An account at the local exchange, for each row of VENUES."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.exchange.server import Running, new_exchange
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product
from tests.venue_world import KEYS, START_MS, Clock, Sync

ALL = sorted(VENUES)
CONTRACTS = [(venue, product) for venue, product in ALL if product != "spot"]


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def running(clock: Clock) -> Iterator[Any]:
    with Running(new_exchange(clock=clock)) as running:
        yield running


@pytest.fixture(params=ALL, ids="-".join)
def sync(request: pytest.FixtureRequest, running: Any, clock: Clock) -> Iterator[Sync]:
    yield from opened(running, clock, *request.param)


@pytest.fixture(params=CONTRACTS, ids="-".join)
def contracts(request: pytest.FixtureRequest, running: Any, clock: Clock) -> Iterator[Sync]:
    yield from opened(running, clock, *request.param)


@pytest.fixture(params=CONTRACTS, ids="-".join)
def hedge(request: pytest.FixtureRequest, running: Any, clock: Clock) -> Iterator[Sync]:
    yield from opened(running, clock, *request.param, hedge=True)


def opened(
    running: Any, clock: Clock, venue: str, product: Product, **fields: Any
) -> Iterator[Sync]:
    """An account with this product alone, which has something to trade with."""
    clock.now_ms = START_MS
    account = {
        "venue": venue, "uid": "700", "api_key": KEYS.api_key, "secret": KEYS.secret,
        "passphrase": KEYS.passphrase, "products": [product], **fields,
    }  # fmt: skip
    running.do(lambda desk: desk.add_accounts([account]))
    clock.pass_(1_000)
    sync = Sync(running, clock, venue, product)
    traded = [one for one in sync.markets.values() if one.product == product]
    assets = {"BNB", *(one.settle for one in traded)}
    if product == "spot":
        assets |= {one.base for one in traded}
    for asset in sorted(assets):
        sync.desk("move", kind="deposit", asset=asset, amount="1000000", product=product)
    clock.pass_(1_000)
    yield sync
    sync.close()
    running.do(lambda desk: desk.exchange.accounts.clear())
    running.do(lambda desk: desk.clear_faults())
