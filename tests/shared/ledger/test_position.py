from __future__ import annotations

import random
from decimal import Decimal, localcontext
from typing import Any

import pytest

from shared.ledger.fill import Fill, UnsupportedProduct, merge, order_key
from shared.ledger.money import AmountOverflow
from shared.ledger.position import FLAT, average_entry, due, fold, fold_days
from tests.ledger_world import DAY_MS, FIRST_DAY, report, trades

D = Decimal


def fill(side: str = "buy", qty: str = "1", price: str = "100", **more: Any) -> Fill:
    return merge([report(side=side, qty=qty, price=price, **more)])[0]


def state(*fills: Fill) -> Any:  # a State; compared with plain numbers
    return fold(FLAT, fills, fills[0].product).state


def realized(*fills: Fill) -> Decimal:
    return fold(FLAT, fills, fills[0].product).realized


def test_buys_average_their_entry_by_quantity() -> None:
    held = state(fill(qty="1", price="100"), fill(qty="3", price="200"))
    assert held == (4, 700, 0)
    assert average_entry("linear", held, D(1)) == 175


def test_a_partial_close_leaves_the_average_entry_alone() -> None:
    bought = [fill(qty="10", price="100")]
    closed = [*bought, fill("sell", "4", "110")]
    assert realized(*closed) == 40
    assert average_entry("linear", state(*closed), D(1)) == 100


def test_a_short_is_negative_and_gains_when_it_is_bought_back_lower() -> None:
    assert state(fill("sell", "2", "100")) == (-2, -200, 0)
    assert realized(fill("sell", "2", "100"), fill("buy", "2", "90")) == 20


def test_a_flip_closes_at_the_old_entry_and_opens_at_its_own_price() -> None:
    fills = [fill("buy", "2", "100"), fill("sell", "5", "110")]
    assert realized(*fills) == 20
    assert state(*fills) == (-3, -330, 0)
    assert average_entry("linear", state(*fills), D(1)) == 110


def test_a_flip_splits_its_value_without_losing_a_digit() -> None:
    fills = [fill("buy", "1", "1"), fill("sell", "3", "0.333333333333333333")]
    held = state(*fills)
    assert held.cost == D("-0.666666666666666666")
    closing_value = D("0.333333333333333333")  # of 0.999999999999999999, the rest opens the short
    assert realized(*fills) == closing_value - 1


def test_a_closed_cycle_is_exact_although_every_share_was_rounded() -> None:
    fills = [fill("buy", "3", "0.333333333333333333"), fill("buy", "4", "1")]
    fills += [fill("sell", "1", "2")] * 7
    assert state(*fills) == (0, 0, 0)
    assert realized(*fills) == 14 - D("4.999999999999999999")


def test_contract_size_scales_value_and_not_quantity() -> None:
    held = state(fill(qty="10", price="100", contract_size="0.01"))
    assert held == (10, 10, 0)
    assert average_entry("linear", held, D("0.01")) == 100


def test_flat_has_no_average_entry() -> None:
    assert average_entry("linear", FLAT, D(1)) is None


def test_spot_holds_what_is_left_after_the_base_fee() -> None:
    bought = fill(product="spot", qty="1", price="100", fee="0.001", fee_asset="BTC")
    assert state(bought) == (D("0.999"), 100, 0)
    sold = fill("sell", "0.999", "110", product="spot")
    assert state(bought, sold) == (0, 0, 0)
    assert realized(bought, sold) == D("9.89")


def test_spot_sells_its_base_fee_along_with_the_rest() -> None:
    bought = fill(product="spot", qty="1", price="100")
    sold = fill("sell", "0.9", "200", product="spot", fee="0.1", fee_asset="BTC")
    assert state(bought, sold) == (0, 0, 0)
    assert realized(bought, sold) == 80


