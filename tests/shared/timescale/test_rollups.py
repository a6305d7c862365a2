"""Roll-ups equal a plain query over the raw rows, in whatever order they came, and outlive them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.changes import Change, Chunk, Op
from shared.timescale.changes import Writer
from tests.timescale_world import Timescale
from tests.typed_changes import (
    AT_US,
    FILLS,
    PNL,
    POSITIONS,
    fill,
    pnl,
    position,
    transaction,
)

pytestmark = pytest.mark.database

HOUR_US = 3_600_000_000
COMPARED = {
    "changes": (
        "SELECT hour, table_name, op, changes FROM fleet.changes_hourly",
        """SELECT date_trunc('hour', committed_at), table_name, op, count(*)
        FROM fleet.change_event GROUP BY 1, 2, 3""",
    ),
    "positions": (
        "SELECT hour, account_id, qty, seq FROM fleet.position_hourly",
        """SELECT hour, account_id, qty, seq FROM (
          SELECT DISTINCT ON (1, 2) date_trunc('hour', committed_at) AS hour, account_id, qty, seq,
                 deleted
          FROM fleet.position_history ORDER BY 1, 2, seq DESC, row_index DESC) AS newest
        WHERE NOT deleted""",
    ),
    "pnl": (
        "SELECT account_id, day, realized, seq FROM fleet.pnl_daily",
        """SELECT account_id, day, realized, seq FROM (
          SELECT DISTINCT ON (1, 2) account_id, day, realized, seq, deleted
          FROM fleet.pnl_history ORDER BY 1, 2, seq DESC, row_index DESC) AS newest
        WHERE NOT deleted""",
    ),
    "trading": (
        "SELECT hour, account_id, fills, qty, fees, fee_unknown FROM fleet.trading_hourly",
        """SELECT date_trunc('hour', executed_at), account_id, count(*), sum(qty),
                  coalesce(sum(fee), 0), count(*) FILTER (WHERE fee IS NULL)
        FROM fleet.fills GROUP BY 1, 2""",
    ),
    "fills": (
        """SELECT row->>'account_id', row->>'trade_id', (row->>'qty')::numeric
        FROM fleet.row_state WHERE table_name = 'fleet_fills' AND NOT deleted""",
        "SELECT account_id::text, trade_id, qty FROM fleet.fills",
    ),
}
"""What a roll-up says, and what the raw rows say."""


@pytest.fixture
def writer(timescale: Timescale) -> Iterator[Writer]:
    with psycopg.connect(timescale.owner) as connection:
        connection.execute("SET timezone = 'UTC'")
        made = Writer(connection)
        made.prepare()
        connection.commit()
        yield made


def write(writer: Writer, *chunks: Chunk) -> None:
    with writer.connection.transaction():
        writer.begin()
        writer.write(chunks)


def found(writer: Writer, statement: str) -> list[Any]:
    with writer.connection.transaction():
        return sorted(writer.connection.execute(statement.encode()).fetchall())


def assert_equal(writer: Writer) -> None:
    for name, (rollup, raw) in COMPARED.items():
        assert found(writer, rollup) == found(writer, raw), name


amounts = st.decimals(-(10**19), 10**19, places=18).map(lambda amount: format(amount, "f"))
accounts = st.integers(1, 3).map(str)


@st.composite
def histories(draw: Any) -> list[Chunk]:
    """Transactions of few keys, over few hours, with changes, deletes and rows read again."""
    known: dict[Any, Any] = {}
    chunks = []
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        changes = []
        for _ in range(draw(st.integers(1, 4))):
            table, account = draw(st.sampled_from((POSITIONS, PNL, FILLS))), draw(accounts)
            key = (table.name, account)
            if table is POSITIONS:
                row = position(account_id=account, qty=draw(amounts))
            elif table is PNL:
                row = pnl(account_id=account, realized=draw(amounts))
            else:
                hour = draw(st.integers(0, 3))
                row = fill(
                    account_id=account, qty=draw(amounts), fee=draw(st.none() | amounts),
                    executed_at=f"2026-11-2{5 + hour // 2}T0{hour}:30:00.000000",
                )  # fmt: skip
            op: Op = draw(st.sampled_from(("u", "u", "u", "d", "r"))) if key in known else "c"
            before = known.get(key)
            if op == "d":
                known.pop(key)
                changes.append(Change(table, "d", before, None))
                continue
            known[key] = row
            changes.append(Change(table, op, before if op == "u" else None, row))
        at = AT_US + draw(st.integers(-2, 2)) * HOUR_US
        chunks.append(transaction(seq, *changes, at_us=at))
    return chunks


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chunks=histories(), size=st.integers(1, 12))
def test_rollups_equal_a_query_over_the_raw_rows_however_batched(
    writer: Writer, timescale: Timescale, chunks: list[Chunk], size: int
) -> None:
    timescale.empty()
    for first in range(0, len(chunks), size):
        write(writer, *chunks[first : first + size])
    assert_equal(writer)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chunks=histories(), order=st.randoms(use_true_random=False))
def test_the_newest_row_wins_in_whatever_order_batches_come(
    writer: Writer, timescale: Timescale, chunks: list[Chunk], order: Any
) -> None:
    """Replays come late. (Fills are not among them: what stood before is asked of the state.)"""
    timescale.empty()
    for batch in order.sample(chunks, len(chunks)):
        write(writer, batch._replace(changes=[c for c in batch.changes if c.table is not FILLS]))
    for name in ("changes", "positions", "pnl"):
        rollup, raw = COMPARED[name]
        assert found(writer, rollup) == found(writer, raw), name


def test_amounts_of_any_size_are_added_without_loss(writer: Writer) -> None:
    big, small = "99999999999999999999.999999999999999999", "0.000000000000000001"
    write(
        writer,
        transaction(
            1,
            *(
                Change(FILLS, "c", None, fill(trade_id=f"t{n}", value=big, qty=small))
                for n in range(500)
            ),
        ),
    )
    assert found(writer, "SELECT value, qty FROM fleet.trading_hourly") == [
        (Decimal("49999999999999999999999.9999999999999995"), Decimal("0.0000000000000005"))
    ]


def test_retention_takes_raw_rows_and_no_rollup_and_late_rows_still_count(writer: Writer) -> None:
    """Trap 19. What comes late falls into hours whose raw rows are gone."""
    old = "2020-05-04T03:02:01.000000"
    write(
        writer,
        transaction(
            1,
            Change(FILLS, "c", None, fill(executed_at=old)),
            Change(POSITIONS, "c", None, position(qty="1")),
            Change(PNL, "c", None, pnl(day="2020-05-04", realized="7")),
            at_us=1_588_561_321_000_000,
        ),
    )
    before = {name: found(writer, rollup) for name, (rollup, _) in COMPARED.items()}

    for history in ("change_event", "position_history", "pnl_history", "fill_history"):
        drop(writer, history)
    assert found(writer, "SELECT count(*) FROM fleet.change_event") == [(0,)]
    assert found(writer, "SELECT count(*) FROM fleet.fill_history") == [(0,)]
    assert {name: found(writer, rollup) for name, (rollup, _) in COMPARED.items()} == before

    write(writer, transaction(2, Change(FILLS, "c", None, fill(trade_id="t2", executed_at=old))))
    write(
        writer,
        transaction(
            3, Change(FILLS, "u", fill(executed_at=old), fill(executed_at=old, fee="0.5"))
        ),
    )
    assert found(writer, "SELECT fills, fees FROM fleet.trading_hourly") == [(2, Decimal("0.6"))]


def drop(writer: Writer, history: str) -> None:
    """As either edition's retention does it in the end."""
    with writer.connection.transaction():
        writer.connection.execute(
            "SELECT drop_chunks(%s, older_than => now() - INTERVAL '30 days')",
            (f"fleet.{history}",),
        )
