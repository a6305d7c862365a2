"""The queries of dashboards (deploy/queries) on millions of daily rows."""

from __future__ import annotations

import time
from contextlib import closing
from random import Random
from statistics import quantiles
from typing import Any

from shared.mysql.connection import connect
from tests.bench.figures import Figure
from tests.bench.place import Place
from tests.daily_rows import EQUITY_EVERY, day, fill, query, user_of

DAYS = 400
YEAR = 365
RUNS = 200
TARGET_MS = 50
STATEMENT_SECONDS = 600


def dashboards(place: Place, *, rows: int = 10_000_000) -> Figure:
    """Each query with other parameters every time, so that most of what it reads is not cached."""
    place.empty()
    accounts = rows // DAYS
    with closing(connect(place.settings.mysql, read_seconds=STATEMENT_SECONDS)) as connection:
        # Gigabytes that nobody replicates.
        connection.cursor().execute("SET SESSION sql_log_bin = 0")
        started = time.perf_counter()
        for done in fill(connection, accounts, DAYS):
            if done % 5_000 == 0:
                print(f"{done * DAYS:,}", end=" ", flush=True)
        _settle(connection)
        filled = time.perf_counter() - started
        found = {name: _milliseconds(connection, name, accounts) for name in _PARAMETERS}
        size, pool = _sizes(connection)
        _remove(connection)
    told = "; ".join(f"{name} {p50:.1f} / {p95:.1f}" for name, (p50, p95) in found.items())
    return Figure(
        f"dashboard queries on {accounts * DAYS:,} daily rows, p50 / p95 in ms",
        f"p95 < {TARGET_MS} ms",
        told,
        all(p95 < TARGET_MS for _, p95 in found.values()),
        f"{accounts:,} accounts, {RUNS} runs each; {size} MB of daily rows and indexes, buffer pool"
        f" {pool} MB; made in {filled:.0f} s",
    )


def _user_year(draw: Random, accounts: int) -> dict[str, Any]:
    first = draw.randrange(DAYS - YEAR + 1)
    user = user_of(draw.randrange(accounts))
    return {"user_id": user, "first_day": day(first), "end_day": day(first + YEAR)}


def _account_equity(draw: Random, accounts: int) -> dict[str, Any]:
    account = draw.randrange(accounts // EQUITY_EVERY) * EQUITY_EVERY
    return {"account_id": account, "asset": "USDT", "first_at": day(0), "end_at": day(DAYS)}


def _top_accounts(draw: Random, accounts: int) -> dict[str, Any]:
    del accounts
    return {"day": day(draw.randrange(DAYS)), "asset": "USDT"}


_PARAMETERS = {
    "user_year": _user_year,
    "account_equity": _account_equity,
    "top_accounts": _top_accounts,
}


def _milliseconds(connection: Any, name: str, accounts: int) -> tuple[float, float]:
    """Median and 95th percentile, from the statement to the last row here."""
    draw, statement, cursor = Random(name), query(name), connection.cursor()
    taken = []
    for _ in range(RUNS):
        values = _PARAMETERS[name](draw, accounts)
        started = time.perf_counter()
        cursor.execute(statement, values)
        found = cursor.fetchall()
        taken.append((time.perf_counter() - started) * 1000)
        connection.commit()
        assert found, f"{name} found nothing for {values}"
    cuts = quantiles(taken, n=20)
    return cuts[9], cuts[18]


def _settle(connection: Any) -> None:
    """As a live table is: the rows of a day enter the index of days on that day and lie together
    there. Filled account by account they are strewn over all of it.
    """
    cursor = connection.cursor()
    cursor.execute("OPTIMIZE TABLE fleet_pnl_daily")
    cursor.fetchall()


def _sizes(connection: Any) -> tuple[int, int]:
    """Of the table with its indexes, and of the buffer pool, in MB."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT ROUND((data_length + index_length) / 1048576), @@innodb_buffer_pool_size / 1048576"
        " FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'fleet_pnl_daily'"
    )
    size, pool = cursor.fetchone()
    return int(size), int(pool)


def _remove(connection: Any) -> None:
    """The next figure empties what there is: these rows go now."""
    for table in ("fleet_pnl_daily", "fleet_equity", "fleet_account_owners"):
        connection.cursor().execute(f"TRUNCATE TABLE {table}")
