"""Reconciliation, account by account: one transaction each, under the account's lock.

A break that opens is told to Laravel in the transaction that opened it, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from shared import telemetry
from shared.ledger.money import AmountOverflow
from shared.mysql import reconcile as books
from shared.mysql.book import Book
from shared.mysql.book_breaks import Break, open_of_account
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.mysql.reconcile_positions import KINDS
from shared.settings import Settings
from workers.dispatches import dispatch
from workers.laravel_jobs.outgoing import PositionDiverged

SHOWN = (*KINDS, "realized_diverged")
"""Kinds of break between books and exchange. Those of the realized P&L of single fills are opened
and closed where P&L is attributed.
"""
AT_ONCE = 10_000  # accounts read at once; a run does what it has time for
RUN_SECONDS = 200.0

_log = telemetry.log(__name__)


class Reconciled(NamedTuple):
    """differing: accounts with an open break. failed: those whose figures no column can hold."""

    accounts: int
    differing: int
    failed: int


def reconcile_account(connection: Any, settings: Settings, account_id: int) -> list[Break]:
    """Compares one account, waiting for its lock; all its open breaks. Commits."""
    with transaction(connection):
        Book(connection).lock_accounts([account_id])
        return _compare(connection, settings, account_id)


def reconcile_waiting(
    connection: Any, settings: Settings, out_of_time: Callable[[], bool]
) -> Reconciled:
    """Accounts with a new report or an open break. One that is locked is left to the next run."""
    accounts = books.waiting(connection, AT_ONCE)
    connection.commit()
    return reconcile_all(connection, settings, accounts, out_of_time, wait=False)


def reconcile_all(
    connection: Any,
    settings: Settings,
    accounts: Iterable[int],
    stop: Callable[[], bool] = lambda: False,
    *,
    wait: bool = True,
) -> Reconciled:
    """One after the other, until `stop`. wait: for accounts that somebody else has locked."""
    done = differing = failed = 0
    for account_id in accounts:
        if stop():
            break
        try:
            with transaction(connection):
                book = Book(connection)
                if wait:
                    book.lock_accounts([account_id])
                elif not book.lock_if_free(account_id):
                    continue
                found = _compare(connection, settings, account_id)
        except AmountOverflow as overflow:
            _log.error("reconcile", account=account_id, error=str(overflow))
            failed += 1
            continue
        done += 1
        differing += bool(found)
    return Reconciled(done, differing, failed)


def _compare(connection: Any, settings: Settings, account_id: int) -> list[Break]:
    rows = Rows(connection)
    for break_id in books.reconcile(rows, account_id):
        dispatch(connection, settings, PositionDiverged(break_id=break_id))
    return open_of_account(rows, account_id, SHOWN)
