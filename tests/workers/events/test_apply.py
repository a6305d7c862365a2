"""Each event hands the book what it says, under the ledger's names."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, get_type_hints

import pytest

from shared.ledger.cash import CashEntry
from shared.ledger.entries import PositionEntry, holding_move
from shared.ledger.fill import FillReport, read_report
from shared.ledger.identity import cash_identity, report_hash
from shared.ledger.observed import ObservedBalance, ObservedPosition
from shared.ledger.orders import OrderReport
from shared.ledger.signals import SignalReport
from shared.streams.decode import decode, routes
from shared.streams.event import Event
from tests.event_samples import (
    ACCOUNT,
    BALANCE,
    CASH,
    DEPOSIT,
    FILL,
    HELD,
    OPENED,
    ORDER,
    POSITION,
    SAMPLES,
    SIGNAL,
    entry,
    key_of,
    place,
)
from workers.events.order_filled import Model as Fill
from workers.events.order_report import OrderBody
from workers.registry import EVENTS, STREAMS, UPCASTERS

TABLE = routes(EVENTS, UPCASTERS)


class Records:
    """A book that only remembers what it was given."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def record_fills(self, reports: object) -> None:
        self.got.append(reports)

    record_cash = record_orders = record_signals = record_fills
    record_position_entries = record_fills
    record_observed_positions = record_observed_balances = record_fills


def applied(type_: str, *bodies: dict[str, Any]) -> Any:
    """What the book was given in its only call."""
    events: list[Event[Any]] = []
    for body in bodies:
        key = key_of(body)
        events.append(decode(*place(type_, key), "5-1", entry(type_, body, key), TABLE))
    book = Records()
    EVENTS[type_].apply(book, events)
    (given,) = book.got
    return given


def test_fills_arrive_in_one_call_as_the_ledger_reads_them_back() -> None:
    other = FILL | {"trade_id": "2", "fee": None, "contract_size": None}
    reports = applied("order.filled.1", FILL, other)
    assert reports == [read_report(json.dumps(FILL)), read_report(json.dumps(other))]
    assert reports[0].fee == Decimal("3.20615500")
    assert all(isinstance(report, FillReport) for report in reports)


@pytest.mark.parametrize(("state"), ["placed", "canceled", "rejected"])
def test_orders_arrive_with_their_state(state: str) -> None:
    (report,) = applied(f"order.{state}.1", ORDER)
    amounts = {name: Decimal(ORDER[name]) for name in ("qty", "price", "stop_price")}
    assert report == OrderReport(**(ORDER | amounts), state=state)


def test_cash_arrives_with_empty_text_where_it_belongs_to_no_position() -> None:
    none = {"instrument": None, "product": None}
    without = {name: value for name, value in CASH.items() if name not in none}
    for body in (CASH | none, CASH | dict.fromkeys(none, ""), without):
        (entry_,) = applied("cash.moved.1", body)
        text = json.dumps(body)
        changed = {"amount": Decimal(CASH["amount"]), "instrument": "", "product": ""}
        assert entry_ == CashEntry(**(CASH | changed), data=text, report_hash=report_hash(text))


def moved(**change: Any) -> list[PositionEntry]:
    """What a movement like DEPOSIT does to the holding."""
    (cash,) = applied("cash.moved.1", DEPOSIT | change)
    assert cash.ref == DEPOSIT["ref"]
    move = holding_move(cash)
    return [] if move is None else [move]


def test_what_comes_in_with_a_basis_and_what_goes_out_moves_the_holding() -> None:
    (came,) = moved()
    assert came.key == (
        ACCOUNT, "spot", "BTC/USDT", "net", "in",
        cash_identity(ACCOUNT, "DEPOSIT", DEPOSIT["ref"], "BTC", "BTC/USDT"),
    )  # fmt: skip
    assert (came.qty, came.cost, came.settle_asset) == (
        Decimal("0.5"), Decimal("32061.55"), "USDT",
    )  # fmt: skip
    assert came.at_ms == DEPOSIT["at_ms"]
    (went,) = moved(amount="-0.25", kind="transfer_out", basis=None)
    assert (went.kind, went.qty, went.cost) == ("out", Decimal("0.25"), Decimal(0))
    (free,) = moved(basis="0")
    assert (free.kind, free.cost) == ("in", Decimal(0))


