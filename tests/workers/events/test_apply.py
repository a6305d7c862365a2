"""Each event hands the book what it says, under the ledger's names."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, get_type_hints

import pytest

from shared.ledger.cash import CashEntry
from shared.ledger.fill import FillReport, read_report
from shared.ledger.identity import report_hash
from shared.ledger.orders import OrderReport
from shared.ledger.signals import SignalReport
from shared.streams.decode import decode, routes
from shared.streams.event import Event
from tests.event_samples import CASH, FILL, ORDER, SAMPLES, SIGNAL, entry, key_of, place
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


def applied(type_: str, *bodies: dict[str, Any]) -> Any:
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
    assert {*get_type_hints(OrderBody), "state"} == set(OrderReport._fields)


def test_every_type_has_a_sample_and_a_stream_that_is_read() -> None:
    assert {type_ for type_, _ in SAMPLES.values()} == set(EVENTS)
    assert {kind.stream for kind in EVENTS.values()} == set(STREAMS)
