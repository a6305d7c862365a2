"""Dated facts, as the scheduled task and the command line write them; whose a day's P&L is."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.mysql.facts import (
    BEGINNING,
    Instrument,
    Mode,
    Owner,
    instrument_at,
    instruments,
    modes,
    note_owners,
    owners,
    set_instrument,
    set_mode,
    set_owner,
)
from shared.settings import Settings

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
TODAY, TOMORROW = date(2026, 7, 1), date(2026, 7, 2)
PEPE = Instrument(
    "binance", "linear", "1000PEPEUSDT", NOON, Decimal(1), "PEPE", "USDT", "USDT",
    money_step=Decimal("1E-8"),
)  # fmt: skip


@pytest.fixture
def jobs(settings_for: Callable[..., Settings]) -> Iterator[Any]:
    """A connection as the role `jobs`, which notes owners."""
    with closing(connect(settings_for("jobs").mysql)) as connection:
        yield connection


@pytest.fixture
def laravel_has(
    mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[Callable[[dict[int, int]], None]]:
    """`laravel_has({42: 7})`: account 42 is user 7's, and there is no other."""
    with closing(connect(mysql_root, f"{fleet_schema}_laravel")) as root:

        def replace(users: dict[int, int]) -> None:
            cursor = root.cursor()
            cursor.execute("DELETE FROM exchange_accounts")
            cursor.executemany(
                "INSERT INTO exchange_accounts (id, user_id, venue, product, api_key, api_secret)"
                " VALUES (%s, %s, 'binance', 'linear', '', '')",
                list(users.items()),
            )
            root.commit()

        yield replace


# ---- instruments and modes


def test_the_instrument_of_a_moment_is_the_newest_fact_before_it(jobs: Any) -> None:
    later = PEPE._replace(valid_from=NOON + timedelta(days=1), contract_size=Decimal(10))
    for fact in (later, PEPE):
        set_instrument(jobs, fact)
    name = PEPE[:3]
    assert instrument_at(jobs, *name, NOON - timedelta(microseconds=1)) is None
    assert instrument_at(jobs, *name, NOON) == PEPE
    assert instrument_at(jobs, *name, later.valid_from) == later
    assert instrument_at(jobs, "binance", "linear", "1000pepeusdt", NOON) is None
    assert instruments(jobs, instrument="1000PEPEUSDT") == [PEPE, later]
    assert instruments(jobs, venue="okx") == []


def test_a_fact_of_the_same_moment_is_replaced(jobs: Any) -> None:
    set_instrument(jobs, PEPE)
    mended = PEPE._replace(qty_step=Decimal("0.1"), renamed_to="PEPEUSDT", ratio=Decimal(1000))
    set_instrument(jobs, mended)
    assert instruments(jobs) == [mended]
    mode = Mode(42, "linear", "", NOON, "netting", "operator")
    set_mode(jobs, mode)
    set_mode(jobs, mode._replace(mode="hedge"))
    set_mode(jobs, mode._replace(instrument="BTCUSDT"))
    assert modes(jobs, 42) == [mode._replace(mode="hedge"), mode._replace(instrument="BTCUSDT")]
    assert modes(jobs, 43) == []


# ---- owners


