"""The end of a rebuild, under the account's lock: the shadow rows are completed, compared with the
live ones, and take their place where they differ. All of it in the caller's one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from shared.errors import FleetError
from shared.ledger.cash import DAILY_COLUMN
from shared.ledger.days import DAY_MS, day_number, day_text, spans
from shared.mysql.book_daily import AccountInstrument, Closed
from shared.mysql.book_positions import PositionKey, read_positions
from shared.mysql.book_rows import Rows
from shared.mysql.content_hash import SHADOW, Hashes, content_hash, hashes
from shared.mysql.rebuild_shadow import (
    NO_ROW,
    count_fees,
    holds,
    position_keys,
    read_shadows,
    read_versions,
)
from shared.queries import load

SQL = load(Path(__file__).with_name("rebuild_swap.sql"))

# Of each projection, in the order of its hashes: mark what differs, count, remove, put.
_STEPS = {
    "positions": (
        SQL["mark_positions"], SQL["count_positions"], SQL["remove_positions"],
        SQL["put_positions"],
    ),
    "position_days": (
        SQL["mark_position_days"], SQL["count_position_days"], SQL["remove_position_days"],
        SQL["put_position_days"],
    ),
    "pnl_daily": (
        SQL["mark_pnl_daily"], SQL["count_pnl_daily"], SQL["remove_pnl_daily"],
        SQL["put_pnl_daily"],
    ),
}  # fmt: skip
Differing = dict[int, dict[str, int]]  # account -> projection -> rows
CAUSE = json.dumps({"identities": [json.dumps(["rebuild"])]}, separators=(",", ":"))
_FUNDING = tuple(kind for kind, column in DAILY_COLUMN.items() if column == "funding")
_OTHER = tuple(kind for kind, column in DAILY_COLUMN.items() if column == "other")


class Rebuilt(NamedTuple):
    """How an account came out. before: the content hash that was found, after: the one that
    stands; differing: projection -> rows that came, went or changed, empty if none did.
    """

    account_id: int
    before: str
    after: str
    differing: Mapping[str, int]


def unsound_instruments(rows: Rows, account_id: int) -> set[AccountInstrument]:
    """Instruments whose shadows, caught up, do not say what all fills say (see `holds`)."""
    keys = position_keys(rows, account_id)
    shadows = read_shadows(rows, account_id)
    live, versions = read_positions(rows, keys), read_versions(rows, account_id)
    gone = {key[:3] for key in shadows.keys() - set(keys)}
    return gone | {
        key[:3] for key in keys
        if not holds(shadows.get(key), live.get(key), versions.get(key, NO_ROW))
    }  # fmt: skip


def recount_fees(rows: Rows, account_id: int) -> None:
    """Counts the fees of those days again where something may have come since."""
    stale = rows.run(SQL["stale_days"], (account_id, account_id))
    rows.change(SQL["forget_fees"], stale)
    sides: dict[AccountInstrument, list[PositionKey]] = {}
    for position in read_shadows(rows, account_id):
        sides.setdefault(position[:3], []).append(position)
    for instrument, found in groupby(stale, key=lambda row: row[:3]):
        for days in spans(sorted(day_number(date.fromisoformat(row[3])) for row in found)):
            keys = sides[instrument]
            count_fees(rows, instrument, keys, days.start * DAY_MS, days.stop * DAY_MS)


def swap(
    connection: Any, rows: Rows, closed: Closed, account_ids: Sequence[int]
) -> list[Rebuilt]:
    """Completes the shadow days of accounts and puts their shadows in the place of the live rows.

    What is equal is not touched. Raises FleetError if the rows are not what was built.
    """
    accounts = tuple(account_ids)
    rows.run(SQL["add_cash"], (_FUNDING, _OTHER, accounts, tuple(DAILY_COLUMN)))
    rows.run(SQL["add_positions"], (accounts,))
    rows.change(SQL["drop_empty"], [(account_id,) for account_id in accounts])
    rows.flush()
    found, built = hashes(connection, accounts), hashes(connection, accounts, SHADOW)
    changed = [account_id for account_id in accounts if found[account_id] != built[account_id]]
    differing = _put(connection, closed, rows, changed) if changed else {}
    stand = hashes(connection, changed)
    for account_id in changed:
        _check(account_id, stand[account_id], built[account_id])
    return [
        Rebuilt(
            account_id,
            content_hash(found[account_id]),
            content_hash(built[account_id]),
            differing.get(account_id, {}),
        )
        for account_id in accounts
    ]


def _put(connection: Any, closed: Closed, rows: Rows, accounts: Sequence[int]) -> Differing:
    """Writes, marks and removes live rows so that they are as the shadows; counts them."""
    words = {
        "accounts": tuple(accounts),
        "batch": closed.batch,
        "cause": CAUSE,
        "through": day_text(max(closed.through(rows), 0)),
    }
    cursor = connection.cursor()
    cursor.execute(SQL["restate"], words)
    differing: Differing = {account_id: {} for account_id in accounts}
    removed = 0
    for name, (mark, count, remove, put) in _STEPS.items():
        cursor.execute(mark, words)
        cursor.execute(count, words)
        for account_id, number in cursor.fetchall():
            differing[account_id][name] = number
        removed = cursor.execute(remove, words)
        cursor.execute(put, words)
    cursor.execute(SQL["attribute_again"], words)
    if removed:  # of the daily rows, which come last
        cursor.execute(SQL["remove_parts"], words)
        cursor.execute(SQL["remove_rounding"], words)
    cursor.close()
    return differing


def _check(account_id: int, stand: Hashes, built: Hashes) -> None:
    wrong = [
        name for name, one, other in zip(_STEPS, stand, built, strict=True) if one != other
    ]
    if wrong:
        raise FleetError(
            f"account {account_id}: {', '.join(wrong)} do not read as they were rebuilt; nothing "
            "was changed"
        )
