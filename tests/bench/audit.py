"""The audit log alone: rows a second on one core, and what a fill costs in it.

`python -m tests.bench.audit` prints its figures for the servers that FLEET_ENV_FILE names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from shared.changes import Change, Table
from shared.streams.connection import data_client
from tests.bench.figures import Figure
from tests.bench.place import Place, place
from tests.change_world import ChangeStream, created
from workers.cdc.audit import audit_sink
from workers.cdc.audit_proof import prove_audit
from workers.cdc.sink_loop import SinkBounds, SinkLoop, SinkTools
from workers.collector import calm_collector

SINGLE = 60_000
LONG = 150_000
TARGET = 15_000
APPENDED_AT_ONCE = 2_000

POSITION = Table(
    "fleet", "fleet_positions",
    ("account_id", "venue", "product", "instrument", "position_side", "qty", "entry_price",
     "realized", "fees", "funding", "fills", "updated_at"),
    ("bigint unsigned", "varchar(32)", "varchar(16)", "varchar(64)", "varchar(8)",
     *["decimal(38,18)"] * 5, "bigint", "datetime(6)"),
    (0, 2, 3, 4), "bench-positions",
)  # fmt: skip
FILL = Table(
    "fleet", "fleet_fills",
    ("account_id", "product", "instrument", "trade_id", "side", "qty", "price", "fee", "fee_asset",
     "executed_at_ms"),
    ("bigint unsigned", "varchar(16)", "varchar(64)", "varchar(128)", "varchar(4)",
     *["decimal(38,18)"] * 3, "varchar(32)", "bigint"),
    (0, 1, 2, 3, 4), "bench-fills",
)  # fmt: skip


class Run(NamedTuple):
    """cpu: seconds of the sink's own process."""

    rows: int
    seconds: float
    cpu: float
    bytes: int


def position(number: int) -> Change:
    def row(qty: int) -> list[Any]:
        return [
            str(number % 500), "binance", "linear", "BTCUSDT", "net", f"{qty}.250000000000000000",
            "64123.500000000000000000", "12.345678901234567890", "-0.123456789012345678",
            "0.000000000000000000", str(number), "2026-11-26T08:00:00.000001",
        ]  # fmt: skip

    return Change(POSITION, "u", row(number), row(number + 1))


def fill(number: int) -> Change:
    return created(
        FILL,
        [str(number % 500), "linear", "BTCUSDT", f"{number}", "buy", "0.250000000000000000",
         "64123.500000000000000000", "0.012345678901234567", "USDT", 1_795_680_000_000 + number],
    )  # fmt: skip


def measured(here: Place, transactions: Sequence[Sequence[Change]]) -> Run:
    """A backlog of these transactions, drained by the sink's loop in this process."""
    here.empty()
    redis, prefix = here.redis(), here.settings.prefix
    with closing(redis):
        stream = ChangeStream(redis, prefix)
        stream.append(stream.control())
        for at in range(0, len(transactions), APPENDED_AT_ONCE):
            piece = transactions[at : at + APPENDED_AT_ONCE]
            stream.append([chunk for changes in piece for chunk in stream.commit(*changes)])
    tools = SinkTools(
        partial(data_client, here.settings.streams_redis, "bench", block_ms=1_000), prefix,
        lambda *_, **__: None, SinkBounds(idle_seconds=0.01),
    )  # fmt: skip
    with closing(SinkLoop(audit_sink(here.settings), tools)) as loop:
        started, cpu = time.monotonic(), time.process_time()
        while loop.turn():
            pass
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    with closing(here.mysql()) as connection:
        proof = prove_audit(connection)
        assert proof.why == "", proof.why
        cursor = connection.cursor()
        cursor.execute("ANALYZE TABLE fleet_change_log")
        cursor.fetchall()
        cursor.execute(
            "SELECT SUM(data_length + index_length) FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = 'fleet_change_log'"
        )
        (size,) = cursor.fetchone()
    rows = sum(map(len, transactions))
    assert proof.rows == rows + 1
    return Run(rows, seconds, cpu, int(size))


def figures(here: Place) -> list[Figure]:
    single = measured(here, [[position(number)] for number in range(SINGLE)])
    long = measured(here, batches(position, LONG, 500))
    fills = measured(here, batches(fill, SINGLE, 20))
    name = here.name()
    return [
        Figure(
            f"audit log: {what}", f">= {TARGET:,} rows/s", f"{run.rows / run.seconds:,.0f} rows/s",
            run.rows / run.seconds >= TARGET,
            f"{name}; {run.cpu / run.rows * 1e6:.0f} us of its own CPU and "
            f"{run.bytes / run.rows:.0f} bytes a row",
        )
        for what, run in (
            ("single-row transactions", single),
            ("transactions of 500 rows", long),
            ("fills, 20 in a transaction", fills),
        )
    ]  # fmt: skip


def batches(make: Callable[[int], Change], rows: int, each: int) -> list[list[Change]]:
    return [[make(n) for n in range(at, at + each)] for at in range(0, rows, each)]


def main() -> None:
    calm_collector()
    with place("audit") as here:
        for figure in figures(here):
            print(figure)


if __name__ == "__main__":
    main()
