"""Beat's part of the sync: which accounts there are, and whose turn it is.

Accounts that are due are claimed, those first that wait longest, and handed to the sync workers in
small batches, as many as a venue's budget can serve soon. A claim ends by itself: a task that was
lost costs its accounts a pause, never their turn.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared import telemetry
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("planner.sql"))

CLAIM_SECONDS = 180
ACCOUNTS_PER_TASK = 20
OUTSTANDING = 60
"""Accounts in hand per venue and address: about what the smallest budget (Binance futures, some 80
of 2,400 a minute each) serves in two of its windows. More would only wait, and their order with it.
"""
AT_ONCE = 10_000

_log = telemetry.log(__name__)

Send = Callable[[Sequence[int]], object]


def plan(
    connection: Any,
    venues: Iterable[str],
    egresses: Iterable[str],
    send: Send,
    claim_seconds: int = CLAIM_SECONDS,
) -> int:
    """Claims what is due and sends it, venue by venue and address by address. Commits.

    Sent after the commit: a message without a claim would be run twice. Where the broker is away
    nothing is in hand, and its error comes out. Returns the accounts.
    """
    egresses = list(egresses)
    planned = 0
    for venue in venues:
        for egress in egresses:
            accounts = claim(connection, venue, egress, claim_seconds)
            planned += len(accounts)
            try:
                for some in _pieces(accounts):
                    send(some)
            except BaseException:
                give_back(connection, accounts)
                raise
    return planned


def _pieces(accounts: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(accounts), ACCOUNTS_PER_TASK):
        yield accounts[first : first + ACCOUNTS_PER_TASK]


def give_back(connection: Any, accounts: Sequence[int]) -> None:
    """Nobody has them in hand: due again at once. Commits."""
    with transaction(connection) as cursor:
        cursor.execute(SQL["give_back"], (_named(accounts),))


def claim(
    connection: Any, venue: str, egress: str, claim_seconds: int = CLAIM_SECONDS
) -> list[int]:
    """Accounts whose turn it is, as far as there is room. Commits."""
    with transaction(connection) as cursor:
        cursor.execute(SQL["outstanding"], (venue, egress))
        (outstanding,) = cursor.fetchone()
        if outstanding >= OUTSTANDING:
            return []
        cursor.execute(SQL["due"], (venue, egress, OUTSTANDING - outstanding))
        waiting = [account_id for (account_id,) in cursor.fetchall()]
        if not waiting:
            return []
        cursor.execute(SQL["free"], (waiting,))
        free = {account_id for (account_id,) in cursor.fetchall()}
        if free:
            cursor.execute(SQL["claim"], (claim_seconds, _named(free)))
    return [account_id for account_id in waiting if account_id in free]


def _named(accounts: Collection[int]) -> list[int]:
    """For an UPDATE ... IN: MariaDB locks the whole table where the list holds one key alone."""
    return [*accounts, *accounts] if len(accounts) == 1 else list(accounts)


def note_accounts(
    connection: Any, known: Collection[tuple[str, str]], egresses: Sequence[str]
) -> int:
    """Follow Laravel's accounts: new ones, those switched off or on, rotated keys. Commits.

    known: (venue, product) that can be asked. egresses: names; each account is pinned to one,
    because its owner may have allowed that address only. Returns how many changed.
    """
    with transaction(connection) as cursor:
        cursor.execute(SQL["new"], (list(known), AT_ONCE))
        new = [(*row, pinned_to(row[0], egresses)) for row in cursor.fetchall()]
        rows = Rows(connection)
        rows.write(SQL["add"], new)
        rows.flush()
        changed = len(new) + _begin_again(cursor, known)
        changed += cursor.execute(SQL["gone"], (list(known),))
        changed += cursor.execute(SQL["back"], (list(known),))
        changed += _lift(cursor) + _pin_again(cursor, egresses)
        cursor.execute(SQL["lift_states"])
        cursor.execute(SQL["unknown"], (list(known),))
        left = json.dumps(cursor.fetchall(), ensure_ascii=False)
        cursor.execute(SQL["remember_unknown"], (left,))
    return int(changed)


class Unknown(NamedTuple):
    """Active accounts that nobody can ask: no such venue, or not with this product."""

    venue: str
    product: str
    accounts: int


def unknown(connection: Any) -> list[Unknown]:
    """As note_accounts found them last: who asks may not be allowed to read Laravel's accounts."""
    with transaction(connection) as cursor:
        cursor.execute(SQL["remembered_unknown"])
        found = cursor.fetchone()
    return [Unknown(*row) for row in json.loads(found[0])] if found else []


def pinned_to(account_id: int, egresses: Sequence[str]) -> str:
    """The same address for the same account, as long as the list stands."""
    return sorted(egresses)[zlib.crc32(str(account_id).encode()) % len(egresses)]


def ask_now(connection: Any, account_ids: Sequence[int]) -> int:
    """All kinds of these accounts are due; returns how many are synced at all."""
    cursor = connection.cursor()
    # Accounts before kinds, by id, as a run does: else one of the two is a deadlock's victim.
    cursor.execute(SQL["lock"], (_named(account_ids),))
    cursor.execute(SQL["due_now_kinds"], (_named(account_ids),))
    return int(cursor.execute(SQL["due_now"], (_named(account_ids),)))


def ask_all_now(connection: Any) -> int:
    """After a recovery: everybody. Returns the accounts."""
    cursor = connection.cursor()
    cursor.execute(SQL["lock_all"])
    cursor.execute(SQL["all_due_now_kinds"])
    return int(cursor.execute(SQL["all_due_now"]))


def _begin_again(cursor: Any, known: Collection[tuple[str, str]]) -> int:
    cursor.execute(SQL["elsewhere"], (list(known), AT_ONCE))
    moved = cursor.fetchall()
    for account_id, venue, product in moved:
        cursor.execute(SQL["forget"], (account_id,))
        cursor.execute(SQL["begin_again"], (venue, product, account_id))
    return len(moved)


def _lift(cursor: Any) -> int:
    cursor.execute(SQL["rotated"], (AT_ONCE,))
    rotated = [account_id for (account_id,) in cursor.fetchall()]
    if rotated:
        cursor.execute(SQL["lift"], (_named(rotated),))
    return len(rotated)


def _pin_again(cursor: Any, egresses: Sequence[str]) -> int:
    cursor.execute(SQL["unpinned"], (list(egresses), AT_ONCE))
    accounts = [account_id for (account_id,) in cursor.fetchall()]
    for account_id in accounts:
        cursor.execute(SQL["pin"], (pinned_to(account_id, egresses), _named([account_id])))
    if accounts:
        _log.warning("address_gone", accounts=len(accounts), cure="see FLEET_EGRESS")
    return len(accounts)
