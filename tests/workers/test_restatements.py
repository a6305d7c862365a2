"""Laravel hears of a change of closed days once per account and batch of the books."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from itertools import product
from typing import Any

import MySQLdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.laravel.command import read_command
from shared.ledger.identity import fill_identity
from shared.mysql.connection import connect, transaction
from shared.settings import Settings
from tests.runtime_world import World, fill
from tests.waiting import eventually
from workers import restatements
from workers.build import announce_restatements
from workers.laravel_jobs.arguments import I63_LIMIT
from workers.laravel_jobs.outgoing import CAUSES_PER_JOB, DAYS_PER_JOB, DayRestated
from workers.restatements import SQL, announce, identities

HAS_IT = {"FLEET_LARAVEL_JOBS": "App\\Jobs\\Fleet\\DayRestated"}
DAY = date(2026, 3, 1)
LATE = fill_identity(7, "linear", "BTCUSDT", "late", "buy")


def cause(*named: str) -> str:
    return json.dumps({"identities": named})


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), max_size=30)))
def test_causes_are_named_once_and_no_more_than_fit(named: list[list[str]]) -> None:
    told = identities(cause(*some) for some in named)
    all_ = [one for some in named for one in some]
    assert len(told) == len(set(told)) == min(CAUSES_PER_JOB, len(set(all_)))
    assert told == sorted(told, key=all_.index)


class Books:
    """What the books left, and what Laravel is told of it."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings

    def restated(
        self, account: int | Sequence[int], batch: str, days: Sequence[date], *causes: str
    ) -> None:
        """One transaction of the books: a row per account, day and cause."""
        accounts = [account] if isinstance(account, int) else account
        self.world.connection.cursor().executemany(
            "INSERT INTO fleet_restatements (batch, account_id, product, instrument, day, asset,"
            " version, realized, fees, funding, other, fills, cause)"
            " VALUES (%s, %s, 'linear', 'BTCUSDT', %s, 'USDT', 1, 0, 0, 0, 0, 0, %s)",
            [
                (batch, one, day, text)
                for one, day, text in product(accounts, days, causes or (cause(LATE),))
            ],
        )
        self.world.connection.commit()

    def announce(self) -> int:
        return announce_restatements(self.settings)

    def waiting(self) -> set[tuple[int, str]]:
        sql = "SELECT account_id, batch FROM fleet_restatements WHERE announced_at IS NULL"
        return set(self.world.rows(sql))

    def told(self) -> list[DayRestated]:
        """Every job, in order."""
        found = self.world.rows("SELECT payload FROM fleet_dispatches ORDER BY id")
        commands = [json.loads(payload)["data"]["command"] for (payload,) in found]
        return [read_command(one, None).arguments(DayRestated) for one in commands]

    def accounts(self) -> list[int]:
        return [job.account_id for job in self.told()]


@pytest.fixture
def books(world: World, settings_for: Callable[..., Settings]) -> Books:
    return Books(world, settings_for("jobs", **HAS_IT))


def days(number: int) -> list[date]:
    return [DAY + timedelta(days=at) for at in range(number)]


@pytest.mark.database
def test_a_late_fill_is_told_with_its_days_and_its_identity(books: Books) -> None:
    """From the event to the job: a position that was held over a closed day, and closed late."""
    world = books.world
    at_ms = 1_764_000_000_123  # of 2025-11-24
    with world.reading():
        world.add(7, fill(7, "one"))
        eventually(lambda: world.trades(7) == ["one"])
        closed = "INSERT INTO fleet_settings (name, value) VALUES ('closed_through', '2025-11-25')"
        world.run(closed)
        world.add(7, fill(7, "late", side="sell", price="110", executed_at_ms=at_ms + 86_400_000))
        eventually(lambda: len(world.trades(7)) == 2)
    assert books.announce() == 1
    (job,) = books.told()
    late = fill_identity(7, "linear", "BTCUSDT", "late", "sell")
    assert (job.account_id, job.days, job.causes) == (7, [date(2025, 11, 25)], [late])
    assert (books.announce(), len(books.told())) == (0, 1)


@pytest.mark.database
def test_an_account_hears_once_of_a_batch_and_again_of_the_next(books: Books) -> None:
    books.restated(7, "a", days(3), cause(LATE, "x"), cause("y", LATE))
    books.restated(8, "a", days(1))
    books.restated(7, "b", days(1))
    assert books.announce() == 3
    assert books.told() == [
        DayRestated(account_id=7, days=days(3), causes=[LATE, "x", "y"]),
        DayRestated(account_id=8, days=days(1), causes=[LATE]),
        DayRestated(account_id=7, days=days(1), causes=[LATE]),
    ]
    assert (books.announce(), books.waiting()) == (0, set())


