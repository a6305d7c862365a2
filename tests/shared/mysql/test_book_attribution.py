"""Daily P&L in parts: exact sums, whatever came first, and the rounding account beside them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from shared.ledger.cash import CashEntry
from shared.ledger.fill import Fill, FillReport, merge, order_key, read_report
from shared.ledger.money import LEDGER
from shared.ledger.orders import OrderReport
from shared.ledger.position import FLAT, legs
from shared.mysql.book import Book
from shared.mysql.book_attribution import settle_account, settle_once, untied
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.ledger_world import (
    DAY_MS,
    FIRST_DAY,
    batches,
    cash,
    report,
    retold,
    shuffled,
    trades,
)

D = Decimal
Told = FillReport | OrderReport | CashEntry


@pytest.fixture
def jobs(settings_for: Callable[..., Settings], mysql_schema: Any) -> Iterator[Any]:
    """A connection with no more than the privileges of the role that settles."""
    del mysql_schema
    with closing(connect(settings_for("jobs").mysql)) as connection:
        yield connection


def rows(connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    connection.rollback()
    cursor = connection.cursor()
    cursor.execute(sql, values)
    found = list(cursor.fetchall())
    connection.commit()
    return found


def record(connection: Any, *told: Told) -> None:
    """One transaction of the books."""
    book = Book(connection)
    book.lock_accounts(one.account_id for one in told)
    book.record_fills([one for one in told if isinstance(one, FillReport)])
    book.record_orders([one for one in told if isinstance(one, OrderReport)])
    book.record_cash([one for one in told if isinstance(one, CashEntry)])
    connection.commit()


def order(account_id: int = 1, **fields: Any) -> OrderReport:
    """A placed BTCUSDT order; `fields` change it."""
    told: dict[str, Any] = {
        "product": "linear", "instrument": "BTCUSDT", "order_id": None, "client_order_id": None,
        "venue": "binance", "state": "placed", "at_ms": FIRST_DAY,
    } | fields  # fmt: skip
    return OrderReport(account_id, **told)


def parts(connection: Any) -> list[tuple[Any, ...]]:
    return rows(
        connection,
        "SELECT account_id, product, instrument, TO_DAYS(day) - 719528, asset, bucket, strategy,"
        " signal_id, realized, fees, funding, other, fills FROM fleet_pnl_attribution"
        " ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
    )


def tags(connection: Any) -> list[tuple[Any, ...]]:
    """(day, bucket, strategy, signal, fills) of account 1's parts that have fills."""
    return rows(
        connection,
        "SELECT TO_DAYS(day) - 719528 - 20000, bucket, strategy, signal_id, fills"
        " FROM fleet_pnl_attribution WHERE account_id = 1 AND fills > 0 ORDER BY 1, 2, 3, 4",
    )


def rounding(connection: Any) -> list[tuple[Any, ...]]:
    return rows(
        connection,
        "SELECT account_id, product, instrument, position_side, TO_DAYS(day) - 719528, asset,"
        " reported, computed, amount, fills FROM fleet_rounding ORDER BY 1, 2, 3, 4, 5, 6",
    )


def breaks(connection: Any, *, closed: bool = False) -> list[tuple[Any, ...]]:
    return rows(
        connection,
        "SELECT identity, expected, actual, cause FROM fleet_breaks"
        " WHERE kind = 'realized_diverged' AND (closed_at IS NOT NULL) = %s ORDER BY 1",
        closed,
    )


def due(connection: Any) -> list[int]:
    """Days of account 1 that are due, counted from the first."""
    found = rows(
        connection,
        "SELECT DISTINCT TO_DAYS(day) - 719528 - 20000 FROM fleet_pnl_daily"
        " WHERE attribution_due = 1 AND account_id = 1 ORDER BY 1",
    )
    return [day for (day,) in found]


def assert_sums_are_exact(connection: Any) -> None:
    """Every column of every daily row, and nothing beside them."""
    sums = ", ".join(f"SUM({name})" for name in ("realized", "fees", "funding", "other", "fills"))
    key = "account_id, product, instrument, day, asset"
    daily, of_parts = (
        rows(connection, f"SELECT {key}, {sums} FROM {table} GROUP BY {key} ORDER BY {key}")  # noqa: S608
        for table in ("fleet_pnl_daily", "fleet_pnl_attribution")
    )
    figures = [row for row in daily if any(row[5:])]
    assert [row for row in of_parts if any(row[5:])] == figures
    assert len(figures) > 0


