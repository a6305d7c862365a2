from __future__ import annotations

import random
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.orders import OrderReport, join, order_row_key

OPTIONAL = st.sampled_from([None, "a", "b"])
REPORTS = st.lists(
    st.tuples(
        st.just(1), st.just("linear"), st.just("BTCUSDT"), st.just("1"), OPTIONAL,
        st.sampled_from(["binance", "okx"]),
        st.sampled_from(["placed", "filled", "canceled", "rejected"]),
        st.integers(0, 3), OPTIONAL, OPTIONAL,
        st.sampled_from([None, Decimal(9), Decimal(10)]),
        st.sampled_from([None, 1, 2, 3]),
    ).map(lambda f: OrderReport(*f[:-1])._replace(first_fill_ms=f[-1], last_fill_ms=f[-1])),
    min_size=1, max_size=6,
)  # fmt: skip


def told(state: str, at_ms: int) -> OrderReport:
    return OrderReport(1, "linear", "BTCUSDT", "1", None, "binance", state, at_ms)


def test_a_terminal_state_beats_a_later_placement() -> None:
    assert join(told("canceled", 1), told("placed", 9)).state == "canceled"
    assert join(told("placed", 9), told("filled", 1)).state == "filled"


def test_of_one_rank_the_later_state_stands() -> None:
    both = join(told("canceled", 1), told("rejected", 2))
    assert (both.state, both.at_ms) == ("rejected", 2)


def test_an_order_is_keyed_by_the_venue_s_id_once_it_is_known() -> None:
    order = told("placed", 1)
    assert order_row_key(order) == "o:1"
    assert order_row_key(order._replace(order_id=None, client_order_id="x")) == "c:x"
    with pytest.raises(ValueError, match="order_id"):
        order_row_key(order._replace(order_id=None))


@given(REPORTS)
def test_the_fills_of_an_order_lie_between_the_earliest_and_the_latest_told(
    reports: list[OrderReport],
) -> None:
    times = [one.first_fill_ms for one in reports if one.first_fill_ms is not None]
    joined = reduce(join, reports)
    expected = (min(times), max(times)) if times else (None, None)
    assert (joined.first_fill_ms, joined.last_fill_ms) == expected


@given(REPORTS, st.randoms(use_true_random=False))
def test_joining_does_not_depend_on_order_or_repetition(
    reports: list[OrderReport], draw: random.Random
) -> None:
    again = reports + draw.sample(reports, draw.randrange(len(reports)))
    draw.shuffle(again)
    assert reduce(join, again) == reduce(join, reports)
