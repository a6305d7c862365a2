"""`fleet instruments`, `fleet modes` and `fleet owners`, as the role `cli`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from shared.settings import Settings
from tests.ledger_world import FIRST_DAY
from tests.runtime_world import World, fill
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from workers.scheduled.table import SCHEDULED

AT = "2024-10-06T00:00Z"  # two days after FIRST_DAY
NAMED = ("--venue", "binance", "--product", "linear")
PEPE = ("1000PEPEUSDT", *NAMED, "--base", "PEPE", "--quote", "USDT")
RENAME = ("instruments", "rename", "1000PEPEUSDT", "PEPEUSDT", *NAMED, "--at", AT)


@pytest.fixture
def holding(world: World, fleet: Fleet) -> World:
    """Accounts 7 and 8 hold three contracts each."""
    assert fleet("instruments", "set", *PEPE).exit_code == 0
    for account in (7, 8):
        told: dict[str, Any] = {"instrument": "1000PEPEUSDT", "qty": "3", "price": "0.01"}
        world.record(account, fill(account, 1, **told, executed_at_ms=FIRST_DAY))
    read(world)
    return world


def read(world: World) -> None:
    """What the relay sends and the readers book, until nothing waits."""
    columns = "event_key, type, data, event_id, id"
    for key, type_, data, event_id, row_id in world.rows(
        f"SELECT {columns} FROM fleet_outbox WHERE state = 0"  # noqa: S608 - ours
    ):
        world.add(int(key), json.loads(data), type_=type_, id=event_id, outbox=str(row_id))
    world.run("UPDATE fleet_outbox SET state = 1 WHERE state = 0")
    with world.reading():
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_outbox WHERE state < 2") == 0)
    assert world.parked() == []


def test_a_rename_says_how_many_it_concerns_and_asks(holding: World, fleet: Fleet) -> None:
    refused = fleet(*RENAME, given="n\n")
    assert refused.exit_code == 1
    assert "2 open positions of 2 accounts" in refused.output
    assert holding.rows("SELECT 1 FROM fleet_outbox WHERE type LIKE 'position.%%'") == []
    assert fleet(*RENAME, "--ratio", "1000", given="y\n").exit_code == 0
    read(holding)
    held = "SELECT account_id, qty, cost FROM fleet_positions WHERE instrument = 'PEPEUSDT'"
    cost = Decimal("0.03")
    assert holding.rows(held) == [(7, 3000, cost), (8, 3000, cost)]
    again = fleet(*RENAME, "--ratio", "1000", "--yes")
    assert "0 open positions of 0 accounts" in again.output
    shown = fleet("instruments", "list", "--venue", "binance").output
    assert "2024-10-06 00:00:00Z" in shown
    assert re.search(r"PEPEUSDT +\u2502 1000 ", shown)


def test_a_recorded_rename_is_not_overwritten(holding: World, fleet: Fleet) -> None:
    assert fleet(*RENAME, "--yes").exit_code == 0
    refused = fleet("instruments", "set", *PEPE, "--from", AT)
    assert refused.exit_code == 1
    assert "renamed to PEPEUSDT" in refused.output
    assert holding.one("SELECT COUNT(*) FROM fleet_instruments") == 3


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--at", "2024-10-06T00:00", "say the zone"),
        ("--at", "2024-10-06T00:00:00.000001Z", "whole milliseconds"),
        ("--at", "tomorrow", "is no ISO 8601 time"),
        ("--ratio", "0", "is no plain decimal above zero"),
        ("--ratio", "1e3", "is no plain decimal above zero"),
        ("--contract-size", "-1", "is no plain decimal above zero"),
    ],
)
def test_a_time_without_zone_and_an_odd_amount_are_refused(
    fleet: Fleet, option: str, value: str, words: str
) -> None:
    refused = fleet(*RENAME, option, value)
    assert refused.exit_code == 2
    assert words in refused.output


def test_an_inverse_instrument_settles_in_its_base(world: World, fleet: Fleet) -> None:
    words = ("BTCUSD_PERP", "--venue", "binance", "--product", "inverse", "--contract-size", "100")
    assert fleet("instruments", "set", *words, "--base", "BTC", "--quote", "USD").exit_code == 0
    assert world.one("SELECT settle_asset FROM fleet_instruments") == "BTC"


def test_modes_are_recorded_and_listed(world: World, fleet: Fleet) -> None:
    words = ("modes", "set", "7", "hedge", "--product", "linear")
    assert fleet(*words).output == "account 7: hedge from 1970-01-01 00:00:00Z on\n"
    assert fleet(*words, "--from", "2026-07-01T02:00+02:00", "--instrument", "BTC").exit_code == 0
    assert world.one("SELECT COUNT(*) FROM fleet_position_modes") == 2
    shown = fleet("modes", "list", "--account", "7").output
    assert "2026-07-01 00:00:00Z" in shown
    assert "operator" in shown


def test_owners_are_recorded_and_listed(world: World, fleet: Fleet) -> None:
    first = fleet("owners", "set", "7", "70", "--from", "2026-07-01")
    assert first.output == "account 7: user 70 from 1970-01-01 on\n"
    second = fleet("owners", "set", "7", "71", "--from", "2026-07-01")
    assert second.output == "account 7: user 71 from 2026-07-01 on\n"
    assert world.one("SELECT COUNT(*) FROM fleet_account_owners") == 2
    assert fleet("owners", "list", "--user", "71").output.count("operator") == 2
    assert "operator" not in fleet("owners", "list", "--account", "8").output
    assert fleet("owners", "set", "7", "71", "--from", "July").exit_code == 2


def test_the_scheduled_task_notes_whom_laravel_names(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    # Through the view: the administrator may write what is Laravel's.
    world.run(
        "INSERT INTO fleet_account_sources (id, user_id, venue, product, api_key, api_secret)"
        " VALUES (7, 70, 'binance', 'linear', '', '')"
    )
    run = SCHEDULED["fleet.note_owners"].run
    assert [run(settings_for("jobs")), run(settings_for("jobs"))] == [1, 0]
    assert world.one("SELECT account_id, valid_from, user_id FROM fleet_account_owners") == (
        7, date(1970, 1, 1), 70,
    )  # fmt: skip
