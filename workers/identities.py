"""The books' own identities, checked in production: cheap, set-based, an account at a time.

They hold by construction, so a violation is a bug of ours or a row that somebody changed: it opens
a break of kind `identity`, and closes it when it is cured. Nothing is corrected here.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.ledger.days import DAY_MS, day_number, day_text
from shared.ledger.identity import check_identity
from shared.ledger.money import LEDGER
from shared.ledger.reconcile import Difference
from shared.mysql.book_breaks import settle_breaks
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("identities.sql"))

KIND = "identity"
ACCOUNTS_OF_A_RUN = 500
MOST_OF_A_CHECK = 100
"""Of one check of one account; the next come up once these are cured."""
MOST_FILLS = 100_000
"""Of a position's last cycle; their values are added up under the account's lock, in some 0.1 s."""

_CHECKS = {
    "position and its days": SQL["position_days"],
    "realized of a day": SQL["daily_realized"],
    "fills of a day": SQL["daily_fills"],
    "negative holding": SQL["negative_holding"],
}
_FLAT = "flat position"
_PARTS = "parts of a day"
_COLUMNS = ("realized", "fees", "funding", "other", "fills")


def check_identities(connection: Any, limit: int = ACCOUNTS_OF_A_RUN) -> int:
    """Checks the accounts that have changed, and others in turn, `limit` in all; returns how many.

    An account with a violation stays due, so that its cure is seen. One that is locked is left to a
    later run.
    """
    accounts = _next_accounts(connection, limit)
    return sum(check_account(connection, account_id) is not None for account_id in accounts)


def check_account(connection: Any, account_id: int) -> int | None:
    """Checks one account in a transaction of its own; the violations found, None if it is locked.

    The account's lock keeps its writers out: between two statements the books would not tie.
    """
    with transaction(connection):
        rows = Rows(connection)
        if not rows.run(SQL["lock"], {"account_id": account_id}):
            return None
        found = list(_violations(rows, account_id))
        settle_breaks(rows, account_id, (KIND,), found)
        rows.run(SQL["checked"], {"account_id": account_id, "due": bool(found)})
        return len(found)


def _next_accounts(connection: Any, limit: int) -> list[int]:
    """In turn, so the last that had its turn is remembered, before its check: an account that fails
    does not hold up the others for ever.
    """
    with transaction(connection) as cursor:
        cursor.execute(SQL["after"])
        row = cursor.fetchone()
        after = int(row[0]) if row else 0
        cursor.execute(SQL["next_accounts"], {"after": after, "limit": limit})
        accounts = cursor.fetchall()
        in_turn = [account_id for account_id, due in accounts if not due]
        if len(accounts) < limit:
            after = 0
        elif in_turn:
            after = in_turn[-1]
        cursor.execute(SQL["remember"], (str(after),))
    return [account_id for account_id, _ in accounts]


def _violations(rows: Rows, account_id: int) -> Iterator[Difference]:
    bounds = {"account_id": account_id, "limit": MOST_OF_A_CHECK}
    for name, statement in _CHECKS.items():
        for *place, expected, actual in rows.run(statement, bounds):
            yield _difference(name, (account_id, *place), expected, actual)
    yield from _flat_positions(rows, account_id)
    for product, instrument, day, asset, *figures in rows.run(SQL["attribution"], bounds):
        where = (account_id, product, instrument, "", day, asset)
        pairs = zip(figures[: len(_COLUMNS)], figures[len(_COLUMNS) :], strict=True)
        for column, (expected, actual) in zip(_COLUMNS, pairs, strict=True):
            if expected != actual:
                yield _difference(f"{_PARTS}: {column}", where, expected, actual)


def _flat_positions(rows: Rows, account_id: int) -> Iterator[Difference]:
    """I1: of a flat position, what it realized since it was last flat at the end of a day is minus
    the sum of the signed values traded (linear), or that sum (inverse). Where an opening lies
    between, the books do not know what was paid.
    """
    for *place, asset, last_day in rows.run(SQL["flat_positions"], {"account_id": account_id}):
        key = (account_id, *place)
        flat_before = rows.run(SQL["flat_before"], (*key, last_day))
        first_day = day_number(flat_before[0][0]) + 1 if flat_before else 0
        ((realized, fills),) = rows.run(SQL["realized_since"], (*key, day_text(first_day)))
        ((opened,),) = rows.run(SQL["opened_since"], (*key, first_day * DAY_MS))
        if opened or fills > MOST_FILLS:
            continue
        ((traded,),) = rows.run(SQL["traded_since"], (*key, first_day * DAY_MS))
        expected = traded if place[0] == "inverse" else LEDGER.minus(traded)
        if realized != expected:
            yield _difference(_FLAT, (*key, "", asset), expected, realized)


def _difference(
    name: str, where: tuple[Any, ...], expected: Decimal, actual: Decimal
) -> Difference:
    identity = check_identity(name, *where)
    return Difference(KIND, identity, expected, actual, name, {"what": name})
