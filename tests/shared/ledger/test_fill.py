from __future__ import annotations

import json
import random
from decimal import Decimal
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.fill import merge, read_report
from shared.ledger.identity import fill_identity, report_hash
from tests.ledger_world import report, retold, trades


def test_known_beats_null_whatever_came_first() -> None:
    early = report(order_id="7")
    late = report(fee="0.1", fee_asset="BNB", liquidity="maker")
    for order in permutations([early, late]):
        fill, conflicts = merge(order)
        assert (fill.fee, fill.fee_asset, fill.order_id) == (Decimal("0.1"), "BNB", "7")
        assert (fill.liquidity, fill.reports, conflicts) == ("maker", 2, {})


def test_a_higher_revision_beats_a_lower_one() -> None:
    first = report(fee="0.2", fee_asset="BNB")
    corrected = report(fee="0.1", fee_asset="USDT", revision=2)
    fill, conflicts = merge([first, corrected])
    assert (fill.fee, fill.fee_asset, fill.revision) == (Decimal("0.1"), "USDT", 2)
    assert conflicts == {}


def test_a_higher_revision_without_the_fee_keeps_the_fee_known_before() -> None:
    fill, _ = merge([report(fee="0.2", fee_asset="BNB"), report(revision=2)])
    assert (fill.fee, fill.fee_asset) == (Decimal("0.2"), "BNB")


def test_fee_and_its_asset_come_from_the_same_report() -> None:
    fill, _ = merge([report(fee_asset="USDT", revision=2), report(fee="1", fee_asset="BNB")])
    assert (fill.fee, fill.fee_asset) == (Decimal(1), "BNB")


def test_unequal_core_fields_are_a_conflict_that_lists_every_value() -> None:
    told = [report(price="100"), report(price="101.50"), report(price="101.5", revision=2)]
    fill, conflicts = merge(told)
    assert fill.price == Decimal("101.5")
    assert conflicts == {"price": ["100", "101.5"]}


def test_unequal_fees_of_one_revision_are_a_conflict() -> None:
    told = [report(fee="1", fee_asset="BNB"), report(fee="2", fee_asset="BNB")]
    assert merge(told)[1] == {"fee": ["1", "2"]}


def test_the_same_amount_written_in_two_ways_is_no_conflict() -> None:
    fill, conflicts = merge([report(price="100"), report(price="100.00")])
    assert (fill.reports, conflicts) == (2, {})


def test_a_contract_size_left_out_is_not_a_contract_size_of_one() -> None:
    fill, conflicts = merge([report(), report(contract_size="0.01")])
    assert (fill.contract_size, fill.value) == (Decimal("0.01"), Decimal(1))
    assert conflicts == {}
    assert merge([report()])[0].contract_size == 1


def test_a_report_told_twice_counts_once() -> None:
    assert merge([report(), report()])[0].reports == 1


def test_value_is_rounded_once_half_even() -> None:
    tie_down = merge([report(qty="0.000000000000000001", price="0.5")])[0]
    tie_up = merge([report(qty="0.000000000000000001", price="1.5")])[0]
    assert (tie_down.value, tie_up.value) == (Decimal(0), Decimal("2E-18"))


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_merge_does_not_depend_on_order_or_repetition(seed: int, draw: random.Random) -> None:
    (original,) = trades(seed, 1)
    told = [original, *retold(random.Random(seed), original), *retold(draw, original)]
    expected = merge(told)
    again = told + draw.sample(told, draw.randrange(len(told)))
    draw.shuffle(again)
    assert merge(again) == expected


def test_a_report_reads_back_from_its_json() -> None:
    data = (
        '{"account_id": 1, "venue": "v", "product": "linear", "instrument": "I", "trade_id": "1",'
    )
    data += (
        '"position_side": "net", "side": "buy", "qty": "0.10", "price": "2", "settle_asset": "U",'
    )
    data += f'"executed_at_ms": 5, "fee": null, "signal_id": 12, "unknown": {"9" * 5000}}}'
    told = read_report(data)
    assert (told.qty, told.fee, told.signal_id, told.revision) == (Decimal("0.10"), None, "12", 1)
    assert (told.data, told.report_hash) == (data, report_hash(data))
    assert len(told.report_hash) == 16


def test_no_separator_inside_an_id_makes_two_identities_alike() -> None:
    one = fill_identity(1, "linear", 'A","B', "C", "buy")
    other = fill_identity(1, "linear", "A", 'B","C', "buy")
    assert one != other
    assert json.loads(one) == ["fill", 1, "linear", 'A","B', "C", "buy"]