def test_a_spot_fee_in_another_asset_moves_no_quantity() -> None:
    for asset in ("USDT", "BNB"):
        assert state(fill(product="spot", fee="0.5", fee_asset=asset)) == (1, 100, 0)


def test_spot_sold_beyond_the_holding_has_unknown_basis_and_no_realized() -> None:
    bought = fill(product="spot", qty="1", price="100")
    sold = fill("sell", "4", "200", product="spot")
    assert state(bought, sold) == (0, 0, 3)
    assert realized(bought, sold) == 100
    assert realized(sold) == 0


def test_a_later_spot_purchase_does_not_pay_back_unknown_basis() -> None:
    assert state(fill("sell", "4", product="spot"), fill(product="spot")) == (1, 100, 4)


def test_an_inverse_entry_is_harmonic() -> None:
    bought = [fill(product="inverse", qty=q, price=p) for q, p in (("1000", "5000"), ("1000", "4"))]
    held = state(*bought)
    assert held == (2000, D("250.2"), 0)
    assert average_entry("inverse", held, D(1)) == D("7.993605115907274181")


def test_an_inverse_long_gains_what_its_value_in_coins_falls() -> None:
    opened = state(fill(product="inverse", qty="100", price="50"))
    assert opened == (100, 2, 0)
    sold = fill("sell", "50", "100", product="inverse")
    end: Any = fold(opened, [sold], "inverse")
    assert (end.state, end.realized) == ((50, 1, 0), D("0.5"))


def test_an_option_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedProduct, match="option"):
        list(fold_days(FLAT, [fill()], "option"))


def test_an_amount_beyond_twenty_digits_overflows_instead_of_being_cut() -> None:
    huge = "999999999999999999"
    with pytest.raises(AmountOverflow):
        merge([report(qty=huge, price=huge)])
    with pytest.raises(AmountOverflow):
        fold(FLAT, [fill(qty=huge, price="100")] * 2, "linear")


def test_the_thread_s_own_decimal_context_changes_nothing() -> None:
    fills = [merge([told])[0] for told in trades(3, 60, accounts=1, products=["linear"])]
    expected = fold(FLAT, fills, "linear")
    with localcontext() as poor:
        poor.prec = 5
        assert fold(FLAT, [merge([report()])[0], *fills], "linear").state.qty
        assert fold(FLAT, fills, "linear") == expected


def test_midnight_belongs_to_the_new_day() -> None:
    fills = [
        fill(executed_at_ms=FIRST_DAY + DAY_MS - 1),
        fill(executed_at_ms=FIRST_DAY + DAY_MS),
    ]
    days = [day for day, _ in fold(FLAT, fills, "linear").days]
    assert days == [20_000, 20_001]


def test_one_day_in_two_settle_assets_keeps_them_apart() -> None:
    fills = [
        fill("buy", "2", "100"),
        fill("sell", "1", "110", settle_asset="USDC"),
        fill("sell", "1", "120"),
    ]
    ((_, rows),) = fold(FLAT, fills, "linear").days
    told: Any = {asset: (row.realized, row.fills) for asset, row in rows.items()}
    assert told == {"USDT": (20, 2), "USDC": (10, 1)}


def test_a_waiting_fold_is_due_when_idle_or_when_a_quarter_waits() -> None:
    assert due(1, 1_000_000, idle=True)
    assert not due(249_999, 1_000_000, idle=False)
    assert due(250_000, 1_000_000, idle=False)
    assert not due(0, 0, idle=True)


def test_numeric_trade_ids_sort_as_numbers_and_sequence_goes_first() -> None:
    told = [
        report(trade_id="9"),
        report(trade_id="10"),
        report(trade_id="2", venue_seq=0),
        report(trade_id="1", venue_seq=1),
        report(trade_id="1", side="sell", venue_seq=1),
        report(trade_id="0", executed_at_ms=FIRST_DAY + 1),
    ]
    mixed = random.Random(1).sample(told, len(told))
    assert sorted(mixed, key=order_key) == told
