"""Rebuild: rows read, folded and written, against reading and writing those rows with the driver.

`python -m tests.bench.rebuild` is the job alone, where a process of its own is to be measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from deploy.desk.market import Market
from shared.ledger.days import time_text
from shared.ledger.fill import Fill, merge, read_report
from shared.mysql.book_fills import SQL as FILLS_SQL
from shared.mysql.book_rows import Rows
from shared.mysql.connection import connect
from shared.settings import load
from tests.bench.feed import of_one_account
from tests.bench.figures import Figure, alternate, at_least, peak_mb
from tests.bench.ledger import Table
from tests.bench.place import Place
from workers.collector import calm_collector
from workers.jobs.rebuild import rebuild as rebuild_job

PER_ACCOUNT = 1_000  # fills; the market gives an account few instruments and five days
STOCK = 5_000  # fills written at once
GROUP = 20  # accounts of the peer's transaction: about as many as the rebuild takes
FLAT = 0.10  # growth of the peak from a quarter of the fills to all of them

PROJECTIONS = (
    Table("fleet_positions", ("account_id",)),
    Table("fleet_position_days", ("account_id",)),
    Table("fleet_pnl_daily", ("account_id",)),
)
# What the fold reads.
COLUMNS = (
    "product, instrument, position_side, executed_at_ms, venue_seq, trade_id, side, venue, qty,"
    " value, fee, fee_asset, base_asset, settle_asset, contract_size"
)


class Alone:
    """Progress for a job that nobody watches."""

    checkpoint: Mapping[str, Any] | None = None

    def update(self, done: int, total: int | None = None, **_: Any) -> None:
        pass

    def cancelled(self) -> bool:
        return False


def rebuild(place: Place, *, fills: int = 1_000_000, rounds: int = 3) -> Figure:
    """From fills alone: the projections are empty before each run."""
    calm_collector()  # as the job does; the peer has it, too
    accounts = fills // PER_ACCOUNT
    place.empty()
    stock(place, market_fills(fills, accounts))

    def ours() -> float:
        empty(place)
        with closing(place.mysql()) as connection:
            started = time.perf_counter()
            found = rebuild_job(connection, Alone())
            seconds = time.perf_counter() - started
        assert found["fills"] == fills, found
        return fills / seconds

    ours()  # makes the rows that the peer copies
    copies = {table.name: rows_by_account(place, table.name) for table in PROJECTIONS}
    written = sum(len(rows) for _, by_account in copies.values() for rows in by_account.values())

    def peer() -> float:
        empty(place)
        with closing(place.mysql()) as connection:
            started = time.perf_counter()
            read_and_write(connection, copies, accounts)
            return fills / (time.perf_counter() - started)

    found = alternate(ours, peer, rounds)
    return at_least(
        f"rebuild of {fills:,} fills in {accounts:,} accounts / its rows read and written bare",
        0.4, found, "fills/s", f"{written:,} rows written; the columns that a fold reads",
    )  # fmt: skip


def one_account(place: Place, *, fills: int = 1_000_000) -> Figure:
    """Peak memory of the job over one account, with a quarter of its fills and with all of them."""
    peaks = []
    for count in (fills // 4, fills):
        place.empty()
        told = (one.fields["data"] for one in of_one_account(count))
        stock(place, (merge([read_report(data)])[0] for data in told))
        peaks.append(place.result(place.start(["-m", "tests.bench.rebuild"])))
    (few, many), seconds = (one["peak_mb"] for one in peaks), peaks[-1]["seconds"]
    growth = many / few - 1
    return Figure(
        f"memory of a rebuild of one account with {fills:,} fills",
        f"flat (< {FLAT:.0%} over a quarter of them)",
        f"{few:.1f} MB -> {many:.1f} MB ({growth:+.1%}); {fills / seconds:,.0f} fills/s",
        growth < FLAT,
        "peak of the job's process, all of it",
    )


# -- the stock of fills ------------------------------------------------------------------------


def market_fills(count: int, accounts: int) -> Iterator[Fill]:
    for line in Market(7, accounts).lines(count):
        if line.type == "order.filled.1":
            yield merge([read_report(line.data)])[0]


def stock(place: Place, fills: Iterator[Fill]) -> None:
    """As the book would have left them, without everything else."""
    with closing(place.mysql()) as connection:
        rows, accounts = Rows(connection), set()
        while page := list(islice(fills, STOCK)):
            rows.write(FILLS_SQL["write_fills"], ((*f, time_text(f.executed_at_ms)) for f in page))
            rows.flush()
            connection.commit()
            accounts |= {fill.account_id for fill in page}
        rows.write(
            "INSERT INTO fleet_account_state (account_id) VALUES {rows}",
            ((account,) for account in sorted(accounts)),
        )
        rows.flush()
        connection.commit()
        cursor = connection.cursor()
        cursor.execute("ANALYZE TABLE fleet_fills")
        cursor.fetchall()


def empty(place: Place) -> None:
    with closing(place.mysql()) as connection:
        for table in PROJECTIONS:
            connection.cursor().execute(f"TRUNCATE TABLE {table.name}")


# -- the bare peer -----------------------------------------------------------------------------

Copy = tuple[str, dict[int, list[tuple[Any, ...]]]]


def rows_by_account(place: Place, table: str) -> Copy:
    """The statement that inserts the table's rows, and the rows."""
    with closing(place.mysql()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SHOW COLUMNS FROM {table}")
        columns = [row[0] for row in cursor.fetchall() if "GENERATED" not in row[5].upper()
                   or row[5] == "DEFAULT_GENERATED"]  # fmt: skip
        names = ", ".join(columns)
        cursor.execute(f"SELECT {names} FROM {table} ORDER BY account_id")  # noqa: S608 - ours
        found: dict[int, list[tuple[Any, ...]]] = {}
        for row in cursor.fetchall():
            found.setdefault(row[0], []).append(row)
    marks = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({names}) VALUES ({marks})", found  # noqa: S608


def read_and_write(connection: Any, copies: Mapping[str, Copy], accounts: int) -> None:
    cursor = connection.cursor()
    for first in range(1, accounts + 1, GROUP):
        group = range(first, first + GROUP)
        for account in group:
            sql = f"SELECT {COLUMNS} FROM fleet_fills WHERE account_id = %s"  # noqa: S608
            cursor.execute(sql, (account,))
            cursor.fetchall()
        for insert, by_account in copies.values():
            rows = [row for account in group for row in by_account.get(account, [])]
            cursor.executemany(insert, rows)
        connection.commit()


def main() -> None:
    calm_collector()
    connection = connect(load("streams").mysql)
    started = time.perf_counter()
    rebuild_job(connection, Alone())
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": round(seconds, 3), "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
