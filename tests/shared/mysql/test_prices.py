"""The stored price of a moment, and fees valued at the time of their fill."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.ledger.observed import ObservedPosition
from shared.ledger.valuation import KINDS, Converted, Price, Unpriceable, choose, convert
from shared.mysql import price_series
from shared.mysql.book import Book
from shared.mysql.fees import ValuedFee, fees_in
from shared.mysql.prices import (
    StoredPrice,
    StoredRates,
    latest_prices,
    record_prices,
)
from tests.ledger_world import DAY_MS, FIRST_DAY, report

D = Decimal
START = datetime(2024, 10, 4, tzinfo=UTC)
BTC = ("binance", "linear", "BTCUSDT")
HOUR = timedelta(hours=1)


def stored(text: str, at: datetime = START, kind: str = "mark", **more: Any) -> StoredPrice:
    named: dict[str, Any] = {
        "venue": "binance",
        "product": "linear",
        "instrument": "BTCUSDT",
        "base_asset": None,
        "quote_asset": None,
        "source": "import",
    }
    return StoredPrice(kind=kind, at=at, price=D(text), **named | more)


def pair(base: str, quote: str, text: str, at: datetime = START, **more: Any) -> StoredPrice:
    named = {"instrument": base + quote, "base_asset": base, "quote_asset": quote, **more}
    return stored(text, at, **named)


def observed(mark: str) -> ObservedPosition:
    return ObservedPosition(
        1, *BTC[1:], "net", FIRST_DAY, "binance", D(1), None, D(mark), None, None, bytes(16), "{}"
    )


def test_each_instrument_gets_the_last_price_at_or_before_its_moment(mysql_schema: Any) -> None:
    eth = ("binance", "linear", "ETHUSDT")
    record_prices(
        mysql_schema,
        [
            stored("1"), stored("2", START + HOUR), stored("3", START + 2 * HOUR),
            stored("9", START + HOUR, instrument="ETHUSDT", kind="last"),
            stored("7", START + HOUR, venue="okx"),
        ],
    )  # fmt: skip
    microsecond = timedelta(microseconds=1)
    wanted = [(BTC, START + HOUR - microsecond), (BTC, START + HOUR), (eth, START + HOUR)]
    late = (BTC, START + 50 * HOUR)
    none = (("binance", "spot", "BTCUSDT"), START)
    assert latest_prices(mysql_schema, [*wanted, late, none]) == {
        wanted[0]: Price(D(1), START, "mark", "import"),
        wanted[1]: Price(D(2), START + HOUR, "mark", "import"),
        wanted[2]: Price(D(9), START + HOUR, "last", "import"),
        late: Unpriceable("stale_price", "BTCUSDT"),
        none: Unpriceable("no_price", "BTCUSDT"),
    }


def test_many_moments_are_looked_up_in_their_order(mysql_schema: Any) -> None:
    count = 300
    record_prices(mysql_schema, [stored(str(n + 1), START + n * HOUR) for n in range(count)])
    wanted = [(BTC, START + n * HOUR + HOUR / 2) for n in reversed(range(count))]
    found = latest_prices(mysql_schema, wanted)
    assert [one.price for one in found.values() if isinstance(one, Price)] == list(
        range(count, 0, -1)
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("parts", "page"), [(1, 1), (2, 3), (50, 500)])
def test_however_it_is_read_each_moment_gets_the_last_price_of_each_kind(
    mysql_schema: Any, monkeypatch: pytest.MonkeyPatch, seed: int, parts: int, page: int
) -> None:
    """Against the plain search; moments and prices meet, several venues tell one moment."""
    monkeypatch.setattr(price_series, "PARTS", parts)
    monkeypatch.setattr(price_series, "ROWS", page)
    draw = random.Random(seed)

    def moment() -> datetime:
        return START + timedelta(minutes=draw.choice([1, 20, 600]) * draw.randrange(12))

    told = {
        row[:5]: row
        for row in (
            pair(
                draw.choice(["BNB", "BTC"]), "USDT", str(draw.randrange(1, 99)), moment(),
                kind=draw.choice(KINDS), venue=draw.choice(["binance", "okx", "Zé"]),
                product=draw.choice(["linear", "spot"]),
            )
            for _ in range(draw.choice([1, 30, 60]))
        )
    }  # fmt: skip
    record_prices(mysql_schema, told.values())

    def plain(moment: datetime, what: str, known: Callable[[StoredPrice], bool]) -> Any:
        by_then = [row for row in told.values() if known(row) and row.at <= moment]
        last = [
            max(rows, key=lambda row: (row.at, row[:3]))
            for kind in KINDS
            if (rows := [row for row in by_then if row.kind == kind])
        ]
        return choose([Price(r.price, r.at, r.kind, r.source) for r in last], moment, what)

    asked = [moment() - draw.choice([HOUR, timedelta(0)]) for _ in range(40)]
    conversions = [(base, "USDT", at) for base in ("BNB", "XYZ") for at in asked]
    rates = StoredRates(mysql_schema, conversions)
    things = [(row[:3], at) for row in told.values() for at in asked[:7]]
    prices = latest_prices(mysql_schema, things)
    for at in asked:
        assert rates.at(at)("BNB", "USDT") == plain(at, "BNB/USDT", lambda r: r.base_asset == "BNB")
        assert rates.at(at)("XYZ", "USDT") == Unpriceable("no_price", "XYZ/USDT")
    for thing, at in things:
        assert prices[thing, at] == plain(at, thing[2], lambda r: r[:3] == thing)  # noqa: B023 - at once


def test_nothing_is_asked_for_nothing(mysql_schema: Any) -> None:
    assert latest_prices(mysql_schema, []) == {}


def test_a_price_is_replaced_and_keeps_the_assets_that_it_knew(mysql_schema: Any) -> None:
    record_prices(mysql_schema, [pair("BTC", "USDT", "1")])
    record_prices(mysql_schema, [stored("2")])
    rates = StoredRates(mysql_schema, [("BTC", "USDT", START)]).at(START)
    assert rates("BTC", "USDT") == Price(D(2), START, "mark", "import")


@pytest.mark.parametrize("seed", range(8))
def test_the_price_of_a_moment_is_that_of_the_best_source_in_any_order(
    mysql_schema: Any, seed: int
) -> None:
    draw = random.Random(seed)
    told = [
        stored(str(draw.randrange(1, 99)), source=draw.choice(["observed", "sync"]))
        for _ in range(draw.randrange(1, 6))
    ]
    if seed % 2:
        told.append(stored("50", source="import"))
    best = max(told, key=lambda one: (["observed", "sync", "import"].index(one.source), one.price))
    for hour in range(6):
        at = START + hour * HOUR
        for one in draw.sample(told * 2, len(told) * 2):
            record_prices(mysql_schema, [one._replace(at=at)])
        found = latest_prices(mysql_schema, [(BTC, at)])
        assert found[BTC, at] == Price(best.price, at, "mark", best.source)


def test_a_mark_of_a_report_leaves_an_imported_price_alone(mysql_schema: Any) -> None:
    record_prices(mysql_schema, [pair("BTC", "USDT", "90", instrument="BTCUSDT")])
    Book(mysql_schema).record_observed_positions([observed("101")])
    rates = StoredRates(mysql_schema, [("BTC", "USDT", START)]).at(START)
    assert rates("BTC", "USDT") == Price(D(90), START, "mark", "import")
    record_prices(mysql_schema, [stored("80")])
    assert latest_prices(mysql_schema, [(BTC, START)])[BTC, START] == Price(
        D(80), START, "mark", "import"
    )


def test_pairs_are_converted_by_the_newest_price_of_the_best_kind(mysql_schema: Any) -> None:
    record_prices(
        mysql_schema,
        [
            pair("BNB", "USDT", "600", kind="last"),
            pair("BNB", "USDT", "590", kind="index"),
            pair("BNB", "USDT", "580", START - HOUR, kind="index"),
            pair("BNB", "USDT", "591", kind="index", venue="okx"),
            pair("EUR", "USDT", "1.2"),
        ],
    )
    rates = StoredRates(mysql_schema, [("BNB", "EUR", START), ("BNB", "USDT", START)]).at(START)
    direct = convert(D(1), "BNB", "USDT", rates)
    assert isinstance(direct, Converted)
    assert direct.amount == 591  # of two venues at one time the last by name
    through = convert(D(12), "BNB", "EUR", rates)
    assert isinstance(through, Converted)
    assert through.amount == 5910
    assert StoredRates(mysql_schema, []).at(START)("BNB", "USDT") == Unpriceable(
        "no_price", "BNB/USDT"
    )


# ---- fees


def paid(at_ms: int, **fields: Any) -> Any:
    return report(trade_id=str(at_ms), executed_at_ms=FIRST_DAY + at_ms, **fields)


def value_of(fee: ValuedFee) -> Any:
    return fee.value.amount if isinstance(fee.value, Converted) else fee.value


def test_a_fee_in_another_asset_is_worth_what_that_cost_when_the_fill_was_made(
    mysql_schema: Any,
) -> None:
    Book(mysql_schema).record_fills(
        [
            paid(1, fee="0.01", fee_asset="BNB"),
            paid(3_600_001, fee="0.01", fee_asset="BNB"),
            paid(2, fee="5", fee_asset="USDT"),
            paid(3, fee=None),
            paid(4, fee="-0.02", fee_asset="BNB", instrument="ETHUSDT"),
            paid(5, fee="7", fee_asset="XYZ"),
            paid(DAY_MS, fee="0.01", fee_asset="BNB"),
        ]
    )
    record_prices(
        mysql_schema, [pair("BNB", "USDT", "600"), pair("BNB", "USDT", "650", START + HOUR)]
    )
    found = fees_in(mysql_schema, 1, date(2024, 10, 4), date(2024, 10, 4))
    assert [(one.trade_id, value_of(one)) for one in found] == [
        ("1", 6),
        ("4", -12),
        ("5", Unpriceable("no_price", "XYZ/USDT")),
        ("3600001", D("6.5")),
    ]
    assert found[0] == ValuedFee(
        "linear", "BTCUSDT", "1", "buy", START + timedelta(milliseconds=1), D("0.01"), "BNB",
        "USDT", Converted(D(6), (Price(D(600), START, "mark", "import"),)),
    )  # fmt: skip


def test_a_fee_in_what_was_bought_is_worth_the_price_of_the_fill(mysql_schema: Any) -> None:
    Book(mysql_schema).record_fills(
        [paid(1, product="spot", qty="1", price="200", fee="0.1", fee_asset="BTC")]
    )
    record_prices(mysql_schema, [pair("EUR", "USDT", "2")])
    (own,) = fees_in(mysql_schema, 1, date(2024, 10, 4), date(2024, 10, 4))
    assert value_of(own) == 20
    (other,) = fees_in(mysql_schema, 1, date(2024, 10, 4), date(2024, 10, 4), "EUR")
    assert (other.into, value_of(other)) == ("EUR", 10)


@pytest.mark.parametrize("day", [date(2024, 10, 3), date(2024, 10, 5)])
def test_fees_of_other_days_are_left_out(mysql_schema: Any, day: date) -> None:
    Book(mysql_schema).record_fills([paid(0, fee="1", fee_asset="BNB")])
    assert fees_in(mysql_schema, 1, day, day) == []


def test_a_mark_of_an_observed_position_is_a_price(mysql_schema: Any) -> None:
    Book(mysql_schema).record_observed_positions([observed("101")])
    assert latest_prices(mysql_schema, [(BTC, START)]) == {
        (BTC, START): Price(D(101), START, "mark", "observed")
    }
