"""How fast the ledger books fills, beside a bare executemany of the same rows.

    python tests/bench/ledger_speed.py [--fills 50000] [--accounts 1000] [--batch 500] [--reverse 0]

Needs `.servers.env` (or the file SERVERS_ENV_FILE names); works in a database of its own, dropped
at the end. Prints fills per second and their ratio; --reverse N books N fills of one account in
order, then in reverse with the folds that fall due, and prints the ratio and the growth of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import MySQLdb

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from shared.ledger.fill import FillReport, read_report  # noqa: E402 - run from anywhere
from shared.mysql.book import Book  # noqa: E402

START_MS = 1_760_000_000_000
DAY_MS = 86_400_000
TABLES = (
    "fleet_fills", "fleet_fill_reports", "fleet_positions", "fleet_position_days",
    "fleet_pnl_daily", "fleet_orders",
)  # fmt: skip


def servers() -> dict[str, str]:
    path = ROOT / os.environ.get("SERVERS_ENV_FILE", ".servers.env")
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def database() -> Iterator[Any]:
    told = servers()
    name = f"fleet_ledger_{os.getpid()}"
    connection = MySQLdb.connect(
        host=told["DB_HOST"], port=int(told["DB_PORT"]), user="root", charset="utf8mb4",
        password=told["SERVERS_DB_ROOT_PASSWORD"], autocommit=False,
    )  # fmt: skip
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    cursor.execute(f"USE {name}")
    try:
        path = ROOT / "deploy/migrations/mysql/versions/0001_first.sql"
        lines = [line.split("--", 1)[0] for line in path.read_text("utf-8").splitlines()]
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                cursor.execute(statement)
        connection.commit()
        yield connection
    finally:
        connection.rollback()
        cursor.execute(f"DROP DATABASE {name}")
        connection.close()


def reports(count: int, accounts: int, step_ms: int) -> Iterator[FillReport]:
    """As a venue tells them: growing times, an order id each, fee known, 380 bytes of JSON."""
    draw = random.Random(7)
    for number in range(count):
        told = {
            "account_id": draw.randrange(1, accounts + 1),
            "venue": "binance",
            "product": "linear",
            "instrument": "BTCUSDT",
            "position_side": "net",
            "trade_id": str(5_000_000_000 + number),
            "order_id": str(8_000_000_000 + number),
            "side": draw.choice(["buy", "sell"]),
            "qty": f"0.{draw.randrange(1, 999):03}",
            "price": f"{draw.randrange(60_000, 70_000)}.{draw.randrange(10)}",
            "fee": f"0.{draw.randrange(10**7):08}",
            "fee_asset": "USDT",
            "settle_asset": "USDT",
            "executed_at_ms": START_MS + number * step_ms,
            "source": "stream",
            "liquidity": "taker",
        }
        yield read_report(json.dumps(told))


def book(connection: Any, fills: list[FillReport], batch: int, *, restating: bool = False) -> float:
    """Seconds for all fills, one transaction a batch; with `restating`, as the loop of a worker
    does it.
    """
    began = time.perf_counter()
    for start in range(0, len(fills), batch):
        Book(connection).record_fills(fills[start : start + batch])
        connection.commit()
        while restating and Book(connection).restate():
            connection.commit()
        connection.commit()
    while restating and Book(connection).restate(idle=True):
        connection.commit()
    connection.commit()
    return time.perf_counter() - began


def bare(connection: Any, batch: int) -> float:
    """Seconds for the driver to insert the very rows the book has written, in pieces of `batch`
    fills: fill, report and order once per fill, and position, day and daily rows once per batch
    that moves them.
    """
    cursor = connection.cursor()
    rows = {}
    for table in TABLES:
        cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
        rows[table] = list(cursor.fetchall())
        columns = [column[0] for column in cursor.description]
        places = ", ".join(["%s"] * len(columns))
        updates = ", ".join(f"{column} = VALUES({column})" for column in columns)
        statement = f"INSERT INTO {table} VALUES ({places}) ON DUPLICATE KEY UPDATE {updates}"  # noqa: S608
        rows[table].append(statement)
    empty(connection)
    fills = sorted(rows["fleet_fills"][:-1], key=lambda row: row[3])
    by_fill = {row[:5]: row for row in rows["fleet_fill_reports"][:-1]}
    orders = {row[4]: row for row in rows["fleet_orders"][:-1]}
    by_account = {
        table: {row[0]: row for row in rows[table][:-1]}
        for table in ("fleet_positions", "fleet_position_days", "fleet_pnl_daily")
    }
    began = time.perf_counter()
    for start in range(0, len(fills), batch):
        piece = fills[start : start + batch]
        cursor.executemany(rows["fleet_fills"][-1], piece)
        cursor.executemany(rows["fleet_fill_reports"][-1], [by_fill[row[:5]] for row in piece])
        cursor.executemany(rows["fleet_orders"][-1], [orders[row[7]] for row in piece])
        accounts = sorted({row[0] for row in piece})
        for table, stored in by_account.items():
            cursor.executemany(rows[table][-1], [stored[account] for account in accounts])
        connection.commit()
    return time.perf_counter() - began


def empty(connection: Any) -> None:
    cursor = connection.cursor()
    for table in (*TABLES, "fleet_account_state"):
        cursor.execute(f"TRUNCATE TABLE {table}")
    connection.commit()


def memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=int, default=50_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--reverse", type=int, default=0)
    parser.add_argument("--days", type=int, default=30, help="days over which --reverse spreads")
    told = parser.parse_args()
    flavour = servers().get("SERVERS_FLAVOUR", "?")
    with database() as connection:
        if told.fills:
            fills = list(reports(told.fills, told.accounts, 1))
            ours = told.fills / book(connection, fills, told.batch)
            plain = told.fills / bare(connection, told.batch)
            print(
                f"{flavour}: book {ours:,.0f} fills/s, bare {plain:,.0f} fills/s,"
                f" ratio {ours / plain:.2f} (batch {told.batch}, {told.accounts} accounts)"
            )
        if told.reverse:
            empty(connection)
            fills = list(reports(told.reverse, 1, max(1, told.days * DAY_MS // told.reverse)))
            before = memory_mb()
            ordered = told.reverse / book(connection, fills, told.batch, restating=True)
            empty(connection)
            fills.reverse()
            reverse = told.reverse / book(connection, fills, told.batch, restating=True)
            print(
                f"{flavour}: ordered {ordered:,.0f} fills/s, reverse {reverse:,.0f} fills/s,"
                f" ratio {reverse / ordered:.2f}, memory +{memory_mb() - before} MB"
                f" ({told.reverse} fills, {told.days} days)"
            )


if __name__ == "__main__":
    main()
