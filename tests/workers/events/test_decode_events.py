"""Valid events keep every digit; arbitrary bytes are refused and nothing worse."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidEvent
from shared.streams.decode import decode, routes
from shared.streams.event import Event
from tests.event_samples import (
    DEPOSIT,
    FILL,
    OPENED,
    ORDER,
    POSITION,
    SAMPLES,
    SIGNAL,
    SPOT,
    entry,
    flat,
    key_of,
    place,
)
from workers.events.parked import account_of, identity_of
from workers.registry import EVENTS, UPCASTERS

TABLE = routes(EVENTS, UPCASTERS)
TYPES = [name.encode() for name in EVENTS]


def decoded(type_: str, body: dict[str, Any]) -> Event[Any]:
    key = key_of(body)
    return decode(*place(type_, key), "5-1", flat(entry(type_, body, key)), TABLE)


def taken(type_: str, key: str, fields: dict[bytes, bytes]) -> Event[Any] | None:
    """The event, or None for one that is refused with a reason; any other error is a failure."""
    try:
        return decode(*place(type_, key), "5-1", fields, TABLE)
    except InvalidEvent as error:
        return None if error.reason and error.detail.isascii() else pytest.fail(str(error))


@st.composite
def amounts(draw: st.DrawFn, signs: str = "-") -> str:
    """Text of any amount that is allowed, leading and trailing zeros included."""
    digits = st.text("0123456789", min_size=1, max_size=18)
    sign = draw(st.sampled_from(["", signs]))
    return sign + draw(digits) + draw(st.one_of(st.just(""), digits.map(lambda part: f".{part}")))


def positives() -> st.SearchStrategy[str]:
    return amounts(signs="").filter(lambda text: Decimal(text) > 0)


def texts(width: int) -> st.SearchStrategy[str]:
    clean = st.characters(exclude_categories=["Cs", "Cc"])
    return (
        st.text(clean, min_size=1, max_size=width)
        .filter(lambda text: text == text.strip() and bool(text))
        .filter(lambda text: not any(one in text for one in "\x85"))
    )


FILLS = st.fixed_dictionaries(
    {
        "account_id": st.integers(1, 2**64 - 1),
        "venue": texts(32),
        "product": st.sampled_from(["linear", "inverse", "spot"]),
        "instrument": texts(64),
        "position_side": st.just("net"),
        "trade_id": texts(128),
        "side": st.sampled_from(["buy", "sell"]),
        "qty": positives(),
        "price": positives(),
        "settle_asset": texts(32),
        "base_asset": texts(32),
        "quote_asset": texts(32),
        "fee_asset": texts(32),
        "executed_at_ms": st.integers(1_230_768_000_000, 7_258_118_399_999),
    },
    optional={
        "order_id": st.none() | texts(128),
        "contract_size": positives(),
        "fee": st.none() | amounts(),
        "venue_seq": st.none() | st.integers(0, 2**63 - 1),
        "revision": st.integers(0, 2**32 - 1),
        "source": st.sampled_from(["laravel", "stream", "sync", "import", None]),
        "realized_pnl": st.none() | amounts(),
        "strategy": st.none() | texts(191),
    },
)


@given(FILLS)
@settings(deadline=None)
def test_a_valid_fill_keeps_every_field_and_every_digit(body: dict[str, Any]) -> None:
    event = decoded("order.filled.1", body)
    for name, value in body.items():
        kept = event.body[name]
        if isinstance(kept, Decimal):
            # as_tuple: 1.10 is not 1.1 here, nothing may be lost or added
            assert kept.as_tuple() == Decimal(value).as_tuple()
        else:
            assert kept == value
    assert json.loads(event.data) == body


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(deadline=None)
def test_a_valid_event_with_noise_in_it_is_refused_or_still_readable(
    name: str, data: st.DataObject
) -> None:
    type_, body = SAMPLES[name]
    key = key_of(body)
    good = entry(type_, body, key)
    field = data.draw(st.sampled_from(sorted(good)))
    value = good[field]
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 8)))
    good[field] = value[:start] + data.draw(st.binary(max_size=8)) + value[end:]
    event = taken(type_, key, good)
    assert event is None or isinstance(json.loads(event.data), dict)


@given(
    st.dictionaries(st.binary(max_size=8), st.binary(max_size=64), max_size=6),
    st.sampled_from(TYPES) | st.binary(max_size=20),
    st.binary(max_size=200),
)
@example({}, b"order.filled.1", b"[" * 60_000)
@example({}, b"cash.moved.1", b'{"account_id":' * 5_000)
@settings(deadline=None)
def test_arbitrary_bytes_are_refused_and_nothing_worse(
    fields: dict[bytes, bytes], type_: bytes, data: bytes
) -> None:
    fields = {b"key": b"42", b"id": b"1", b"ts_us": b"1764000000123456"} | fields
    fields |= {b"type": type_, b"data": data}
    stream, partition, partitions = place("order.filled.1", "42")
    with pytest.raises(InvalidEvent):
        decode(stream, partition, partitions, "5-1", fields, TABLE)
    type_text = type_.decode(errors="replace")
    account_of(type_text, fields[b"key"].decode(errors="replace"), data)
    identity_of(type_text, fields[b"key"].decode(errors="replace"), data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | amounts(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(deadline=None)
def test_any_json_in_any_field_is_taken_or_refused(name: str, data: st.DataObject) -> None:
    type_, body = SAMPLES[name]
    field = data.draw(st.sampled_from(sorted(body)))
    key = key_of(body)
    changed = entry(type_, body | {field: data.draw(JSON)}, key)
    taken(type_, key, changed)


@pytest.mark.parametrize(
    ("type_", "body", "field"),
    [
        ("order.filled.1", FILL, "signal_id"),
        ("order.placed.1", ORDER, "signal_id"),
        ("signal.received.1", SIGNAL, "message_id"),
    ],
)
def test_ids_of_laravel_and_of_chats_may_be_integers(
    type_: str, body: dict[str, Any], field: str
) -> None:
    assert decoded(type_, body | {field: -991}).body[field] == "-991"


def test_an_integer_channel_has_its_decimal_text_as_key() -> None:
    event = decoded("signal.received.1", SIGNAL | {"channel_id": -1001234567890})
    assert event.body["channel_id"] == event.key == "-1001234567890"


def test_a_fee_may_be_a_rebate_and_its_asset_known_before_it() -> None:
    assert decoded("order.filled.1", FILL | {"fee": "-0.1"}).body["fee"] == Decimal("-0.1")
    assert decoded("order.filled.1", FILL | {"fee": None}).body["fee_asset"] == "USDT"


def test_sides_of_a_hedge_belong_to_contracts() -> None:
    assert (
        decoded("order.filled.1", FILL | {"position_side": "short"}).body["position_side"]
        == "short"
    )
    with pytest.raises(InvalidEvent, match="`position_side` \"net\", not 'short'"):
        decoded("order.filled.1", SPOT | {"position_side": "short"})


def test_an_inverse_fill_is_an_ordinary_fill() -> None:
    body = FILL | {"product": "inverse", "instrument": "BTCUSD_PERP", "position_side": "short"}
    assert decoded("order.filled.1", body).body["product"] == "inverse"


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("order.filled.1", FILL),
        ("order.filled.1", SPOT),
        ("position.opened.1", OPENED),
        ("position.observed.1", POSITION),
    ],
)
@pytest.mark.parametrize("product", ["option", "options", "call", "OPTION"])
def test_an_option_is_refused_and_the_sentence_says_what_to_do(
    type_: str, body: dict[str, Any], product: str
) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decoded(type_, body | {"product": product})
    assert caught.value.reason == "malformed"
    assert caught.value.detail == (
        f"`data` of {type_}: `product` is '{product}', must be "
        '"linear", "inverse" or "spot"; '
        "options are not kept by this ledger, so leave their fills out"
    )


def test_an_opening_tells_its_cost_in_one_way_or_is_flat() -> None:
    flat_ = OPENED | {"qty": "0", "entry_price": None}
    assert decoded("position.opened.1", flat_).body["qty"] == 0
    for body in (OPENED | {"entry_price": None}, OPENED | {"cost": "1"}):
        with pytest.raises(InvalidEvent, match="by `entry_price` or by `cost`"):
            decoded("position.opened.1", body)


@pytest.mark.parametrize(
    "change",
    [
        {"position_side": "short", "qty": "1"},
        {"position_side": "long", "qty": "-1"},
        {"product": "spot", "position_side": "net", "qty": "-1"},
    ],
)
def test_a_quantity_that_contradicts_its_side_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match="`qty` is negative for a short"):
        decoded("position.opened.1", OPENED | change)


def test_a_basis_belongs_to_what_comes_into_a_spot_holding() -> None:
    assert decoded("cash.moved.1", DEPOSIT).body["basis"] == Decimal("32061.55")
    for change in ({"amount": "-0.5"}, {"quote_asset": None}):
        with pytest.raises(InvalidEvent, match="`basis` is the cost of what came in"):
            decoded("cash.moved.1", DEPOSIT | change)
    with pytest.raises(InvalidEvent, match='send `product` "spot"'):
        decoded("cash.moved.1", DEPOSIT | {"product": "linear"})


def test_of_a_json_key_that_comes_twice_the_last_counts() -> None:
    data = json.dumps(FILL)[:-1].encode() + b',"venue":"okx"}'
    event = decode(
        *place("order.filled.1", "42"), "5-1", entry("order.filled.1", data, "42"), TABLE
    )
    assert event.body["venue"] == "okx"


def test_a_refused_field_is_named_with_what_came_and_what_is_wanted() -> None:
    with pytest.raises(InvalidEvent) as caught:
        decoded("order.filled.1", FILL | {"qty": 0.1})
    assert caught.value.detail == (
        "`data` of order.filled.1: `qty` is 0.1, must be a JSON string of a plain decimal without "
        'a sign, like "0.015", with at most 18 digits before and 18 after the point'
    )
