"""The exchange's own arithmetic against figures worked by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.exchange.amounts import exact, fixed, plain, written
from deploy.exchange.books import apply_fill, value_of
from deploy.exchange.exchange import Exchange
from deploy.exchange.state import Account, Happened, Market, Position, Product, Rules

T0 = 1_790_000_000_000


def market(product: Product, size: str = "1") -> Market:
    settle = "BTC" if product == "inverse" else "USDT"
    return Market(
        "x", product, f"BTC-{product}", "BTC", "USDT", settle, "0.1", "0.001", Fraction(100),
        contract_size=exact(size),
    )  # fmt: skip


class World:
    """One account of a venue with pockets or without."""

    def __init__(self, *, pockets: bool = True, hedge: bool = False) -> None:
        self.markets = {name: market(name) for name in ("linear", "spot")}
        self.markets["inverse"] = market("inverse")
        self.now = T0
        self.exchange = Exchange(
            {"x": Rules(pockets=pockets)}, self.markets.values(), clock=lambda: self.now
        )
        self.account = self.exchange.add_account(
            Account("x", "1", "key", "secret", products=("linear", "inverse", "spot"), hedge=hedge)
        )

    def trade(self, product: str, side: str, qty: str, price: str, **rest: Any) -> str:
        """What it realized."""
        fill = self.exchange.trade(
            self.account, self.markets[product], side, qty, price, **({"fee": "0"} | rest)
        )
        return plain(fill.realized)

    def wallet(self, asset: str, pocket: str = "linear") -> str:
        return plain(self.account.live.wallets[pocket, asset])

    def held(self, product: Product = "linear", side: Any = "net") -> tuple[str, str]:
        """(quantity, average entry)"""
        name = self.markets[product].symbol
        position = self.account.live.positions[product, name, side]
        return plain(position.qty), plain(position.entry, 10)


def test_a_long_adds_at_the_average_and_closes_in_parts() -> None:
    world = World()
    assert world.trade("linear", "buy", "1", "100") == "0"
    assert world.trade("linear", "buy", "1", "110") == "0"
    assert world.held() == ("2", "105")
    assert world.trade("linear", "sell", "0.5", "120") == "7.5"
    assert world.held() == ("1.5", "105")
    assert world.trade("linear", "sell", "1.5", "100") == "-7.5"
    assert world.held() == ("0", "0")
    assert world.wallet("USDT") == "0"


def test_a_short_gains_when_the_price_falls() -> None:
    world = World()
    world.trade("linear", "sell", "2", "100")
    world.trade("linear", "sell", "1", "130")
    assert world.held() == ("-3", "110")
    assert world.trade("linear", "buy", "3", "90") == "60"


def test_one_fill_turns_a_position_and_opens_at_its_own_price() -> None:
    world = World()
    world.trade("linear", "buy", "2", "100")
    assert world.trade("linear", "sell", "5", "110") == "20"
    assert world.held() == ("-3", "110")
    assert world.trade("linear", "buy", "3", "105") == "15"
    assert world.wallet("USDT") == "35"


def test_the_legs_of_a_hedge_do_not_touch_each_other() -> None:
    world = World(hedge=True)
    world.trade("linear", "buy", "1", "100", position_side="long")
    world.trade("linear", "sell", "2", "100", position_side="short")
    assert world.trade("linear", "buy", "2", "90", position_side="short") == "20"
    assert world.held(side="long") == ("1", "100")
    assert world.held(side="short") == ("0", "0")


def test_an_inverse_entry_is_the_harmonic_average() -> None:
    """The venue's own example: 1000 at 5000 and 2000 at 6000."""
    world = World()
    world.trade("inverse", "buy", "1000", "5000")
    world.trade("inverse", "buy", "2000", "6000")
    assert world.held("inverse") == ("3000", "5625")
    assert world.trade("inverse", "sell", "3000", "7500") == "0.13333333"
    assert world.wallet("BTC", "inverse") == "0.13333333"


def test_an_inverse_short_turns() -> None:
    world = World()
    world.trade("inverse", "sell", "100", "50")
    assert world.trade("inverse", "buy", "300", "40") == "0.5"
    assert world.held("inverse") == ("200", "40")


def test_each_fill_is_rounded_as_the_venue_rounds() -> None:
    """Three thirds of 4 are 3.99999999: what the wallet got is what the rows say."""
    world = World()
    for price in ("100", "101", "101"):
        world.trade("linear", "buy", "1", price)
    closes = [world.trade("linear", "sell", "1", "102") for _ in range(3)]
    assert closes == ["1.33333333"] * 3
    assert world.wallet("USDT") == "3.99999999"


def test_a_spot_buy_pays_its_fee_in_what_it_bought() -> None:
    world = World()
    world.trade("spot", "buy", "0.5", "30000", fee=None)
    assert (world.wallet("BTC", "spot"), world.wallet("USDT", "spot")) == ("0.49975", "-15000")
    world.trade("spot", "sell", "0.4", "31000", fee=None)
    assert (world.wallet("BTC", "spot"), world.wallet("USDT", "spot")) == ("0.09975", "-2606.2")


def test_a_fee_may_be_paid_in_a_third_asset_or_be_a_rebate() -> None:
    world = World()
    world.trade("linear", "buy", "1", "100", fee="0.001", fee_asset="BNB")
    world.trade("linear", "sell", "1", "101", fee="-0.02")
    assert (world.wallet("BNB"), world.wallet("USDT")) == ("-0.001", "1.02")


