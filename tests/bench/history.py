"""TimescaleDB as a sink: rows written, and dashboards on millions of rows of history."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import psycopg
from pydantic import SecretStr

from shared.changes import Change, Chunk, Offset
from shared.queries import load
from shared.timescale.connection import connect
from tests.bench.figures import Figure
from tests.bench.place import Place
from tests.daily_rows import query
from tests.timescale_world import Timescale, own_database
from tests.typed_changes import (
    AT_US,
    FILLS,
    PNL,
    POSITIONS,
    fill,
    place,
    pnl,
    position,
    transaction,
)
from workers.cdc.history import HistorySink
from workers.cdc.sink import Batch

FILLING = load(Path(__file__).with_name("history.sql"))
TABLES = (
    "change_event", "position_history", "pnl_history", "fill_history", "rollup_changes",
    "rollup_positions", "rollup_pnl", "owners",
)  # fmt: skip

ACCOUNTS = 2_000
INSTRUMENTS = 40
OF_USER = 3  # accounts
DAYS = 365
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = 100
TARGET_MS = 500
TARGET_RATE = 15_000
BATCH = 2_000
SHARE_MS = 20
"""Of the 100 ms from commit to visible, the sink's own."""
SMALL = 10
"""What comes together at 500 transactions a second."""


def writing(here: Place, *, rows: int) -> tuple[Figure, ...]:
    """Single-row transactions of the ledger's three typed tables, a third each, as the loop hands
    them over; the sink alone.
    """
    with own_database(here.servers) as database:
        _migrate(here, database)
        url = SecretStr(database.owner)
        settings = here.settings.model_copy(update={"timescale_url": url})
        sink = HistorySink(lambda: connect(settings))
        sink.connect()
        with closing(sink):
            seq = _write(sink, 0, BATCH * 5, BATCH)[0]
            seq, taken, cpu = _write(sink, seq, rows, BATCH)
            seq, small, _ = _write(sink, seq, 3_000, SMALL)
        edition = database.run("SELECT version, license FROM fleet.edition")[0]
    rate = rows / sum(taken)
    cuts = quantiles([seconds * 1000 for seconds in small], n=100)
    notes = f"TimescaleDB {edition[0]} {edition[1]}; events, state, history and roll-ups"
    return (
        Figure(
            f"rows into TimescaleDB, single-row transactions, {BATCH:,} at once",
            f">= {TARGET_RATE:,}/s",
            f"{rate:,.0f}/s, {cpu / rows * 1e6:.0f} us of our CPU each",
            rate >= TARGET_RATE,
            notes,
        ),
        Figure(
            f"{SMALL} transactions written and committed, p50 / p99",
            f"p50 < {SHARE_MS} ms",
            f"{median(small) * 1000:.1f} / {cuts[98]:.1f} ms",
            median(small) * 1000 < SHARE_MS,
            notes,
        ),
    )


def dashboards(here: Place, *, rows: int) -> Figure:
    """Each query with other parameters every time."""
    with own_database(here.servers) as database:
        _migrate(here, database)
        started = time.perf_counter()
        with psycopg.connect(database.owner) as connection:
            connection.execute("SET timezone = 'UTC'")
            for table in TABLES:
                connection.execute(FILLING[table].encode(), {"rows": rows // 4, **_SIZES})
                connection.commit()
        with psycopg.connect(database.owner, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            filled = time.perf_counter() - started
            connection.execute("SET timezone = 'UTC'")
            found = {name: _milliseconds(connection, name) for name in QUERIES}
        size = database.run("SELECT pg_size_pretty(pg_database_size(current_database()))")[0][0]
    told = "; ".join(f"{name} {p50:.1f} / {p95:.1f}" for name, (p50, p95) in found.items())
    return Figure(
        f"dashboard queries on {rows:,} rows of history, p50 / p95 in ms",
        f"p95 < {TARGET_MS} ms",
        told,
        all(p95 < TARGET_MS for _, p95 in found.values()),
        f"{ACCOUNTS:,} accounts over a year, {RUNS} runs each; {size}; made in {filled:.0f} s",
    )


# -- writing ---------------------------------------------------------------------------------------


def _write(sink: HistorySink, seq: int, rows: int, size: int) -> tuple[int, list[float], float]:
    """Returns the last seq, seconds of each batch, and seconds of our own CPU."""
    taken, cpu = [], 0.0
    for _ in range(rows // size):
        chunks = [_transaction(seq + number) for number in range(1, size + 1)]
        seq += size
        started, before = time.perf_counter(), time.process_time()
        with sink.transaction():
            sink.lock_offset()
            sink.write(chunks)
            offset = Offset(1, seq, 0, whole=True, position=place(seq))
            sink.move_offset(offset, Batch(1, chunks[0].seq, seq, size))
        taken.append(time.perf_counter() - started)
        cpu += time.process_time() - before
    return seq, taken, cpu


def _transaction(seq: int) -> Chunk:
    account, version = str(seq % ACCOUNTS), str(seq)
    if seq % 3 == 0:
        change = Change(FILLS, "c", None, fill(account_id=account, trade_id=version))
    elif seq % 3 == 1:
        before = position(account_id=account)
        change = Change(POSITIONS, "u", before, position(account_id=account, version=version))
    else:
        before = pnl(account_id=account)
        change = Change(PNL, "u", before, pnl(account_id=account, version=version))
    return transaction(seq, change, at_us=AT_US + seq * 1_000)


def _migrate(here: Place, database: Timescale) -> None:
    url = SecretStr(database.owner)
    database.migrate(here.settings.model_copy(update={"timescale_url": url}))


# -- dashboards ------------------------------------------------------------------------------------

_SIZES = {"accounts": ACCOUNTS, "instruments": INSTRUMENTS, "of_user": OF_USER, "days": DAYS}


def _span(draw: Random, days: int) -> dict[str, Any]:
    first = FIRST + timedelta(days=draw.randrange(DAYS - days))
    return {"first_at": first, "end_at": first + timedelta(days=days)}


def _year() -> dict[str, Any]:
    return {"first_day": FIRST.date(), "end_day": FIRST.date() + timedelta(days=DAYS)}


def _parameters(draw: Random, name: str, keys: list[str]) -> dict[str, Any]:
    return {
        "user_positions": {"user_id": draw.randrange(ACCOUNTS // OF_USER), **_span(draw, 30)},
        "account_positions": {"account_id": draw.randrange(ACCOUNTS), **_span(draw, 30)},
        "account_pnl": {"account_id": draw.randrange(ACCOUNTS), **_year()},
        "instrument_fills": {"instrument": f"I{draw.randrange(INSTRUMENTS)}", **_span(draw, 1)},
        "row_changes": {"table_name": "fleet_positions", "row_key": draw.choice(keys)},
        "changes_hourly": _span(draw, 7),
    }[name]


QUERIES = (
    "user_positions", "account_positions", "account_pnl", "instrument_fills", "row_changes",
    "changes_hourly",
)  # fmt: skip


def _milliseconds(connection: psycopg.Connection[Any], name: str) -> tuple[float, float]:
    """Median and 95th percentile, from the statement to the last row here."""
    keys = [key for (key,) in connection.execute(FILLING["some_keys"].encode()).fetchall()]
    draw, statement = Random(name), query(f"history_{name}")
    taken = []
    for _ in range(RUNS):
        values = _parameters(draw, name, keys)
        started = time.perf_counter()
        found = connection.execute(statement.encode(), values).fetchall()
        taken.append((time.perf_counter() - started) * 1000)
        assert found, f"{name} found nothing for {values}"
    cuts = quantiles(taken, n=20)
    return cuts[9], cuts[18]
