"""Breaks: what contradicts something else, as rows that open and close. A row keeps its id.

Reports that contradict one another stay open until somebody has looked (`fleet breaks close`); a
difference between books and exchange closes when it is gone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.cash import union
from shared.ledger.reconcile import Difference
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_breaks.sql"))

Details = dict[str, list[str]]
# Account, if it has one, and identity.
BreakKey = tuple[int | None, str]


class Break(NamedTuple):
    """One row. expected: ours; actual: the venue's; None where the break is not of amounts."""

    id: int
    kind: str
    account_id: int | None
    identity: str
    details: dict[str, Any]
    expected: Decimal | None
    actual: Decimal | None
    cause: str | None
    opened_at: datetime
    closed_at: datetime | None


def open_breaks(rows: Rows, kind: str, conflicts: Mapping[BreakKey, Details]) -> None:
    """Opens or widens breaks. What stands in a break already stays in it, so the values of all
    reports end up listed whatever their order. A closed one opens again only for something new.
    """
    if not conflicts:
        return
    stored = dict(rows.read(SQL["read"], ((kind, identity) for _, identity in conflicts)))
    write = []
    for (account_id, identity), details in sorted(conflicts.items(), key=lambda item: item[0][1]):
        known = stored.get(identity, "{}")
        text = _text(union([details, json.loads(known)]))
        if text != known:
            write.append((kind, account_id, identity, text, None, None, None))
    rows.write(SQL["open"], write)


def settle_breaks(
    rows: Rows, account_id: int, kinds: Collection[str], differences: Sequence[Difference]
) -> list[int]:
    """From now on these differences, and no others, are the account's open breaks of these kinds.
    Returns the ids of those that opened by it.
    """
    return _settle(rows, account_id, open_of_account(rows, account_id, kinds), differences)


def settle_breaks_of(
    rows: Rows, account_id: int, kind: str, identities: Collection[str],
    differences: Sequence[Difference],
) -> list[int]:
    """The same where only some identities of a kind were looked at: the others stay as they are."""
    keys = ((kind, identity) for identity in sorted(identities))
    stood_open = [_break(row) for row in rows.read(SQL["open_of_identities"], keys)]
    return _settle(rows, account_id, stood_open, differences)


def _settle(
    rows: Rows, account_id: int, stood_open: Iterable[Break], differences: Sequence[Difference]
) -> list[int]:
    before = {(one.kind, one.identity): one for one in stood_open}
    write, opened = [], []
    for one in differences:
        stood = before.pop((one.kind, one.identity), None)
        if stood is None:
            opened.append((one.kind, one.identity))
        elif stood[4:8] == (one.details, one.expected, one.actual, one.cause):
            continue
        told = (_text(one.details), one.expected, one.actual, one.cause)
        write.append((one.kind, account_id, one.identity, *told))
    rows.write(SQL["open"], write)
    rows.change(SQL["close"], sorted((one.id,) for one in before.values()))
    return sorted(row[2] for row in rows.read(SQL["ids"], opened))


def open_of_account(rows: Rows, account_id: int, kinds: Collection[str]) -> list[Break]:
    """Open breaks of these kinds, oldest first."""
    return [_break(row) for row in rows.run(SQL["open_of_account"], (account_id, sorted(kinds)))]


def listed(
    connection: Any,
    account_id: int | None = None,
    kind: str | None = None,
    *,
    closed: bool = False,
    limit: int,
) -> list[Break]:
    """Breaks by account and kind, oldest first; closed: those that are closed, too."""
    cursor = connection.cursor()
    cursor.execute(SQL["listed"], (account_id, account_id, kind, kind, closed, limit))
    return [_break(row) for row in cursor.fetchall()]


def find(connection: Any, break_id: int) -> Break | None:
    cursor = connection.cursor()
    cursor.execute(SQL["one"], (break_id,))
    row = cursor.fetchone()
    return None if row is None else _break(row)


def close_decided(connection: Any, one: Break, decision: str) -> None:
    """An operator has looked at an open break of reports; the decision stays in its details, also
    where a new report opens it again. The account is locked, and `one` was read since.
    """
    details = union([one.details, {"decided": [decision]}])
    connection.cursor().execute(SQL["close_decided"], (_text(details), one.id))


def _break(row: tuple[Any, ...]) -> Break:
    return Break._make((*row[:4], json.loads(row[4]), *row[5:]))


def _text(details: Mapping[str, Any]) -> str:
    return json.dumps(details, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
