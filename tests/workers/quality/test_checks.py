"""Checks of the data: each finds what it is for, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mysql.connection import connect
from shared.settings import Settings
from tests.capture_kept import Kept
from tests.runtime_world import World, fill
from tests.timescale_world import Timescale
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from workers.quality.checks import ACCOUNTS_AT_ONCE, CHECKS, turn_of
from workers.quality.found import Found
from workers.quality.run import look, look_and_store, stored


@dataclass
class Desk:
    world: World
    kept: Kept
    settings: Settings

    def look(self) -> dict[str, Found]:
        found = look(self.settings, self.kept.now())
        assert not [why for why in found.values() if isinstance(why, str)]
        return {name: one for name, one in found.items() if isinstance(one, Found)}

    def missed(self) -> dict[str, Found]:
        return {n: one for n, one in self.look().items() if one.part < CHECKS[n].objective}


@pytest.fixture
def desk(
    world: World, settings_for: Callable[..., Settings], redis_root: Any, timescale: Timescale
) -> Desk:
    """Books with two accounts' fills, read whole; both sinks have all three transactions."""
    kept = Kept(settings_for, world.connection, redis_root, timescale)
    for number in (1, 2, 3):
        kept.commit(number, number + 10)
    kept.catch_up()
    with world.reading():
        ids = {world.partition(account): world.add_fills(account, [1])[-1] for account in (7, 8)}
        eventually(lambda: all(world.offset(number) == last for number, last in ids.items()))
    return Desk(world, kept, kept.settings("jobs"))


ACCOUNT = """INSERT INTO fleet_sync_accounts
  (account_id, venue, product, egress, tier, since_ms, due_at, ran_at, venue_uid)
  VALUES (%s, 'binance', 'linear', 'default', %s, 1, UTC_TIMESTAMP(6),
    UTC_TIMESTAMP(6) - INTERVAL %s SECOND, %s)"""
OUTBOX = """INSERT INTO fleet_outbox
  (stream, type, event_key, event_id, ts_us, data, state, created_at)
  VALUES ('orders', 't', '7', 'e', 1, '{}', %s, UTC_TIMESTAMP(6) - INTERVAL %s SECOND)"""
BREAK = "INSERT INTO fleet_breaks (kind, account_id, identity, details) VALUES (%s, 7, 'i', '{}')"


def test_where_all_is_well_every_check_finds_something_and_misses_nothing(desk: Desk) -> None:
    world = desk.world
    world.run(OUTBOX, 2, 70)
    world.run(ACCOUNT, 7, "active", 10, "u7")
    world.run(
        "INSERT INTO fleet_account_owners (account_id, valid_from, user_id, source)"
        " VALUES (7, '2020-01-01', 1, 'laravel')"
    )
    world.run("INSERT INTO fleet_reconciliations (account_id) VALUES (7)")
    world.run("INSERT INTO fleet_cdc_shapes (table_name, seq) VALUES ('orders', 1)")
    found = desk.look()
    assert set(found) == set(CHECKS)
    assert not [name for name, one in found.items() if not one.total]
    assert not desk.missed()


BROKEN = (
    (OUTBOX, (0, 70)),
    (OUTBOX, (1, 70)),
    (OUTBOX, (1, 10)),
    ("UPDATE fleet_account_state SET incomplete = 1 WHERE account_id = %s", (7,)),
    (BREAK, ("identity",)),
    (BREAK, ("position_diverged",)),
    ("DELETE FROM fleet_positions WHERE account_id = %s", (7,)),
    ("INSERT INTO fleet_cdc_shapes (table_name, seq, stopped) VALUES (%s, 1, 'why')", ("orders",)),
    # Orders are asked each 5 minutes of an active account, each hour of an idle one.
    (ACCOUNT, (1, "active", 800, "same")),
    (ACCOUNT, (2, "active", 1000, "same")),
    (ACCOUNT, (3, "idle", 10_000, "other")),
    (ACCOUNT, (4, "idle", 12_000, None)),
)


def test_each_finds_what_it_is_for(desk: Desk) -> None:
    assert not desk.missed()
    for statement, words in BROKEN:
        desk.world.run(statement, *words)
    assert {name: one[:2] for name, one in desk.missed().items()} == {
        "outbox_confirmed": (0, 2),
        "books_complete": (1, 2),
        "accounts_owned": (0, 4),
        "tables_captured": (0, 1),
        "identities_hold": (1, 2),
        "accounts_reconciled": (0, 1),
        "accounts_fresh": (2, 4),
        "accounts_once": (1, 3),
        "fills_have_positions": (1, 2),
    }
    assert desk.look()["tables_captured"].detail == "orders"


