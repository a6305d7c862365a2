from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import MySQLdb
import pytest

from shared.ledger.fill import read_report
from shared.ledger.identity import fill_identity
from shared.ledger.money import AmountOverflow
from shared.mysql.book import Book
from tests.books import assert_as_expected, deliver, rows, settle
from tests.ledger_world import DAY_MS, FIRST_DAY, amount, report

D = Decimal


# ---- folds that wait


def test_a_long_fold_waits_and_says_from_when(mysql_schema: Any) -> None:
    first = [report(trade_id=str(10 + n), executed_at_ms=FIRST_DAY + n * DAY_MS) for n in range(9)]
    Book(mysql_schema).record_fills(first)
    Book(mysql_schema, inline_refold_fills=3).record_fills(
        [report(trade_id="1", executed_at_ms=FIRST_DAY + 5, price="50")]
    )
    waiting = "restating_from_ms, restating_fills, fills, qty"
    assert rows(mysql_schema, "fleet_positions", waiting) == [(FIRST_DAY + 5, 1, 9, 9)]
    Book(mysql_schema).record_fills([report(trade_id="99", executed_at_ms=FIRST_DAY + 20 * DAY_MS)])
    assert rows(mysql_schema, "fleet_positions", waiting) == [(FIRST_DAY + 5, 2, 9, 9)]
    assert Book(mysql_schema).restate(limit_fills=4) is False, "not due while others have work"
    assert Book(mysql_schema).restate(limit_fills=4, idle=True) is True
    ((since, *_),) = rows(mysql_schema, "fleet_positions", waiting)
    assert since == FIRST_DAY + 3 * DAY_MS
    settle(mysql_schema, 4)
    assert rows(mysql_schema, "fleet_positions", waiting) == [(None, 0, 11, 11)]
    assert rows(mysql_schema, "fleet_positions", "cost") == [(D(1050),)]


def test_a_fold_begun_stays_due_until_it_ends(mysql_schema: Any) -> None:
    told = [report(trade_id=str(n), executed_at_ms=FIRST_DAY + n * DAY_MS) for n in range(12)]
    Book(mysql_schema).record_fills(told[4:])
    Book(mysql_schema, inline_refold_fills=0).record_fills(told[:4])
    turns = 1
    while Book(mysql_schema).restate(limit_fills=2):
        turns += 1
    assert turns in {6, 7}
    assert rows(mysql_schema, "fleet_positions", "fills, restating_fills") == [(12, 0)]


def test_an_account_locked_by_somebody_else_is_left_to_a_later_call(
    mysql_schema: Any, settings: Any
) -> None:
    from shared.mysql.connection import connect  # noqa: PLC0415 - only here

    Book(mysql_schema).record_fills([report(trade_id="2", executed_at_ms=FIRST_DAY + 9)])
    Book(mysql_schema, inline_refold_fills=0).record_fills([report(trade_id="1")])
    mysql_schema.commit()
    other = connect(settings.mysql)
    Book(other).lock_accounts([1])
    assert Book(mysql_schema).restate(idle=True) is False
    assert rows(mysql_schema, "fleet_positions", "restating_fills") == [(1,)]
    other.rollback()
    other.close()
    settle(mysql_schema)
    assert rows(mysql_schema, "fleet_positions", "restating_fills, fills") == [(0, 2)]


# ---- single behaviours