def test_a_fee_that_comes_later_changes_the_row_and_is_paid_then() -> None:
    world = World()
    fill = world.exchange.trade(
        world.account, world.markets["linear"], "buy", "1", "100", fee_known=False, at_ms=T0 - 5000
    )
    assert (fill.fee, world.wallet("USDT")) == (None, "0")
    fill.row = "prepared"
    entry = world.exchange.settle_fee(world.account, fill, "0.05")
    assert (fill.fee, fill.revision, fill.row) == (exact("0.05"), 2, None)
    assert (entry.at_ms, world.wallet("USDT")) == (T0, "-0.05")


def test_a_long_pays_a_positive_rate_and_a_short_receives_it() -> None:
    world = World()
    world.trade("linear", "buy", "2", "100")
    linear = world.markets["linear"]
    paid = world.exchange.fund(world.account, linear, rate="0.0001")
    assert (plain(paid.funding), world.wallet("USDT")) == ("-0.02", "-0.02")
    world.trade("linear", "sell", "5", "100")
    received = world.exchange.fund(world.account, linear, rate="0.0001")
    assert plain(received.funding) == "0.03"


def test_one_wallet_for_all_products_where_the_venue_has_one() -> None:
    world = World(pockets=False)
    world.trade("spot", "buy", "1", "100")
    world.trade("linear", "buy", "1", "100", fee="1")
    assert world.wallet("USDT", "unified") == "-101"


def test_a_self_trade_has_one_id_and_two_sides() -> None:
    world = World()
    linear = world.markets["linear"]
    first = world.exchange.trade(world.account, linear, "buy", "1", "100")
    other = world.exchange.trade(world.account, linear, "sell", "1", "100", trade_id=first.trade_id)
    assert (first.trade_id, first.side) == (other.trade_id, "buy")
    assert other.side == "sell"


def test_an_order_fills_in_parts() -> None:
    world = World()
    linear = world.markets["linear"]
    order = world.exchange.place(world.account, linear, "buy", "3", "100")
    world.trade("linear", "buy", "1", "100", order=order)
    assert (order.status, order.open) == ("partly_filled", True)
    world.trade("linear", "buy", "2", "99", order=order)
    assert (order.status, plain(order.spent), world.account.open_orders) == ("filled", "298", {})


def test_listeners_hear_of_orders_fills_and_cash_in_their_order() -> None:
    world = World()
    heard: list[Happened] = []
    world.account.listeners.append(heard.append)
    order = world.exchange.place(world.account, world.markets["linear"], "buy", "1", "100")
    world.trade("linear", "buy", "1", "100", order=order)
    world.exchange.move(world.account, "bonus", "USDT", "5", product="linear")
    assert [one.kind for one in heard] == ["order", "fill", "cash"]
    assert [plain(entry.after) for one in heard for entry in one.entries] == ["0", "5"]


def test_rows_are_in_the_order_of_time_whenever_they_were_booked() -> None:
    world = World()
    for at_ms in (T0, T0 - 60_000, T0 - 30_000):
        world.trade("linear", "buy", "1", "100", at_ms=at_ms)
    assert [fill.at_ms for fill in world.account.fills] == [T0 - 60_000, T0 - 30_000, T0]
    ids = [fill.trade_id for fill in world.account.by_symbol["linear", "BTC-linear"]]
    assert ids == sorted(ids)


fills = st.lists(
    st.tuples(
        st.sampled_from((1, -1)), st.integers(1, 500), st.integers(1, 100_000)
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@given(fills, st.sampled_from(("linear", "inverse")), st.integers(1, 100_000))
def test_realized_and_unrealized_are_what_was_traded_at_the_mark(
    rows: list[tuple[int, int, int]], product: Product, mark: int
) -> None:
    """Whatever was bought and sold: both together are the value held less the value traded."""
    where = market(product, "0.01")
    where.mark = Fraction(mark, 10)
    position, realized, spent = Position(where, "net"), Fraction(0), Fraction(0)
    for sign, steps, ticks in rows:
        signed, price = Fraction(sign * steps, 1000), Fraction(ticks, 10)
        realized += apply_fill(position, signed, price).realized
        spent += value_of(where, signed, price)
    held = value_of(where, position.qty, where.mark) if position.qty else Fraction(0)
    total = held - spent
    assert realized + position.unrealized == (-total if product == "inverse" else total)
    assert position.qty == sum((Fraction(sign * steps, 1000) for sign, steps, _ in rows))


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        ("1", 8, "1.00000000"), ("-0.5", 0, "0"), ("-1.5", 0, "-2"), ("0.000000005", 8,
        "0.00000000"), ("0.000000015", 8, "0.00000002"), ("-12.345", 2, "-12.34"),
    ],
)  # fmt: skip
def test_amounts_are_written_with_so_many_places(value: str, places: int, text: str) -> None:
    assert fixed(exact(value), places) == text


def test_amounts_are_written_without_loss_where_a_venue_has_fewer_places() -> None:
    assert (written(exact("5"), 2), written(exact("0.125"), 2)) == ("5.00", "0.125")
    assert (plain(exact("5.10")), plain(exact("0"))) == ("5.1", "0")


def test_a_float_is_no_amount() -> None:
    with pytest.raises(TypeError, match="amounts are text"):
        exact(0.1)  # type: ignore[arg-type]
