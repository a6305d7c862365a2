"""Millions of daily rows, made by the server itself, and the queries that analysts copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from shared.mysql.schema import statements

QUERIES = Path(__file__).parents[1] / "deploy" / "queries"
FIRST_DAY = date(2025, 1, 1)
ACCOUNTS_AT_ONCE = 250  # of one transaction
ACCOUNTS_PER_USER = 3
EQUITY_EVERY = 10  # only each tenth account has a curve


def query(name: str) -> str:
    """A file of deploy/queries for our driver: its `:name` become `%(name)s`."""
    (statement,) = statements((QUERIES / f"{name}.sql").read_text(encoding="utf-8"))
    return re.sub(r":(\w+)", r"%(\1)s", statement)


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def user_of(account: int) -> int:
    return account // ACCOUNTS_PER_USER + 1


# Amounts that look random and are the same every time: a checksum of account and day, in 1E-6.
_NUMBERS = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)"
_CENTRED = "(CAST(CRC32(CONCAT(a.n + %(first)s, {salt}, d.n)) AS SIGNED) - 2147483648) / 1000000"
_DAILY = f"""
INSERT INTO fleet_pnl_daily
  (account_id, product, instrument, day, asset, realized, fees, funding, other, fills, entries)
{_NUMBERS}
SELECT a.n + %(first)s, 'linear', 'BTCUSDT', %(day)s + INTERVAL d.n DAY, 'USDT',
  {_CENTRED.format(salt="':'")}, CRC32(d.n) / 1000000000, {_CENTRED.format(salt="'f'")} / 100,
  0, 3, 5
FROM n AS a JOIN n AS d
WHERE a.n < %(accounts)s AND d.n < %(days)s
ORDER BY a.n, d.n"""  # noqa: S608 - ours
_EQUITY = f"""
INSERT INTO fleet_equity (account_id, asset, at, cash, unrealized, flows)
{_NUMBERS}
SELECT a.n + %(first)s, 'USDT', %(day)s + INTERVAL d.n DAY, 1000 + d.n,
  {_CENTRED.format(salt="'u'")}, 1000
FROM n AS a JOIN n AS d
WHERE a.n < %(accounts)s AND d.n < %(days)s AND (a.n + %(first)s) %% {EQUITY_EVERY} = 0
ORDER BY a.n, d.n"""  # noqa: S608 - ours


def fill(connection: Any, accounts: int, days: int) -> Iterator[int]:
    """Accounts 0 to accounts - 1, each with a row of every day. Yields how many accounts are there.

    Each belongs to the user `user_of` says. Commits as it goes.
    """
    cursor = connection.cursor()
    for first in range(0, accounts, ACCOUNTS_AT_ONCE):
        count = min(ACCOUNTS_AT_ONCE, accounts - first)
        values = {"first": first, "accounts": count, "days": days, "day": FIRST_DAY}
        for statement in (_DAILY, _EQUITY):
            cursor.execute(statement, values)
        cursor.executemany(
            "INSERT INTO fleet_account_owners (account_id, valid_from, user_id, source)"
            " VALUES (%s, '1970-01-01', %s, 'laravel')",
            [(account, user_of(account)) for account in range(first, first + count)],
        )
        connection.commit()
        yield first + count
    cursor.execute("ANALYZE TABLE fleet_pnl_daily, fleet_equity, fleet_account_owners")
    cursor.fetchall()
