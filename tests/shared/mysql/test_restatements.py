"""What comes late into a closed day leaves the figures that stood there, with its cause."""

from __future__ import annotations

import json
import random
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from shared.endpoints import MySQLSettings
from shared.ledger.cash import CashEntry
from shared.ledger.fill import FillReport
from shared.mysql.book import Book
from shared.mysql.connection import connect
from tests.ledger_world import DAY_MS, FIRST_DAY, cash, report, shuffled, trades

pytestmark = pytest.mark.database

FIRST = date(1970, 1, 1) + timedelta(days=FIRST_DAY // DAY_MS)
D = Decimal


class Row(NamedTuple):
    """A row of fleet_restatements."""

    batch: str
    account_id: int
    day: int  # after FIRST
    asset: str
    version: int
    figures: tuple[Any, ...]  # realized, fees, funding, other, fills
    identities: list[Any]


class Desk:
    """The book as the role `streams`; days are closed by the administrator."""

    def __init__(self, connection: Any, root: Any) -> None:
        self._connection, self._root = connection, root

    def fills(self, *reports: FillReport, inline: int = 5_000) -> None:
        Book(self._connection, inline_refold_fills=inline).record_fills(reports)
        self._connection.commit()

    def cash(self, *entries: CashEntry) -> None:
        Book(self._connection).record_cash(entries)
        self._connection.commit()

    def restate(self, limit: int = 20_000) -> None:
        while Book(self._connection).restate(limit, idle=True):
            self._connection.commit()
        self._connection.commit()

    def close(self, day: int) -> None:
        """The days up to this one are closed. day: after the first."""
        through = (FIRST + timedelta(days=day)).isoformat()
        self._root.cursor().execute(
            "INSERT INTO fleet_settings (name, value) VALUES ('closed_through', %s)"
            " ON DUPLICATE KEY UPDATE value = VALUES(value)", (through,),
        )  # fmt: skip
        self._root.commit()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        self._root.rollback()
        cursor = self._root.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())

    def restated(self) -> list[Row]:
        found = self.rows(
            "SELECT batch, account_id, day, asset, version, realized, fees, funding, other, fills,"
            " cause FROM fleet_restatements ORDER BY id"
        )
        return [
            Row(row[0], row[1], (row[2] - FIRST).days, row[3], row[4], row[5:10],
                [json.loads(text) for text in json.loads(row[10])["identities"]])
            for row in found
        ]  # fmt: skip

    def daily(self) -> dict[tuple[int, int, str], tuple[Any, ...]]:
        """(account, day, asset) -> version and figures."""
        found = self.rows(
            "SELECT account_id, day, asset, version, realized, fees, funding, other, fills"
            " FROM fleet_pnl_daily"
        )
        return {(row[0], (row[1] - FIRST).days, row[2]): row[3:] for row in found}


@pytest.fixture
def desk(mysql_schema: Any, mysql_root: MySQLSettings, fleet_schema: str) -> Any:
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield Desk(mysql_schema, root)


def on(day: int, trade_id: str, side: str = "buy", price: str = "100", **more: Any) -> FillReport:
    """A fill of one coin at noon of a day."""
    at = FIRST_DAY + day * DAY_MS + DAY_MS // 2
    return report(trade_id=trade_id, side=side, price=price, executed_at_ms=at, **more)


def test_a_fill_of_an_open_day_restates_nothing(desk: Desk) -> None:
    desk.fills(on(0, "1"))
    desk.close(0)
    desk.fills(on(1, "2", "sell", "110"))
    assert desk.restated() == []


def test_a_late_fill_restates_every_day_whose_figures_change_and_no_other(desk: Desk) -> None:
    desk.fills(on(0, "1"), on(1, "2"), on(2, "3", "sell", "110"), on(3, "4"))
    before = desk.daily()
    desk.close(3)
    desk.fills(on(0, "5", price="70"))  # cheaper: the sale of day 2 gained more
    identity = ["fill", 1, "linear", "BTCUSDT", "5", "buy"]
    first, second = desk.restated()
    assert first[1:] == (1, 0, "USDT", 1, (0, 0, 0, 0, 1), [identity])
    assert second[1:] == (1, 2, "USDT", 1, (10, 0, 0, 0, 1), [identity])
    assert first.batch == second.batch
    after = desk.daily()
    assert after[1, 0, "USDT"] == (2, 0, 0, 0, 0, 2)
    assert after[1, 2, "USDT"] == (2, 20, 0, 0, 0, 1)
    assert {day: after[1, day, "USDT"] for day in (1, 3)} == {
        day: before[1, day, "USDT"] for day in (1, 3)
    }


