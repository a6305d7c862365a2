"""A day is closed once, after its grace, and not before everything of it is in the books."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.mysql.book_daily import SQL as DAILY_SQL
from shared.mysql.connection import connect
from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.settings import Settings
from shared.streams.connection import control_client
from tests.runtime_world import CONSUMER, World, entry, fill
from tests.waiting import eventually
from workers.day_close import GRACE, close_day, end_of, last_day_over

DAY = date(2026, 3, 1)
MIDNIGHT = end_of(DAY)


@given(st.integers(min_value=10**9, max_value=4 * 10**9))
def test_a_day_is_over_when_its_grace_has_passed(seconds: int) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    day = last_day_over(now)
    assert end_of(day) + GRACE <= now < end_of(day + timedelta(days=1)) + GRACE


class Days:
    """The task at moments that the test names."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self._settings = settings

    def close(self, now: datetime) -> int:
        connection = connect(self._settings.mysql)
        redis = control_client(self._settings.streams_redis, "test")
        try:
            return close_day(connection, redis, self._settings, now)
        finally:
            connection.close()
            redis.close()

    def earned(self, *accounts: int, day: date = DAY) -> None:
        rows = [(account, day) for account in accounts]
        self.world.connection.cursor().executemany(
            "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset)"
            " VALUES (%s, 'linear', 'BTCUSDT', %s, 'USDT')",
            rows,
        )
        self.world.connection.commit()

    def told(self) -> list[tuple[str, list[int]]]:
        """Day and accounts of every job that was dispatched."""
        rows = self.world.rows("SELECT payload FROM fleet_dispatches ORDER BY id")
        found = []
        for (payload,) in rows:
            command = json.loads(payload)["data"]["command"]
            accounts = command.split('"accountIds";')[1]
            numbers = [int(part.split(";")[0]) for part in accounts.split("i:")[2::2]]
            found.append((command.split('"day";s:10:"')[1][:10], numbers))
        return found

    def stand_at(self, moment: datetime) -> None:
        """The only partition of the books is read up to here."""
        cursor = self.world.connection.cursor()
        cursor.execute(OFFSETS_SQL["ensure"], (CONSUMER, "orders", 0))
        last_id = f"{int(moment.timestamp() * 1000)}-0"
        cursor.execute("UPDATE fleet_offsets SET last_id = %s", (last_id,))
        self.world.connection.commit()

    def add(self, moment: datetime) -> None:
        entry_id = f"{int(moment.timestamp() * 1000)}-0"
        fields: Any = entry(1, fill(1, 1))
        self.world.redis.xadd(self.world.key(0), fields, id=entry_id)


@pytest.fixture
def days(world: World, settings_for: Callable[..., Settings]) -> Days:
    settings = settings_for("jobs", FLEET_LARAVEL_JOBS="App\\Jobs\\Fleet\\DayClosed")
    made = Days(world, settings)
    made.close(MIDNIGHT - timedelta(hours=12))  # the first run remembers where days begin
    made.earned(7, 8)
    return made


@pytest.mark.database
def test_the_first_run_tells_nothing_of_days_before(days: Days) -> None:
    assert days.told() == []
    assert days.world.one("SELECT value FROM fleet_settings WHERE name = 'closed_through'") == (
        DAY - timedelta(days=1)
    ).isoformat()


@pytest.mark.database
def test_a_day_is_told_once_after_its_grace(days: Days) -> None:
    assert days.close(MIDNIGHT + GRACE - timedelta(seconds=1)) == 0
    assert days.close(MIDNIGHT + GRACE) == 1
    assert days.close(MIDNIGHT + GRACE + timedelta(minutes=1)) == 0
    assert days.told() == [("2026-03-01", [7, 8])]


@pytest.mark.database
def test_a_closed_day_is_a_row(days: Days) -> None:
    days.close(MIDNIGHT + GRACE)
    rows = days.world.rows("SELECT day, grace_seconds, accounts FROM fleet_closed_days")
    assert rows == [(DAY, 600, 2)]


