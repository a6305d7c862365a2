"""Binance's trades by id: every fill exactly once, whatever pages and lateness there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.exchanges import binance_spot, binance_usdm
from shared.exchanges.binance_trades import SWEEP_MS, Trades, read_fills
from shared.exchanges.venue import Cursor, Found, Page
from tests.binance_answers import (
    MINUTE_MS,
    START_MS,
    Venue,
    account,
    drive,
    keys_of,
    told_keys,
    trade,
)

BOTH = pytest.mark.parametrize(
    "trades", [binance_usdm.TRADES, binance_spot.TRADES], ids=["usdm", "spot"]
)
DAY_MS = 86_400_000


def read(
    trades: Trades,
    venue: Venue,
    cursor: Cursor,
    wanted: Mapping[str, int] | None = None,
    pages: int = 10,
    **more: Any,
) -> tuple[list[Found], Cursor, Page]:
    """Reads until nothing is left: what was told, the cursor as it is kept, the last page."""
    found: list[Found] = []
    if wanted:
        cursor = {**cursor, "wanted": {**cursor.get("wanted", {}), **wanted}}
    for _ in range(2_000):
        reading = read_fills(trades, account(venue.now_ms, **more), cursor, pages=pages)
        page = drive(reading, venue.answer)
        found += page.events
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            return found, cursor, page
        assert page.through_ms is None
    raise AssertionError("it does not come to an end")


# -- every fill exactly once -----------------------------------------------------------------------

# Milliseconds since the trade before, how late it is shown, whether it is a trade with oneself.
TRADES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 900, 40_000, 3 * DAY_MS, 9 * DAY_MS]),
        st.sampled_from([0, 0, 0, 1, 5_000, 8 * MINUTE_MS]),
        st.booleans(),
    ),
    max_size=25,
)


@BOTH
@given(
    made=TRADES,
    limit=st.integers(2, 5),
    pages=st.integers(1, 4),
    steps=st.lists(st.sampled_from([1, 20_000, MINUTE_MS, 4 * MINUTE_MS, DAY_MS]), max_size=6),
)
@settings(max_examples=80, deadline=None)
def test_every_fill_is_told_exactly_once(
    trades: Trades,
    made: list[tuple[int, int, bool]],
    limit: int,
    pages: int,
    steps: list[int],
) -> None:
    rows, at_ms = [], START_MS
    for number, (gap, late, oneself) in enumerate(made, start=100):
        at_ms += gap
        sides = ("BUY", "SELL") if oneself else ("BUY",)
        rows += [trade(number, at_ms, side, shown_ms=at_ms + late) for side in sides]
    # Runs lie at every step, and whenever something was shown: then something else tells of it.
    moments = {row["shown_ms"] for row in rows} | {at_ms + 9 * MINUTE_MS}
    for step in steps:
        moments.add(max(moments) + step if step == 1 else START_MS + step)
    venue, shown = Venue(rows), 0
    cursor: Cursor = {}
    found: list[Found] = []
    few = trades._replace(limit=limit)
    for now_ms in sorted(moments):
        venue.now_ms = now_ms
        moved = len(venue.shown()) != shown
        shown = len(venue.shown())
        wanted = {"BTCUSDT": now_ms} if moved else None
        told, cursor, page = read(few, venue, cursor, wanted, pages)
        found += told
        assert page.through_ms == now_ms
        # The cursor is never ahead of the rows: all that was shown has been told.
        assert told_keys(found) == keys_of(venue.shown())
    assert told_keys(found) == keys_of(rows)


@BOTH
def test_a_page_that_ends_between_the_legs_of_one_trade_loses_none(trades: Trades) -> None:
    rows = [trade(1, START_MS), trade(2, START_MS), trade(2, START_MS, "SELL"), trade(3, START_MS)]
    venue = Venue(rows, now_ms=START_MS + 1_000)
    found, cursor, _ = read(trades._replace(limit=2), venue, {}, {"BTCUSDT": START_MS})
    assert told_keys(found) == keys_of(rows)
    assert read(trades._replace(limit=2), venue, cursor, {"BTCUSDT": START_MS})[0] == []


@BOTH
def test_what_is_older_than_the_account_is_not_asked_for(trades: Trades) -> None:
    rows = [trade(1, START_MS - 1), trade(2, START_MS)]
    found, _, _ = read(trades, Venue(rows, now_ms=START_MS + 5), {}, {"BTCUSDT": START_MS})
    assert told_keys(found) == keys_of(rows[1:])


def test_a_full_newest_page_of_spot_is_walked_from_the_account_s_beginning() -> None:
    rows = [trade(number, START_MS + number * 3_600_000) for number in range(200)]
    venue = Venue(rows, now_ms=START_MS + 60 * DAY_MS)
    few = binance_spot.TRADES._replace(limit=10)
    found, _, _ = read(few, venue, {}, {"BTCUSDT": START_MS})
    assert told_keys(found) == keys_of(rows)


# -- rows that change ------------------------------------------------------------------------------


@BOTH
def test_a_fee_that_comes_later_is_told_as_a_higher_revision(trades: Trades) -> None:
    row = trade(1, START_MS, commission=None, commissionAsset=None)
    venue = Venue([row], now_ms=START_MS + 1_000)
    (first,), cursor, _ = read(trades, venue, {}, {"BTCUSDT": START_MS})
    assert "fee" not in first.body
    row |= {"commission": "0.00050050", "commissionAsset": "BNB"}
    venue.now_ms += 8 * MINUTE_MS
    (second,), cursor, _ = read(trades, venue, cursor)
    assert (second.body["fee"], second.body["fee_asset"]) == ("0.00050050", "BNB")
    assert (first.body["revision"], second.body["revision"]) == (1, 2)
    assert read(trades, venue, cursor, {"BTCUSDT": START_MS})[0] == []


# -- which symbols are asked for -------------------------------------------------------------------


def asked_at(venue: Venue, cursor: Cursor, moments: list[int]) -> list[int]:
    """Those moments at which anything was asked for."""
    found = []
    for moment in moments:
        venue.now_ms, venue.asked = START_MS + moment, []
        _, cursor, _ = read(binance_usdm.TRADES, venue, cursor)
        if venue.asked:
            found.append(moment)
    return found


def test_a_symbol_that_moved_is_asked_again_ever_more_seldom_and_then_rests() -> None:
    venue = Venue([trade(1, START_MS)], now_ms=START_MS + 15_000)
    _, cursor, _ = read(binance_usdm.TRADES, venue, {}, {"BTCUSDT": START_MS})
    every_15_s = list(range(30_000, 60 * MINUTE_MS, 15_000))
    asked = asked_at(venue, cursor, every_15_s)
    assert asked == [30_000, 60_000, 120_000, 240_000, 480_000, 960_000]
    assert asked[-1] > 10 * MINUTE_MS


def test_a_symbol_that_rests_is_looked_at_a_few_times_a_day() -> None:
    venue = Venue([], now_ms=START_MS + MINUTE_MS)
    _, cursor, _ = read(binance_usdm.TRADES, venue, {}, {"BTCUSDT": START_MS})
    asked = asked_at(venue, cursor, list(range(3_600_000, 2 * DAY_MS, 600_000)))
    assert len(asked) == 2 * DAY_MS // SWEEP_MS


def test_what_the_books_hold_is_read_without_anything_else_that_names_it() -> None:
    venue = Venue([trade(1, START_MS)], now_ms=START_MS + 5)
    found, cursor, _ = read(binance_usdm.TRADES, venue, {}, held=(("linear", "BTCUSDT"),))
    assert told_keys(found) == keys_of(venue.rows)
    venue.asked = []
    read(binance_usdm.TRADES, venue, cursor, held=(("linear", "BTCUSDT"), ("spot", "ETHUSDT")))
    assert venue.asked == []


def test_a_symbol_without_a_market_waits_and_holds_nobody_up() -> None:
    venue = Venue([trade(1, START_MS)], now_ms=START_MS + 5)
    wanted = {"NEWUSDT": START_MS, "BTCUSDT": START_MS}
    found, cursor, page = read(binance_usdm.TRADES, venue, {}, wanted)
    assert told_keys(found) == keys_of(venue.rows)
    assert cursor["wanted"] == {"NEWUSDT": START_MS}
    assert (page.more, page.through_ms) == (False, None)


def test_a_bounded_reading_keeps_what_it_did_not_come_to() -> None:
    rows = [trade(1, START_MS), trade(2, START_MS, symbol="ETHUSDT")]
    venue = Venue(rows, now_ms=START_MS + 5)
    cursor: Cursor = {"wanted": {"BTCUSDT": 0, "ETHUSDT": 0}}
    reading = read_fills(binance_usdm.TRADES, account(venue.now_ms), cursor, pages=1)
    page = drive(reading, venue.answer)
    assert (page.more, len(page.events), page.cursor["wanted"]) == (True, 1, {"ETHUSDT": 0})
    found, _, _ = read(binance_usdm.TRADES, venue, page.cursor, pages=1)
    assert told_keys([*page.events, *found]) == keys_of(rows)


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position_side", "told"), [("BOTH", "net"), ("LONG", "long"), ("SHORT", "short")]
)
def test_sides_of_hedge_mode_are_kept_apart(position_side: str, told: str) -> None:
    venue = Venue([trade(1, START_MS, positionSide=position_side)], now_ms=START_MS + 5)
    (found,), _, _ = read(binance_usdm.TRADES, venue, {}, {"BTCUSDT": 0})
    assert found.body["position_side"] == told


def test_one_id_on_two_symbols_are_two_fills() -> None:
    """Trap: trade ids are of a symbol."""
    rows = [trade(1, START_MS), trade(1, START_MS, symbol="ETHUSDT")]
    venue = Venue(rows, now_ms=START_MS + 5)
    found, _, _ = read(binance_usdm.TRADES, venue, {}, {"BTCUSDT": 0, "ETHUSDT": 0})
    assert told_keys(found) == keys_of(rows)


def test_amounts_are_the_venue_s_own_digits() -> None:
    row = trade(1, START_MS, qty="1E-8", price="0.7472000000000001", commission="-0.00000001",
                realizedPnl="-1.23000000", maker=True)  # fmt: skip
    (found,), _, _ = read(
        binance_usdm.TRADES, Venue([row], now_ms=START_MS + 5), {}, {"BTCUSDT": 0}
    )
    assert found.body == {
        "account_id": 7, "venue": "binance", "product": "linear", "instrument": "BTCUSDT",
        "position_side": "net", "trade_id": "1", "order_id": "9001", "side": "buy",
        "qty": "0.00000001", "price": "0.7472000000000001", "contract_size": "1",
        "fee": "-0.00000001", "fee_asset": "USDT", "settle_asset": "USDT", "base_asset": "BTC",
        "quote_asset": "USDT", "executed_at_ms": START_MS, "revision": 1, "source": "sync",
        "liquidity": "maker", "realized_pnl": "-1.23000000",
    }  # fmt: skip


def test_the_cursor_of_many_resting_symbols_is_small() -> None:
    venue = Venue([trade(1, START_MS)], now_ms=START_MS + 5)
    _, cursor, _ = read(binance_usdm.TRADES, venue, {}, {"BTCUSDT": 0})
    venue.now_ms += 20 * MINUTE_MS
    _, cursor, _ = read(binance_usdm.TRADES, venue, cursor)
    assert len(json.dumps(cursor["symbols"]["BTCUSDT"])) < 160
