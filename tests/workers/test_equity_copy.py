"""Equity rows in TimescaleDB: each once and as it stands, whatever ends a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.timescale import equity
from shared.timescale.connection import connect as connect_timescale
from tests.ledger_world import FIRST_DAY, cash
from tests.timescale_world import Timescale
from tests.workers.conftest import Fleet
from workers import build, equity_copy
from workers.equity import GRACE, snapshot_equity
from workers.equity_copy import copy_equity, waiting
from workers.scheduled.table import SCHEDULED

HOUR = datetime(2024, 10, 4, 5, tzinfo=UTC)
COLUMNS = "account_id, asset, at, cash, unrealized, flows, unpriceable, oldest_price_at, written_at"
INTO = f"INTO fleet_equity ({COLUMNS})"

pytestmark = pytest.mark.database


class Copies:
    """The task as the role `jobs`, on both servers."""

    def __init__(
        self, settings: Settings, connection: Any, sink: Any, timescale: Timescale
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.sink = sink
        self.timescale = timescale

    def write(self, *accounts: int, hour: int = 0, cash: str = "1", asset: str = "USDT") -> None:
        """As a snapshot writes them: in one transaction, later than every other row."""
        cursor = self.connection.cursor()
        cursor.execute("SELECT MAX(written_at) FROM fleet_equity")
        last = cursor.fetchone()[0] or HOUR
        cursor.executemany(
            f"REPLACE {INTO} VALUES (%s, %s, %s, %s, NULL, 0, 1, %s, %s)",  # noqa: S608 - ours
            [
                (one, asset, HOUR + hour * GRACE, cash, HOUR, last + timedelta(microseconds=1))
                for one in accounts
            ],
        )
        self.connection.commit()

    def copy(self, pages: int = 1000) -> int:
        asked = iter(range(pages))
        return copy_equity(self.connection, self.sink, lambda: next(asked, None) is None)

    def ours(self) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(f"SELECT {COLUMNS} FROM fleet_equity ORDER BY account_id, asset, at")  # noqa: S608 - ours
        self.connection.commit()
        return list(cursor.fetchall())

    def theirs(self) -> list[tuple[Any, ...]]:
        order = 'account_id, asset COLLATE "C", at'
        return self.timescale.run(f"SELECT {COLUMNS} FROM fleet.equity ORDER BY {order}")  # noqa: S608 - ours


@pytest.fixture
def copies(
    settings_for: Callable[..., Settings], timescale: Timescale, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Copies]:
    monkeypatch.setattr(equity_copy, "ROWS_AT_ONCE", 3)
    settings = settings_for("jobs", FLEET_TIMESCALE_URL=timescale.url("jobs"))
    with (
        closing(connect(settings.mysql)) as connection,
        closing(connect_timescale(settings)) as sink,
    ):
        yield Copies(settings, connection, sink, timescale)


def test_rows_are_copied_to_the_digit_and_once(copies: Copies) -> None:
    copies.write(1, 2**64 - 1, cash="-12345678901234567890.123456789012345678")
    copies.write(2, asset="ÄΩ🙂")
    assert copies.copy() == 3
    assert copies.theirs() == copies.ours()
    assert len(copies.theirs()) == 3
    assert copies.copy() == 0
    assert waiting(copies.connection, copies.sink) == 0


def test_pages_cut_rows_of_one_moment_of_writing_at_any_place(copies: Copies) -> None:
    """Account, asset and hour decide where their moment is the same."""
    moment = HOUR
    cursor = copies.connection.cursor()
    cursor.executemany(
        f"INSERT {INTO} VALUES (%s, %s, %s, %s, NULL, NULL, 0, NULL, %s)",  # noqa: S608 - ours
        [
            (account, asset, HOUR + hour * GRACE, account, moment)
            for account in (1, 2)
            for asset in ("BTC", "USDT", "a")
            for hour in range(4)
        ],
    )
    copies.connection.commit()
    for left in range(24, 0, -3):
        assert waiting(copies.connection, copies.sink) == left
        assert copies.copy(pages=1) == 3
    assert copies.copy() == 0
    assert copies.theirs() == copies.ours()


def test_a_run_that_ends_between_two_pages_is_taken_up_there(copies: Copies) -> None:
    copies.write(*range(1, 8))
    assert copies.copy(pages=1) == 3
    copies.sink.close()
    with closing(connect_timescale(copies.settings)) as copies.sink:
        assert copies.copy() == 4
    assert copies.theirs() == copies.ours()


def test_a_session_that_is_killed_within_a_page_leaves_nothing_of_it(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.write(*range(1, 8))
    whole = equity.write

    def killed(connection: Any, rows: Any) -> None:
        whole(connection, rows)
        if rows[0].account_id == 4:
            copies.timescale.run(
                f"SELECT pg_terminate_backend({connection.info.backend_pid})"
            )

    monkeypatch.setattr(equity, "write", killed)
    with pytest.raises(Unavailable):
        copies.copy()
    assert [row[0] for row in copies.theirs()] == [1, 2, 3]
    monkeypatch.setattr(equity, "write", whole)
    with closing(connect_timescale(copies.settings)) as copies.sink:
        assert copies.copy() == 4
    assert copies.theirs() == copies.ours()


def test_a_row_that_was_written_again_is_copied_again(copies: Copies) -> None:
    copies.write(1, 2, 3, 4)
    assert copies.copy() == 4
    copies.write(2, cash="7.5")
    copies.write(5)
    assert copies.copy() == 2
    assert copies.theirs() == copies.ours()
    assert [row[3] for row in copies.theirs()] == [1, Decimal("7.5"), 1, 1, 1]


def test_snapshots_are_written_later_than_every_row_before(copies: Copies) -> None:
    """Even than one whose moment the server's clock has not reached."""
    from shared.mysql.book import Book  # noqa: PLC0415 - only this test books

    far = datetime(2100, 1, 1, tzinfo=UTC)
    copies.write(9)
    copies.connection.cursor().execute("UPDATE fleet_equity SET written_at = %s", (far,))
    Book(copies.connection).record_cash([cash(amount="10", kind="transfer_in")])
    copies.connection.commit()
    assert copies.copy() == 1
    for hour in range(2):
        now = HOUR + timedelta(hours=hour) + GRACE
        assert snapshot_equity(copies.connection, now, lambda: False) == 1
        assert copies.copy() == 1
    assert copies.theirs() == copies.ours()
    assert [row[8] for row in copies.theirs()] == [
        far + timedelta(microseconds=1), far + timedelta(microseconds=2), far,
    ]  # fmt: skip


