"""Equity rows become rows of TimescaleDB, which keeps the place it has come to.

Rows are read in the order in which they were written (workers/equity.py), so a row that was
written again comes again. The place moves in the transaction that writes the rows: a run that
ends anywhere leaves nothing half done, and where TimescaleDB was away or emptied the next run
goes on, or begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.queries import load
from shared.timescale import equity
from shared.timescale.connection import Connection, transaction
from shared.timescale.equity import Place, Row

SQL = load(Path(__file__).with_name("equity_copy.sql"))

ROWS_AT_ONCE = 2000
RUN_SECONDS = 200.0
COUNTED = 100_000
"""Where `waiting` ends."""


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """state: off (no TimescaleDB is set), away, or on. waiting: rows not copied, up to COUNTED;
    None where nobody can say.
    """

    state: str
    waiting: int | None = None
    error: str = ""


def copy_equity(
    connection: Any, sink: Connection, out_of_time: Callable[[], bool] = lambda: False
) -> int:
    """Copy what was written since; returns the rows copied. Commits page by page.

    out_of_time: asked between two pages. Raises Unavailable where TimescaleDB is away.
    """
    copied = 0
    while not out_of_time():
        with transaction(sink):
            page = _page(connection, equity.lock_place(sink))
            if page:
                equity.write(sink, page)
        copied += len(page)
        if len(page) < ROWS_AT_ONCE:
            break
    return copied


def waiting(connection: Any, sink: Connection) -> int:
    """How many rows are still to be copied, up to COUNTED. Raises Unavailable."""
    with transaction(sink):
        place = equity.last_place(sink)
    cursor = connection.cursor()
    cursor.execute(SQL["waiting"], {**place._asdict(), "limit": COUNTED})
    (count,) = cursor.fetchone()
    connection.commit()
    return int(count)


def _page(connection: Any, place: Place) -> list[Row]:
    cursor = connection.cursor()
    cursor.execute(SQL["written_after"], {**place._asdict(), "limit": ROWS_AT_ONCE})
    rows = [Row._make(row) for row in cursor.fetchall()]
    connection.commit()
    return rows
