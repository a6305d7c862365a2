"""Accounts of every venue trade on the local exchange; the books end where the exchange stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from shared.exchanges.table import VENUES
from shared.settings import Settings
from tests.runtime_world import World
from tests.workers.sync.exchange_desk import ExchangeDesk, exchange_desk

pytestmark = pytest.mark.database

STORM_MS = 60_000


@pytest.fixture(params=sorted(VENUES), ids="-".join)
def desk(
    request: pytest.FixtureRequest, world: World, settings_for: Callable[..., Settings]
) -> Iterator[ExchangeDesk]:
    with exchange_desk(world, settings_for, *request.param) as desk:
        yield desk


def test_after_a_storm_every_figure_is_the_exchanges(desk: ExchangeDesk) -> None:
    desk.link(hedge=() if desk.product == "spot" else (2,))
    desk.ask_when_quiet()
    began_ms = desk.now_ms()
    desk.pass_(STORM_MS)
    desk.exchange.do(lambda one: one.storm(5, 120, from_ms=began_ms + 1, to_ms=began_ms + STORM_MS))
    with desk.booking():
        desk.ask_when_quiet()
    assert desk.differences() == []
    for account in desk.accounts if desk.product != "spot" else ():
        positions = desk.do("truth", account)["positions"]
        true = {(one["symbol"], one["side"]): Decimal(one["qty"]) for one in positions}
        ours = desk.world.rows(
            "SELECT instrument, position_side, qty FROM fleet_positions WHERE account_id = %s",
            account,
        )
        assert {(name, side): qty for name, side, qty in ours if qty} == {
            key: qty for key, qty in true.items() if qty
        }