def test_the_first_user_that_laravel_names_owns_the_account_from_the_beginning(
    jobs: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    assert note_owners(jobs, NOON) == 0
    laravel_has({42: 7, 43: 7})
    assert note_owners(jobs, NOON) == 2
    assert note_owners(jobs, NOON) == 0
    assert owners(jobs) == [
        Owner(42, BEGINNING, 7, "laravel"), Owner(43, BEGINNING, 7, "laravel"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "now",
    [
        datetime(2026, 7, 1, tzinfo=UTC),
        datetime(2026, 7, 1, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 7, 2, 9, tzinfo=timezone(timedelta(hours=10))),
    ],
)
def test_another_user_begins_with_the_next_utc_day(
    jobs: Any, laravel_has: Callable[[dict[int, int]], None], now: datetime
) -> None:
    laravel_has({42: 7, 43: 7})
    note_owners(jobs, NOON)
    laravel_has({42: 8, 43: 7})
    assert note_owners(jobs, now) == 1
    assert note_owners(jobs, now) == 0
    assert owners(jobs, account_id=42)[1:] == [Owner(42, TOMORROW, 8, "laravel")]
    assert owners(jobs, user_id=8) == owners(jobs, account_id=42)


def test_of_several_changes_within_a_day_the_last_counts(
    jobs: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    for user in (7, 8, 9, 7):
        laravel_has({42: user})
        note_owners(jobs, NOON)
    assert [one[1:3] for one in owners(jobs)] == [(BEGINNING, 7), (TOMORROW, 7)]


def test_an_account_that_laravel_drops_keeps_its_owner(
    jobs: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    laravel_has({42: 7})
    note_owners(jobs, NOON)
    laravel_has({})
    assert note_owners(jobs, NOON + timedelta(days=5)) == 0
    assert [one.user_id for one in owners(jobs)] == [7]


def test_what_an_operator_says_of_a_later_time_is_no_news_today(
    jobs: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    laravel_has({42: 7})
    note_owners(jobs, NOON)
    set_owner(jobs, Owner(42, TODAY + timedelta(days=30), 8, "operator"))
    for days in range(28):
        assert note_owners(jobs, NOON + timedelta(days=days)) == 0


def test_the_first_owner_that_an_operator_names_is_it_from_the_beginning(jobs: Any) -> None:
    assert set_owner(jobs, Owner(42, TODAY, 7, "operator")).valid_from == BEGINNING
    assert set_owner(jobs, Owner(42, TODAY, 8, "operator")).valid_from == TODAY
    assert [one[1:3] for one in owners(jobs)] == [(BEGINNING, 7), (TODAY, 8)]


# ---- P&L by user


def daily(connection: Any, *rows: tuple[int, date, str, Any]) -> None:
    """(account, day, instrument, realized), in USDT."""
    connection.cursor().executemany(
        "INSERT INTO fleet_pnl_daily (account_id, day, instrument, realized, product, asset, fees,"
        " funding, other, fills) VALUES (%s, %s, %s, %s, 'linear', 'USDT', 1, 2, 3, 1)",
        rows,
    )


def by_user(connection: Any, where: str = "TRUE") -> dict[tuple[int, date], tuple[Any, ...]]:
    cursor = connection.cursor()
    columns = "user_id, day, realized, fees, funding, other, fills"
    cursor.execute(f"SELECT {columns} FROM fleet_pnl_by_user WHERE {where}")  # noqa: S608 - ours
    return {row[:2]: row[2:] for row in cursor.fetchall()}


@pytest.fixture
def books(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    """A connection of the administrator: the application reads the view as its own user."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


def test_a_day_belongs_to_the_owner_of_that_day(
    books: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    laravel_has({42: 8})  # whose it is now, and none of the days'
    for owner in (Owner(42, BEGINNING, 7, "laravel"), Owner(42, TODAY, 8, "laravel")):
        set_owner(books, owner)
    yesterday = TODAY - timedelta(days=1)
    daily(books, (42, yesterday, "A", "1.5"), (42, TODAY, "A", "-2"), (42, TODAY, "B", "0.5"))
    assert by_user(books) == {
        (7, yesterday): (Decimal("1.5"), 1, 2, 3, 1),
        (8, TODAY): (Decimal("-1.5"), 2, 4, 6, 2),
    }
    assert list(by_user(books, f"user_id = 8 AND day >= '{yesterday}'")) == [(8, TODAY)]


def test_an_account_without_a_noted_owner_is_laravels_users(
    books: Any, laravel_has: Callable[[dict[int, int]], None]
) -> None:
    laravel_has({42: 7, 43: 7, 44: 9})
    set_owner(books, Owner(43, BEGINNING, 7, "laravel"))
    daily(books, *((account, TODAY, "A", 1) for account in (42, 43, 44, 45)))
    assert {key: row[0] for key, row in by_user(books).items()} == {(7, TODAY): 2, (9, TODAY): 1}


@pytest.mark.parametrize("seed", range(5))
def test_the_users_parts_sum_to_the_whole(
    books: Any, laravel_has: Callable[[dict[int, int]], None], seed: int
) -> None:
    draw = random.Random(seed)
    days = [TODAY + timedelta(days=number) for number in range(20)]
    known: dict[int, list[Owner]] = defaultdict(list)
    for account in range(1, 8):
        changes = sorted(draw.sample(days, draw.randrange(4)))
        for since in [BEGINNING, *changes]:
            known[account].append(Owner(account, since, draw.randrange(1, 5), "laravel"))
        for owner in known[account]:
            set_owner(books, owner)
    users = {account: draw.randrange(1, 5) for account in range(1, 11)}
    laravel_has(users)
    rows = [
        (account, day, name, Decimal(draw.randrange(-(10**20), 10**20)).scaleb(-18))
        for account in range(1, 11)
        for day in days
        for name in ("A", "B")
        if draw.random() < 0.7
    ]
    daily(books, *rows)
    expected: dict[tuple[int, date], Decimal] = defaultdict(Decimal)
    for account, day, _, realized in rows:
        of_the_day = [one.user_id for one in known[account] if one.valid_from <= day]
        expected[of_the_day[-1] if of_the_day else users[account], day] += realized
    assert {key: row[0] for key, row in by_user(books).items()} == expected
    alone = {key: row[0] for key, row in by_user(books, "user_id = 3").items()}
    assert alone == {key: amount for key, amount in expected.items() if key[0] == 3}
