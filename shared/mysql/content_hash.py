"""Content hashes of an account's projections: what a rebuild must not change.

BLAKE2b-128 over one line per row: every column that says something of the account, in the server's
own text, in the order of the primary key. Left out: versions, marks of attribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from MySQLdb.cursors import SSCursor

from shared.queries import load

SQL = load(Path(__file__).with_name("content_hash.sql"))

# Of each projection: its query, and where its rows stand, live and while they are built.
LIVE = ("fleet_positions", "fleet_position_days", "fleet_pnl_daily")
SHADOW = ("fleet_rebuild_positions", "fleet_rebuild_position_days", "fleet_rebuild_pnl_daily")
_QUERIES = (SQL["positions"], SQL["position_days"], SQL["pnl_daily"])

# Per projection, in the order of LIVE.
Hashes = tuple[bytes, ...]


def hashes(
    connection: Any, account_ids: Sequence[int], tables: Sequence[str] = LIVE
) -> Mapping[int, Hashes]:
    """The hashes of each account; reads a row at a time, so memory stays flat."""
    sums = {
        account_id: tuple(blake2b(digest_size=16) for _ in tables) for account_id in account_ids
    }
    for number, (query, table) in enumerate(zip(_QUERIES, tables, strict=True)):
        for account_id, text in _lines(connection, query.replace("{table}", table), account_ids):
            sums[account_id][number].update(text.encode() + b"\n")
    return {account: tuple(one.digest() for one in found) for account, found in sums.items()}


def content_hash(found: Hashes) -> str:
    """All projections of an account as one hexadecimal text."""
    return blake2b(b"".join(found), digest_size=16).hexdigest()


def _lines(connection: Any, query: str, account_ids: Sequence[int]) -> Iterator[tuple[int, str]]:
    if not account_ids:
        return
    cursor = connection.cursor(SSCursor)  # all rows of an account at once may be too many
    cursor.execute(query, (tuple(account_ids),))
    yield from cursor
    cursor.close()