def test_only_closed_days_leave_their_figures(desk: Desk) -> None:
    desk.fills(on(0, "1"), on(2, "2", "sell", "110"))
    desk.close(1)
    desk.fills(on(0, "3", price="70"))
    assert [row.day for row in desk.restated()] == [0]
    assert desk.daily()[1, 2, "USDT"][:2] == (2, 25)


def test_a_fee_that_is_known_late_restates_its_day(desk: Desk) -> None:
    desk.fills(on(0, "1", fee=None), on(1, "2"))
    desk.close(1)
    desk.fills(on(0, "1", fee="0.5", fee_asset="BNB", revision=2))
    (row,) = desk.restated()
    assert (row.day, row.asset, row.version, row.figures) == (0, "BNB", 0, (0, 0, 0, 0, 0))
    assert desk.daily()[1, 0, "BNB"] == (1, 0, D("0.5"), 0, 0, 0)


def test_a_report_that_says_nothing_new_restates_nothing(desk: Desk) -> None:
    desk.fills(on(0, "1"))
    desk.close(0)
    desk.fills(on(0, "1"), on(0, "1", source="sync"))
    assert desk.restated() == []
    assert desk.daily()[1, 0, "USDT"][0] == 1


def test_late_funding_restates_its_day(desk: Desk) -> None:
    desk.cash(cash(ref="1", amount="1"))
    desk.close(0)
    desk.cash(cash(ref="2", amount="-0.25"), cash(ref="3", amount="9", kind="transfer_in"))
    (row,) = desk.restated()
    assert row.figures == (0, 0, 1, 0, 0)
    assert row.identities == [
        ["cash", 1, "FUNDING_FEE", "2", "USDT", "BTCUSDT"],
        ["cash", 1, "FUNDING_FEE", "3", "USDT", "BTCUSDT"],
    ]


def test_midnight_belongs_to_the_new_day(desk: Desk) -> None:
    desk.close(0)
    desk.cash(cash(at_ms=FIRST_DAY + DAY_MS))
    assert desk.restated() == []
    desk.cash(cash(ref="2", at_ms=FIRST_DAY + DAY_MS - 1))
    assert [row.day for row in desk.restated()] == [0]


def test_accounts_of_one_batch_share_its_name_and_batches_do_not(desk: Desk) -> None:
    desk.close(0)
    desk.fills(on(0, "1"), on(0, "1", account_id=2), on(0, "2"))
    desk.fills(on(0, "3"))
    rows = desk.restated()
    assert [row.account_id for row in rows] == [1, 2, 1]
    assert rows[0].batch == rows[1].batch != rows[2].batch
    assert len(rows[0].identities) == 2


def test_a_fold_that_waits_restates_when_it_is_done(desk: Desk) -> None:
    desk.fills(*(on(0, str(number)) for number in range(1, 4)), on(1, "9", "sell", "110"))
    desk.close(1)
    desk.fills(on(0, "0", price="60"), inline=0)
    assert [(row.day, row.figures[0]) for row in desk.restated()] == [(0, 0)]
    desk.restate()
    (_, later) = desk.restated()
    assert (later.day, later.figures[0]) == (1, 10)
    assert later.identities == [["refold", 1, "linear", "BTCUSDT"]]
    assert desk.daily()[1, 1, "USDT"][1] == 20


def test_many_causes_are_counted_beyond_the_first(desk: Desk) -> None:
    desk.close(0)
    desk.fills(*(on(0, str(number)) for number in range(100, 130)))
    ((cause,),) = desk.rows("SELECT cause FROM fleet_restatements")
    assert len(json.loads(cause)["identities"]) == 20
    assert json.loads(cause)["more"] == 10


@pytest.mark.parametrize("seed", range(4))
def test_every_version_of_a_closed_day_is_kept_but_the_last_which_stands(
    desk: Desk, seed: int
) -> None:
    desk.close(1)
    reports = shuffled(random.Random(seed), trades(seed, 60, accounts=2))
    for first in range(0, len(reports), 7):
        desk.fills(*reports[first : first + 7], inline=3)
        desk.restate(5)
    key = "account_id, product, instrument, day, asset, version"
    kept: dict[Any, list[int]] = {}
    for row in desk.rows(f"SELECT {key} FROM fleet_restatements ORDER BY id"):  # noqa: S608
        kept.setdefault(row[:5], []).append(row[5])
    standing = {row[:5]: row[5] for row in desk.rows(f"SELECT {key} FROM fleet_pnl_daily")}  # noqa: S608
    closed = {row for row in standing if (row[3] - FIRST).days <= 1}
    assert kept.keys() == closed != set()
    for row in closed:
        assert [*kept[row], standing[row]] == list(range(standing[row] + 1))