@pytest.mark.database
def test_a_job_names_a_hundred_days_and_twenty_causes_at_most(books: Books) -> None:
    named = [cause(*(f"{at}.{one}" for one in range(7))) for at in range(4)]
    books.restated(7, "a", days(DAYS_PER_JOB + 5)[::-1], *named)
    assert books.announce() == 1
    (job,) = books.told()
    assert job.days == days(DAYS_PER_JOB)
    assert job.causes == [f"{at}.{one}" for at in range(3) for one in range(7)][:CAUSES_PER_JOB]
    assert books.waiting() == set()


@pytest.mark.database
def test_a_cause_may_name_nothing(books: Books) -> None:
    """A cash row that moved to another product leaves the days of its first one."""
    books.restated(7, "a", days(1), cause())
    assert books.announce() == 1
    assert books.told() == [DayRestated(account_id=7, days=days(1), causes=[])]


@pytest.mark.database
def test_an_account_beyond_php_s_integers_holds_nobody_up(books: Books) -> None:
    books.restated(I63_LIMIT, "a", days(1))
    books.restated(I63_LIMIT - 1, "a", days(1))
    assert books.announce() == 2
    assert (books.accounts(), books.waiting()) == ([I63_LIMIT - 1], set())


@pytest.mark.database
def test_what_waits_is_told_oldest_first_and_a_run_is_bounded(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restatements, "AT_ONCE", 2)
    monkeypatch.setattr(restatements, "MOST_OF_A_RUN", 4)
    for account in (5, 3, 9, 1, 7):
        books.restated(account, "a", days(2))
    assert books.announce() == 4
    assert (books.accounts(), books.waiting()) == ([5, 3, 9, 1], {(7, "a")})
    assert books.announce() == 1
    assert books.accounts() == [5, 3, 9, 1, 7]


@pytest.mark.database
def test_off_until_laravel_has_the_class_and_then_only_what_is_new_is_told(
    books: Books, settings_for: Callable[..., Settings]
) -> None:
    has_it, books.settings = books.settings, settings_for("jobs")
    books.restated(7, "a", days(1))
    assert (books.announce(), books.told(), books.waiting()) == (1, [], set())
    books.settings = has_it
    books.restated(8, "b", days(1))
    assert (books.announce(), books.accounts()) == (1, [8])


# -- once ------------------------------------------------------------------------------------------


@pytest.fixture
def second(books: Books) -> Iterator[Any]:
    with closing(connect(books.settings.mysql)) as connection:
        yield connection


@pytest.mark.database
def test_what_another_announcer_has_in_hand_is_passed_over(books: Books, second: Any) -> None:
    books.restated(7, "a", days(3))
    head = books.world.one("SELECT MIN(id) FROM fleet_restatements")
    cursor = second.cursor()
    cursor.execute(SQL["claim"], ([head],))
    assert cursor.fetchall() == ((7, "a"),)
    books.restated(8, "b", days(3))
    assert (books.announce(), books.accounts()) == (1, [8])
    second.rollback()
    assert (books.announce(), books.accounts()) == (1, [8, 7])


@pytest.mark.database
def test_two_announcers_at_once_tell_once_while_batches_come_in(books: Books) -> None:
    over = threading.Event()

    def run() -> None:
        with closing(connect(books.settings.mysql)) as connection:
            while not over.is_set():
                announce(connection, books.settings)

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(run) for _ in range(2)]
        try:
            for batch in range(60):
                books.restated(range(1, 21), str(batch), days(5))
        finally:
            over.set()
        for one in both:
            one.result(20)
    books.announce()
    assert Counter(books.accounts()) == dict.fromkeys(range(1, 21), 60)
    assert books.waiting() == set()


@pytest.mark.database
def test_a_crash_between_the_dispatch_and_the_mark_loses_nothing(books: Books) -> None:
    for account in (7, 8, 9):
        books.restated(account, "a", days(2))
    books.world.run(
        "CREATE TRIGGER crash BEFORE UPDATE ON fleet_restatements FOR EACH ROW"
        " IF NEW.account_id = 8 THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    try:
        with pytest.raises(MySQLdb.OperationalError):
            books.announce()
    finally:
        books.world.run("DROP TRIGGER crash")
    assert (books.told(), len(books.waiting())) == ([], 3)
    assert (books.announce(), books.accounts()) == (3, [7, 8, 9])


@pytest.mark.database
def test_a_batch_that_is_not_committed_is_not_told(books: Books, second: Any) -> None:
    with transaction(second) as cursor:
        cursor.execute(
            "INSERT INTO fleet_restatements (batch, account_id, product, instrument, day, asset,"
            " version, realized, fees, funding, other, fills, cause)"
            " VALUES ('a', 7, '', '', %s, 'USDT', 0, 0, 0, 0, 0, 0, '{\"identities\":[]}')",
            (DAY,),
        )
        assert books.announce() == 0
    assert books.announce() == 1
