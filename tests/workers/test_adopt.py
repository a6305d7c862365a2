"""`fleet adopt`: a live desk comes in without history, and the books agree with the exchange."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World, fill, running
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from workers.build import relay_of

pytestmark = pytest.mark.database

AT = 1_764_000_000_000
PAIR: dict[str, Any] = {
    "account_id": 7, "venue": "binance", "product": "linear", "instrument": "BTCUSDT",
    "position_side": "net",
}  # fmt: skip
Live = Callable[[], Any]


@pytest.fixture
def live(world: World, settings_for: Callable[..., Settings]) -> Live:
    """A relay and a reader, so that what is recorded is applied."""
    settings = settings_for("relay", FLEET_PARTITIONS=str(PARTITIONS))

    @contextmanager
    def run() -> Iterator[None]:
        with running(relay_of(settings)), world.reading():
            yield

    return run


def observe(world: World, qty: str, at_ms: int = AT, **more: Any) -> None:
    told = {**PAIR, "qty": qty, "watermark_ms": at_ms, "settle_asset": "USDT", **more}
    world.add(7, told, type_="position.observed.1")


def reported(world: World, count: int = 1) -> None:
    sql = "SELECT COUNT(*) FROM fleet_observed_positions"
    eventually(lambda: world.one(sql) == count)


def openings(world: World) -> list[dict[str, Any]]:
    rows = world.rows("SELECT data FROM fleet_outbox WHERE type = 'position.opened.1' ORDER BY id")
    return [json.loads(data) for (data,) in rows]


def test_a_desk_without_history_comes_in_and_ties(world: World, live: Live, fleet: Fleet) -> None:
    """With a long and a short, a flat position and a fill after the watermark."""
    with live():
        observe(world, "2.5", entry_price="60000.50", position_side="long", mark_price="61000")
        observe(world, "-100", entry_price="0.5", instrument="XRPUSDT", position_side="short")
        observe(world, "0", instrument="ETHUSDT")
        reported(world, 3)
        assert fleet("reconcile", "--account", "7").exit_code == 1
        told = fleet("adopt", "--account", "7", "--yes")
        assert told.exit_code == 0
        assert "2 openings recorded" in told.output
        assert "60000.5" in told.output
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_positions") == 2)
        after = fill(7, 1, qty="0.5", price="60100", side="sell", position_side="long",
                     executed_at_ms=AT + 1)  # fmt: skip
        world.add(7, after)
        eventually(lambda: world.trades(7) == ["1"])
    shown = fleet("reconcile", "--account", "7")
    assert (shown.exit_code, shown.output) == (0, "nothing differs: 1 accounts compared\n")
    sql = "SELECT qty, avg_entry, realized FROM fleet_positions WHERE instrument = 'BTCUSDT'"
    assert world.one(sql) == (Decimal(2), Decimal("60000.5"), Decimal("49.75"))


def test_twice_is_once(world: World, live: Live, fleet: Fleet) -> None:
    with world.reading():
        observe(world, "1", entry_price="100")
        reported(world)
    first = fleet("adopt", "--account", "7", "--yes")
    assert "1 openings recorded" in first.output
    again = fleet("adopt", "--account", "7", "--yes")
    assert again.output == "nothing to adopt: the books agree, or the openings are on their way\n"
    world.run("UPDATE fleet_outbox SET state = 2")  # as after a loss of the streams
    fleet("adopt", "--account", "7", "--yes")
    rows = world.rows("SELECT event_id, data FROM fleet_outbox ORDER BY id")
    assert len(rows) == 2
    assert rows[0] == rows[1]
    world.run("UPDATE fleet_outbox SET state = 0")
    with live():
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_outbox WHERE state = 2") == 2)
    assert world.one("SELECT COUNT(*) FROM fleet_position_entries") == 1
    assert world.one("SELECT COUNT(*) FROM fleet_breaks WHERE kind = 'entry_conflict'") == 0
    assert "nothing to adopt" in fleet("adopt", "--account", "7", "--yes").output


def test_fills_before_the_watermark_are_superseded_and_realize_nothing(
    world: World, live: Live, fleet: Fleet
) -> None:
    """Trap 11: no P&L is invented to make a quantity right."""
    with live():
        world.add(7, fill(7, 1, qty="3", price="100", executed_at_ms=AT - 10))
        world.add(7, fill(7, 2, qty="1", price="120", side="sell", executed_at_ms=AT))
        observe(world, "5", entry_price="90")
        reported(world)
        assert fleet("adopt", "--account", "7", "--yes").exit_code == 0
        eventually(lambda: world.one("SELECT qty FROM fleet_positions") == 5)
    assert fleet("reconcile").exit_code == 0
    qty, cost, realized = world.one("SELECT qty, cost, realized FROM fleet_positions")
    assert (qty, cost) == (5, 450)
    assert realized == 20, "what the fills before it realized stays theirs"


def test_it_says_what_it_will_do_and_asks(world: World, fleet: Fleet) -> None:
    with world.reading():
        observe(world, "1", entry_price="100")
        reported(world)
    told = fleet("adopt", "--account", "7", given="n\n")
    assert told.exit_code == 1
    assert "linear BTCUSDT net" in told.output
    assert "Record them? [y/N]" in told.output
    assert openings(world) == []
    assert "1 openings recorded" in fleet("adopt", "--account", "7", given="y\n").output


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "linear BTCUSDT net: its report has no entry price"),
        ({"entry_price": "1", "settle_asset": None}, "says what it settles in"),
        ({"entry_price": "0"}, "must be above zero"),
        ({"entry_price": "1", "position_side": "short"}, "negative for a short"),
        ({"entry_price": "1", "product": "spot"}, "needs `base_asset` and `quote_asset`"),
    ],
)
def test_a_report_that_does_not_say_enough_is_refused_and_nothing_is_adopted(
    world: World, fleet: Fleet, more: dict[str, Any], why: str
) -> None:
    with world.reading():
        observe(world, "1", entry_price="100", instrument="ETHUSDT")
        observe(world, "1", **more)
        reported(world, 2)
    told = fleet("adopt", "--account", "7", "--yes")
    assert told.exit_code == 1
    assert "Error: nothing was adopted:" in told.output
    assert why in told.output
    assert openings(world) == []


def test_an_account_without_a_report_is_refused(world: World, fleet: Fleet) -> None:
    """Trap 12: no answer is not flat."""
    told = fleet("adopt", "--account", "7", "--yes")
    assert told.exit_code == 1
    assert "account 7 has no position report: wait for its sync" in told.output
    with world.reading():
        observe(world, "1", entry_price="100")
        reported(world)
    early = fleet("adopt", "--account", "7", "--yes", "--at", "2020-01-01T00:00Z")
    assert "no position report up to then" in early.output


def test_an_earlier_time_takes_the_report_of_then(world: World, fleet: Fleet) -> None:
    with world.reading():
        observe(world, "1", entry_price="100", at_ms=AT)
        observe(world, "2", entry_price="101", at_ms=AT + 3_600_000)
        reported(world, 2)
    fleet("adopt", "--account", "7", "--yes", "--at", "2025-11-24T16:30Z")
    (opened,) = openings(world)
    assert (opened["qty"], opened["entry_price"], opened["at_ms"]) == ("1", "100", AT)


def test_what_fills_and_facts_know_fills_in_what_the_report_leaves_out(
    world: World, live: Live, fleet: Fleet
) -> None:
    spot: Any = {"product": "spot", "instrument": "BTC/USDT", "settle_asset": None}
    with live():
        world.add(7, fill(7, 1, executed_at_ms=AT - 1, contract_size="0.01"))
        world.run(
            "INSERT INTO fleet_instruments (venue, product, instrument, valid_from, contract_size,"
            " base_asset, quote_asset, settle_asset)"
            " VALUES ('binance', 'spot', 'BTC/USDT', '2020-01-01', 1, 'BTC', 'USDT', 'USDT')"
        )
        observe(world, "3", entry_price="100", settle_asset=None)
        observe(world, "2", entry_price="90", **spot)
        reported(world, 2)
        fleet("adopt", "--account", "7", "--yes")
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_position_entries") == 2)
    costs = dict(world.rows("SELECT product, cost FROM fleet_positions"))
    assert costs == {"linear": 3, "spot": 180}
    assert fleet("reconcile").exit_code == 0


def test_a_position_that_no_report_names_is_told_and_left(
    world: World, live: Live, fleet: Fleet
) -> None:
    with live():
        world.add(7, fill(7, 1, instrument="DOGEUSDT", executed_at_ms=AT))
        observe(world, "1", entry_price="100")
        reported(world)
    told = fleet("adopt", "--account", "7", "--yes").output
    assert "no report names linear DOGEUSDT net: left as it is" in told
    assert [opened["instrument"] for opened in openings(world)] == ["BTCUSDT"]
