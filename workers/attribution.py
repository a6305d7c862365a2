"""The pass that keeps the attribution of daily P&L up with the books; see decision 0012."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from shared.mysql.book_attribution import due_accounts, settle_once
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("attribution.sql"))

TRANSACTIONS_OF_A_RUN = 200


def attribute(connection: Any, transactions: int = TRANSACTIONS_OF_A_RUN) -> int:
    """Settles due days, so many transactions at most; returns the days. Commits.

    Accounts take turns, each by one transaction; one that is locked is left to a later run.
    """
    waiting = deque(_next_accounts(connection, transactions))
    days = 0
    for _ in range(transactions):
        if not waiting:
            break
        account_id = waiting.popleft()
        settled = settle_once(connection, account_id, wait=False)
        days += settled.days
        if settled.more:
            waiting.append(account_id)
    return days


def _next_accounts(connection: Any, limit: int) -> list[int]:
    """The last one is remembered before its turn: an account that fails does not hold up the others
    for ever.
    """
    with transaction(connection) as cursor:
        cursor.execute(SQL["after"])
        row = cursor.fetchone()
    after = int(row[0]) if row else 0
    accounts = due_accounts(connection, after, limit)
    if len(accounts) < limit and after:
        accounts += [one for one in due_accounts(connection, 0, limit) if one <= after]
    accounts = accounts[:limit]
    if accounts:
        with transaction(connection) as cursor:
            cursor.execute(SQL["remember"], (str(accounts[-1]),))
    return accounts
