"""What TimescaleDB holds of the ledger's rows: typed histories, what they refuse, views."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.change_world import ORDERS, created, deleted, order, read, updated
from tests.history_world import Desk
from tests.typed_changes import AT_US, FILLS, PNL, POSITIONS, fill, pnl, position, transaction
from workers.cdc.quarantine import replay

pytestmark = pytest.mark.database

AT = datetime(2026, 11, 26, 8, 10, tzinfo=UTC)
HOUR = datetime(2026, 11, 26, 8, tzinfo=UTC)


# -- fills -----------------------------------------------------------------------------------------


def test_a_fill_whose_time_is_corrected_is_one_fill(desk: Desk) -> None:
    """Trap 18: a mutable time would split one key into two rows."""
    first = fill(executed_at="2026-11-19T23:59:59.999000")
    moved = fill(executed_at="2026-11-26T08:00:00.000000", fee=None, fee_asset=None)
    desk.commit(created(FILLS, first))
    desk.commit(updated(FILLS, first, moved))

    assert desk.run("SELECT executed_at, fee FROM fleet.fills") == [(HOUR, None)]
    for week, count in (("<", 0), (">=", 1)):
        assert desk.run(
            f"SELECT count(*) FROM fleet.fills WHERE executed_at {week} '2026-11-25'"  # noqa: S608 - two signs
            " AND instrument = 'BTCUSDT'"
        ) == [(count,)]
    assert desk.run("SELECT hour, fills, fees, fee_unknown FROM fleet.trading_hourly") == [
        (HOUR, 1, Decimal(0), 1)
    ]


def test_a_fill_that_changed_twice_in_one_batch_counts_as_it_is_at_the_end(desk: Desk) -> None:
    one, two, three = fill(), fill(qty="2", value="200"), fill(qty="3", value="300")
    desk.write(
        transaction(1, created(FILLS, one)),
        transaction(2, updated(FILLS, one, two), updated(FILLS, two, three)),
        transaction(3, created(FILLS, fill(trade_id="t2"))),
        transaction(4, deleted(FILLS, fill(trade_id="t2"))),
    )

    assert desk.run("SELECT fills, qty, value FROM fleet.trading_hourly") == [
        (1, Decimal(3), Decimal(300))
    ]
    assert desk.run("SELECT trade_id, qty FROM fleet.fills") == [("t1", Decimal(3))]


def test_a_fill_that_is_only_known_from_its_change_counts_once(desk: Desk) -> None:
    """A new sink sees the change first, then the row by a snapshot."""
    desk.commit(updated(FILLS, fill(fee=None), fill()))
    desk.commit(read(FILLS, fill()), kind="snapshot")

    assert desk.run("SELECT fills, fees, fee_unknown FROM fleet.trading_hourly") == [
        (1, Decimal("0.1"), 0)
    ]


# -- what a typed history refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        (POSITIONS, position(), position(qty="1000000000000000000000.5")),
        (POSITIONS, position(), position(last_fill_at={"$date": "0000-00-00 00:00:00"})),
        (PNL, pnl(), pnl(realized="1.0000000000000000001")),
        (FILLS, fill(), fill(instrument="BTC\0USDT")),
        (FILLS, fill(), fill(qty=None)),
    ],
)
def test_what_a_history_refuses_is_an_event_and_a_row_all_the_same(
    desk: Desk, table: Any, good: Any, bad: Any
) -> None:
    desk.commit(created(ORDERS, order(1)), created(table, bad), created(ORDERS, order(2)))

    assert desk.run(
        "SELECT table_name, op, reason <> '' FROM fleet.cdc_quarantine WHERE replayed_at IS NULL"
    ) == [(table.name, "c", True)]
    assert desk.run("SELECT row_index FROM fleet.change_event ORDER BY row_index") == [
        (0,), (1,), (2,),
    ]  # fmt: skip
    assert desk.run("SELECT table_name FROM fleet.row_state WHERE refused") == [(table.name,)]

    desk.commit(updated(table, bad, good))
    assert desk.run("SELECT count(*) FROM fleet.cdc_quarantine") == [(1,)]


def test_a_fill_that_turns_bad_and_good_again_counts_once(desk: Desk) -> None:
    bad = fill(qty="1000000000000000000000.5")
    desk.commit(created(FILLS, fill()))
    desk.commit(updated(FILLS, fill(), bad))
    assert desk.run("SELECT count(*) FROM fleet.fills") == [(0,)]
    assert desk.run("SELECT count(*) FROM fleet.trading_hourly") == [(0,)]

    desk.commit(updated(FILLS, bad, fill(qty="2")))
    assert desk.run("SELECT fills, qty FROM fleet.trading_hourly") == [(1, Decimal(2))]
    assert desk.run("SELECT qty FROM fleet.fills") == [(Decimal(2),)]


def test_a_replay_that_comes_too_late_leaves_what_is_newer(desk: Desk) -> None:
    bad = desk.under.refused()
    desk.commit(bad)
    newer = order(666, status="filled")
    desk.under.database.run("ALTER TABLE fleet.change_event DROP CONSTRAINT no_666")
    desk.commit(updated(ORDERS, order(666), newer))

    assert replay(desk.sink, 1, 1) == (1, [])

    assert desk.run("SELECT seq, op FROM fleet.change_event ORDER BY seq") == [(1, "c"), (2, "u")]
    assert desk.run("SELECT seq, row->>'status' FROM fleet.row_state") == [(2, "filled")]


def test_a_replay_of_the_newest_row_completes_its_history(desk: Desk) -> None:
    """As when a column here was widened since: what was refused is taken now."""
    with desk.sink.transaction():
        desk.sink.lock_offset()
        chunk = transaction(1, created(FILLS, fill()))
        desk.sink._open.write_refused(chunk)
    assert desk.run("SELECT count(*) FROM fleet.fills") == [(0,)]

    for _ in range(2):
        with desk.sink.transaction():
            desk.sink._open.write_late(chunk)

    assert desk.run("SELECT trade_id FROM fleet.fills") == [("t1",)]
    assert desk.run("SELECT fills FROM fleet.trading_hourly") == [(1,)]
    assert desk.run("SELECT count(*) FROM fleet.change_event") == [(1,)]


def test_without_its_columns_a_table_has_no_typed_history_and_nothing_is_refused(
    desk: Desk,
) -> None:
    """FLEET_CDC_COLUMNS may drop one."""
    places = [n for n, name in enumerate(POSITIONS.columns) if name != "qty"]
    narrow = POSITIONS._replace(columns=tuple(POSITIONS.columns[n] for n in places))
    desk.commit(created(narrow, [position()[n] for n in places]))

    assert desk.run("SELECT count(*) FROM fleet.position_history") == [(0,)]
    assert desk.run("SELECT count(*) FROM fleet.change_event") == [(1,)]
    assert desk.run("SELECT count(*) FROM fleet.cdc_quarantine") == [(0,)]


def test_a_fill_of_another_shape_is_an_event_and_no_typed_fill(desk: Desk) -> None:
    narrow = FILLS._replace(columns=FILLS.columns[:5])
    desk.commit(created(narrow, fill()[:5]))
    desk.commit(updated(narrow, fill()[:5], fill()[:5]))

    assert desk.run("SELECT count(*) FROM fleet.fill_history") == [(0,)]
    assert desk.run("SELECT count(*) FROM fleet.change_event") == [(2,)]


# -- what dashboards read --------------------------------------------------------------------------


def test_views_tell_positions_by_hour_pnl_by_day_and_owners(desk: Desk) -> None:
    for minute, qty in ((10, "1"), (50, "2"), (70, "5")):
        desk.commit(
            updated(POSITIONS, position(), position(qty=qty)),
            updated(PNL, pnl(), pnl(realized="10", fees="1.5", funding="-0.25", fills="3")),
            at_us=AT_US + (minute - 10) * 60_000_000,
        )

    assert desk.run("SELECT hour, qty FROM fleet.position_hourly ORDER BY hour") == [
        (HOUR, Decimal(2)),
        (HOUR.replace(hour=9), Decimal(5)),
    ]
    assert desk.run("SELECT day, net, fills FROM fleet.pnl_daily") == [
        (date(2026, 11, 26), Decimal("8.25"), 3)
    ]
    assert desk.run(
        "SELECT hour, table_name, op, changes FROM fleet.changes_hourly ORDER BY hour, table_name"
    ) == [
        (HOUR, "fleet_pnl_daily", "u", 2),
        (HOUR, "fleet_positions", "u", 2),
        (HOUR.replace(hour=9), "fleet_pnl_daily", "u", 1),
        (HOUR.replace(hour=9), "fleet_positions", "u", 1),
    ]


def test_a_row_that_was_deleted_is_in_no_view(desk: Desk) -> None:
    desk.commit(created(POSITIONS, position(qty="1")), created(PNL, pnl(realized="1")))
    desk.commit(deleted(POSITIONS, position(qty="1")), deleted(PNL, pnl(realized="1")))

    assert desk.run("SELECT count(*) FROM fleet.position_hourly") == [(0,)]
    assert desk.run("SELECT count(*) FROM fleet.pnl_daily") == [(0,)]
    assert desk.run("SELECT qty, deleted FROM fleet.position_history ORDER BY seq") == [
        (Decimal(1), False),
        (Decimal(1), True),
    ]