def test_a_late_fee_moves_fees_and_leaves_the_linear_position_alone(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills([report()])
    before = rows(mysql_schema, "fleet_positions")
    Book(mysql_schema).record_fills([report(fee="0.25", fee_asset="BNB")])
    assert rows(mysql_schema, "fleet_positions") == before
    assert rows(mysql_schema, "fleet_pnl_daily", "asset, fees, fills, entries") == [
        ("BNB", D("0.25"), 0, 1),
        ("USDT", D(0), 1, 1),
    ]
    assert rows(mysql_schema, "fleet_fills", "fee, fee_asset, reports") == [(D("0.25"), "BNB", 2)]


def test_a_late_base_fee_shrinks_a_spot_position(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills([report(product="spot")])
    Book(mysql_schema).record_fills([report(product="spot", fee="0.1", fee_asset="BTC")])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, fills") == [(D("0.9"), D(100), 1)]


def test_a_fill_corrected_to_another_side_and_day_leaves_nothing_behind(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    wrong = report(fee="1", fee_asset="USDT")
    right = report(
        position_side="long",
        executed_at_ms=FIRST_DAY + DAY_MS,
        settle_asset="USDC",
        fee="1",
        fee_asset="BNB",
        revision=2,
    )
    deliver(mysql_schema, [[wrong], [right]])
    corrected = {
        table: rows(mysql_schema, table) for table in ("fleet_positions", "fleet_pnl_daily")
    }
    days = rows(mysql_schema, "fleet_position_days")
    clear()
    deliver(mysql_schema, [[right]])
    for table, stored in corrected.items():
        assert [row[:-1] for row in stored] == [row[:-1] for row in rows(mysql_schema, table)]
    assert days == rows(mysql_schema, "fleet_position_days")


def test_a_late_fill_of_today_folds_from_yesterday_s_checkpoint(mysql_schema: Any) -> None:
    yesterday = report(trade_id="1", qty="2", price="100")
    sold = report(trade_id="3", side="sell", price="150", executed_at_ms=FIRST_DAY + DAY_MS + 9)
    late = report(trade_id="2", qty="2", price="200", executed_at_ms=FIRST_DAY + DAY_MS + 5)
    deliver(mysql_schema, [[yesterday], [sold], [late]])
    assert rows(mysql_schema, "fleet_positions", "qty, cost, avg_entry, realized") == [
        (D(3), D(450), D(150), D(0))
    ]


def test_reports_that_contradict_open_a_break_that_lists_all_values(mysql_schema: Any) -> None:
    told = [report(price="100"), report(price="101"), report(price="102", revision=2)]
    for piece in told[1], told[0], told[2]:
        Book(mysql_schema).record_fills([piece])
    assert rows(mysql_schema, "fleet_breaks", "kind, account_id, identity, details") == [
        (
            "fill_conflict",
            1,
            fill_identity(*told[0][:5]),
            '{"price":["100","101","102"]}',
        )
    ]
    assert rows(mysql_schema, "fleet_fills", "price") == [(D(102),)]


def test_a_closed_break_opens_again_only_for_something_new(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills([report(price="100"), report(price="101")])
    mysql_schema.cursor().execute("UPDATE fleet_breaks SET closed_at = '2026-01-01'")
    Book(mysql_schema).record_fills([report(price="101"), report(price="100", source="sync")])
    assert rows(mysql_schema, "fleet_breaks", "closed_at IS NULL") == [(0,)]
    Book(mysql_schema).record_fills([report(price="99")])
    assert rows(mysql_schema, "fleet_breaks", "closed_at IS NULL") == [(1,)]


def test_a_self_trade_is_two_fills(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills([report(side="buy"), report(side="sell")])
    assert rows(mysql_schema, "fleet_positions", "qty, fills") == [(D(0), 2)]


def test_any_text_comes_back_as_it_went(mysql_schema: Any) -> None:
    odd = "a'b\\c\"d%s{rows}é💹"
    told = read_report(json.dumps({**json.loads(report().data), "trade_id": odd, "strategy": odd}))
    deliver(mysql_schema, [[told], [told]])
    assert rows(mysql_schema, "fleet_fills", "trade_id, strategy") == [(odd, odd)]
    assert rows(mysql_schema, "fleet_fill_reports", "trade_id, data") == [(odd, told.data)]
    assert rows(mysql_schema, "fleet_positions", "last_trade_id") == [(odd,)]


def test_the_smallest_and_the_largest_amounts_are_stored_to_the_digit(mysql_schema: Any) -> None:
    small, large = "0.000000000000000001", "999999999999999999.999999999999999999"
    told = [
        report(trade_id="1", qty=small, price="1"),
        report(trade_id="2", qty=large, price="1", fee="-" + large, fee_asset="BNB"),
    ]
    Book(mysql_schema).record_fills(told)
    assert rows(mysql_schema, "fleet_fills", "qty, value, COALESCE(fee, 0)") == [
        (D(small), D(small), 0),
        (D(large), D(large), D(large).copy_negate()),
    ]


def test_what_fits_no_column_is_an_error_and_never_cut(mysql_schema: Any) -> None:
    huge = "999999999999999999"
    with pytest.raises(AmountOverflow):
        Book(mysql_schema).record_fills([report(qty=huge, price=huge)])
    mysql_schema.rollback()
    fees = [
        report(trade_id=str(n), fee=huge, fee_asset="BNB", executed_at_ms=FIRST_DAY)
        for n in range(101)
    ]
    with pytest.raises(MySQLdb.Error) as error:
        Book(mysql_schema).record_fills(fees)
    assert error.value.args[0] in {1264, 1690}
    mysql_schema.rollback()
    assert rows(mysql_schema, "fleet_fills") == []


def test_a_valid_fill_supersedes_the_parked_one_and_completes_the_account(
    mysql_schema: Any,
) -> None:
    told = report()
    cursor = mysql_schema.cursor()
    cursor.execute("INSERT INTO fleet_account_state (account_id, incomplete) VALUES (1, 1), (2, 1)")
    parked = (
        "INSERT INTO fleet_parked (stream, partition_no, entry_id, event_key, type, event_id,"
        " fields, data, account_id, identity, reason, error)"
        " VALUES ('orders', 0, %s, '', '', '', '[]', '', %s, %s, 'malformed', '')"
    )
    cursor.execute(parked, ("1-0", 1, fill_identity(*told[:5])))
    cursor.execute(parked, ("2-0", 2, fill_identity(2, *told[1:5])))
    Book(mysql_schema).record_fills([told])
    assert rows(mysql_schema, "fleet_parked", "account_id, resolution") == [
        (1, "superseded"),
        (2, None),
    ]
    assert rows(mysql_schema, "fleet_account_state", "account_id, incomplete") == [(1, 0), (2, 1)]


def test_a_fill_feeds_its_order(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills([report(order_id="7", client_order_id="x")])
    assert rows(mysql_schema, "fleet_orders", "order_key, client_order_id, state, state_at_ms") == [
        ("o:7", "x", "filled", FIRST_DAY)
    ]


def test_fills_of_one_millisecond_beyond_a_chunk_are_read_once_each(
    mysql_schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.mysql.book_positions.FOLD_CHUNK", 3)
    draw = random.Random(4)
    told = [report(trade_id=str(n), qty=amount(draw, 1, 3)) for n in range(5, 25)]
    deliver(mysql_schema, [told[10:], told[:10]])
    assert_as_expected(mysql_schema, told)


def test_a_waiting_fold_that_overflows_is_set_aside_with_a_break_and_heals_when_corrected(
    mysql_schema: Any,
) -> None:
    huge = "900000000000000000"
    Book(mysql_schema).record_fills([report(trade_id="9", executed_at_ms=FIRST_DAY + 9)])
    late = [report(trade_id=str(n), qty=huge, price="60") for n in (1, 2)]
    fine = report(account_id=2, trade_id="9", executed_at_ms=FIRST_DAY + 9)
    Book(mysql_schema, inline_refold_fills=0).record_fills(late)
    Book(mysql_schema).record_fills([fine])
    Book(mysql_schema, inline_refold_fills=0).record_fills(
        [report(account_id=2, trade_id="1", price="1")]
    )
    settle(mysql_schema)
    positions = "account_id, fills, restating_from_ms IS NULL, restating_fills"
    assert rows(mysql_schema, "fleet_positions", positions) == [(1, 1, 0, 0), (2, 2, 1, 0)]
    assert rows(mysql_schema, "fleet_breaks", "kind, account_id") == [("fold_overflow", 1)]
    Book(mysql_schema).record_fills([report(trade_id="1", qty="1", price="60", revision=2)])
    settle(mysql_schema)
    assert rows(mysql_schema, "fleet_positions", positions) == [(1, 3, 1, 0), (2, 2, 1, 0)]