def test_a_snapshot_waits_for_the_one_that_is_being_written(
    copies: Copies, mysql_root: MySQLSettings, fleet_schema: str
) -> None:
    """Else the later moment could be committed, and copied, before the earlier one."""
    copies.connection.cursor().execute(
        "INSERT INTO fleet_settings (name, value) VALUES ('equity_snapshot', %s)",
        (f"{HOUR.isoformat()} ",),
    )
    copies.connection.commit()
    with closing(connect(mysql_root, fleet_schema)) as other:
        other.cursor().execute(
            "SELECT value FROM fleet_settings WHERE name = 'equity_snapshot' FOR UPDATE"
        )
        copies.connection.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
        with pytest.raises(Unavailable):
            snapshot_equity(copies.connection, HOUR + GRACE, lambda: False)
    assert snapshot_equity(copies.connection, HOUR + GRACE, lambda: False) == 0


@pytest.mark.parametrize("lost", ["fleet.equity", "fleet.equity_offset", "both", "database"])
def test_a_timescale_that_lost_its_rows_is_filled_again(copies: Copies, lost: str) -> None:
    copies.write(1, 2, 3, 4, FIRST_DAY)
    assert copies.copy() == 5
    if lost == "database":
        copies.sink.close()
        copies.timescale.run("DROP SCHEMA fleet CASCADE")
        with pytest.raises(Unavailable):
            build.copy_equity(copies.settings)
        copies.timescale.migrate(
            copies.settings.model_copy(
                update={"timescale_url": SecretStr(copies.timescale.owner)}
            )
        )
    else:
        tables = "fleet.equity, fleet.equity_offset" if lost == "both" else lost
        copies.timescale.run(f"TRUNCATE {tables}")
    assert build.copy_equity(copies.settings) == 5
    assert copies.theirs() == copies.ours()


def test_two_at_once_copy_each_row_once(copies: Copies) -> None:
    copies.write(*range(1, 8))
    with closing(connect_timescale(copies.settings)) as other:
        other.execute("SET lock_timeout = 50")
        other.commit()
        copies.sink.execute("SELECT 1")
        assert equity.lock_place(copies.sink) == equity.START
        with pytest.raises(Unavailable):
            copy_equity(copies.connection, other)
        copies.sink.rollback()
        assert copy_equity(copies.connection, other) == 7
    assert copies.copy() == 0


def test_timescale_away_loses_nothing(copies: Copies) -> None:
    copies.write(1)
    away = copies.settings.model_copy(
        update={"timescale_url": SecretStr("postgresql://u:p@127.0.0.1:1/x")}
    )
    with pytest.raises(Unavailable):
        build.copy_equity(away)
    assert build.equity_copy_status(away, copies.connection).state == "away"
    assert SCHEDULED["fleet.copy_equity"].run(copies.settings) == 1
    assert copies.theirs() == copies.ours()


def test_without_timescale_nothing_is_done(copies: Copies) -> None:
    copies.write(1)
    off = copies.settings.model_copy(update={"timescale_url": None})
    assert build.copy_equity(off) == 0
    assert build.equity_copy_status(off, copies.connection).state == "off"


def test_status_says_how_it_stands(
    copies: Copies, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.write(1, 2)
    monkeypatch.setenv("FLEET_TIMESCALE_URL", copies.timescale.url("cli"))
    assert "equity in TimescaleDB: 2 rows wait" in fleet("status").output
    copies.copy()
    assert "equity in TimescaleDB: 0 rows wait" in fleet("status").output
    monkeypatch.setenv("FLEET_TIMESCALE_URL", "postgresql://u:p@127.0.0.1:1/x")
    assert "away, nothing is lost: TimescaleDB cannot be reached" in fleet("status").output
    monkeypatch.delenv("FLEET_TIMESCALE_URL")
    assert "off, FLEET_TIMESCALE_URL is not set" in fleet("status").output


def test_the_metrics_role_may_ask_and_nothing_else(
    copies: Copies, settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for("metrics", FLEET_TIMESCALE_URL=copies.timescale.url("metrics"))
    copies.write(1)
    with closing(connect(settings.mysql)) as connection:
        assert build.equity_copy_status(settings, connection).waiting == 1
    with (
        closing(connect_timescale(settings)) as sink,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        sink.execute("SELECT 1 FROM fleet.equity")
