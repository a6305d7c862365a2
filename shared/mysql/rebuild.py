"""Rebuild: an account's projections again, from its immutable rows alone.

A large account is folded into shadow rows without its lock, in committed steps, while its traffic
goes on; then its lock is taken, the shadows catch up, and take the place of the live rows in that
one transaction. Small accounts are folded and swapped under their locks, several at once: that
takes no longer than a waiting fold does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared.mysql.book import RESTATE_FILLS, Book
from shared.mysql.book_daily import AccountInstrument, Closed
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.mysql.rebuild_shadow import (
    NO_ROW,
    Batch,
    Shadow,
    build_accounts,
    claim,
    clear,
    drop_instruments,
    holder,
    open_instrument,
    position_keys,
    read_shadows,
    read_versions,
    remaining_fills,
)
from shared.mysql.rebuild_swap import Rebuilt, recount_fees, swap, unsound_instruments
from shared.queries import load

SQL = load(Path(__file__).with_name("rebuild.sql"))

SMALL_FILLS = RESTATE_FILLS  # folded under the locks of small accounts by one transaction
STEP_FILLS = 50_000  # folded between two commits: about half a second
TRIES = 3  # without the lock; what has changed every time is then folded under it


class Superseded(Exception):  # noqa: N818 - a state, not a mistake
    """Another run has begun with this account; the shadow rows are that one's now."""


class Stopped(Exception):  # noqa: N818 - a state, not a mistake
    """The caller asked to stop; the shadow rows wait for a run with the same token."""


class Account(NamedTuple):
    """An account and how many fills it has."""

    id: int
    fills: int


class Steps(NamedTuple):
    """told: fills folded by a step, after its commit. stop: whether to end between two steps."""

    told: Callable[[int], object] = lambda _fills: None
    stop: Callable[[], bool] = lambda: False
    fills: int = STEP_FILLS


ALL_AT_ONCE = Steps()


def accounts_after(connection: Any, account_id: int, limit: int) -> list[Account]:
    """The next accounts in order of id."""
    with transaction(connection) as cursor:
        cursor.execute(SQL["accounts_after"], (account_id, limit))
        return [Account(*row) for row in cursor.fetchall()]


def rebuild_small(connection: Any, account_ids: Sequence[int]) -> list[Rebuilt]:
    """Accounts with SMALL_FILLS fills at most, all together, in one transaction.

    Raises AmountOverflow, Unavailable.
    """
    with transaction(connection):
        Book(connection).lock_accounts(account_ids)
        rows = Rows(connection)
        clear(rows, account_ids)
        rows.flush()
        build_accounts(connection, account_ids)
        rebuilt = swap(connection, rows, Closed(), account_ids)
        clear(rows, account_ids)
        rows.flush()
    return rebuilt


def rebuild_large(
    connection: Any, account_id: int, token: str, steps: Steps = ALL_AT_ONCE
) -> Rebuilt:
    """One account of any size. token: of this run, 32 characters; with the token of a run that was
    stopped or killed it goes on where that one was.

    Raises Stopped, Superseded, AmountOverflow, Unavailable.
    """
    work = _Large(connection, account_id, token, steps)
    with transaction(connection):
        work.begin()
        for _ in range(TRIES):
            work.fold()
            rebuilt = work.finish()
            if rebuilt is not None:
                return rebuilt
        return work.finish_under_lock()


class _Large:
    """One large account. Commits whatever it did before it takes the account's lock."""

    def __init__(self, connection: Any, account_id: int, token: str, steps: Steps) -> None:
        self._connection = connection
        self._account_id = account_id
        self._token = token
        self._steps = steps
        self._rows = Rows(connection)

    def begin(self) -> None:
        """Makes the account's shadow rows this run's, and keeps what it had done already."""
        if holder(self._rows, self._account_id) != self._token:
            clear(self._rows, [self._account_id])
            claim(self._rows, self._account_id, self._token)
        self._commit(0)

    def fold(self) -> None:
        """Opens what is not open, and folds everything there is without the account's lock."""
        keys = position_keys(self._rows, self._account_id)
        shadows = read_shadows(self._rows, self._account_id)
        for instrument in sorted({key[:3] for key in keys if key not in shadows}):
            self._check_holder()
            self._open(instrument)
            self._commit(0)
        self._catch_up(self._save)

    def finish(self) -> Rebuilt | None:
        """Takes the lock, catches up and swaps; None if something was not folded forward since:
        that is to be folded again.
        """
        unsound = self._lock()
        if not unsound:
            return self._swap()
        self._connection.rollback()
        self._check_holder()
        drop_instruments(self._rows, unsound)
        self._commit(0)
        return None

    def finish_under_lock(self) -> Rebuilt:
        """The same, however much is to be folded again."""
        unsound = self._lock()
        drop_instruments(self._rows, unsound)
        for instrument in sorted(unsound):
            self._open(instrument)
        self._catch_up(_flush)
        return self._swap()

    def _lock(self) -> set[AccountInstrument]:
        """Returns the instruments whose shadows do not hold, caught up as they are."""
        self._connection.commit()
        Book(self._connection).lock_accounts([self._account_id])
        self._check_holder()
        self._catch_up(_flush)
        return unsound_instruments(self._rows, self._account_id)

    def _swap(self) -> Rebuilt:
        recount_fees(self._rows, self._account_id)
        (rebuilt,) = swap(self._connection, self._rows, Closed(), [self._account_id])
        clear(self._rows, [self._account_id])
        self._rows.flush()
        return rebuilt

    def _open(self, instrument: AccountInstrument) -> None:
        """Also where it is open: a side that is new goes with the others, which share its days."""
        keys = position_keys(self._rows, self._account_id)
        drop_instruments(self._rows, [instrument])
        open_instrument(self._rows, instrument, [key for key in keys if key[:3] == instrument])

    def _catch_up(self, save: Save) -> None:
        """Folds what stands behind every shadow that is not at its end, in steps."""
        versions = read_versions(self._rows, self._account_id)
        for key, shadow in sorted(read_shadows(self._rows, self._account_id).items()):
            if not shadow.complete or versions.get(key, NO_ROW).version != shadow.seen:
                self._fold_on(shadow, save)

    def _fold_on(self, shadow: Shadow, save: Save) -> None:
        batch, since = Batch(self._rows), 0
        for folded in batch.fold_on(shadow, remaining_fills(self._rows, shadow)):
            since += folded
            if since >= self._steps.fills:
                save(batch, since)
                since = 0
        save(batch, since)

    def _save(self, batch: Batch, folded: int) -> None:
        self._check_holder()
        batch.flush()
        self._commit(folded)

    def _commit(self, folded: int) -> None:
        self._rows.flush()
        self._connection.commit()
        self._steps.told(folded)
        if self._steps.stop():
            raise Stopped

    def _check_holder(self) -> None:
        """Until the next commit nobody else can take the shadow rows."""
        if holder(self._rows, self._account_id) != self._token:
            raise Superseded


Save = Callable[[Batch, int], object]


def _flush(batch: Batch, _folded: int) -> None:
    """Under the account's lock: everything is committed with the swap."""
    batch.flush()


def groups(accounts: Iterable[Account], small_fills: int = SMALL_FILLS) -> list[list[Account]]:
    """Accounts in groups to be rebuilt together; a large one stands alone."""
    made: list[list[Account]] = []
    total = 0
    for account in accounts:
        total += account.fills
        if not made or total > small_fills:
            made.append([])
            total = account.fills
        made[-1].append(account)
    return made
