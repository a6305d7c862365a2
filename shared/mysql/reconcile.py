"""An account's books against its own reports. Each difference becomes a break, with its cause.

Runs in the caller's transaction, under the account's lock, and changes no books. A position that no
report names is not compared: an empty or failed answer is never read as flat.
"""

from __future__ import annotations

from typing import Any

from shared.mysql.book_breaks import settle_breaks
from shared.mysql.book_rows import Rows
from shared.mysql.reconcile_positions import (
    KINDS,
    SQL,
    compare_modes,
    compare_positions,
    read_books,
)
from shared.mysql.reconcile_spot import compare_spot
from shared.mysql.reconcile_wallets import compare_wallets


def reconcile(rows: Rows, account_id: int) -> list[int]:
    """Compares an account whose lock the caller holds; the ids of the breaks that opened now."""
    books = read_books(rows, account_id)
    compared = list(compare_positions(rows, books))
    differences = [one.difference for one in compared]
    differences += compare_modes(rows, books)
    differences += compare_wallets(rows, books, compared)
    told = {one.identity for one in differences}
    differences += [one for one in compare_spot(rows, books) if one.identity not in told]
    opened = settle_breaks(rows, account_id, KINDS, differences)
    rows.run(SQL["reconciled"], (account_id,))
    return opened


def reporting(connection: Any) -> list[int]:
    """Accounts that have a report."""
    return _accounts(connection, SQL["reporting"])


def waiting(connection: Any, limit: int) -> list[int]:
    """Accounts with a report since their last reconciliation, those first that wait longest; then
    those with an open break, which may be cured by now.
    """
    due = _accounts(connection, SQL["waiting"], limit)
    differing = _accounts(connection, SQL["differing"], KINDS, limit)
    return list(dict.fromkeys([*due, *differing]))


def _accounts(connection: Any, statement: str, *arguments: Any) -> list[int]:
    cursor = connection.cursor()
    cursor.execute(statement, arguments)
    return [account_id for (account_id,) in cursor.fetchall()]
