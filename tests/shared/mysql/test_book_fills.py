from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import MySQLdb
import pytest

from shared.ledger.fill import Fill, FillReport, merge, order_key, read_report
from shared.ledger.identity import fill_identity
from shared.ledger.money import AmountOverflow
from shared.mysql.book import Book
from tests.ledger_world import (
    DAY_MS,
    FIRST_DAY,
    amount,
    batches,
    report,
    retold,
    shuffled,
    trades,
)

D = Decimal
# Columns that count writes or are handed out by the server.
COUNTERS = {"version", "id"}
TABLES = (
    "fleet_fills", "fleet_fill_reports", "fleet_positions", "fleet_position_days",
    "fleet_pnl_daily", "fleet_orders", "fleet_breaks",
)  # fmt: skip


def rows(connection: Any, table: str, columns: str = "*", where: str = "") -> list[Any]:
    cursor = connection.cursor()
    cursor.execute(f"SELECT {columns} FROM {table} {where}")  # noqa: S608 - our own names
    found = sorted(cursor.fetchall(), key=repr)
    connection.commit()
    return found


def dump(connection: Any) -> dict[str, list[Any]]:
    tables = {}
    for table in TABLES:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - our own names
        names = [column[0] for column in cursor.description if column[0] not in COUNTERS]
        tables[table] = rows(connection, table, ", ".join(f"`{name}`" for name in names))
    return tables


def deliver(
    connection: Any,
    pieces: Iterable[Sequence[FillReport]],
    inline: int = 5_000,
    limit: int = 20_000,
) -> dict[str, list[Any]]:
    """Books the pieces, each in its own transaction, with the folds that fall due, and then all."""
    for piece in pieces:
        Book(connection, inline_refold_fills=inline).record_fills(piece)
        connection.commit()
        Book(connection).restate(limit)
        connection.commit()
    settle(connection, limit)
    return dump(connection)


def settle(connection: Any, limit: int = 20_000) -> int:
    turns = 1
    while Book(connection).restate(limit, idle=True):
        connection.commit()
        turns += 1
        assert turns < 10_000
    connection.commit()
    return turns


# ---- an oracle of its own: everything sorted, folded once, in wide decimals

WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)
QUANTUM = D("1E-18")


class Oracle:
    """Expected positions and daily rows of merged fills, without a line of the ledger's fold."""

    def __init__(self, fills: Iterable[Fill]) -> None:
        self.positions: dict[Any, list[D]] = {}  # qty, cost, unknown, realized, fills
        self.daily: dict[Any, list[Any]] = {}  # realized, fees, fills
        for fill in sorted(fills, key=order_key):
            self._take(fill)

    def _take(self, fill: Fill) -> None:
        key = (fill.account_id, fill.product, fill.instrument, fill.position_side)
        book = self.positions.setdefault(key, [D(0)] * 5)
        day = fill.executed_at_ms // DAY_MS
        row = self._daily(fill, day, fill.settle_asset)
        if fill.fee:
            fees = self._daily(fill, day, str(fill.fee_asset))
            fees[1] = WIDE.add(fees[1], fill.fee)
        sign = D(1) if fill.side == "buy" else D(-1)
        qty, value = WIDE.multiply(sign, fill.qty), WIDE.multiply(sign, fill.value)
        if fill.product == "spot":
            fee = fill.fee if fill.fee and fill.fee_asset == fill.base_asset else D(0)
            gain = self._spot(book, WIDE.subtract(qty, fee), value)
        else:
            gain = self._linear(book, qty, value)
        book[3] = WIDE.add(book[3], gain)
        book[4] += 1
        row[0] = WIDE.add(row[0], gain)
        row[2] += 1

    def _daily(self, fill: Fill, day: int, asset: str) -> list[Any]:
        key = (fill.account_id, fill.product, fill.instrument, day, asset)
        return self.daily.setdefault(key, [D(0), D(0), 0])

    @staticmethod
    def _part(amount_: D, part: D, whole: D) -> D:
        return WIDE.quantize(WIDE.divide(WIDE.multiply(amount_, part), whole), QUANTUM)

    def _linear(self, book: list[D], qty: D, value: D) -> D:
        held, cost = book[0], book[1]
        book[0] = WIDE.add(held, qty)
        if held * qty >= 0:
            book[1] = WIDE.add(cost, value)
            return D(0)
        if abs(qty) <= abs(held):
            out = self._part(cost, WIDE.minus(qty), held)
            book[1] = WIDE.subtract(cost, out)
            return WIDE.minus(WIDE.add(value, out))
        closing = self._part(value, WIDE.minus(held), qty)
        book[1] = WIDE.subtract(value, closing)
        return WIDE.minus(WIDE.add(closing, cost))

    def _spot(self, book: list[D], qty: D, value: D) -> D:
        held, cost = book[0], book[1]
        if qty > 0:
            book[0], book[1] = WIDE.add(held, qty), WIDE.add(cost, value)
            return D(0)
        if qty == 0:
            return WIDE.minus(value)
        known = min(held, WIDE.minus(qty))
        closing = self._part(value, known, WIDE.minus(qty))
        out = self._part(cost, known, held) if held else D(0)
        book[0], book[1] = WIDE.subtract(held, known), WIDE.subtract(cost, out)
        book[2] = WIDE.add(book[2], WIDE.subtract(WIDE.minus(qty), known))
        return WIDE.minus(WIDE.add(closing, out))