@pytest.mark.parametrize(
    "change",
    [{"basis": None}, {"amount": "0", "basis": None}, {"quote_asset": None, "basis": None}],
)
def test_what_has_no_known_basis_or_moves_nothing_leaves_the_holding_alone(
    change: dict[str, Any],
) -> None:
    assert moved(**change) == []


def test_an_opening_arrives_with_its_cost() -> None:
    (opened,) = applied("position.opened.1", OPENED)
    assert opened.key == (ACCOUNT, "linear", "BTCUSDT", "short", "open", OPENED["ref"])
    assert (opened.qty, opened.cost) == (Decimal("-0.125"), Decimal("-8015.3875"))
    (held,) = applied("position.opened.1", HELD)
    assert (held.qty, held.cost) == (Decimal("0.125"), Decimal("8015.3875"))
    inverse = OPENED | {
        "product": "inverse", "qty": "-12", "contract_size": "100", "entry_price": "60000",
    }  # fmt: skip
    assert applied("position.opened.1", inverse)[0].cost == Decimal("-0.02")
    flat = OPENED | {"qty": "0", "entry_price": None, "contract_size": None}
    (closed,) = applied("position.opened.1", flat)
    assert (closed.qty, closed.cost, closed.contract_size) == (0, 0, 1)
    assert closed.data == json.dumps(flat)


def test_what_an_exchange_reports_arrives_under_the_same_names() -> None:
    for type_, body, record in (
        ("position.observed.1", POSITION, ObservedPosition),
        ("balance.observed.1", BALANCE, ObservedBalance),
    ):
        (observed,) = applied(type_, body)
        amounts = {"qty", "entry_price", "mark_price", "contract_size", "wallet"} & set(body)
        told = body | {name: Decimal(body[name]) for name in amounts}
        text = json.dumps(body)
        assert observed == record(**told, data=text, report_hash=report_hash(text))
    (bare,) = applied("balance.observed.1", BALANCE | {"product": None})
    assert bare.product == ""


def test_null_means_not_known() -> None:
    empty = dict.fromkeys(
        ["order_id", "contract_size", "fee", "fee_asset", "venue_seq", "source", "client_order_id",
         "liquidity", "kind", "realized_pnl", "signal_id", "strategy", "base_asset", "quote_asset"]
    )  # fmt: skip
    without = {name: value for name, value in FILL.items() if name not in empty}
    told = [applied("order.filled.1", body)[0] for body in (FILL | empty, without)]
    unlike = {"data": "", "report_hash": b""}
    assert told[0]._replace(**unlike) == told[1]._replace(**unlike)


def test_signals_arrive_with_entry_and_targets_in_their_data() -> None:
    (signal,) = applied("signal.received.1", SIGNAL)
    assert isinstance(signal, SignalReport)
    assert json.loads(signal.data) == SIGNAL
    assert (signal.stop, signal.leverage) == (Decimal(61000), Decimal(10))
    for name in set(SignalReport._fields) - {"stop", "leverage", "data", "report_hash"}:
        assert getattr(signal, name) == SIGNAL[name]


def test_bodies_have_the_names_of_the_ledgers_records() -> None:
    assert {*get_type_hints(Fill), "data", "report_hash"} == set(get_type_hints(FillReport))
    of_fills = {"first_fill_ms", "last_fill_ms"}
    assert {*get_type_hints(OrderBody), "state"} == set(OrderReport._fields) - of_fills


def test_every_type_has_a_sample_and_a_stream_that_is_read() -> None:
    assert {type_ for type_, _ in SAMPLES.values()} == set(EVENTS)
    assert {kind.stream for kind in EVENTS.values()} == set(STREAMS)
