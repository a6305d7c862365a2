"""What so many users need: by hand, and as the command says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.exchanges.table import VENUES
from shared.exchanges.venue import KINDS
from tests.runtime_world import World
from tests.workers.conftest import Fleet
from workers.capacity import PEAK_USE, Desk, Need, capacity
from workers.capacity_cli import habits
from workers.capacity_figures import BYTES, RATES, WEIGHTS

DESK = Desk(
    users=1_000, accounts=2.0, fills=50.0, positions=3.0, peak=100.0,
    tiers={"active": 0.5, "idle": 0.5, "dormant": 0.0}, venues={("binance", "linear"): 1.0},
    order_share=0.1, partitions=32, retention_hours=24.0, days=365,
)  # fmt: skip


def need(desk: Desk, what: str) -> Need:
    return next(one for one in capacity(desk) if one.what == what)


def test_fills_are_those_of_all_accounts_and_the_peak_is_so_many_times_their_average() -> None:
    a_day, a_second = (one for one in capacity(DESK) if one.what == "fills")
    assert a_day.amount == 1_000 * 2 * 50
    assert a_second.amount == pytest.approx(100_000 / 86_400 * 100)


def test_addresses_are_reckoned_from_every_kinds_own_interval_and_weight() -> None:
    # Active: 5 + 5 + 30 + 5 a minute and 40 each quarter of an hour; idle: the same each quarter,
    # but orders each hour.
    active, idle = 45 / 60 + 40 / 900, 45 / 900 + 40 / 3_600
    allowed = 2_400 / 60 * 0.9 * 0.8
    expected = -(-(1_000 * active + 1_000 * idle) // allowed)
    assert need(DESK, "addresses for binance linear").amount == expected


def test_stream_nodes_are_enough_for_the_peak_with_one_of_them_away() -> None:
    busy = DESK._replace(users=100_000)
    at_peak = 100_000 * 2 * 50 / 86_400 * 100
    nodes = need(busy, "nodes of the role streams").amount
    assert nodes * RATES["fills"].a_second * PEAK_USE >= at_peak
    assert (nodes - 1) * RATES["fills"].a_second * PEAK_USE < at_peak


def test_more_nodes_than_partitions_are_told() -> None:
    few = DESK._replace(users=200_000, partitions=2)
    assert "too few" in need(few, "partitions").why
    assert need(DESK, "partitions").why == "enough"


def test_one_collector_that_is_late_at_the_peak_is_told() -> None:
    assert "LATE" in need(DESK._replace(users=100_000), "collector and sinks").unit
    assert need(DESK, "collector and sinks").unit == "of each"


def test_memory_and_disk_follow_from_bytes_that_were_measured() -> None:
    entries = 1_000 * 2 * 50
    memory = need(DESK, "memory of Redis for the streams").amount
    assert memory == pytest.approx(entries * BYTES["an entry of a stream"] * 2)
    half = need(DESK._replace(retention_hours=12.0), "memory of Redis for the streams").amount
    assert half == pytest.approx(memory / 2)
    assert need(DESK, "rows of the books in MySQL").amount == entries + 2 * 2_000 * 3


def test_every_venue_has_its_weights_for_every_kind_that_it_is_asked() -> None:
    assert set(WEIGHTS) == set(VENUES)
    for at, venue in VENUES.items():
        asked = {kind for kind in KINDS if kind in venue.readings}
        assert set(WEIGHTS[at].busy) == set(WEIGHTS[at].quiet) == asked


# -- the command -----------------------------------------------------------------------------------


def days(world: World, *rows: tuple[int, str, int]) -> None:
    """Rows of yesterday: account, instrument, fills."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    world.connection.cursor().executemany(
        "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, fills)"
        " VALUES (%s, 'linear', %s, %s, 'USDT', %s)",
        [(account, instrument, yesterday, fills) for account, instrument, fills in rows],
    )
    world.connection.commit()


@pytest.mark.database
def test_what_is_not_given_is_what_this_desk_did(world: World) -> None:
    days(world, (1, "BTCUSDT", 10), (1, "ETHUSDT", 5), (2, "BTCUSDT", 9))
    found = habits(world.connection)
    assert (found.fills, found.positions) == (12, 1.5)
    assert found.tiers is None


@pytest.mark.database
def test_the_command_says_where_its_figures_are_from(world: World, fleet: Fleet) -> None:
    days(world, (1, "BTCUSDT", 10))
    told = json.loads(fleet("capacity", "--users", "1000", "--accounts", "2", "--json").output)
    assert told["from"]["accounts"] == "2, as given"
    assert told["from"]["fills"] == "10, of this desk"
    assert told["from"]["tiers"].endswith("a guess")
    fills = next(one for one in told["needs"] if one["what"] == "fills")
    assert fills["amount"] == 20_000
    shown = fleet("capacity", "--users", "1000")
    assert shown.exit_code == 0
    assert "FLEET_REDIS_BUDGET" in shown.output
