"""The book of record: applies batches to the ledger's tables, exactly once in effect.

A Book works on an open connection inside a transaction that the caller begins and commits. Every
batch may come late, twice or shuffled: the rows end up as after the ordered single delivery
(versions aside).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shared.ledger.cash import CashEntry
from shared.ledger.entries import PositionEntry
from shared.ledger.fill import FillReport
from shared.ledger.identity import cash_identity, entry_identity, fill_identity
from shared.ledger.observed import ObservedBalance, ObservedPosition
from shared.ledger.orders import OrderReport
from shared.ledger.signals import SignalReport
from shared.mysql import book_entries, book_fills, book_folds, book_observed, book_orders
from shared.mysql.book_daily import AccountInstrument, Closed, Daily
from shared.mysql.book_positions import PositionKey
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book.sql"))

RESTATE_FILLS = 20_000  # folded by one transaction of restate: about 0.3 s under the account's lock


class Book:
    """One transaction's view of the books. Make a new one for each transaction: it remembers which
    accounts it has locked.

    Amounts that fit no column raise AmountOverflow or the server's error 1264; nothing is cut.
    Errors of the connection come through as the driver raises them.
    """

    def __init__(
        self, connection: Any, *, inline_refold_fills: int = book_folds.INLINE_REFOLD_FILLS
    ) -> None:
        self._rows = Rows(connection)
        self._inline_fills = inline_refold_fills
        self._incomplete: dict[int, bool] = {}  # of the accounts locked so far
        self._closed = Closed()

    def lock_accounts(self, account_ids: Iterable[int]) -> None:
        """Locks the accounts' rows, in order of id, and creates the missing ones. Name all
        accounts of the transaction at once: two calls may meet another transaction's in the
        opposite order.
        """
        wanted = sorted(set(account_ids) - self._incomplete.keys())
        keys = [(account_id,) for account_id in wanted]
        found = dict(self._rows.read(SQL["lock_accounts"], keys))
        missing = [key for key in keys if key[0] not in found]
        if missing:
            self._rows.write(SQL["create_accounts"], missing)
            found.update(self._rows.read(SQL["lock_accounts"], missing))
        self._incomplete.update((account_id, bool(found[account_id])) for account_id in wanted)

    def lock_if_free(self, account_id: int) -> bool:
        """The lock of one account, unless somebody else has it, or it has no rows yet."""
        found = dict(self._rows.read(SQL["lock_free_accounts"], [(account_id,)]))
        self._incomplete.update((one, bool(flag)) for one, flag in found.items())
        return bool(found)

    def record_fills(self, reports: Sequence[FillReport]) -> None:
        """Fills, their positions, days, daily P&L and orders. Two reports of one fill merge."""
        self.lock_accounts(report.account_id for report in reports)
        daily = Daily(partial(_fills_of, reports))
        orders = book_fills.record_fills(self._rows, daily, reports, self._inline_fills)
        daily.flush(self._rows, self._closed)
        book_orders.record_orders(self._rows, orders)
        self._supersede((report.account_id, fill_identity(*report[:5])) for report in reports)
        self._rows.flush()

    def record_cash(self, entries: Sequence[CashEntry]) -> None:
        """Cash entries, their share of daily P&L, and what they move of a spot holding."""
        self.lock_accounts(entry.account_id for entry in entries)
        touched = list(entries)
        daily = Daily(partial(_cash_of, touched))
        changed = book_entries.record_cash(self._rows, daily, entries)
        touched += [before for before, _ in changed if before is not None]
        moved = book_entries.move_holdings(self._rows, changed)
        book_folds.settle_entries(self._rows, daily, moved, self._inline_fills)
        daily.flush(self._rows, self._closed)
        self._supersede((entry.account_id, cash_identity(*entry[:5])) for entry in entries)
        self._rows.flush()

    def record_position_entries(self, entries: Sequence[PositionEntry]) -> None:
        """Openings: the positions are folded again from there on."""
        self.lock_accounts(entry.account_id for entry in entries)
        daily = Daily(partial(_entries_of, entries))
        changed = book_entries.record_position_entries(self._rows, entries)
        book_folds.settle_entries(self._rows, daily, changed, self._inline_fills)
        daily.flush(self._rows, self._closed)
        self._supersede((entry.account_id, entry_identity(*entry.key)) for entry in entries)
        self._rows.flush()

    def record_observed_positions(self, reports: Sequence[ObservedPosition]) -> None:
        """What exchanges say is held; compared with the books by `fleet reconcile`."""
        self.lock_accounts(report.account_id for report in reports)
        book_observed.record_observed_positions(self._rows, reports)
        self._rows.flush()

    def record_observed_balances(self, reports: Sequence[ObservedBalance]) -> None:
        self.lock_accounts(report.account_id for report in reports)
        book_observed.record_observed_balances(self._rows, reports)
        self._rows.flush()

    def record_orders(self, reports: Sequence[OrderReport]) -> None:
        self.lock_accounts(report.account_id for report in reports)
        book_orders.record_orders(self._rows, reports)
        self._rows.flush()

    def record_signals(self, signals: Sequence[SignalReport]) -> None:
        """Signals belong to no account and need no lock beyond that of their partition."""
        book_entries.record_signals(self._rows, signals)
        self._rows.flush()

    def restate(
        self,
        limit_fills: int = RESTATE_FILLS,
        *,
        idle: bool = False,
        share: book_folds.Share = book_folds.ALL_ACCOUNTS,
    ) -> bool:
        """Goes on with folds that wait, in a transaction of its own; True if more is to be done at
        once.

        idle: nothing else is to be done, so every waiting fold is due. share: the accounts to look
        at; all unless given. Accounts that somebody else has locked are left to a later call.
        """
        keys = book_folds.waiting_positions(self._rows, share, idle=idle)
        accounts = sorted({(key[0],) for key in keys})
        free = dict(self._rows.read(SQL["lock_free_accounts"], accounts))
        self._incomplete.update((account_id, bool(flag)) for account_id, flag in free.items())
        mine = [key for key in keys if key[0] in free]
        daily = Daily(partial(_refolds_of, mine))
        more = book_folds.restate(self._rows, daily, mine, limit_fills)
        daily.flush(self._rows, self._closed)
        self._rows.flush()
        return more or (bool(mine) and len(keys) == book_folds.RESTATING_AT_ONCE)

    def superseded(self, identities: Mapping[int, Collection[str]]) -> None:
        """Resolves open parked events that said the same as what was recorded now, by account, and
        sees whether the accounts are complete again. record_fills and the like do this by
        themselves.
        """
        self.lock_accounts(identities)
        pairs = [(account, text) for account in sorted(identities) for text in identities[account]]
        self._rows.change(SQL["supersede"], sorted(pairs))
        self._rows.change(SQL["complete_accounts"], [(account,) for account in sorted(identities)])
        self._incomplete.update(
            self._rows.read(SQL["lock_accounts"], [(account,) for account in sorted(identities)])
        )

    def _supersede(self, recorded: Iterable[tuple[int, str]]) -> None:
        if not any(self._incomplete.values()):
            return
        identities: dict[int, set[str]] = {}
        for account_id, identity in recorded:
            if self._incomplete[account_id]:
                identities.setdefault(account_id, set()).add(identity)
        if identities:
            self.superseded(identities)


def _fills_of(reports: Iterable[FillReport]) -> Mapping[AccountInstrument, set[str]]:
    return _named((report[:3], fill_identity(*report[:5])) for report in reports)


def _cash_of(entries: Iterable[CashEntry]) -> Mapping[AccountInstrument, set[str]]:
    return _named(
        ((one.account_id, one.product, one.instrument), cash_identity(*one[:5])) for one in entries
    )


def _entries_of(entries: Iterable[PositionEntry]) -> Mapping[AccountInstrument, set[str]]:
    return _named((one[:3], entry_identity(*one.key)) for one in entries)


def _refolds_of(positions: Iterable[PositionKey]) -> Mapping[AccountInstrument, set[str]]:
    return _named((key[:3], json.dumps(["refold", *key[:3]])) for key in positions)


def _named(
    pairs: Iterable[tuple[AccountInstrument, str]],
) -> Mapping[AccountInstrument, set[str]]:
    found: dict[AccountInstrument, set[str]] = {}
    for key, identity in pairs:
        found.setdefault(key, set()).add(identity)
    return found