# ---- any arrival, the same parts


def desk(seed: int, count: int) -> list[Told]:
    """Fills, retold and revised, of orders that tell in many ways what they belong to, and cash."""
    draw = random.Random(seed)
    told: list[Told] = []
    for fill in trades(seed, count, accounts=2, days=5, products=("linear", "inverse", "spot")):
        fields = json.loads(fill.data)
        number = fields.pop("order_id")
        fields["kind"] = draw.choice(["normal", "normal", "normal", "liquidation", "adl"])
        if draw.random() < 0.2:
            fields["signal_id"] = draw.choice(["7", "8"])
        if draw.random() < 0.2:
            fields["strategy"] = draw.choice(["grid", "breakout"])
        if fill.product != "spot" and draw.random() < 0.5:
            fields["realized_pnl"] = draw.choice(["0", "0.00000001", "-3.5", "1"])
        if number is not None:
            # One client id per order; which of the two a report names is a matter of the source.
            names = [{"order_id": number}, {"client_order_id": f"x-{number}"}]
            names.append({**names[0], **names[1]})
            for _ in range(draw.choice([0, 0, 1, 2])):
                tagged = {"signal_id": draw.choice([None, None, "9"]),
                          "strategy": draw.choice([None, None, "swing"])}  # fmt: skip
                told.append(
                    order(
                        fill.account_id, product=fill.product, instrument=fill.instrument,
                        at_ms=FIRST_DAY + draw.randrange(5 * DAY_MS),
                        state=draw.choice(["placed", "canceled"]), **draw.choice(names), **tagged,
                    )
                )  # fmt: skip
            fields |= draw.choice(names)
        first = read_report(json.dumps(fields))
        told += [first, *retold(draw, first)]
    for number in range(count // 5):
        kind = draw.choice(["funding", "rebate", "transfer_in", "realized"])
        told.append(
            cash(
                account_id=draw.choice([1, 2]), ref=str(number), kind=kind, venue_type=kind,
                amount=draw.choice(["-1.5", "0.25"]), product=draw.choice(["linear", ""]),
                at_ms=FIRST_DAY + draw.randrange(6 * DAY_MS),
            )
        )  # fmt: skip
    return told


def expected_parts(told: Sequence[Told], stored: dict[Any, tuple[Any, ...]]) -> dict[Any, Any]:
    """From one fold of everything. stored: what is known of orders in the end."""
    by_fill: dict[Any, list[FillReport]] = {}
    positions: dict[Any, list[Fill]] = {}
    for one in told:
        if isinstance(one, FillReport):
            by_fill.setdefault(one[:5], []).append(one)
    for reports in by_fill.values():
        fill, _ = merge(reports)
        positions.setdefault((*fill[:3], fill.position_side), []).append(fill)
    found: dict[Any, list[Any]] = {}
    for (account, product, instrument, _), fills in positions.items():
        for leg in legs(FLAT, sorted(fills, key=order_key), product):
            fill = leg.fill
            tag = _expected_tag(fill, stored)
            place = (account, product, instrument, fill.executed_at_ms // DAY_MS)
            row = found.setdefault((*place, fill.settle_asset, *tag), [D(0), D(0), 0])
            row[0], row[2] = LEDGER.add(row[0], leg.realized), row[2] + 1
            if fill.fee:
                row = found.setdefault((*place, fill.fee_asset, *tag), [D(0), D(0), 0])
                row[1] = LEDGER.add(row[1], fill.fee)
    return {key: tuple(row) for key, row in found.items()}


def _expected_tag(fill: Fill, stored: dict[Any, tuple[Any, ...]]) -> tuple[str, str, str]:
    place = fill[:3]
    candidates: list[tuple[Any, ...]] = [(fill.client_order_id, fill.signal_id, fill.strategy)]
    if fill.order_id is not None:
        candidates.append(stored.get((*place, f"o:{fill.order_id}"), (None, None, None)))
    if fill.client_order_id is not None:
        candidates.append(stored.get((*place, f"c:{fill.client_order_id}"), (None, None, None)))
        if fill.order_id is None:
            venues = f"o:{fill.client_order_id.removeprefix('x-')}"
            linked = stored.get((*place, venues), (None, None, None))
            candidates += [linked] if linked[0] == fill.client_order_id else []
    for _, signal_id, strategy in candidates:
        if signal_id is not None:
            return ("signal", strategy or "", signal_id)
        if strategy is not None:
            return ("strategy", strategy, "")
    if fill.kind == "normal" and any(client is not None for client, *_ in candidates):
        return ("order", "", "")
    return ("manual", "", "")


def deliver(
    streams: Any, jobs: Any, pieces: Sequence[Sequence[Told]], draw: random.Random | None
) -> tuple[list[Any], ...]:
    """Books the pieces; draw: settles and folds in between, as it happens, in small steps."""
    for piece in pieces:
        record(streams, *piece)
        if draw is not None and draw.random() < 0.5:
            settle_once(jobs, draw.choice([1, 2]), fills=draw.choice([1, 300, 20_000]))
        if draw is not None and draw.random() < 0.3:
            Book(streams).restate(10, idle=True)
            streams.commit()
    while Book(streams).restate(idle=True):
        streams.commit()
    streams.commit()
    for account_id in (1, 2):
        settle_account(jobs, account_id)
    assert due(jobs) == []
    assert_sums_are_exact(jobs)
    return parts(jobs), rounding(jobs), breaks(jobs)


@pytest.mark.parametrize("seed", range(6))
def test_any_arrival_ends_in_the_same_parts(
    mysql_schema: Any, jobs: Any, clear: Callable[[], None], seed: int
) -> None:
    draw = random.Random(seed)
    told = desk(seed, draw.choice([20, 60, 120]))
    ordered = deliver(mysql_schema, jobs, [told], None)
    stored = {
        row[:4]: row[4:]
        for row in rows(
            jobs,
            "SELECT account_id, product, instrument, order_key, client_order_id, signal_id,"
            " strategy FROM fleet_orders",
        )
    }
    of_fills = {row[:8]: (*row[8:10], row[12]) for row in ordered[0] if row[5] != "cash"}
    assert of_fills == expected_parts(told, stored)
    for largest in (3, 25):
        clear()
        pieces = batches(draw, shuffled(draw, told), largest)
        for found, expected in zip(deliver(mysql_schema, jobs, pieces, draw), ordered, strict=True):
            assert sorted(set(found) ^ set(expected)) == []
            assert found == expected


def test_days_that_are_not_due_keep_their_rows(
    mysql_schema: Any, jobs: Any, mysql_root: Any, fleet_schema: str
) -> None:
    def round_trip(day: int, trade_id: str) -> list[FillReport]:
        at = FIRST_DAY + day * DAY_MS
        bought = report(trade_id=f"{trade_id}1", executed_at_ms=at)
        return [bought, report(trade_id=f"{trade_id}2", executed_at_ms=at + 1, side="sell")]

    record(mysql_schema, *(one for day in range(5) for one in round_trip(day, str(day))))
    settle_account(jobs, 1)
    with closing(connect(mysql_root, fleet_schema)) as root:
        root.cursor().execute("UPDATE fleet_pnl_attribution SET fills = 77")
        root.commit()
    record(mysql_schema, *round_trip(2, "late"))
    assert settle_account(jobs, 1) == 1
    assert [row[4] for row in tags(jobs)] == [77, 77, 4, 77, 77]


def test_a_settled_account_costs_nothing_more(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, report(), cash(at_ms=FIRST_DAY + DAY_MS))
    assert settle_account(jobs, 1) == 2
    assert settle_account(jobs, 1) == 0


def test_a_report_that_says_nothing_new_makes_nothing_due(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, report(source="stream"))
    settle_account(jobs, 1)
    record(mysql_schema, report(source="sync"))
    assert due(jobs) == []


def test_two_fees_that_change_places_move_between_the_parts(mysql_schema: Any, jobs: Any) -> None:
    def told(revision: int, one: str, other: str) -> list[FillReport]:
        return [
            report(trade_id="1", fee=one, fee_asset="USDT", strategy="a", revision=revision),
            report(trade_id="2", fee=other, fee_asset="USDT", strategy="b", revision=revision),
        ]

    record(mysql_schema, *told(1, "1", "2"))
    settle_account(jobs, 1)
    record(mysql_schema, *told(2, "2", "1"))
    settle_account(jobs, 1)
    assert [(row[6], row[9]) for row in parts(jobs)] == [("a", D(2)), ("b", D(1))]


def test_a_fill_that_changes_its_place_in_the_day_moves_what_each_realized(
    mysql_schema: Any, jobs: Any
) -> None:
    def told(trade_id: str, seq: int, **more: Any) -> FillReport:
        return report(trade_id=trade_id, venue_seq=seq, strategy=trade_id, **more)

    record(
        mysql_schema,
        told("buy", 0, qty="2", price="100"),
        told("a", 1, side="sell", price="110"),
        told("b", 2, side="buy", price="120", qty="1"),
        told("c", 3, side="sell", price="110", qty="2"),
    )
    settle_account(jobs, 1)
    before = {row[6]: row[8] for row in parts(jobs)}
    record(mysql_schema, told("a", 4, side="sell", price="110", revision=2))
    settle_account(jobs, 1)
    after = {row[6]: row[8] for row in parts(jobs)}
    assert sum(before.values()) == sum(after.values()) == D(10)
    assert before["a"] == D(10)
    assert after["a"] != D(10)


def test_a_day_whose_last_entry_goes_takes_its_parts_along(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, cash(amount="2"), report(realized_pnl="0"))
    settle_account(jobs, 1)
    record(mysql_schema, report(realized_pnl="0", revision=2, executed_at_ms=FIRST_DAY + DAY_MS))
    record(mysql_schema, cash(amount="1", kind="transfer_in"))  # the smaller content stands
    settle_account(jobs, 1)
    assert {row[3] for row in parts(jobs)} == {20_001}
    assert {row[4] for row in rounding(jobs)} == {20_001}


def test_a_fold_that_waits_leaves_its_instrument_due_and_no_other(
    mysql_schema: Any, jobs: Any
) -> None:
    fills = [report(trade_id=str(n), executed_at_ms=FIRST_DAY + n * DAY_MS) for n in range(1, 5)]
    record(mysql_schema, *fills, report(trade_id="eth", instrument="ETHUSDT"))
    settle_account(jobs, 1)
    late = Book(mysql_schema, inline_refold_fills=0)
    late.record_fills([report(trade_id="late", executed_at_ms=FIRST_DAY)])
    late.record_cash([cash(instrument="ETHUSDT", at_ms=FIRST_DAY + 9 * DAY_MS)])
    mysql_schema.commit()
    assert settle_account(jobs, 1) == 1
    assert due(jobs) == [0]
    while Book(mysql_schema).restate(idle=True):
        mysql_schema.commit()
    mysql_schema.commit()
    settle_account(jobs, 1)
    assert due(jobs) == []
    assert_sums_are_exact(jobs)


def test_a_pass_stays_within_its_bound_and_says_that_more_is_left(
    mysql_schema: Any, jobs: Any
) -> None:
    record(
        mysql_schema,
        *(report(trade_id=str(n), executed_at_ms=FIRST_DAY + n * DAY_MS) for n in range(5)),
    )
    assert settle_once(jobs, 1, fills=250) == (2, True)
    assert due(jobs) == [2, 3, 4]
    assert settle_once(jobs, 1, fills=1) == (1, True)
    assert settle_once(jobs, 1) == (2, False)
    assert_sums_are_exact(jobs)


def test_a_locked_account_is_left_to_a_later_call(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, report())
    Book(mysql_schema).lock_accounts([1])
    assert settle_once(jobs, 1, wait=False) == (0, False)
    mysql_schema.rollback()
    assert settle_once(jobs, 1, wait=False) == (1, False)


# ---- buckets


def test_a_fill_s_own_tags_stand_before_those_of_its_order(mysql_schema: Any, jobs: Any) -> None:
    record(
        mysql_schema,
        order(order_id="o1", signal_id="5", strategy="swing"),
        report(trade_id="1", order_id="o1", strategy="grid"),
        report(trade_id="2", order_id="o2", signal_id="6"),
        report(trade_id="3", order_id="o1", strategy="grid", signal_id="6"),
    )
    settle_account(jobs, 1)
    assert tags(jobs) == [
        (0, "signal", "", "6", 1),
        (0, "signal", "grid", "6", 1),
        (0, "strategy", "grid", "", 1),
    ]


@pytest.mark.parametrize("tagged_first", [True, False])
@pytest.mark.parametrize(
    ("of_order", "of_fill"),
    [
        ({"order_id": "o1"}, {"order_id": "o1"}),
        ({"order_id": "o1", "client_order_id": "c1"}, {"client_order_id": "c1"}),
        ({"client_order_id": "c1"}, {"client_order_id": "c1"}),
        ({"client_order_id": "c1"}, {"order_id": "o1", "client_order_id": "c1"}),
    ],
)
def test_an_order_tags_its_fills_before_or_after_they_came(
    mysql_schema: Any,
    jobs: Any,
    of_order: dict[str, Any],
    of_fill: dict[str, Any],
    *,
    tagged_first: bool,
) -> None:
    fills = [
        report(trade_id=str(n), executed_at_ms=FIRST_DAY + n * DAY_MS, **of_fill) for n in range(2)
    ]
    # Its time is that of another clock: it says nothing about when the fills were.
    placed = order(**of_order, signal_id="5", at_ms=FIRST_DAY + 9 * DAY_MS, state="canceled")
    for told in ([placed], fills) if tagged_first else (fills, [placed]):
        record(mysql_schema, *told)
        settle_account(jobs, 1)
    assert tags(jobs) == [(0, "signal", "", "5", 1), (1, "signal", "", "5", 1)]


def test_a_fill_that_tells_its_order_s_tag_tags_the_fills_before_it(
    mysql_schema: Any, jobs: Any
) -> None:
    record(mysql_schema, report(trade_id="1", order_id="o1"))
    settle_account(jobs, 1)
    assert tags(jobs) == [(0, "manual", "", "", 1)]
    later = FIRST_DAY + 3 * DAY_MS
    record(
        mysql_schema,
        report(trade_id="2", order_id="o1", strategy="grid", executed_at_ms=later),
    )
    assert due(jobs) == [0, 3]
    settle_account(jobs, 1)
    assert tags(jobs) == [(0, "strategy", "grid", "", 1), (3, "strategy", "grid", "", 1)]


def test_an_order_placed_before_its_fills_makes_no_day_due(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, report(trade_id="1", order_id="o1", strategy="grid"))
    settle_account(jobs, 1)
    record(mysql_schema, order(order_id="o2", client_order_id="c2", strategy="grid"))
    record(mysql_schema, order(order_id="o1", strategy="grid", state="canceled"))
    assert due(jobs) == []


def test_without_tags_a_client_s_order_is_told_from_what_was_traded_by_hand(
    mysql_schema: Any, jobs: Any
) -> None:
    record(
        mysql_schema,
        report(trade_id="1", order_id="o1", client_order_id="c1"),
        report(trade_id="2", order_id="o2", executed_at_ms=FIRST_DAY + DAY_MS),
        report(trade_id="3", executed_at_ms=FIRST_DAY + DAY_MS),
    )
    settle_account(jobs, 1)
    assert tags(jobs) == [(0, "order", "", "", 1), (1, "manual", "", "", 2)]
    record(mysql_schema, order(order_id="o2", client_order_id="c2"))
    settle_account(jobs, 1)
    assert tags(jobs)[1:] == [(1, "manual", "", "", 1), (1, "order", "", "", 1)]


def test_what_the_venue_did_by_itself_is_manual_unless_it_is_tagged(
    mysql_schema: Any, jobs: Any
) -> None:
    record(
        mysql_schema,
        report(trade_id="1", order_id="o1", strategy="grid"),
        report(trade_id="2", side="sell", kind="liquidation", client_order_id="autoclose-1"),
        report(trade_id="3", side="sell", kind="adl"),
        report(trade_id="4", kind="settlement", order_id="o1"),
    )
    settle_account(jobs, 1)
    assert tags(jobs) == [(0, "manual", "", "", 2), (0, "strategy", "grid", "", 2)]


def test_the_views_by_strategy_and_signal_add_up_to_the_whole(
    mysql_schema: Any, jobs: Any, mysql_root: Any, fleet_schema: str
) -> None:
    record(
        mysql_schema,
        report(trade_id="1", strategy="grid", fee="1", fee_asset="USDT"),
        report(trade_id="2", strategy="grid", signal_id="5", side="sell", price="130"),
        report(trade_id="3", signal_id="5"),
        report(trade_id="4", side="sell", price="90"),
        report(account_id=2, trade_id="5", strategy="grid"),
        cash(amount="0.5"),
    )
    settle_account(jobs, 1)
    settle_account(jobs, 2)
    with closing(connect(mysql_root, fleet_schema)) as root:
        sql = "SELECT bucket, {}, realized, fees, funding, fills FROM fleet_pnl_by_{} ORDER BY 1, 2"
        strategies = rows(root, sql.format("strategy", "strategy"))
        signals = rows(root, sql.format("signal_id", "signal"))
    assert strategies == [
        ("cash", "", D(0), D(0), D("0.5"), 0),
        ("manual", "", D(-10), D(0), D(0), 1),
        ("signal", "", D(0), D(0), D(0), 1),
        ("strategy", "grid", D(30), D(1), D(0), 3),
    ]
    assert signals == [
        ("cash", "", D(0), D(0), D("0.5"), 0),
        ("manual", "", D(-10), D(0), D(0), 1),
        ("signal", "5", D(30), D(0), D(0), 2),
        ("strategy", "", D(0), D(1), D(0), 2),
    ]


# ---- the rounding account


def thirds(realized: Sequence[str]) -> list[FillReport]:
    """3 bought for 100 in all, sold one by one; the venue reports at 8 decimals."""
    sales = [
        report(
            trade_id=str(n), side="sell", price="40", executed_at_ms=FIRST_DAY + n,
            realized_pnl=text,
        )
        for n, text in enumerate(realized, 2)
    ]
    bought = [
        report(trade_id="0", qty="1", price="30"), report(trade_id="1", qty="2", price="35")
    ]  # fmt: skip
    return [*bought, *sales]


def test_a_venue_that_rounds_ties_through_the_rounding_account(
    mysql_schema: Any, jobs: Any
) -> None:
    figures = ["6.66666667", "6.66666667", "6.66666667"]
    moved = [
        cash(ref=str(n), venue_type="REALIZED_PNL", kind="realized", amount=text)
        for n, text in enumerate(figures)
    ]
    record(mysql_schema, *thirds(figures), *moved)
    settle_account(jobs, 1)
    ((*_, reported, computed, amount, fills),) = rounding(jobs)
    assert (reported, computed, fills) == (D("20.00000001"), D("20"), 3)
    assert amount == D("1E-8")
    assert breaks(jobs) == []
    assert untied(jobs, 1) == []


def test_a_cash_book_that_does_not_tie_shows_where(mysql_schema: Any, jobs: Any) -> None:
    record(
        mysql_schema,
        *thirds(["6.66666667"] * 3),
        cash(ref="0", venue_type="REALIZED_PNL", kind="realized", amount="20"),
    )
    settle_account(jobs, 1)
    assert untied(jobs, 1) == [
        ("BTCUSDT", "2024-10-04", "USDT", D("20"), D("1E-8"), D("20")),
    ]
    assert untied(jobs, 2) == []


def test_what_spot_trades_bought_and_sold_is_not_compared_with_profit(
    mysql_schema: Any, jobs: Any
) -> None:
    moved = {"venue_type": "TRADE", "kind": "realized", "product": "spot"}
    record(mysql_schema, cash(ref="0", amount="-640", **moved), cash(ref="1", amount="2", **moved))
    settle_account(jobs, 1)
    assert untied(jobs, 1) == []


def test_an_account_without_realized_cash_entries_is_not_compared(
    mysql_schema: Any, jobs: Any
) -> None:
    record(mysql_schema, *thirds(["6.66666667"] * 3), cash())
    settle_account(jobs, 1)
    assert untied(jobs, 1) == []


def test_one_unit_of_the_venue_s_last_decimal_is_rounding_and_more_is_a_break(
    mysql_schema: Any, jobs: Any
) -> None:
    record(mysql_schema, *thirds(["6.66666667", "6.66666665", "6.7"]))
    settle_account(jobs, 1)
    found = breaks(jobs)
    assert [(json.loads(row[0])[4], *row[2:]) for row in found] == [
        ("3", D("6.66666665"), "unexplained"),
        ("4", D("6.7"), "unexplained"),
    ]
    assert found[0][1] == D("6.666666666666666666")


def test_the_bound_is_the_dated_step_of_the_instrument(
    mysql_schema: Any, jobs: Any, mysql_root: Any, fleet_schema: str
) -> None:
    with closing(connect(mysql_root, fleet_schema)) as root:
        root.cursor().executemany(
            "INSERT INTO fleet_instruments (venue, product, instrument, valid_from, contract_size,"
            " base_asset, quote_asset, settle_asset, money_step)"
            " VALUES ('binance', 'linear', 'BTCUSDT', %s, 1, 'BTC', 'USDT', 'USDT', %s)",
            [("1969-01-01", "0.1"), ("2024-10-04", "0.01"), ("2024-10-04 00:00:00.004", None)],
        )
        root.commit()
    record(mysql_schema, *thirds(["6.67", "6.68", "6.66"]))
    settle_account(jobs, 1)
    bounds = rows(jobs, "SELECT identity, details FROM fleet_breaks ORDER BY identity")
    assert [(json.loads(one)[4], json.loads(text)["bound"]) for one, text in bounds] == [
        ("3", "0.01"),
        ("4", "0.00000001"),
    ]


@pytest.mark.parametrize(
    ("fee", "told", "cause"),
    [("0.5", "9.5", "net of fee"), ("0.5", "9.4", "unexplained"), (None, "-10", "unexplained")],
)
def test_a_break_names_its_cause(
    mysql_schema: Any, jobs: Any, fee: str | None, told: str, cause: str
) -> None:
    sale = {"trade_id": "2", "side": "sell", "price": "110", "executed_at_ms": FIRST_DAY + 1}
    record(mysql_schema, report(), report(**sale, realized_pnl=told, fee=fee, fee_asset="USDT"))
    settle_account(jobs, 1)
    ((_, expected, actual, found),) = breaks(jobs)
    assert (expected, actual, found) == (D(10), D(told), cause)


def test_a_break_closes_when_the_missing_fill_comes_and_opens_again_when_it_differs_again(
    mysql_schema: Any, jobs: Any
) -> None:
    sale = {"trade_id": "2", "side": "sell", "price": "110", "executed_at_ms": FIRST_DAY + DAY_MS}
    record(mysql_schema, report(**sale, realized_pnl="10"))
    settle_account(jobs, 1)
    ((identity, expected, _, cause),) = breaks(jobs)
    assert (expected, cause) == (D(0), "unknown past")
    record(mysql_schema, report())
    settle_account(jobs, 1)
    assert breaks(jobs) == []
    assert [row[0] for row in breaks(jobs, closed=True)] == [identity]
    record(mysql_schema, report(price="90", revision=2))
    settle_account(jobs, 1)
    assert [row[:3] for row in breaks(jobs)] == [(identity, D(20), D(10))]


def test_a_figure_that_comes_later_is_posted(mysql_schema: Any, jobs: Any) -> None:
    record(mysql_schema, report())
    settle_account(jobs, 1)
    assert rounding(jobs) == []
    record(mysql_schema, report(realized_pnl="0", source="sync"))
    settle_account(jobs, 1)
    assert [row[6:] for row in rounding(jobs)] == [(D(0), D(0), D(0), 1)]


# ---- memory and order of a long day


def test_a_day_longer_than_a_chunk_is_settled_in_one_go(
    mysql_schema: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.mysql.book_attribution.FOLD_CHUNK", 7)
    monkeypatch.setattr("shared.mysql.book_attribution.SUMS_AT_ONCE", 3)
    record(
        mysql_schema,
        *(
            report(
                trade_id=str(n), side="buy" if n % 3 else "sell", price=str(100 + n % 7),
                executed_at_ms=FIRST_DAY + n // 5, strategy=f"s{n % 11}", realized_pnl="0",
            )
            for n in range(100)
        ),
    )  # fmt: skip
    settle_account(jobs, 1)
    assert len(tags(jobs)) == 11
    assert sum(row[4] for row in tags(jobs)) == 100
    assert_sums_are_exact(jobs)