def test_a_row_of_the_audit_log_that_was_changed_or_is_gone_is_found(desk: Desk) -> None:
    world = desk.world
    world.run("UPDATE fleet_change_log SET row_after = '{}' WHERE seq = 3 AND row_index = 1")
    assert desk.missed() == {"audit_chain": Found(4, 5, "row 1/3/1")}
    world.run("DELETE FROM fleet_change_log WHERE seq = 4")
    assert desk.look()["audit_complete"] == Found(3, 4, "4-4")
    world.run("DELETE FROM fleet_change_log WHERE seq = 2")
    assert desk.look()["audit_complete"] == Found(2, 4, "2-2, 4-4")


def test_a_partition_whose_event_waits_is_named(desk: Desk) -> None:
    world = desk.world
    seconds, _ = world.redis.time()
    number = world.partition(7)
    world.redis.delete(world.key(number))
    world.run("UPDATE fleet_offsets SET last_id = '0-0' WHERE partition_no = %s", number)
    world.add_at(f"{int(seconds) * 1000 - 30_000}-0", 7, fill(7, 2))
    found = desk.look()["partitions_timely"]
    assert found.total - found.good == 1
    assert found.detail.startswith(f"orders:{number} 3")


def test_sinks_that_hold_different_changes_are_found(desk: Desk) -> None:
    timescale = desk.kept.timescale
    timescale.run("DELETE FROM fleet.change_event WHERE seq = 3 AND row_index = 1")
    assert desk.missed()["sinks_agree"] == Found(2, 3, "transaction 3")
    timescale.run("INSERT INTO fleet.change_event SELECT * FROM fleet.change_event WHERE seq = 3")
    assert desk.missed()["changes_once"] == Found(5, 6, "1 twice")
    # What only one of them has yet is not compared, nor are two epochs.
    timescale.run("UPDATE fleet.cdc_offset SET seq = 2")
    assert desk.look()["sinks_agree"] == Found(1, 1)
    timescale.run("UPDATE fleet.cdc_offset SET epoch = 9")
    assert desk.look()["sinks_agree"] == Found(0, 0)


def test_what_was_found_is_kept_with_its_time_and_a_check_that_cannot_look_says_why(
    desk: Desk,
) -> None:
    with closing(connect(desk.settings.mysql)) as connection:
        assert look_and_store(desk.settings, connection, datetime.now(UTC)) == len(CHECKS)
        desk.world.run("INSERT INTO fleet_quality (check_name) VALUES ('of_before')")
        dark = desk.settings.model_copy(
            update={"streams_redis": desk.settings.streams_redis.model_copy(update={"port": 1})}
        )
        assert look_and_store(dark, connection, datetime.now(UTC)) == len(CHECKS) - 1
        kept = stored(connection)
    assert set(kept) == set(CHECKS)
    failed = kept["partitions_timely"]
    assert failed.error
    assert failed.found is not None  # of the last time that it could look
    assert kept["books_complete"].found == Found(2, 2)
    assert kept["books_complete"].age_seconds < 30
    assert not kept["books_complete"].error


def test_the_command_shows_what_is_missed_and_what_to_do(desk: Desk, fleet: Fleet) -> None:
    result = fleet("quality")
    assert result.exit_code == 1
    assert "are the roles beat and jobs running?" in result.output
    with closing(connect(desk.settings.mysql)) as connection:
        look_and_store(desk.settings, connection, datetime.now(UTC))
    assert fleet("quality").exit_code == 0
    old = "UPDATE fleet_quality SET checked_at = checked_at {} INTERVAL 1 HOUR"
    desk.world.run(old.format("-"))
    result = fleet("quality")
    assert result.exit_code == 1
    assert "nobody looks: are the roles beat and jobs running?" in result.output
    desk.world.run(old.format("+"))
    desk.world.run(BREAK, "identity")
    assert fleet("quality").exit_code == 0
    result = fleet("quality", "--now")
    assert result.exit_code == 1
    assert "identities_hold: accounts whose books agree with themselves" in result.output
    assert "    fleet breaks list; fleet rebuild --account N" in result.output
    assert "1 of 2" in result.output
    assert " 0 s ago" in result.output


@given(
    accounts=st.integers(0, 5 * ACCOUNTS_AT_ONCE), first=st.integers(0, 10**6)
)
def test_everybody_has_a_turn(accounts: int, first: int) -> None:
    everybody = list(range(accounts))
    turns = -(-accounts // ACCOUNTS_AT_ONCE) or 1
    seen = [one for turn in range(first, first + turns) for one in turn_of(everybody, turn)]
    assert sorted(seen) == everybody


def test_of_nothing_everything_is_good() -> None:
    assert Found(0, 0).part == 1
    assert Found.of(7, [str(one) for one in range(7)]) == Found(0, 7, "0, 1, 2, 3, 4 and 2 more")
