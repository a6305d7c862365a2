"""Transactions of one row, as the ledger and Laravel would write them, over one connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from tests.bench.cdc_capture import Capture
from tests.bench.feed import fills
from tests.bench.ledger import our_rate

SMALL = "fleet_bench_changes"
CREATE_SMALL = f"""
CREATE TABLE {SMALL} (
  id         BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  qty        DECIMAL(38,18) NOT NULL,
  note       VARCHAR(64) NOT NULL,
  updated_at DATETIME(6) NOT NULL
)
"""
SMALL_ROWS = 1_000
FILLS = 2_000
"""What the ledger has booked before: their positions and days are what changes."""

Write = Callable[[int], None]
"""Writes and commits the transaction of this number, from 0."""


class Ledger:
    """A third each: a fill that is new, a position and a day that change. `numbers` finds the
    transactions again.
    """

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()
        self._positions = self._rows("fleet_positions", "account_id, product, instrument")
        self._days = self._rows("fleet_pnl_daily", "account_id, product, instrument, day, asset")
        names = self._rows(
            "information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name = 'fleet_fills' AND extra NOT LIKE '%GENERATED%'",
            "column_name",
        )
        columns = [str(name) for (name,) in names]
        self._fills = self._rows("fleet_fills", ", ".join(columns))
        self._trade = columns.index("trade_id")
        self._insert = (
            f"INSERT INTO fleet_fills ({', '.join(columns)})"  # noqa: S608 - ours
            f" VALUES ({', '.join(['%s'] * len(columns))})"
        )

    def write(self, number: int) -> None:
        which, kind = divmod(number, 3)
        if kind == 0:
            fill = list(self._fills[which % len(self._fills)])
            fill[self._trade] = f"bench-{number}"
            self._cursor.execute(self._insert, fill)
        elif kind == 1:
            self._cursor.execute(
                "UPDATE fleet_positions SET qty = qty + 0.001, cost = cost + 64.123,"
                " fills = fills + 1, version = version + 1, last_trade_id = %s"
                " WHERE account_id = %s AND product = %s AND instrument = %s",
                (f"bench-{number}", *self._positions[which % len(self._positions)]),
            )
        else:
            self._cursor.execute(
                "UPDATE fleet_pnl_daily SET realized = realized + 1.25, fees = fees + 0.01,"
                " fills = fills + 1, version = version + 1, entries = %s"
                " WHERE account_id = %s AND product = %s AND instrument = %s AND day = %s"
                " AND asset = %s",
                (number, *self._days[which % len(self._days)]),
            )

    def _rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - ours
        found = list(self._cursor.fetchall())
        assert found, f"{table} is empty"
        return found


def numbers(capture: Capture, since_seq: int) -> dict[int, int]:
    """Seq of each of Ledger's transactions behind since_seq, by its number."""
    found = capture.database.run(
        "SELECT DISTINCT seq, COALESCE(split_part(COALESCE(after->>'trade_id',"  # noqa: S608 - a number
        " after->>'last_trade_id'), '-', 2), after->>'entries')"
        f" FROM fleet.change_event WHERE seq > {since_seq}"
    )
    return {int(str(number)): int(str(seq)) for seq, number in found}


class Small:
    """Updates of one small table."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()

    def write(self, number: int) -> None:
        self._cursor.execute(
            f"UPDATE {SMALL} SET qty = qty + 1, note = %s, updated_at = UTC_TIMESTAMP(6)"  # noqa: S608
            " WHERE id = %s",
            (f"note {number}", number % SMALL_ROWS),
        )


def prepare(capture: Capture) -> None:
    """Books of some fills and the small table's rows; before capture begins."""
    our_rate(capture.here, fills(FILLS, partitions=capture.here.settings.partitions))
    with closing(capture.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(CREATE_SMALL)
        cursor.executemany(
            f"INSERT INTO {SMALL} VALUES (%s, 1, 'first', UTC_TIMESTAMP(6))",  # noqa: S608 - ours
            [(number,) for number in range(SMALL_ROWS)],
        )
