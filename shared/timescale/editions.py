"""Editions of TimescaleDB, and how long histories are kept in either.

    apache      hypertables; old chunks are dropped by beat
    timescale   the same, and columnstore for chunks that have aged, retention as a policy

Roll-ups and views are the same in both (see `rollups`), so nothing is lost and nothing to be done
when an operator changes from Apache to community. Plain PostgreSQL is none of them: not supported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from shared.queries import load
from shared.timescale.connection import Connection

SQL = load(Path(__file__).with_name("editions.sql"))

APACHE, COMMUNITY = "apache", "timescale"
COMPRESS_AFTER = timedelta(days=30)
BATCHES_KEPT = timedelta(days=90)

_COLUMNSTORE = {
    "fleet.change_event": SQL["compress_changes"],
    "fleet.position_history": SQL["compress_positions"],
    "fleet.pnl_history": SQL["compress_pnl"],
    "fleet.fill_history": SQL["compress_fills"],
}
_OF_TABLE = {
    "position_history": "fleet_positions",
    "pnl_history": "fleet_pnl_daily",
    "fill_history": "fleet_fills",
}


class Edition(NamedTuple):
    """license: as the server says at run time, "" where the library is not preloaded."""

    version: str
    license: str

    @property
    def community(self) -> bool:
        return self.license == COMMUNITY


def edition(connection: Connection) -> Edition | None:
    """None: the extension is not in this database."""
    found = connection.execute(SQL["edition"]).fetchone()
    return None if found is None else Edition(str(found[0]), str(found[1] or ""))


def unreadable_chunks(connection: Connection) -> int:
    """Chunks that the community edition compressed and the Apache edition cannot read."""
    found = edition(connection)
    if found is None or found.license != APACHE:
        return 0
    row = connection.execute(SQL["compressed"]).fetchone()
    return int(str(row[0])) if row else 0


def settling(found: Edition) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Statements that give an edition what it has more, for the owner; safe to run again."""
    if not found.community:
        return
    for table, statement in _COLUMNSTORE.items():
        yield statement, ()
        yield SQL["compress_later"], (table, COMPRESS_AFTER)


def settle(connection: Connection) -> Edition | None:
    """After migrations, as the owner, inside the caller's transaction."""
    found = edition(connection)
    for statement, values in settling(found) if found else ():
        connection.execute(statement, values or None)
    return found


class Keeping(NamedTuple):
    """What retention does. histories: how long each is kept, None: for good. tables: whose events
    go earlier than change_event as a whole.
    """

    histories: Mapping[str, timedelta | None]
    tables: Mapping[str, timedelta]


def keeping(tables: list[str], history_of: Callable[[str], timedelta | None]) -> Keeping:
    """Pure. tables: all that have events. history_of: as the settings say."""
    spans = {table: history_of(table) for table in tables}
    known = [span for span in spans.values() if span is not None]
    longest = max(known) if known and len(known) == len(spans) else None
    histories = {name: history_of(table) for name, table in _OF_TABLE.items()}
    return Keeping(
        {"change_event": longest, **histories, "cdc_batch": BATCHES_KEPT},
        {table: span for table, span in spans.items() if span is not None and span != longest},
    )


def keep(connection: Connection, history_of: Callable[[str], timedelta | None]) -> int:
    """Lets go what is older; commits piece by piece. Returns chunks and rows that went here."""
    with connection.transaction():
        tables = [str(name) for (name,) in connection.execute(SQL["tables"]).fetchall()]
    found, gone = keeping(tables, history_of), 0
    for statement, spans in ((SQL["keep"], found.histories), (SQL["forget"], found.tables)):
        for name, span in spans.items():
            with connection.transaction():
                row = connection.execute(statement, (name, span)).fetchone()
                gone += int(str(row[0])) if row else 0
    return gone
