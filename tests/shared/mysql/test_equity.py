"""Equity at any moment, against a wallet kept with plain fractions and no average cost at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from shared.ledger.entries import PositionEntry
from shared.ledger.equity import FLOW_KINDS
from shared.ledger.observed import ObservedBalance
from shared.ledger.performance import EquityPoint, time_weighted
from shared.ledger.valuation import Unpriceable
from shared.mysql.book import Book
from shared.mysql.equity import equity_curve, equity_rows
from shared.mysql.prices import StoredPrice, record_prices
from tests.ledger_world import DAY_MS, FIRST_DAY, amount, cash, report

D = Decimal
DAY = date(2024, 10, 4)
NOON = FIRST_DAY + DAY_MS // 2
HOUR_MS = 3_600_000


def moment(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def day(number: int) -> date:
    return DAY + timedelta(days=number)


def price(at_ms: int, text: str, instrument: str = "BTCUSDT", **more: Any) -> StoredPrice:
    return StoredPrice(
        "binance", more.get("product", "linear"), instrument, more.get("kind", "mark"),
        moment(at_ms), D(text), None, None, "import",
    )  # fmt: skip


def entry(kind: str, qty: str, cost: str, at_ms: int, **more: Any) -> PositionEntry:
    return PositionEntry(
        1, more.get("product", "linear"), more.get("instrument", "BTCUSDT"), "net", kind,
        more.get("ref", str(at_ms)), "binance", at_ms, D(qty), D(cost),
        D(more.get("size", 1)), "USDT", bytes(16), "{}",
    )  # fmt: skip


def wallet(text: str, at_ms: int, asset: str = "USDT", product: str = "") -> ObservedBalance:
    return ObservedBalance(1, asset, product, at_ms, "binance", D(text), bytes(16), "{}")


def transfer(text: str, at_ms: int, ref: str = "t", **more: Any) -> Any:
    kind = "transfer_out" if text.startswith("-") else "transfer_in"
    told = {"kind": kind, "instrument": "", "product": "", "venue_type": kind, **more}
    return cash(ref=ref, amount=text, at_ms=at_ms, **told)


class Books:
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.book = Book(connection)

    def curve(self, days: int = 1, asset: str = "USDT") -> list[EquityPoint]:
        return equity_curve(self.connection, 1, DAY, day(days - 1)).get(asset, [])

    def prices(self, *prices: StoredPrice) -> None:
        record_prices(self.connection, prices)


@pytest.fixture
def books(mysql_schema: Any) -> Books:
    return Books(mysql_schema)


def told(points: Sequence[EquityPoint]) -> list[Any]:
    """(hours after the first midnight, cash, unrealized, flow)."""
    return [
        ((one.at - moment(FIRST_DAY)) // timedelta(hours=1), one.cash, one.unrealized, one.flow)
        for one in points
    ]


# ---- the curve


def test_a_transfer_cuts_the_curve_at_its_moment_and_is_no_return(books: Books) -> None:
    books.book.record_cash([transfer("1000", FIRST_DAY), transfer("9000", NOON, "u")])
    books.book.record_fills(
        [
            report(trade_id="1", qty="10", price="100", executed_at_ms=FIRST_DAY + HOUR_MS),
            report(
                trade_id="2", qty="10", price="110", side="sell", executed_at_ms=NOON + HOUR_MS
            ),
        ]
    )
    books.prices(price(NOON, "105"))
    points = books.curve()
    assert told(points) == [(0, 0, 0, 1000), (12, 1000, 50, 9000), (24, 10100, 0, 0)]
    # 5 % on 1,000, then 0.497... % on 10,050: not the 1 % of (10,100 - 10,000) / 10,000
    assert time_weighted(points).total == D("0.05522388059701492537").quantize(D("1E-18"))


def test_a_movement_at_midnight_is_of_the_new_day(books: Books) -> None:
    books.book.record_cash([transfer("5", FIRST_DAY + DAY_MS), cash(at_ms=FIRST_DAY + DAY_MS)])
    assert told(books.curve(2)) == [(0, 0, 0, 0), (24, 0, 0, 5), (48, 6, 0, 0)]


def test_fees_funding_and_rebates_are_cash_and_no_flow(books: Books) -> None:
    books.book.record_cash(
        [
            cash(ref="f", amount="-3"),
            cash(ref="r", amount="0.5", kind="rebate"),
            cash(ref="c", amount="-9", kind="commission"),
            cash(ref="z", amount="77", kind="realized"),
        ]
    )
    books.book.record_fills(
        [
            report(fee="0.25", fee_asset="USDT"),
            report(trade_id="2", side="sell", price="104", fee="0.1", fee_asset="BNB"),
        ]
    )
    assert told(books.curve()) == [(0, 0, 0, 0), (24, D("1.25"), 0, 0)]
    assert told(books.curve(asset="BNB")) == [(0, 0, 0, 0), (24, D("-0.1"), 0, 0)]


def test_the_curve_ties_with_the_first_balance_that_was_observed(books: Books) -> None:
    books.book.record_cash([cash(ref="a", amount="4", at_ms=NOON - 1)])
    books.book.record_observed_balances([wallet("500", NOON), wallet("9", NOON + HOUR_MS)])
    books.book.record_cash([cash(ref="b", amount="2", at_ms=NOON + 1)])
    assert told(books.curve()) == [(0, 496, 0, 0), (24, 502, 0, 0)]


def test_wallets_of_several_products_begin_together(books: Books) -> None:
    books.book.record_cash([transfer("100", FIRST_DAY)])
    books.book.record_observed_balances(
        [wallet("60", NOON, product="linear"), wallet("40", NOON + 5, product="spot")]
    )
    assert [one.cash for one in books.curve()] == [0, 100]


def test_an_opening_is_a_flow_of_its_value_and_no_return(books: Books) -> None:
    books.book.record_observed_balances([wallet("1000", FIRST_DAY)])
    books.prices(price(NOON, "120"), price(FIRST_DAY + DAY_MS - 1, "130"))
    books.book.record_position_entries([entry("open", "2", "200", NOON)])
    points = books.curve()
    assert told(points) == [(0, 1000, 0, 0), (12, 1000, 0, 40), (24, 1000, 60, 0)]
    assert time_weighted(points).total == (D(20) / D(1040)).quantize(D("1E-18"))


def test_a_position_without_a_price_makes_a_point_unpriceable_and_says_why(books: Books) -> None:
    books.book.record_fills(
        [report(), report(trade_id="2", instrument="ETHUSDT", executed_at_ms=FIRST_DAY + 1)]
    )
    books.prices(price(FIRST_DAY, "100", "ETHUSDT"))
    _, end, late = books.curve(2)
    assert (end.unrealized, end.equity) == (None, None)
    assert end.unpriceable == (Unpriceable("no_price", "BTCUSDT"),)
    assert end.oldest_price_at == moment(FIRST_DAY)
    assert late.unpriceable[1] == Unpriceable("stale_price", "ETHUSDT")


def test_a_flat_position_needs_no_price(books: Books) -> None:
    books.book.record_fills([report(), report(trade_id="2", side="sell", price="101")])
    assert told(books.curve()) == [(0, 0, 0, 0), (24, 1, 0, 0)]


def test_a_day_in_two_settle_assets_is_settled_by_its_fills(books: Books) -> None:
    books.book.record_fills(
        [
            report(settle_asset="USDT"),
            report(trade_id="2", settle_asset="USDC", executed_at_ms=FIRST_DAY + 1),
            report(trade_id="3", executed_at_ms=FIRST_DAY + 2 * DAY_MS, settle_asset="USDC"),
        ]
    )
    books.prices(price(FIRST_DAY + DAY_MS - 1, "110"))
    assert told(books.curve(1, "USDC")) == [(0, 0, 0, 0), (24, 0, 20, 0)]


# ---- spot


def spot(**fields: Any) -> Any:
    return report(product="spot", **fields)


def test_a_spot_purchase_leaves_cash_at_cost_and_a_base_fee_is_part_of_it(books: Books) -> None:
    books.book.record_cash([transfer("1000", FIRST_DAY)])
    books.book.record_fills(
        [spot(qty="2", price="100", fee="0.1", fee_asset="BTC", executed_at_ms=FIRST_DAY + 1)]
    )
    books.prices(price(NOON, "110", product="spot"))
    assert told(books.curve()) == [(0, 0, 0, 1000), (24, 1000, 9, 0)]  # 1.9 * 110 - 200
    assert books.curve(asset="BTC") == []


def test_coins_that_come_with_a_basis_flow_in_at_the_price_of_the_moment(books: Books) -> None:
    books.book.record_cash(
        [transfer("1", NOON, asset="BTC", instrument="BTCUSDT", product="spot")]
    )
    books.book.record_position_entries([entry("in", "1", "60", NOON, product="spot")])
    books.book.record_fills([spot(qty="0.5", price="200", side="sell", executed_at_ms=NOON + 1)])
    books.prices(price(NOON, "100", product="spot"), price(NOON + 2, "150", product="spot"))
    points = books.curve()
    assert told(points) == [(0, 0, 0, 0), (12, 0, 0, 100), (24, 130, 45, 0)]
    assert [one.equity for one in points] == [0, 0, 175]  # half of it at 150, and 100 received
    assert all(one.equity == 0 for one in books.curve(asset="BTC"))


def test_coins_that_only_came_are_in_the_holding_alone(books: Books) -> None:
    books.book.record_cash(
        [transfer("1", NOON, asset="BTC", instrument="BTCUSDT", product="spot")]
    )
    came = entry("in", "1", "60", NOON, product="spot")._replace(data='{"asset": "BTC"}')
    books.book.record_position_entries([came])
    books.prices(price(NOON, "100", product="spot"))
    assert [one.equity for one in books.curve()] == [0, 0, 100]
    assert all(one.equity == 0 for one in books.curve(asset="BTC"))


def test_coins_that_leave_take_their_value_with_them(books: Books) -> None:
    books.book.record_fills([spot(qty="2", price="60")])
    books.book.record_cash(
        [transfer("-1", NOON, asset="BTC", instrument="BTCUSDT", product="spot")]
    )
    books.book.record_position_entries([entry("out", "1", "0", NOON, product="spot")])
    books.prices(price(FIRST_DAY, "100", product="spot"))
    points = books.curve()
    assert told(points) == [(0, 0, 0, 0), (12, 0, 80, -100), (24, -60, 40, 0)]
    assert time_weighted(points).total is None  # nothing was ever put in


def test_what_is_sold_without_a_basis_is_an_exchange_of_coins_for_money(books: Books) -> None:
    books.book.record_observed_balances(
        [wallet("1", FIRST_DAY, "BTC", "spot"), wallet("500", FIRST_DAY, "USDT", "spot")]
    )
    books.book.record_fills([spot(side="sell", qty="1", price="100", executed_at_ms=NOON)])
    assert told(books.curve()) == [(0, 500, 0, 0), (12, 500, 0, 100), (24, 600, 0, 0)]
    assert told(books.curve(asset="BTC")) == [(0, 1, 0, 0), (12, 1, 0, -1), (24, 0, 0, 0)]


def test_a_spot_wallet_that_is_seen_later_holds_what_was_bought(books: Books) -> None:
    books.book.record_fills([spot(qty="2", price="100")])
    books.book.record_observed_balances(
        [wallet("2", NOON, "BTC", "spot"), wallet("800", NOON, "USDT", "spot")]
    )
    books.prices(price(NOON, "100", product="spot"))
    assert told(books.curve()) == [(0, 1000, 0, 0), (24, 1000, 0, 0)]
    assert books.curve(asset="BTC") == []


def test_an_opening_takes_the_coins_out_of_the_wallet_they_were_seen_in(books: Books) -> None:
    books.book.record_observed_balances([wallet("2", FIRST_DAY, "BTC", "spot")])
    books.book.record_position_entries([entry("open", "2", "150", NOON, product="spot")])
    books.book.record_fills([spot(qty="1", price="100", executed_at_ms=NOON + 1)])
    books.prices(price(NOON, "100", product="spot"))
    assert told(books.curve(asset="BTC")) == [(0, 2, 0, 0), (12, 2, 0, -2), (24, 0, 0, 0)]
    assert told(books.curve()) == [(0, 0, 0, 0), (12, 0, 0, 200), (24, 150, 50, 0)]


# ---- against wallets in fractions

PRODUCTS = ("linear", "spot", "inverse")
SETTLES = {"linear": "USDT", "spot": "USDT", "inverse": "BTC"}
DAYS = 3


def history(draw: random.Random) -> list[Any]:
    """Fills, cash and entries of three days; margin positions are opened before they trade."""
    things: list[Any] = []
    for product in ("linear", "inverse"):
        made = entry("open", amount(draw, 2, 4), amount(draw, 3, 3), FIRST_DAY + 5, product=product)
        things.append(made._replace(settle_asset=SETTLES[product]))
    at = FIRST_DAY + 6
    for number in range(90):
        at += draw.choice([0, 1, HOUR_MS, DAY_MS // 20])
        what, product = draw.random(), draw.choice(PRODUCTS)
        if what < 0.7:
            things.append(
                report(
                    product=product, trade_id=str(number), executed_at_ms=at, venue_seq=number,
                    side=draw.choice(["buy", "sell"]), qty=amount(draw, 2, 4),
                    price=amount(draw, 4, 3), fee=draw.choice([None, amount(draw, 1, 4)]),
                    fee_asset=draw.choice(["USDT", "BNB", "BTC"]), settle_asset=SETTLES[product],
                )
            )  # fmt: skip
        elif what < 0.85:
            kind = draw.choice([*FLOW_KINDS, "funding", "rebate", "commission", "interest"])
            sign = draw.choice(["", "-"])
            things.append(
                cash(
                    ref=str(number), amount=sign + amount(draw, 3, 3), at_ms=at, kind=kind,
                    asset=draw.choice(["USDT", "BTC"]), product="", instrument="",
                )
            )  # fmt: skip
        else:
            kind = draw.choice(["open", "in", "out"])
            cost = "0" if kind == "out" else amount(draw, 4, 3)
            things.append(
                entry(kind, amount(draw, 2, 4), cost, at, product="spot", ref=str(number))
            )
    return things


class Wallets:
    """Money and coins, moved thing by thing. Of margin positions the quantity and the value of all
    its trades: what they made is the value of one less the other.
    """

    def __init__(self) -> None:
        self.money = {"USDT": Fraction(0), "BTC": Fraction(0), "BNB": Fraction(0)}
        self.coins = Fraction(0)
        self.margin = {"linear": [Fraction(0)] * 2, "inverse": [Fraction(0)] * 2}

    def equity(self, asset: str, prices: dict[str, Fraction]) -> Fraction:
        linear, inverse = self.margin["linear"], self.margin["inverse"]
        positions = {
            "USDT": linear[0] * prices["linear"] - linear[1] + self.coins * prices["spot"],
            "BTC": inverse[1] - inverse[0] / prices["inverse"],
        }
        return self.money[asset] + positions.get(asset, 0)

    def take(self, thing: Any, prices: dict[str, Fraction]) -> dict[str, Fraction]:
        """Moves it; returns what of it comes from outside, by asset."""
        if hasattr(thing, "venue_type"):
            if thing.kind != "commission":
                self.money[thing.asset] += Fraction(thing.amount)
            return {thing.asset: Fraction(thing.amount)} if thing.kind in FLOW_KINDS else {}
        if hasattr(thing, "cost"):
            return self._entry(thing, prices)
        qty, value = Fraction(thing.qty), Fraction(thing.qty) * Fraction(thing.price)
        if thing.product == "inverse":
            value = qty / Fraction(thing.price)
        sign = 1 if thing.side == "buy" else -1
        fee = Fraction(thing.fee or 0)
        if thing.product != "spot":
            self.margin[thing.product][0] += sign * qty
            self.margin[thing.product][1] += sign * value
            self.money[thing.fee_asset] -= fee
            return {}
        self.money["USDT"] -= sign * value
        coins = sign * qty
        if thing.fee_asset == "BTC":
            coins -= fee
        else:
            self.money[thing.fee_asset] -= fee
        missing = max(Fraction(0), -(self.coins + coins))
        self.coins = max(Fraction(0), self.coins + coins)
        self.money["BTC"] -= missing
        if thing.side == "buy":
            return {"BTC": -missing}
        return {"BTC": -missing, "USDT": value * missing / -coins}

    def _entry(self, thing: Any, prices: dict[str, Fraction]) -> dict[str, Fraction]:
        qty, cost = Fraction(thing.qty), Fraction(thing.cost)
        if thing.product == "linear":
            self.margin["linear"] = [qty, cost]
            return {"USDT": qty * prices["linear"] - cost}
        if thing.product == "inverse":
            self.margin["inverse"] = [qty, cost]
            return {"BTC": cost - qty / prices["inverse"]}
        comes = {"in": qty, "out": -min(qty, self.coins), "open": qty - self.coins}[thing.kind]
        self.coins += comes
        if thing.kind == "open":
            return {"USDT": comes * prices["spot"]}
        self.money["BTC"] -= comes
        return {"USDT": comes * prices["spot"], "BTC": -comes}


def at_of(thing: Any) -> int:
    return int(getattr(thing, "executed_at_ms", getattr(thing, "at_ms", 0)))


def place(thing: Any) -> tuple[int, int, int]:
    """In: before the fills of its millisecond; out and opening: behind them."""
    rank = {"in": 0, "out": 2, "open": 3}.get(getattr(thing, "kind", ""), 1)
    return (at_of(thing), rank, getattr(thing, "venue_seq", None) or 0)


def close(one: Decimal | None, other: Fraction) -> bool:
    return one is not None and abs(Fraction(one) - other) < Fraction(1, 10**15)


@pytest.mark.parametrize("seed", range(12))
def test_equity_and_flows_are_those_of_the_wallets(books: Books, seed: int) -> None:
    draw = random.Random(seed)
    things = history(draw)
    hourly = {
        (product, hour): amount(draw, 4, 3) for product in PRODUCTS for hour in range(24 * DAYS + 1)
    }
    books.prices(
        *(
            price(FIRST_DAY + hour * HOUR_MS, text, product=product)
            for (product, hour), text in hourly.items()
        )
    )
    fills = [one for one in things if hasattr(one, "trade_id")]
    books.book.record_fills(draw.sample(fills, len(fills)))
    books.book.record_cash([one for one in things if hasattr(one, "venue_type")])
    books.book.record_position_entries([one for one in things if hasattr(one, "cost")])

    def prices_at(at_ms: int) -> dict[str, Fraction]:
        hour = (at_ms - FIRST_DAY) // HOUR_MS
        return {product: Fraction(hourly[product, hour]) for product in PRODUCTS}

    curves = equity_curve(books.connection, 1, DAY, day(DAYS - 1))
    for asset in ("USDT", "BTC", "BNB"):
        wallets, waiting = Wallets(), sorted(things, key=place)
        for point in curves[asset]:
            at_ms = (point.at - moment(0)) // timedelta(milliseconds=1)
            flow = Fraction(0)
            while waiting and at_of(waiting[0]) < at_ms:
                thing = waiting.pop(0)
                assert not wallets.take(thing, prices_at(at_of(thing))).get(asset)
            assert close(point.equity, wallets.equity(asset, prices_at(at_ms)))
            while waiting and at_of(waiting[0]) == at_ms:
                flow += wallets.take(waiting.pop(0), prices_at(at_ms)).get(asset, Fraction(0))
            assert close(point.flow, flow)


@pytest.mark.parametrize("seed", range(12, 16))
def test_a_row_of_a_moment_is_the_point_of_the_curve(books: Books, seed: int) -> None:
    draw = random.Random(seed)
    things = history(draw)
    books.prices(
        *(
            price(FIRST_DAY + hour * HOUR_MS, amount(draw, 4, 3), product=product)
            for hour in range(24 * DAYS)
            for product in PRODUCTS
        )
    )
    books.book.record_fills([one for one in things if hasattr(one, "trade_id")])
    books.book.record_cash([one for one in things if hasattr(one, "venue_type")])
    books.book.record_position_entries([one for one in things if hasattr(one, "cost")])
    curves = equity_curve(books.connection, 1, DAY, day(DAYS - 1))
    for number in range(DAYS + 1):
        at = moment(FIRST_DAY + number * DAY_MS)
        rows = {row.asset: row for row in equity_rows(books.connection, [1], at)}
        for asset, points in curves.items():
            point = next(one for one in points if one.at == at)
            before = [one.flow or D(0) for one in points if one.at < at]
            row = rows.get(asset)
            if row is None:
                assert [point.equity, *before] == [0] * (1 + len(before))
            else:
                assert (row.cash, row.unrealized) == (point.cash, point.unrealized)
                assert row.flows == sum(before, D(0))


@pytest.mark.parametrize("seed", range(16, 20))
def test_the_curve_of_some_days_is_a_part_of_the_curve(books: Books, seed: int) -> None:
    draw = random.Random(seed)
    things = history(draw)
    books.book.record_fills([one for one in things if hasattr(one, "trade_id")])
    books.book.record_cash([one for one in things if hasattr(one, "venue_type")])
    books.book.record_position_entries([one for one in things if hasattr(one, "cost")])
    seen = FIRST_DAY + draw.randrange(DAYS * DAY_MS)
    books.book.record_observed_balances(
        [wallet("777", seen), wallet("3", seen + draw.choice([0, 1, DAY_MS]), "BTC")]
    )
    whole = equity_curve(books.connection, 1, DAY, day(DAYS - 1))
    for first in range(DAYS):
        part = equity_curve(books.connection, 1, day(first), day(first))
        span = moment(FIRST_DAY + first * DAY_MS), moment(FIRST_DAY + (first + 1) * DAY_MS)
        for asset, points in part.items():
            assert points == [one for one in whole[asset] if span[0] <= one.at <= span[1]]
