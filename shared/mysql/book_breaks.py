"""Breaks: reports that contradict one another, kept open until somebody has looked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from shared.ledger.cash import union
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_breaks.sql"))

Details = dict[str, list[str]]
# Account, if it has one, and identity.
BreakKey = tuple[int | None, str]


def open_breaks(rows: Rows, kind: str, conflicts: Mapping[BreakKey, Details]) -> None:
    """Opens or widens breaks. What stands in a break already stays in it, so the values of all
    reports end up listed whatever their order.
    """
    if not conflicts:
        return
    stored = rows.read(SQL["read"], ((kind, identity) for _, identity in conflicts))
    known: dict[str, Details] = {identity: json.loads(details) for identity, details in stored}
    write = []
    for (account_id, identity), details in sorted(conflicts.items(), key=lambda item: item[0][1]):
        both = union([details, known.get(identity, {})])
        text = json.dumps(both, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        write.append((kind, account_id, identity, text))
    rows.write(SQL["open"], write)
