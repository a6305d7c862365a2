"""The queries that analysts copy: right figures, and no more read than they return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from tests.daily_rows import QUERIES, day, fill, query, user_of
from tests.laravel_application import LaravelApplication

ACCOUNTS, DAYS = 150, 200
YEAR = {"first_day": day(20), "end_day": day(120)}


@pytest.fixture
def books(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    """Every account with a row of every day, and the whole tables analyzed."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        for _ in fill(connection, ACCOUNTS, DAYS):
            pass
        yield connection


def asked(connection: Any, name: str, **values: Any) -> list[dict[str, Any]]:
    cursor = connection.cursor()
    cursor.execute(query(name), values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def plan_of(connection: Any, name: str, **values: Any) -> dict[str, dict[str, Any]]:
    """Table or alias -> its line of EXPLAIN."""
    cursor = connection.cursor()
    cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {query(name)}", values)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["table"]: row for row in rows}


def rows_read(connection: Any) -> int:
    """By this session so far, by index or scan; rows of temporary tables are among them."""
    cursor = connection.cursor()
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'")
    return sum(int(value) for _, value in cursor.fetchall())


def read_by(connection: Any, name: str, **values: Any) -> int:
    before = rows_read(connection)
    asked(connection, name, **values)
    return rows_read(connection) - before


def stored(connection: Any, account: int, when: date) -> tuple[Decimal, ...]:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT realized, fees, funding, other FROM fleet_pnl_daily"
        " WHERE account_id = %s AND day = %s AND instrument = 'BTCUSDT'",
        (account, when),
    )
    (row,) = cursor.fetchall()
    return tuple(row)


def net(row: tuple[Decimal, ...]) -> Decimal:
    realized, fees, funding, other = row
    return realized - fees + funding + other


def test_a_users_year_adds_up_the_accounts_that_were_the_users_on_each_day(books: Any) -> None:
    user = user_of(60)
    theirs = [account for account in range(ACCOUNTS) if user_of(account) == user]
    assert len(theirs) == 3
    books.cursor().execute(
        "INSERT INTO fleet_account_owners VALUES (%s, %s, 99999, 'laravel')", (theirs[0], day(50))
    )
    found = asked(books, "user_year", user_id=user, **YEAR)
    assert [row["day"] for row in found] == [day(number) for number in range(20, 120)]
    for row in found:
        owned = theirs if row["day"] < day(50) else theirs[1:]
        parts = [stored(books, account, row["day"]) for account in owned]
        sums = tuple(map(sum, zip(*parts, strict=True)))
        assert (row["realized"], row["fees"], row["funding"], row["other"]) == sums
        assert row["net"] == sum(map(net, parts))
        assert row["fills"] == 3 * len(owned)
    taken_over = asked(books, "user_year", user_id=99999, **YEAR)
    assert [row["day"] for row in taken_over] == [day(number) for number in range(50, 120)]


def test_a_users_year_reads_the_rows_of_the_users_accounts_only(books: Any) -> None:
    values = {"user_id": user_of(60), **YEAR}
    line = plan_of(books, "user_year", **values)["p"]
    assert (line["key"], line["type"]) == ("PRIMARY", "ref")
    # The rows of three accounts, and what is made of them; all rows are 50 times as many.
    assert read_by(books, "user_year", **values) < 4 * 3 * DAYS


def test_a_prepared_statement_that_names_the_user_reads_no_more(books: Any) -> None:
    """As Laravel sends it: MariaDB pushes no placeholder into a view."""
    cursor = books.cursor()
    cursor.execute(
        "PREPARE asked FROM 'SELECT * FROM fleet_pnl_by_user"
        " WHERE user_id IN (%s) AND day BETWEEN ? AND ?'",
        (user_of(60),),
    )
    cursor.execute("SET @first = %s, @last = %s", (day(20).isoformat(), day(119).isoformat()))
    before = rows_read(books)
    cursor.execute("EXECUTE asked USING @first, @last")
    assert len(cursor.fetchall()) == 100
    assert rows_read(books) - before < 5 * 3 * DAYS


def test_the_laravel_model_names_the_user(app: LaravelApplication) -> None:
    code = """
        use Tradefleet\\Laravel\\Models\\PnlByUser;
        $query = PnlByUser::query()->forUser(70)->between('2026-01-01', '2026-01-02');
        say([$query->toSql(), $query->getBindings()]);
    """
    ((statement, bindings),) = app.php(code)
    assert "`user_id` in (70)" in statement
    assert bindings == ["2026-01-01", "2026-01-02"]


def test_an_equity_curve_is_known_where_every_position_had_a_price(books: Any) -> None:
    books.cursor().execute(
        "UPDATE fleet_equity SET unrealized = NULL, unpriceable = 1"
        " WHERE account_id = 60 AND at = %s", (day(21),)
    )  # fmt: skip
    values = {"account_id": 60, "asset": "USDT", "first_at": day(20), "end_at": day(120)}
    found = asked(books, "account_equity", **values)
    assert [row["at"].date() for row in found] == [day(number) for number in range(20, 120)]
    assert isinstance(found[0]["at"], datetime)
    assert (found[1]["equity"], found[1]["unpriceable"]) == (None, 1)
    assert all(row["equity"] == row["cash"] + row["unrealized"] for row in found[2:])
    assert asked(books, "account_equity", **{**values, "asset": "BTC"}) == []


def test_an_equity_curve_reads_exactly_its_rows(books: Any) -> None:
    values = {"account_id": 60, "asset": "USDT", "first_at": day(20), "end_at": day(120)}
    line = plan_of(books, "account_equity", **values)["fleet_equity"]
    assert (line["key"], line["type"]) == ("PRIMARY", "range")
    assert read_by(books, "account_equity", **values) <= 101


def test_the_top_accounts_of_a_day_are_those_with_the_greatest_sums(books: Any) -> None:
    best = max(range(ACCOUNTS), key=lambda account: net(stored(books, account, day(7))))
    books.cursor().execute(
        "INSERT INTO fleet_pnl_daily (account_id, product, instrument, day, asset, realized)"
        " VALUES (%s, 'linear', 'ETHUSDT', %s, 'USDT', -1E6), (1, 'linear', 'A', %s, 'BTC', 1E9)",
        (best, day(7), day(7)),
    )
    found = asked(books, "top_accounts", day=day(7), asset="USDT")
    others = [account for account in range(ACCOUNTS) if account != best]
    sums = sorted(((net(stored(books, one, day(7))), one) for one in others), reverse=True)
    assert [(row["total"], row["account_id"]) for row in found] == sums[:20]


def test_the_top_accounts_of_a_day_come_from_the_index_alone(books: Any) -> None:
    values = {"day": day(7), "asset": "USDT"}
    line = plan_of(books, "top_accounts", **values)["fleet_pnl_daily"]
    assert (line["key"], line["type"]) == ("fleet_pnl_daily_top", "ref")
    assert "Using index" in line["Extra"]
    # The day's rows, and what is made of them; all rows are 200 times as many.
    assert read_by(books, "top_accounts", **values) < 4 * ACCOUNTS


def test_every_query_says_its_parameters() -> None:
    for path in QUERIES.glob("*.sql"):
        head, _, body = path.read_text().partition("\n\n")
        used = {word for word in body.replace(",", " ").split() if word.startswith(":")}
        assert used
        assert all(f"--   {name} " in head for name in used), path.name
