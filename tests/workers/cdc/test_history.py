"""What TimescaleDB holds of hand-made transactions: events, current rows, one transaction each."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from shared.changes import Change
from shared.errors import Unavailable
from tests.change_world import NOTES, ORDERS, created, deleted, message, order, read, updated
from tests.history_world import Desk
from tests.typed_changes import AT_US, FILLS, PNL, POSITIONS, fill, pnl, position, transaction

pytestmark = pytest.mark.database

AT = datetime(2026, 11, 26, 8, 10, tzinfo=UTC)
HOUR = datetime(2026, 11, 26, 8, tzinfo=UTC)


# -- exact -----------------------------------------------------------------------------------------


def test_amounts_ids_and_times_come_through_to_the_last_digit(desk: Desk) -> None:
    least, most = "-0.000000000000000001", "99999999999999999999.999999999999999999"
    desk.commit(
        created(
            POSITIONS,
            position(account_id="18446744073709551615", qty=least, cost=most, realized=f"-{most}"),
        )
    )

    assert desk.run(
        "SELECT account_id, qty, cost, avg_entry, realized, last_fill_at, committed_at, deleted"
        " FROM fleet.position_history"
    ) == [
        (
            Decimal(2**64 - 1), Decimal(least), Decimal(most), None, Decimal(f"-{most}"),
            datetime(2026, 11, 26, 8, 9, 59, 123456, UTC), AT, False,
        )
    ]  # fmt: skip


def test_an_event_holds_both_images_its_actor_and_its_place(desk: Desk) -> None:
    before = order(1, note='tab\t "quoted" \\ line\n')
    after = order(1, status="filled", note="ü€😀")
    seq = desk.commit(created(ORDERS, before), updated(ORDERS, before, after))

    assert desk.run(
        "SELECT seq, row_index, op, row_key, before->>'note', after->>'note', after->>'price',"
        " actor, gtid, file, pos, committed_at FROM fleet.change_event ORDER BY row_index"
    ) == [
        (seq, 0, "c", '["1"]', None, before[3], "1.50", "ledger orders:3 1-0", f"0-1-{seq}",
         "binlog.000001", 100 * seq, AT),
        (seq, 1, "u", '["1"]', before[3], "ü€😀", "1.50", "ledger orders:3 1-0", f"0-1-{seq}",
         "binlog.000001", 100 * seq, AT),
    ]  # fmt: skip


def test_a_text_with_a_zero_character_is_kept_though_postgresql_has_none(desk: Desk) -> None:
    desk.commit(created(ORDERS, order(1, note="a\0b")), created(NOTES, ["\0"]))

    assert desk.run(
        "SELECT after->'note'->>'$utf8' FROM fleet.change_event WHERE table_name = 'fleet_orders'"
    ) == [("YQBi",)]
    assert desk.run("SELECT count(*) FROM fleet.cdc_quarantine") == [(0,)]


def test_commit_times_of_whole_seconds_leave_the_order_to_the_sequence(desk: Desk) -> None:
    for number in range(5):
        desk.commit(
            *(updated(PNL, pnl(), pnl(realized=f"{number}.{part}")) for part in range(3)),
            at_us=AT_US - number * 1_000_000,  # a clock that runs backwards
        )

    assert desk.run("SELECT realized, net FROM fleet.pnl_daily") == [
        (Decimal("4.2"), Decimal("4.2"))
    ]


# -- current rows ----------------------------------------------------------------------------------


def test_state_is_the_newest_row_and_a_deleted_one_leaves_its_place(desk: Desk) -> None:
    desk.commit(created(ORDERS, order(1)), created(ORDERS, order(2)))
    desk.commit(updated(ORDERS, order(1), order(1, status="filled")))
    desk.commit(deleted(ORDERS, order(2)))

    assert desk.run(
        "SELECT row_key, row->>'status', deleted, seq FROM fleet.row_state ORDER BY row_key"
    ) == [('["1"]', "filled", False, 2), ('["2"]', None, True, 3)]


def test_a_snapshot_takes_away_what_it_no_longer_found(desk: Desk) -> None:
    """Deletes that never reached the log: mark and sweep."""
    desk.commit(created(ORDERS, order(1)), created(ORDERS, order(2)), created(NOTES, ["stays"]))
    desk.commit(created(FILLS, fill()), created(POSITIONS, position(qty="3")))
    begin = desk.commit(message(ORDERS, "snapshot_begin", "fleet_orders", "r1"), kind="snapshot")
    desk.commit(read(ORDERS, order(1)), kind="snapshot")
    desk.commit(created(ORDERS, order(3)))
    end = desk.commit(
        message(ORDERS, "snapshot_end", "fleet_orders", "r1", str(begin)), kind="snapshot"
    )

    assert desk.run(
        "SELECT row_key, deleted, seq FROM fleet.row_state WHERE table_name = 'fleet_orders'"
        " ORDER BY row_key"
    ) == [('["1"]', False, 4), ('["2"]', True, end), ('["3"]', False, 5)]
    assert desk.run(
        "SELECT seq, row_index, row_key, before->>'status', after FROM fleet.change_event"
        " WHERE derived"
    ) == [(end, 1, '["2"]', "new", None)]
    assert desk.run("SELECT count(*) FROM fleet.row_state WHERE NOT deleted") == [(5,)]


def test_a_snapshot_sweeps_typed_histories_too(desk: Desk) -> None:
    desk.commit(created(FILLS, fill()), created(FILLS, fill(trade_id="t2")))
    desk.commit(created(POSITIONS, position(qty="3")))
    begin = desk.commit(message(FILLS, "snapshot_begin", "fleet_fills", "r1"))
    desk.commit(read(FILLS, fill()), kind="snapshot")
    desk.commit(message(FILLS, "snapshot_end", "fleet_fills", "r1", str(begin)))
    desk.commit(message(POSITIONS, "snapshot_end", "fleet_positions", "r2", str(begin)))

    assert desk.run("SELECT trade_id FROM fleet.fills") == [("t1",)]
    assert desk.run("SELECT fills, qty FROM fleet.trading_hourly") == [(1, Decimal(1))]
    assert desk.run("SELECT count(*) FROM fleet.position_hourly") == [(0,)]
    # Read again and the same: nothing is added.
    assert desk.run("SELECT count(*) FROM fleet.fill_history WHERE trade_id = 't1'") == [(1,)]


def test_a_truncate_empties_the_table_here_and_is_an_event(desk: Desk) -> None:
    desk.commit(created(FILLS, fill()), created(ORDERS, order(1)))
    desk.commit(created(FILLS, fill(trade_id="t2")), Change(FILLS, "t", None, None))
    desk.commit(created(FILLS, fill(trade_id="t3")))

    assert desk.run("SELECT trade_id FROM fleet.fills") == [("t3",)]
    assert desk.run(
        "SELECT row_key FROM fleet.row_state WHERE table_name = 'fleet_fills' AND NOT deleted"
    ) == [('["42","linear","BTCUSDT","t3","buy"]',)]
    assert desk.run("SELECT count(*) FROM fleet.row_state WHERE NOT deleted") == [(2,)]
    assert desk.run("SELECT seq, row_index FROM fleet.change_event WHERE op = 't'") == [(2, 1)]


def test_a_table_that_is_renamed_away_or_dropped_has_no_rows_here(desk: Desk) -> None:
    desk.commit(created(ORDERS, order(1)), created(NOTES, ["a"]))
    desk.commit(message(NOTES, "rename", "RENAME TABLE ...", "desk.drafts", "desk.notes"))
    assert desk.run("SELECT count(*) FROM fleet.row_state WHERE NOT deleted") == [(2,)]

    desk.commit(message(NOTES, "rename", "RENAME TABLE ...", "desk.notes", "desk.old_notes"))
    desk.commit(message(ORDERS, "drop", "DROP TABLE fleet_orders"))
    assert desk.run("SELECT count(*) FROM fleet.row_state WHERE NOT deleted") == [(0,)]
    assert desk.run("SELECT count(*) FROM fleet.change_event WHERE op = 'm'") == [(3,)]


# -- a server that goes away -----------------------------------------------------------------------


def test_a_connection_killed_in_the_middle_leaves_nothing_and_is_unavailable(desk: Desk) -> None:
    desk.commit(created(ORDERS, order(1)))
    with pytest.raises(Unavailable):
        write_while_killed(desk)
    desk.sink.close()

    assert desk.run("SELECT seq FROM fleet.change_event") == [(1,)]
    assert desk.run("SELECT count(*) FROM fleet.fill_history") == [(0,)]
    found = desk.under.offset()
    assert found is not None
    assert found.seq == 1

    desk.sink.connect()
    desk.write(transaction(2, created(ORDERS, order(2))))
    assert desk.run("SELECT seq FROM fleet.change_event ORDER BY seq") == [(1,), (2,)]


def write_while_killed(desk: Desk) -> None:
    with desk.sink.transaction():
        desk.sink.lock_offset()
        desk.sink.write([transaction(2, created(ORDERS, order(2)), created(FILLS, fill()))])
        desk.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'fleet-timescale'"
        )
        desk.sink.write([transaction(3, created(ORDERS, order(3)))])


def test_a_twin_waits_for_the_offset_and_one_that_sleeps_loses_its_session(desk: Desk) -> None:
    with closing(desk.under.make()) as twin:
        twin.connect()
        with desk.sink.transaction():
            desk.sink.lock_offset()
            with pytest.raises(Unavailable), twin.transaction():
                twin.lock_offset()  # lock_timeout
        with twin.transaction():
            twin.lock_offset()
            told = twin._open.connection.execute(
                "SELECT current_setting('idle_in_transaction_session_timeout')"
            ).fetchone()
    assert told == ("1min",)


def test_every_transaction_of_ours_is_in_the_diary(desk: Desk) -> None:
    desk.commit(created(ORDERS, order(1)))
    desk.commit(created(ORDERS, order(2)))

    assert desk.run("SELECT epoch, first_seq, last_seq, rows FROM fleet.cdc_batch") == [
        (1, 1, 1, 1),
        (1, 2, 2, 1),
    ]


def test_the_sink_may_add_events_and_take_none_away(desk: Desk) -> None:
    with psycopg.connect(desk.under.database.url("timescale")) as connection, pytest.raises(
        psycopg.errors.InsufficientPrivilege
    ):
        connection.execute("DELETE FROM fleet.change_event")
