"""Gaps in the rows: closed by what the sync has read, asked for again, shown, forgotten at last."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import World
from workers.userstreams import store

pytestmark = pytest.mark.database

Account = Callable[..., None]


@pytest.fixture
def account(world: World) -> Account:
    """`account(7, fills=5_000, cash=4_000)`: the books are complete up to there."""

    def make(account_id: int, *, due_in: int = 3_600, **complete: int) -> None:
        world.run(
            "INSERT INTO fleet_sync_accounts (account_id, venue, product, egress, since_ms, due_at)"
            " VALUES (%s, 'okx', 'linear', 'default', 1, UTC_TIMESTAMP(6) + INTERVAL %s SECOND)",
            account_id, due_in,
        )  # fmt: skip
        for kind, through_ms in complete.items():
            world.run(
                "INSERT INTO fleet_syncs (account_id, kind, place, found_through_ms,"
                " complete_through_ms) VALUES (%s, %s, '{}', %s, %s)",
                account_id, kind, through_ms, through_ms,
            )  # fmt: skip

    return make


@pytest.fixture
def close_gaps(settings_for: Callable[..., Settings]) -> Callable[[], int]:
    settings = settings_for("jobs")

    def close() -> int:
        with closing(connect(settings.mysql)) as connection:
            return store.close_gaps(connection)

    return close


def gap(world: World, account_id: int, until_ms: int | None, **more: Any) -> None:
    row = {"account_id": account_id, "cause": "silent", "from_ms": 1_000, "until_ms": until_ms}
    names = {**row, **more}
    marks = ", ".join(["%s"] * len(names))
    world.run(
        f"INSERT INTO fleet_stream_gaps ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 - ours
        *names.values(),
    )


def open_gaps(world: World) -> list[int]:
    rows = world.rows("SELECT account_id FROM fleet_stream_gaps WHERE closed_at IS NULL ORDER BY 1")
    return [account_id for (account_id,) in rows]


def is_due(world: World, account_id: int) -> bool:
    sql = "SELECT due_at <= UTC_TIMESTAMP(6) FROM fleet_sync_accounts WHERE account_id = %s"
    return bool(world.one(sql, account_id))


def test_a_gap_is_closed_when_fills_and_cash_are_complete_past_its_end(
    world: World, account: Account, close_gaps: Callable[[], int]
) -> None:
    for number, (fills, cash, until_ms) in enumerate(
        [(2_001, 2_001, 2_000), (2_001, 2_000, 2_000), (2_000, 2_001, 2_000), (9_000, 9_000, None)]
    ):
        account(number, fills=fills, cash=cash)
        gap(world, number, until_ms)
    assert close_gaps() == 1
    assert open_gaps(world) == [1, 2, 3]


def test_whoever_has_not_read_past_a_gap_is_asked_again(
    world: World, account: Account, close_gaps: Callable[[], int]
) -> None:
    account(1, fills=1_500, cash=1_500)
    account(2, fills=1_500, cash=1_500)
    world.run("UPDATE fleet_sync_accounts SET failures = 1 WHERE account_id = 2")
    account(3)
    for number in (1, 2, 3):
        gap(world, number, 2_000)
    close_gaps()
    assert [is_due(world, one) for one in (1, 2, 3)] == [True, False, True]
    failures = "SELECT failures FROM fleet_sync_accounts WHERE account_id = 2"
    assert world.one(failures) == 1, "its pause is not cut short"


def test_an_account_that_found_all_and_waits_for_its_books_is_not_asked_again(
    world: World, account: Account, close_gaps: Callable[[], int]
) -> None:
    account(1, fills=2_001, cash=2_001)
    world.run("UPDATE fleet_syncs SET complete_through_ms = NULL")
    gap(world, 1, 2_000)
    assert close_gaps() == 0
    assert not is_due(world, 1)


def test_closed_gaps_are_forgotten_after_a_month(
    world: World, account: Account, close_gaps: Callable[[], int]
) -> None:
    account(1, fills=9_000, cash=9_000)
    gap(world, 1, 2_000)
    gap(world, 1, 3_000)
    assert close_gaps() == 2
    world.run(
        "UPDATE fleet_stream_gaps SET closed_at = UTC_TIMESTAMP(6) - INTERVAL 31 DAY"
        " WHERE until_ms = 2000"
    )
    close_gaps()
    assert world.rows("SELECT until_ms FROM fleet_stream_gaps") == [(3_000,)]


def test_fleet_sync_shows_open_gaps(
    world: World, account: Account, fleet: Callable[..., Any]
) -> None:
    account(1, fills=1, cash=1)
    account(2, fills=1, cash=1)
    gap(world, 1, 2_000)
    gap(world, 2, None, cause="expired")
    shown = fleet("sync")
    assert shown.exit_code == 0
    assert "expired" in shown.output
    found = json.loads(fleet("sync", "--json").output)["stream_gaps"]
    assert [(one["venue"], one["cause"], one["gaps"], one["down"]) for one in found] == [
        ("okx", "expired", 1, 1), ("okx", "silent", 1, 0)
    ]  # fmt: skip
