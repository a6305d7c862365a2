"""Equity at full hours: every account once, whatever stops the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import FIRST_DAY, cash, report
from workers import equity
from workers.build import snapshot_equity as run
from workers.equity import GRACE, snapshot_equity
from workers.scheduled.table import SCHEDULED

HOUR = datetime(2024, 10, 4, 5, tzinfo=UTC)
HOUR_MS = FIRST_DAY + 5 * 3_600_000
LATER = timedelta(hours=1)

pytestmark = pytest.mark.database


class Snapshots:
    """The task as the role `jobs`."""

    def __init__(self, settings: Settings, connection: Any) -> None:
        self.settings = settings
        self.connection = connection
        self.book = Book(connection)

    def take(self, now: datetime, chunks: int = 100) -> int:
        asked = iter(range(chunks))
        return snapshot_equity(self.connection, now, lambda: next(asked, None) is None)

    def rows(self, columns: str = "account_id, asset, at, cash, unrealized, flows") -> list[Any]:
        self.connection.rollback()
        cursor = self.connection.cursor()
        cursor.execute(f"SELECT {columns} FROM fleet_equity ORDER BY at, account_id, asset")  # noqa: S608 - our own names
        return list(cursor.fetchall())

    def deposit(self, *accounts: int, at_ms: int = FIRST_DAY) -> None:
        entries = [
            cash(account_id=one, ref=str(at_ms), amount="10", kind="transfer_in", at_ms=at_ms)
            for one in accounts
        ]
        book = Book(self.connection)
        book.record_cash(entries)
        self.connection.commit()


@pytest.fixture
def snapshots(settings_for: Callable[..., Settings]) -> Iterator[Snapshots]:
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Snapshots(settings, connection)


def test_a_row_says_what_stood_at_the_full_hour(snapshots: Snapshots) -> None:
    snapshots.deposit(1)
    snapshots.deposit(1, at_ms=HOUR_MS)  # at the hour itself: not before it
    assert snapshots.take(HOUR + GRACE) == 1
    assert snapshots.rows() == [(1, "USDT", HOUR, 10, 0, 10)]
    assert snapshots.take(HOUR + LATER + GRACE) == 1
    assert snapshots.rows()[1] == (1, "USDT", HOUR + LATER, 20, 0, 20)


def test_an_hour_is_taken_after_its_grace_and_once(snapshots: Snapshots) -> None:
    snapshots.deposit(1)
    assert snapshots.take(HOUR + GRACE - timedelta(microseconds=1)) == 1
    assert snapshots.rows("at") == [(HOUR - LATER,)]
    assert snapshots.take(HOUR + GRACE) == 1
    assert snapshots.take(HOUR + LATER) == 0
    assert len(snapshots.rows()) == 2


def test_a_run_that_ends_early_is_taken_up_where_it_ended(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equity, "ACCOUNTS_AT_ONCE", 2)
    snapshots.deposit(*range(1, 8))
    assert snapshots.take(HOUR + GRACE, chunks=2) == 4
    assert snapshots.rows("account_id") == [(1,), (2,), (3,), (4,)]
    assert snapshots.take(HOUR + GRACE + timedelta(minutes=1)) == 3
    assert snapshots.rows("account_id") == [(n,) for n in range(1, 8)]


def test_the_next_hour_begins_anew_where_the_last_was_not_finished(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equity, "ACCOUNTS_AT_ONCE", 2)
    snapshots.deposit(1, 2, 3)
    snapshots.take(HOUR + GRACE, chunks=1)
    assert snapshots.take(HOUR + LATER + GRACE) == 3


def test_an_unpriceable_position_is_counted_and_leaves_no_figure(snapshots: Snapshots) -> None:
    snapshots.book.record_fills([report(), report(trade_id="2", instrument="ETHUSDT")])
    snapshots.connection.cursor().execute(
        "INSERT INTO fleet_prices (venue, product, instrument, kind, at, price)"
        " VALUES ('binance', 'linear', 'ETHUSDT', 'last', %s, 130)",
        (HOUR - LATER,),
    )
    snapshots.connection.commit()
    snapshots.take(HOUR + GRACE)
    assert snapshots.rows("unrealized, unpriceable, oldest_price_at") == [(None, 1, HOUR - LATER)]
    snapshots.connection.cursor().execute(
        "INSERT INTO fleet_prices (venue, product, instrument, kind, at, price)"
        " VALUES ('binance', 'linear', 'BTCUSDT', 'mark', %s, 90)",
        (HOUR,),
    )
    snapshots.connection.commit()
    snapshots.take(HOUR + LATER + GRACE)
    assert snapshots.rows("unrealized, unpriceable")[1] == (20, 0)


def test_an_account_beyond_every_column_does_not_stop_the_others(snapshots: Snapshots) -> None:
    most = Decimal(10) ** 20 - 1
    cursor = snapshots.connection.cursor()
    snapshots.deposit(1, 2, 3)
    for instrument in ("A", "B"):
        cursor.execute(
            "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized)"
            " VALUES (2, 'linear', %s, '2024-10-03', 'USDT', %s)",
            (instrument, most),
        )
    snapshots.connection.commit()
    assert snapshots.take(HOUR + GRACE) == 2
    assert snapshots.rows("account_id") == [(1,), (3,)]


def test_beat_starts_it(snapshots: Snapshots) -> None:
    snapshots.deposit(1)
    assert SCHEDULED["fleet.snapshot_equity"].run(snapshots.settings) == 1
    assert run(snapshots.settings) == 0
