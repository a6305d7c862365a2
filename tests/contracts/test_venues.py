"""What every venue must do: one suite for each row of VENUES, against the local exchange."""

from __future__ import annotations

import pytest

from tests.venue_world import (
    ACCOUNT,
    KEYS,
    Sync,
    assert_tied,
    assert_valid,
    cash_of,
    exact,
    fills_of,
    news,
    of_type,
    reported_positions,
    told_fills,
    true_fills,
)

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def storm(sync: Sync, seed: int, trades: int, took_ms: int = MINUTE_MS) -> None:
    """Ends a second before now."""
    first = sync.clock()
    sync.clock.pass_(took_ms)
    sync.running.do(
        lambda desk: desk.storm(
            seed, trades, venue=sync.venue, api_keys=[KEYS.api_key], from_ms=first,
            to_ms=sync.clock() - 1_000,
        )
    )  # fmt: skip


def symbols(sync: Sync) -> list[str]:
    """Two of the product, with one settle asset."""
    found: dict[str, list[str]] = {}
    for (product, symbol), market in sorted(sync.markets.items()):
        if product == sync.product and market.base in {"BTC", "ETH"}:
            found.setdefault(market.settle if product != "inverse" else "", []).append(symbol)
    return max(found.values(), key=len)[:2]


def qty(sync: Sync) -> str:
    """Some quantity that every instrument of the product allows."""
    return {"linear": "3", "inverse": "30", "spot": "0.3"}[sync.product]


# -- everything at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_storm_everything_ties_to_the_last_digit(sync: Sync, seed: int) -> None:
    sync.run()
    for number in range(3):
        storm(sync, 10 * seed + number, 150)
        last = sync.run()
    assert len(fills_of(sync.told)) > 300
    assert_tied(sync, last)
    assert news(sync.run()) == []


def test_after_a_storm_in_hedge_mode_everything_ties(hedge: Sync) -> None:
    hedge.run()
    storm(hedge, 3, 300)
    last = hedge.run()
    assert {side for _, _, side in reported_positions(last)} == {"long", "short"}
    assert_tied(hedge, last)
    assert news(hedge.run()) == []


def test_a_storm_of_days_that_was_never_read_is_told_wholly(sync: Sync) -> None:
    storm(sync, 4, 700, took_ms=9 * 24 * HOUR_MS)
    sync.held = tuple((sync.product, symbol) for product, symbol in sync.markets
                      if product == sync.product)  # fmt: skip
    assert_tied(sync, sync.run())
    assert news(sync.run()) == []


def test_a_reading_from_any_earlier_cursor_tells_nothing_wrong(sync: Sync) -> None:
    for number in range(4):
        storm(sync, 20 + number, 60, took_ms=5 * MINUTE_MS)
        last = sync.run()
    for cursors, _ in list(sync.pages):
        sync.cursors = dict(cursors)
        last = sync.run()
    assert_tied(sync, last)


# -- pages -----------------------------------------------------------------------------------------


def test_many_fills_of_one_millisecond_are_all_told_once(sync: Sync) -> None:
    sync.run()
    at_ms = sync.clock()
    for symbol in symbols(sync):
        sync.trade(symbol, "buy", qty(sync), "100", repeat=620, at_ms=at_ms)
        sync.trade(symbol, "sell", qty(sync), "101", repeat=310, at_ms=at_ms + 1)
    sync.clock.pass_(MINUTE_MS)
    last = sync.run()
    told = of_type(sync.told, "order.filled.1")
    assert len(told) == len(fills_of(sync.told)) == 1_860
    assert_tied(sync, last)


def test_a_row_that_comes_twice_is_told_once(sync: Sync) -> None:
    sync.run()
    storm(sync, 5, 120)
    sync.desk_fault("duplicate", times=None)
    last = sync.run()
    told = [tuple(sorted(body.items())) for body in of_type(last, "order.filled.1")]
    assert len(told) == len(set(told)) > 50
    assert_tied(sync, last)


def test_numbers_that_come_unquoted_keep_every_digit(sync: Sync) -> None:
    sync.desk_fault("unquoted", times=None)
    storm(sync, 6, 100)
    assert_tied(sync, sync.run())


# -- what comes late, or changes -------------------------------------------------------------------


def test_rows_that_appear_late_are_found(sync: Sync) -> None:
    symbol, other = symbols(sync)
    at_ms = sync.clock()
    sync.trade(symbol, "buy", qty(sync), "100", at_ms=at_ms, hidden=True)
    sync.trade(symbol, "buy", qty(sync), "100", at_ms=at_ms + 500)
    sync.trade(other, "buy", qty(sync), "100", at_ms=at_ms + 900)
    sync.clock.pass_(2_000)
    sync.run()
    assert len(fills_of(sync.told)) == 2
    sync.clock.pass_(4 * MINUTE_MS)
    assert news(sync.run()) == []
    sync.desk("show_late")
    sync.clock.pass_(6 * MINUTE_MS)
    last = sync.run()
    assert len(of_type(last, "order.filled.1")) == 1
    assert_tied(sync, last)
    assert news(sync.run()) == []


