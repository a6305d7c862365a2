"""From a fill in the books to a row in TimescaleDB, by the real collector, stream and sink."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from shared.cdc.checkpoint import Report
from shared.cdc.log import ChangeLog
from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.books import deliver, rows
from tests.history_world import HistoryUnderTest
from tests.ledger_world import batches, shuffled, trades
from tests.sink_world import LoopWorld
from tests.timescale_world import Timescale
from tests.waiting import eventually
from tests.workers.cdc.test_collector_process import collecting

pytestmark = pytest.mark.database

TABLES = "fleet_fills,fleet_positions,fleet_pnl_daily"
SAME = (
    (
        "fleet_fills",
        """account_id, product, instrument, trade_id, side, venue, position_side, order_id, qty,
        price, contract_size, value, fee, fee_asset, settle_asset, executed_at, revision, kind""",
        "fleet.fills",
    ),
    (
        "fleet_positions",
        """account_id, product, instrument, position_side, qty, cost, avg_entry, realized,
        settle_asset, contract_size, unknown_basis_qty, fills, last_fill_at, version""",
        """(SELECT DISTINCT ON (account_id, product, instrument, position_side) *
        FROM fleet.position_history
        ORDER BY account_id, product, instrument, position_side, seq DESC, row_index DESC) AS n""",
    ),
    (
        "fleet_pnl_daily",
        "account_id, product, instrument, day, asset, realized, fees, funding, other, net, fills",
        "fleet.pnl_daily",
    ),
)
"""Table of the source, columns, and where they stand here."""


@pytest.fixture
def root(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


def test_what_the_ledger_writes_is_here_to_the_last_digit(
    settings_for: Callable[..., Settings], root: Any, timescale: Timescale, redis_root: Any
) -> None:
    settings = settings_for("collector", FLEET_CDC_TABLES=TABLES)
    under = HistoryUnderTest(settings_for, timescale)
    world = LoopWorld(under, settings_for("timescale"))
    draw = random.Random(6)
    told = trades(6, 300)
    deliver(root, batches(draw, shuffled(draw, told[:100]), 20))  # comes by the snapshot

    ChangeLog(redis_root, settings.prefix).report("audit", Report(None, 1))  # nothing so far

    with collecting(settings) as process, world.running():
        eventually(lambda: process.collector.state == "reading", 30)
        deliver(root, batches(draw, shuffled(draw, told[100:]), 20))
        root.cursor().execute("DELETE FROM fleet_pnl_daily ORDER BY account_id, day LIMIT 1")
        root.commit()
        for table, columns, here in SAME:
            eventually(partial(same, root, under, table, columns, here), 30)

    assert under.quarantined() == 0
    assert under.run("SELECT sum(fills) FROM fleet.trading_hourly")[0][0] == len(
        rows(root, "fleet_fills")
    )


def same(root: Any, under: HistoryUnderTest, table: str, columns: str, here: str) -> bool:
    asked = f"SELECT {columns} FROM {here}"  # noqa: S608 - our own names
    return told(rows(root, table, columns)) == told(under.run(asked))


def told(found: list[Any]) -> list[list[str]]:
    """Both drivers' values as text: one has int where the other has Decimal, and zones."""
    return sorted([_text(value) for value in row] for row in found)


def _text(value: Any) -> str:
    if hasattr(value, "as_tuple"):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value)
