"""Cases in which other programs give other figures; each says which figure is ours and why."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.ledger.cash import DAILY_COLUMN
from shared.ledger.days import day_of, day_text
from shared.ledger.fill import Fill, merge
from shared.ledger.money import LEDGER, ZERO
from shared.ledger.position import FLAT, State, average_entry, fold, legs
from tests.ledger_world import report

D = Decimal


def fill(side: str, qty: str, price: str, **more: Any) -> Fill:
    return merge([report(side=side, qty=qty, price=price, **more)])[0]


def folded(*fills: Fill, state: State = FLAT) -> Any:  # a Fold; compared with plain numbers
    return fold(state, fills, fills[0].product)


def test_dollar_cost_averaging_charges_fees_when_they_are_paid() -> None:
    """Freqtrade's own case (test_recalc_trade_from_orders_dca, fee 0.25 %): after the third fill it
    says -28.0625, for it keeps the entry fees back until exits release them. Charged when paid it
    is -32.75; flat, both are 336.625.
    """
    traded = [
        ("buy", "100", "10", "2.5"), ("buy", "100", "15", "3.75"), ("sell", "50", "12", "1.5"),
        ("sell", "100", "20", "5"), ("sell", "50", "5", "0.625"),
    ]  # fmt: skip
    fills = [fill(side, qty, price, fee=fee, fee_asset="USDT") for side, qty, price, fee in traded]
    net, after = ZERO, []
    for leg in legs(FLAT, fills, "linear"):
        net = LEDGER.add(net, LEDGER.subtract(leg.realized, leg.fill.fee or ZERO))
        after.append(net)
    assert after == [D("-2.5"), D("-6.25"), D("-32.75"), D("712.25"), D("336.625")]
    assert average_entry("linear", folded(*fills[:3]).state, D(1)) == D("12.5")


def test_fills_of_an_order_are_weighted_by_their_quantity() -> None:
    """Hummingbot's aggregate_orders takes the plain mean of the prices, 15 here."""
    held = folded(fill("buy", "100", "10"), fill("buy", "300", "20")).state
    assert average_entry("linear", held, D(1)) == D("17.5")


def test_realized_is_price_only_as_the_venue_reports_it() -> None:
    """Binance's realizedPnl leaves out fees; so a fee in any asset changes nothing of it."""
    for fee, asset in (("5", "USDT"), ("0.001", "BNB"), ("-2", "USDT")):
        fills = [fill("buy", "1", "100"), fill("sell", "1", "110", fee=fee, fee_asset=asset)]
        assert folded(*fills).realized == 10


def test_a_spot_fee_in_coins_comes_off_the_holding_and_selling_it_leaves_dust_short() -> None:
    """As nautilus at head: 1.0 bought with a fee of 0.001 BTC holds 0.999."""
    bought = fill("buy", "1.0", "100", product="spot", fee="0.001", fee_asset="BTC")
    assert folded(bought).state == (D("0.999"), 100, 0)
    sold = fill("sell", "0.999", "100", product="spot", fee="0.001", fee_asset="BTC")
    assert folded(bought, sold).state == (0, 0, D("0.001"))


def test_several_entry_prices_of_an_inverse_contract_are_no_arithmetic_mean() -> None:
    """Averaged arithmetically, as nautilus does it, 5,666.67 here, there would be a loss."""
    fills = [
        fill("buy", "1000", "5000", product="inverse", settle_asset="BTC"),
        fill("buy", "2000", "6000", product="inverse", settle_asset="BTC"),
        fill("sell", "3000", "5625", product="inverse", settle_asset="BTC"),
    ]
    assert abs(folded(*fills).realized) < D("1E-17")
    arithmetic = 3000 * (1 / D("5666.666667") - 1 / D(5625))
    assert abs(arithmetic) > D("0.003")


def test_a_flip_realizes_on_what_it_closes_only() -> None:
    """The Position of nautilus 1.221 alone keeps the old entry: 110 would stand at 100."""
    fills = [fill("buy", "1", "100"), fill("sell", "3", "110")]
    end = folded(*fills)
    assert end.realized == 10
    assert average_entry("linear", end.state, D(1)) == 110
    assert folded(fill("buy", "2", "100"), state=end.state).realized == 20


def test_a_short_of_a_hedge_is_closed_by_a_buy_and_knows_nothing_of_the_long() -> None:
    long = [fill("buy", "2", "100", position_side="long")]
    short = [
        fill("sell", "1", "120", position_side="short"),
        fill("buy", "1", "115", position_side="short"),
    ]
    assert folded(*long).realized == 0
    assert folded(*short).realized == 5
    netting = folded(*long, *short)
    assert (netting.state.qty, netting.realized) == (2, 20)


def test_each_fill_counts_with_the_contract_size_of_its_own_time() -> None:
    """OKX tells quantities in contracts; a size that changes moves no value."""
    fills = [
        fill("buy", "10", "100", contract_size="0.1"),
        fill("sell", "10", "110", contract_size="0.1"),
        fill("buy", "10", "100", contract_size="0.01"),
    ]
    end = folded(*fills)
    assert (end.realized, end.state.cost) == (10, 10)


def test_a_bnfcr_funding_row_of_midnight_is_of_the_new_day() -> None:
    """1784592000000 as freqtrade#13358 shows it: it pays for the eight hours before."""
    assert day_text(day_of(1_784_592_000_000)) == "2026-07-21"
    assert day_text(day_of(1_784_592_000_000 - 1)) == "2026-07-20"


@pytest.mark.parametrize(
    "kind", ["transfer_in", "transfer_out", "conversion", "commission", "realized", "other"]
)
def test_what_is_no_income_or_stands_in_the_fills_already_has_no_daily_column(kind: str) -> None:
    assert kind not in DAILY_COLUMN