def assert_as_expected(connection: Any, told: Iterable[FillReport]) -> None:
    sets: dict[Any, list[FillReport]] = {}
    for one in told:
        sets.setdefault(one[:5], []).append(one)
    oracle = Oracle(merge(reports)[0] for reports in sets.values())
    stored = {
        row[:4]: list(row[4:])
        for row in rows(
            connection,
            "fleet_positions",
            "account_id, product, instrument, position_side,"
            " qty, cost, unknown_basis_qty, realized, fills",
        )
    }
    assert stored == oracle.positions
    daily = {
        (*row[:3], row[3].toordinal() - 719_163, row[4]): list(row[5:])
        for row in rows(
            connection,
            "fleet_pnl_daily",
            "account_id, product, instrument, day, asset, realized, fees, fills",
        )
    }
    assert daily == oracle.daily


# ---- any delivery, the same rows


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_doubled_and_split_delivery_ends_in_the_same_rows(
    mysql_schema: Any, clear: Callable[[], None], seed: int
) -> None:
    draw = random.Random(seed)
    originals = trades(seed, draw.choice([10, 60, 100]))
    told = [one for fill in originals for one in (fill, *retold(draw, fill))]
    ordered = deliver(mysql_schema, [told])
    assert_as_expected(mysql_schema, told)
    for inline, limit in ((5_000, 20_000), (4, 5), (0, 1)):
        clear()
        pieces = batches(draw, shuffled(draw, told), draw.choice([3, 25, 100]))
        assert deliver(mysql_schema, pieces, inline, limit) == ordered


def test_in_order_fills_one_by_one_equal_one_batch(
    mysql_schema: Any, clear: Callable[[], None]
) -> None:
    told = trades(11, 120)
    whole = deliver(mysql_schema, [told])
    clear()
    assert deliver(mysql_schema, [[one] for one in told]) == whole
    assert_as_expected(mysql_schema, told)


def test_many_fills_in_reverse_wait_and_are_folded_in_bounded_pieces(mysql_schema: Any) -> None:
    told = trades(5, 6_000, accounts=1, days=20, products=["linear"], hedge=False)
    told.reverse()
    pieces = [told[start : start + 500] for start in range(0, len(told), 500)]
    deliver(mysql_schema, pieces, inline=100, limit=300)
    assert_as_expected(mysql_schema, told)
    cursor = mysql_schema.cursor()
    cursor.execute("SELECT COUNT(*), SUM(restating_fills) FROM fleet_positions")
    assert cursor.fetchone() == (2, 0)


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
