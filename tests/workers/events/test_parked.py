from __future__ import annotations

import json
from typing import Any

import pytest

from shared.ledger.identity import cash_identity, entry_identity, fill_identity
from tests.event_samples import CASH, FILL
from workers.events.parked import account_of, identity_of

FILL_IDENTITY = fill_identity(42, "linear", "BTCUSDT", "5123456789", "buy")
CASH_IDENTITY = cash_identity(42, "FUNDING_FEE", "9689322392", "USDT", "BTCUSDT")


def text(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize("type_", ["order.filled.1", "order.filled.9", "cash.moved.1"])
def test_the_account_is_the_key_of_a_fill_or_cash_event_of_any_version(type_: str) -> None:
    assert account_of(type_, "42", b"\xff") == 42
    assert account_of(type_, str(2**64 - 1), b"") == 2**64 - 1


@pytest.mark.parametrize(
    "key", ["", "042", "0", "-1", "4 2", "\u0664\u0662", str(2**64), "x", "42\n", "9" * 5_000]
)
def test_a_key_that_is_no_account_leaves_the_body_to_tell_it(key: str) -> None:
    assert account_of("order.filled.1", key, text(FILL)) == 42
    assert account_of("order.filled.1", key, b"{") is None
    assert account_of("order.filled.1", key, text(FILL | {"account_id": True})) is None
    assert account_of("order.filled.1", key, text(FILL | {"account_id": 2**64})) is None


@pytest.mark.parametrize("type_", ["order.placed.1", "signal.received.1", "", "order.filledx.1"])
def test_other_events_leave_no_books_incomplete(type_: str) -> None:
    assert account_of(type_, "42", text(FILL)) is None
    assert identity_of(type_, "42", text(FILL)) is None


def test_the_identity_is_read_though_other_fields_are_wrong() -> None:
    assert identity_of("order.filled.1", "42", text(FILL | {"qty": 1.5})) == FILL_IDENTITY
    assert identity_of("order.filled.2", "42", text(FILL)) == FILL_IDENTITY
    assert identity_of("cash.moved.1", "42", text(CASH | {"amount": None})) == CASH_IDENTITY


def test_the_identity_of_an_opening_is_read_too() -> None:
    body = FILL | {"ref": "adopt:1", "entry_price": 5}
    expected = entry_identity(42, "linear", "BTCUSDT", "net", "open", "adopt:1")
    assert identity_of("position.opened.1", "42", text(body)) == expected
    assert identity_of("position.opened.1", "42", text(FILL)) is None
    assert account_of("position.opened.1", "42", b"") == 42


@pytest.mark.parametrize("type_", ["order.filled.1.2", "order.filled.", "cash.moved.x"])
def test_any_version_will_do(type_: str) -> None:
    assert account_of(type_, "42", b"") == 42
    assert identity_of(type_, "42", b"{}") is None


def test_the_identity_of_a_fill_is_read_from_an_object_that_is_cut_off() -> None:
    whole = text(FILL)
    found = {identity_of("order.filled.1", "42", whole[:end]) for end in range(len(whole))}
    assert found == {None, FILL_IDENTITY}


def test_an_account_whose_last_digits_were_cut_off_is_not_believed() -> None:
    moved = {name: one for name, one in FILL.items() if name != "account_id"}
    whole = text(moved | {"account_id": 42})
    assert identity_of("order.filled.1", "42", whole[:-1]) == FILL_IDENTITY
    assert identity_of("order.filled.1", "42", whole[:-2]) is None


@pytest.mark.parametrize("field", ["product", "instrument", "trade_id", "side", "account_id"])
@pytest.mark.parametrize("value", [None, 1, [], {}])
def test_without_one_part_there_is_no_identity(field: str, value: object) -> None:
    assert identity_of("order.filled.1", "42", text(FILL | {field: value})) is None


def test_an_identity_of_another_account_or_too_long_for_its_column_is_none() -> None:
    assert identity_of("order.filled.1", "43", text(FILL)) is None
    assert identity_of("order.filled.1", "42", text(FILL | {"trade_id": "x" * 800})) is None
    assert identity_of("order.filled.1", "42", b" " * 70_000 + text(FILL)) is None


def test_cash_of_no_position_has_an_identity_too() -> None:
    rest = {name: one for name, one in CASH.items() if name != "instrument"}
    expected = cash_identity(42, "FUNDING_FEE", "9689322392", "USDT", "")
    assert identity_of("cash.moved.1", "42", text(rest)) == expected
