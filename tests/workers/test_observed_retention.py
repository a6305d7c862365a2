"""Old reports get fewer: never the first, the newest, or one that a break or an opening names."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.days import DAY_MS
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import FIRST_DAY
from tests.reports import held, opening, wallet
from workers import observed_retention
from workers.observed_retention import HOUR_MS, superfluous, thin_observed
from workers.scheduled.table import SCHEDULED

DAY = FIRST_DAY // DAY_MS
NOW = datetime(1970, 1, 1, 12, tzinfo=UTC) + timedelta(days=DAY)

MOMENTS = st.lists(st.integers(0, 120 * 96), unique=True).map(
    lambda quarters: sorted(FIRST_DAY - quarter * 900_000 for quarter in quarters)
)


@given(MOMENTS, st.data())
def test_what_stays_is_the_last_of_its_hour_or_day(moments: list[int], data: Any) -> None:
    named = set(data.draw(st.lists(st.sampled_from(moments or [0]), max_size=5)))
    gone = set(superfluous(moments, named, DAY))
    assert not gone & named
    for at_ms in moments:
        age = DAY - at_ms // DAY_MS
        length = HOUR_MS if age <= 90 else DAY_MS
        later = any(one > at_ms and one // length == at_ms // length for one in moments)
        assert (at_ms in gone) == (age > 7 and later and at_ms not in named)


@given(MOMENTS, st.integers(1, 100))
def test_day_by_day_and_at_once_end_alike(moments: list[int], days: int) -> None:
    left = moments
    for day in range(DAY - days, DAY):
        gone = set(superfluous(left, (), day))
        left = [at_ms for at_ms in left if at_ms not in gone]
    gone = set(superfluous(left, (), DAY))
    at_once = set(moments) - set(superfluous(moments, (), DAY))
    assert set(left) - gone == at_once


class Reports:
    """Reports in the books, and the task as the role `jobs`."""

    def __init__(self, books: Any, connection: Any, settings: Settings) -> None:
        self.books = books
        self.connection = connection
        self.settings = settings

    def tell(self, *moments: int, account: int = 1) -> None:
        book = Book(self.books)
        positions = [held(account_id=account, watermark_ms=at_ms) for at_ms in moments]
        book.record_observed_positions(positions)
        book.record_observed_balances([wallet("1", at_ms, account_id=account) for at_ms in moments])
        self.books.commit()

    def thin(self, now: datetime = NOW, accounts: int = 1000) -> int:
        asked = iter(range(accounts))
        return thin_observed(self.connection, now, lambda: next(asked, None) is None)

    def left(self, account: int = 1) -> list[int]:
        """The same of positions and of wallets."""
        cursor = self.connection.cursor()
        found = []
        for table in ("fleet_observed_positions", "fleet_observed_balances"):
            cursor.execute(
                f"SELECT watermark_ms FROM {table} WHERE account_id = %s ORDER BY watermark_ms",  # noqa: S608 - ours
                (account,),
            )
            found.append([at_ms for (at_ms,) in cursor.fetchall()])
        self.connection.commit()
        assert found[0] == found[1]
        return found[0]


@pytest.fixture
def reports(mysql_connection: Any, settings_for: Callable[..., Settings]) -> Iterator[Reports]:
    settings = settings_for("jobs")
    with closing(connect(settings.mysql)) as connection:
        yield Reports(mysql_connection, connection, settings)


def ago(days: int, ms: int = 0) -> int:
    """A moment of a day so many days before the present one."""
    return FIRST_DAY - days * DAY_MS + ms


@pytest.mark.database
def test_one_an_hour_stays_and_later_one_a_day(reports: Reports) -> None:
    first = ago(200)
    reports.tell(
        first, ago(199), ago(199, HOUR_MS), ago(199, 5 * HOUR_MS),
        ago(50), ago(50, 1), ago(50, HOUR_MS), ago(50, HOUR_MS + 1),
        ago(7), ago(7, 1), ago(0), ago(0, 1),
    )  # fmt: skip
    assert reports.thin() == 2 * 4
    assert reports.left() == [
        first, ago(199, 5 * HOUR_MS), ago(50, 1), ago(50, HOUR_MS + 1), ago(7), ago(7, 1),
        ago(0), ago(0, 1),
    ]  # fmt: skip
    assert reports.thin() == 0


@pytest.mark.database
def test_the_next_days_take_what_has_grown_old(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any steps, and whatever is deleted at once: the end is that of one pass."""
    monkeypatch.setattr(observed_retention, "ROWS_AT_ONCE", 3)
    draw = random.Random(1)
    moments = sorted({ago(draw.randrange(110), draw.randrange(24) * 900_000) for _ in range(300)})
    reports.tell(*moments)
    for days in (100, 60, 59, 3, 1, 0):
        reports.thin(NOW - timedelta(days=days))
    kept = {moments[0], moments[-1]}
    assert reports.left() == sorted(set(moments) - set(superfluous(moments, kept, DAY)))


@pytest.mark.database
def test_a_pass_that_ends_early_goes_on_with_the_next_account(reports: Reports) -> None:
    old = (ago(50), ago(50, 1), ago(50, 2), ago(1))
    for account in (1, 2, 3):
        reports.tell(*old, account=account)
    assert reports.thin(accounts=2) == 2 * 2
    assert [len(reports.left(account)) for account in (1, 2, 3)] == [3, 3, 4]
    assert reports.thin(NOW + timedelta(days=1)) == 2
    assert reports.left(3) == [ago(50), ago(50, 2), ago(1)]


@pytest.mark.database
def test_what_breaks_and_openings_name_stays(reports: Reports) -> None:
    minutes = [ago(50, minute * 60_000) for minute in range(10)]
    reports.tell(*minutes, ago(1))
    book = Book(reports.books)
    book.record_observed_positions([held(watermark_ms=minutes[3], qty="2")])  # a contradiction
    book.record_position_entries([opening("1", "1", minutes[5])])
    reports.books.cursor().execute(
        "INSERT INTO fleet_breaks (kind, account_id, identity, details) VALUES"
        " ('balance_diverged', 1, '[\"balance\",1,\"USDT\",\"\"]', %s),"
        " ('cash_conflict', 1, '[\"cash\",1,\"A\"]', '{\"at_ms\":[\"1\",\"2\"]}')",
        (f'{{"tied_ms":"{minutes[6]}","untied_ms":"{minutes[7]}","what":"wallet"}}',),
    )
    reports.books.commit()
    reports.thin()
    kept = [minutes[n] for n in (0, 3, 5, 6, 7, 9)]
    assert reports.left() == [*kept, ago(1)]


@pytest.mark.database
def test_the_scheduled_task_thins(reports: Reports) -> None:
    reports.tell(ago(500), ago(499), ago(499, 1))
    assert SCHEDULED["fleet.thin_observed"].run(reports.settings) == 2
    assert reports.left() == [ago(500), ago(499, 1)]