@pytest.mark.database
def test_two_tasks_at_once_close_a_day_once(days: Days) -> None:
    with ThreadPoolExecutor(2) as pool:
        closed = list(pool.map(days.close, [MIDNIGHT + GRACE] * 2))
    assert sorted(closed) == [0, 1]
    assert days.told() == [("2026-03-01", [7, 8])]


@pytest.mark.database
def test_a_close_waits_for_a_batch_that_has_asked_which_days_are_closed(
    days: Days, settings_for: Callable[..., Settings]
) -> None:
    """Its change is then in the figures of the close."""
    batch = connect(settings_for("streams").mysql)
    batch.cursor().execute(DAILY_SQL["closed_through"])
    with ThreadPoolExecutor(1) as pool:
        close = pool.submit(days.close, MIDNIGHT + GRACE)
        with pytest.raises(TimeoutError):
            close.result(0.5)
        batch.commit()
        assert close.result(10) == 1
    batch.close()


@pytest.mark.database
def test_days_that_were_missed_are_told_one_after_the_other(days: Days) -> None:
    days.earned(9, day=DAY + timedelta(days=1))
    late = MIDNIGHT + timedelta(days=2)
    assert [days.close(late) for _ in range(3)] == [1, 1, 0]
    assert days.told() == [("2026-03-01", [7, 8]), ("2026-03-02", [9])]


@pytest.mark.database
def test_a_thousand_accounts_come_in_jobs_of_five_hundred(days: Days) -> None:
    days.earned(*range(100, 1101))
    assert days.close(MIDNIGHT + GRACE) == 1
    told = days.told()
    assert [len(accounts) for _, accounts in told] == [500, 500, 3]
    assert sorted(n for _, accounts in told for n in accounts) == [7, 8, *range(100, 1101)]


@pytest.mark.database
def test_an_entry_of_the_day_that_is_not_read_yet_keeps_it_open(days: Days) -> None:
    days.stand_at(MIDNIGHT - timedelta(minutes=2))
    days.add(MIDNIGHT - timedelta(minutes=1))
    assert days.close(MIDNIGHT + GRACE) == 0
    days.stand_at(MIDNIGHT - timedelta(minutes=1))
    assert days.close(MIDNIGHT + GRACE) == 1


@pytest.mark.database
def test_an_unread_entry_of_the_next_day_does_not_keep_it_open(days: Days) -> None:
    days.stand_at(MIDNIGHT - timedelta(minutes=2))
    days.add(MIDNIGHT)
    assert days.close(MIDNIGHT + GRACE) == 1


@pytest.mark.database
@pytest.mark.parametrize(("state", "jobs"), [(0, 0), (1, 0), (2, 1)])
def test_a_row_of_the_outbox_that_is_not_confirmed_keeps_the_day_open(
    days: Days, state: int, jobs: int
) -> None:
    world = days.world
    world.record(7, fill(7, 1))
    world.connection.cursor().execute(
        "UPDATE fleet_outbox SET state = %s, created_at = %s",
        (state, MIDNIGHT - timedelta(minutes=1)),
    )
    world.connection.commit()
    assert days.close(MIDNIGHT + GRACE) == jobs


@pytest.mark.database
@pytest.mark.parametrize(("late_by", "jobs"), [(-1, 0), (0, 1)])
def test_a_late_fill_of_the_day_that_is_not_folded_keeps_it_open(
    days: Days, late_by: int, jobs: int
) -> None:
    world = days.world
    world.partitions = 1
    with world.reading():
        world.add(7, fill(7, 1))
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_positions") == 1)
    world.connection.cursor().execute(
        "UPDATE fleet_positions SET restating_from_ms = %s",
        (int(MIDNIGHT.timestamp() * 1000) + late_by,),
    )
    world.connection.commit()
    assert days.close(MIDNIGHT + GRACE) == jobs


@pytest.mark.database
def test_nothing_is_told_until_laravel_has_the_class(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    days = Days(world, settings_for("jobs"))
    days.close(MIDNIGHT - timedelta(hours=12))
    days.earned(7)
    assert days.close(MIDNIGHT + GRACE) == 1
    assert days.told() == []
    assert days.world.one("SELECT value FROM fleet_settings WHERE name = 'closed_through'") == (
        DAY.isoformat()
    )
