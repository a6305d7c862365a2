from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.attribution import (
    DAY_FILLS,
    DEFAULT_STEP,
    Due,
    Steps,
    Tag,
    affordable,
    cause_of,
    diverges,
    tag_of,
)

D = Decimal
TEXTS = st.sampled_from([None, "a", "b"])
DAYS = st.lists(
    st.builds(Due, st.just("linear"), st.just("BTCUSDT"), st.integers(0, 9), st.integers(0, 900)),
    min_size=1, max_size=12,
)  # fmt: skip


class Source(NamedTuple):
    client_order_id: str | None = None
    signal_id: str | None = None
    strategy: str | None = None


SOURCES = st.lists(st.builds(Source, TEXTS, TEXTS, TEXTS), min_size=1, max_size=3)


@given(SOURCES, st.sampled_from(["normal", "liquidation", "adl", "settlement"]))
def test_the_first_source_with_a_tag_decides_whatever_the_others_say(
    sources: list[Source], kind: str
) -> None:
    tagged = [one for one in sources if one.signal_id is not None or one.strategy is not None]
    found = tag_of(kind, sources)
    if tagged:
        first = tagged[0]
        assert (found.signal_id, found.strategy) == (first.signal_id or "", first.strategy or "")
        assert found.bucket == ("signal" if first.signal_id else "strategy")
    else:
        named = any(one.client_order_id for one in sources)
        assert found == Tag("order" if named and kind == "normal" else "manual", "", "")


@given(DAYS, st.integers(1, 3_000))
def test_a_pass_takes_the_first_days_that_it_can_afford_and_one_at_least(
    due: list[Due], fills: int
) -> None:
    chosen = affordable(due, fills)
    assert list(chosen) == due[: len(chosen)]
    cost = sum(day.fills + DAY_FILLS for day in chosen)
    assert cost <= fills or len(chosen) == 1
    if len(chosen) < len(due):
        assert len(chosen) >= 1
        assert cost + due[len(chosen)].fills + DAY_FILLS > fills


def test_the_step_is_the_one_that_was_valid_then() -> None:
    steps = Steps([(100, D("0.1")), (50, D("0.01")), (200, None)])
    assert [steps.at(ms) for ms in (49, 50, 99, 100, 200)] == [
        DEFAULT_STEP, D("0.01"), D("0.01"), D("0.1"), DEFAULT_STEP,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("computed", "reported", "beyond"),
    [("1", "1.01", False), ("1", "0.99", False), ("1", "1.010000000000000001", True)],
)
def test_one_unit_of_the_last_decimal_is_no_divergence(
    computed: str, reported: str, *, beyond: bool
) -> None:
    assert diverges(D(computed), D(reported), D("0.01")) is beyond


def test_causes_are_named_from_what_explains_the_figure() -> None:
    step = D("0.01")
    assert cause_of(D(10), D("9.5"), step, D("0.5")) == "net of fee"
    assert cause_of(D(10), D("9.5"), step, None) == "unexplained"
    assert cause_of(D(0), D("9.5"), step, None) == "unknown past"