def test_a_fee_that_is_known_later_completes_its_fill(sync: Sync) -> None:
    symbol, _ = symbols(sync)
    sync.trade(symbol, "buy", qty(sync), "100", fee_known=False)
    sync.clock.pass_(2_000)
    sync.run()
    (fill,) = fills_of(sync.told).values()
    assert fill.fee is None
    sync.clock.pass_(30_000)
    sync.desk("settle_fees", fee="0.12345678", asset="BNB")
    sync.clock.pass_(2_000)
    last = sync.run()
    (fill,) = fills_of(sync.told).values()
    assert (exact(fill.fee), fill.fee_asset) == (exact("0.12345678"), "BNB")
    assert_tied(sync, last)


# -- one by one ------------------------------------------------------------------------------------


def test_a_trade_with_oneself_keeps_both_legs(sync: Sync) -> None:
    symbol, _ = symbols(sync)
    sync.trade(symbol, "buy", qty(sync), "100", self_trade=True)
    sync.clock.pass_(2_000)
    last = sync.run()
    one, other = fills_of(last).values()
    assert one.trade_id == other.trade_id
    assert {one.side, other.side} == {"buy", "sell"}
    assert_tied(sync, last)


def test_a_fill_that_turns_the_position_over_is_one_fill(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.trade(symbol, "buy", "3", "100")
    contracts.clock.pass_(1_000)
    contracts.trade(symbol, "sell", "5", "110")
    contracts.clock.pass_(2_000)
    last = contracts.run()
    assert reported_positions(last)[contracts.product, symbol, "net"] == -2
    assert_tied(contracts, last)


def test_rebates_and_fees_in_another_asset_have_their_sign(sync: Sync) -> None:
    symbol, _ = symbols(sync)
    sync.trade(symbol, "buy", qty(sync), "100", fee="-0.00000001", maker=True)
    sync.trade(symbol, "buy", qty(sync), "100", fee="0.00123400", fee_asset="BNB")
    sync.clock.pass_(2_000)
    last = sync.run()
    rebate, paid = sorted(fills_of(last).values(), key=lambda fill: fill.fee_asset == "BNB")
    assert (exact(rebate.fee), rebate.liquidity) == (exact("-0.00000001"), "maker")
    assert (exact(paid.fee), paid.fee_asset) == (exact("0.001234"), "BNB")
    assert_tied(sync, last)


def test_a_liquidation_is_told_as_one(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.trade(symbol, "buy", "3", "100")
    contracts.clock.pass_(1_000)
    contracts.run()
    contracts.trade(symbol, "sell", "3", "90", kind="liquidation")
    contracts.desk("move", kind="liquidation_fee", asset=settle(contracts, symbol),
                   amount="-0.05", product=contracts.product, symbol=symbol)  # fmt: skip
    contracts.clock.pass_(2_000)
    last = contracts.run()
    kinds = sorted(fill.kind for fill in fills_of(contracts.told).values())
    assert kinds == ["liquidation", "normal"]
    assert "liquidation_fee" in {body["kind"] for body in cash_of(last).values()}
    assert_tied(contracts, last)


def settle(sync: Sync, symbol: str) -> str:
    return sync.markets[sync.product, symbol].settle


def test_funding_belongs_to_its_instrument(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.trade(symbol, "buy", "3", "100")
    contracts.clock.pass_(1_000)
    contracts.desk("fund", product=contracts.product, symbol=symbol, amount="-0.00012345")
    contracts.clock.pass_(1_000)
    last = contracts.run()
    (funding,) = [body for body in cash_of(last).values() if body["kind"] == "funding"]
    assert exact(funding["amount"]) == exact("-0.00012345")
    assert (funding["instrument"], funding["product"]) == (symbol, contracts.product)
    assert_tied(contracts, last)


def test_money_that_comes_and_goes_is_no_profit(sync: Sync) -> None:
    sync.run()
    asset = settle(sync, symbols(sync)[0])
    for kind, amount in (
        ("transfer_in", "12.5"), ("transfer_out", "-0.00000001"), ("deposit", "7"),
        ("withdrawal", "-3"), ("bonus", "1.1"), ("rebate", "0.2"),
    ):  # fmt: skip
        sync.desk("move", kind=kind, asset=asset, amount=amount, product=sync.product)
        sync.clock.pass_(1_000)
    last = sync.run()
    kinds = {body["kind"] for body in cash_of(last).values()}
    assert {"transfer_in", "transfer_out"} <= kinds <= {
        "transfer_in", "transfer_out", "bonus", "rebate",
    }  # fmt: skip
    assert_tied(sync, last)


# -- snapshots -------------------------------------------------------------------------------------


def test_a_position_that_was_closed_is_reported_flat_once(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.trade(symbol, "buy", "3", "100")
    contracts.clock.pass_(1_000)
    contracts.run()
    contracts.trade(symbol, "sell", "3", "101")
    contracts.clock.pass_(1_000)
    last = contracts.run()
    flat = of_type(last, "position.observed.1")
    assert [(body["instrument"], body["qty"].rstrip("0.")) for body in flat] == [(symbol, "")]
    assert "entry_price" not in flat[0]
    assert of_type(contracts.run(), "position.observed.1") == []


def test_what_the_books_hold_is_asked_for_even_if_it_was_never_listed(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.held = ((contracts.product, symbol),)
    reports = of_type(contracts.run(), "position.observed.1")
    assert 0 in {exact(body["qty"]) for body in reports if body["instrument"] == symbol}


def test_reports_carry_entry_mark_and_the_time_of_the_question(contracts: Sync) -> None:
    symbol, _ = symbols(contracts)
    contracts.trade(symbol, "sell", "3", "100")
    contracts.clock.pass_(1_000)
    last = contracts.run()
    (report,) = of_type(last, "position.observed.1")
    assert exact(report["qty"]) == -3
    assert exact(report["entry_price"]) == 100
    assert exact(report["mark_price"]) > 0
    assert report["watermark_ms"] == contracts.clock()
    assert {body["watermark_ms"] for body in of_type(last, "balance.observed.1")} == {
        contracts.clock()
    }


def test_a_wallet_that_was_emptied_is_reported_as_zero(sync: Sync) -> None:
    sync.run()
    sync.desk("move", kind="transfer_out", asset="BNB", amount="-1000000", product=sync.product)
    sync.clock.pass_(1_000)
    reports = of_type(sync.run(), "balance.observed.1")
    assert 0 in {exact(body["wallet"]) for body in reports if body["asset"] == "BNB"}


# -- orders ----------------------------------------------------------------------------------------


def test_orders_are_told_when_they_are_new_and_when_they_end(sync: Sync) -> None:
    symbol, _ = symbols(sync)
    sync.run()
    canceled, filled = (
        sync.desk("place", product=sync.product, symbol=symbol, side="buy", qty=qty(sync),
                  price=price)
        for price in ("90", "91")
    )  # fmt: skip
    sync.clock.pass_(HOUR_MS)
    last = sync.run()
    ids = {exact(body["price"]): body["order_id"] for body in of_type(last, "order.placed.1")}
    assert ids.keys() == {90, 91}
    assert news(sync.run()) == []
    sync.desk("cancel", order_id=canceled)
    sync.trade(symbol, "buy", qty(sync), "91", order_id=filled)
    sync.clock.pass_(1_000)
    last = sync.run()
    assert [body["order_id"] for body in of_type(last, "order.canceled.1")] == [ids[exact("90")]]
    assert [body["order_id"] for body in of_type(last, "order.filled.1")] == [ids[exact("91")]]
    assert news(sync.run()) == []
    assert_valid(sync.told)


# -- the row ---------------------------------------------------------------------------------------


def test_events_name_the_account_and_the_venue_of_the_row(sync: Sync) -> None:
    storm(sync, 7, 40)
    sync.run()
    assert {(body["account_id"], body["venue"]) for _, body in sync.told} == {
        (ACCOUNT, sync.venue)
    }
    products = {body["product"] for body in of_type(sync.told, "order.filled.1")}
    assert products == {sync.product}
    assert {body["source"] for body in of_type(sync.told, "order.filled.1")} == {"sync"}


def test_a_key_that_may_withdraw_says_so(sync: Sync) -> None:
    may = sync.ask(sync.row.permissions())
    assert may.withdraw is False
    assert may.uid
    sync.desk("change_account", withdraw=True)
    assert sync.ask(sync.row.permissions()).withdraw is True


def test_history_counts_as_read_up_to_now(sync: Sync) -> None:
    storm(sync, 8, 40)
    sync.run()
    for kind in ("cash", "fills"):
        page = sync.read(kind)
        assert (page.through_ms, page.more) == (sync.clock(), False)


def test_cursors_stay_small(sync: Sync) -> None:
    storm(sync, 9, 1_500)
    sync.run()
    for kind, cursor in sync.cursors.items():
        assert len(repr(cursor)) < 250_000, kind
    assert told_fills(sync.told) == true_fills(sync.truth())
