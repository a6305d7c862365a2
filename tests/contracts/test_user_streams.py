"""What every venue's user stream must do: one suite for each row of STREAMS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from shared.exchanges.errors import Malformed, UnknownMarket
from shared.exchanges.stream_table import STREAMS
from shared.exchanges.streams import understood
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Account, Found, Product
from shared.ledger.fill import read_report
from tests.contracts.conftest import ALL, opened
from tests.contracts.test_venues import MINUTE_MS, qty, storm, symbols
from tests.stream_world import fault, listening, opened_stream
from tests.venue_world import (
    KEYS,
    Clock,
    Sync,
    assert_valid,
    fills_of,
    of_type,
    told_fills,
    true_fills,
)

NOT_TOLD = {"venue_seq", "client_order_id", "kind", "signal_id", "strategy", "realized_pnl"}
"""OKX's streams name no bill, whose id is the sequence; spot has no P&L."""
Key = tuple[Any, ...]


BY_KEY: tuple[str, Product] = ("binance", "linear")


@pytest.fixture(params=[key for key in ALL if key != BY_KEY], ids="-".join)
def signed(request: pytest.FixtureRequest, running: Any, clock: Clock) -> Iterator[Sync]:
    """Streams that begin with a signature."""
    yield from opened(running, clock, *request.param)


@pytest.fixture
def keyed(running: Any, clock: Clock) -> Iterator[Sync]:
    """The one that begins with a listen key."""
    yield from opened(running, clock, *BY_KEY)


def test_there_is_a_stream_for_every_venue() -> None:
    assert STREAMS.keys() == VENUES.keys()


def by_identity(events: Sequence[Found]) -> dict[Key, Mapping[str, Any]]:
    found: dict[Key, Mapping[str, Any]] = {}
    for body in of_type(events, "order.filled.1"):
        report = read_report(json.dumps(body))._asdict()
        key = tuple(report.pop(name) for name in ("account_id", "product", "instrument",
                                                  "trade_id", "side"))  # fmt: skip
        del report["data"], report["report_hash"]
        found[key] = report
    return found


def known_to_both(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Without what only one of them can say."""
    names = {name for name in first if None not in {first[name], second[name]}}
    names -= {"source", "kind"}
    return {name: first[name] for name in names}, {name: second[name] for name in names}


# -- equal to what is found ------------------------------------------------------------------------


def assert_told_as_found(told: Sequence[Found], found: Sequence[Found]) -> None:
    by_stream, by_sync = by_identity(told), by_identity(found)
    assert by_stream.keys() == by_sync.keys()
    for key, report in by_stream.items():
        assert report["source"] == "stream"
        assert {name for name in report if report[name] is None} <= NOT_TOLD
        told_so, found_so = known_to_both(report, by_sync[key])
        assert told_so == found_so
    fills_of([*told, *found])  # merge without a contradiction


def test_every_trade_is_told_as_the_readings_find_it(sync: Sync) -> None:
    sync.run()
    with listening(sync) as stream:
        storm(sync, 31, 150)
        told = stream.hear()
    sync.run()
    assert len(by_identity(told)) > 100
    assert_valid(told)
    assert_told_as_found(told, sync.told)
    assert told_fills(told) == true_fills(sync.truth())


def test_in_hedge_mode_a_trade_is_told_of_the_side_that_it_moved(hedge: Sync) -> None:
    hedge.run()
    with listening(hedge) as stream:
        storm(hedge, 32, 150)
        told = stream.hear()
    hedge.run()
    assert {body["position_side"] for body in of_type(told, "order.filled.1")} == {"long", "short"}
    assert_told_as_found(told, hedge.told)


def test_orders_are_told_as_the_readings_find_them(sync: Sync) -> None:
    sync.run()
    first, second = symbols(sync)
    with listening(sync) as stream:
        order = {"product": sync.product, "side": "buy", "qty": qty(sync), "price": "100"}
        stays = sync.desk("place", symbol=first, **order)
        goes = sync.desk("place", symbol=second, **order)
        placed = of_type(stream.hear(), "order.placed.1")
        sync.clock.pass_(20 * MINUTE_MS)
        found = of_type(sync.run(), "order.placed.1")
        assert numbered(placed) == numbered(found)
        assert len(placed) == 2
        sync.clock.pass_(MINUTE_MS)
        sync.desk("cancel", order_id=goes)
        canceled = of_type(stream.hear(), "order.canceled.1")
        assert stays != goes
        assert [one["instrument"] for one in canceled] == [second]
        sync.clock.pass_(20 * MINUTE_MS)
        assert numbered(canceled) == numbered(of_type(sync.run(), "order.canceled.1"))


def numbered(orders: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """In order, amounts as numbers: a stream writes 100 where a list writes 100.0."""
    told = [
        {name: Decimal(value) if name in {"qty", "price"} else value for name, value in one.items()}
        for one in orders
    ]
    return sorted(told, key=lambda one: str(one["instrument"]))


def test_a_fee_that_is_not_known_yet_is_left_out(sync: Sync) -> None:
    with listening(sync) as stream:
        sync.trade(symbols(sync)[0], "buy", qty(sync), "100", fee_known=False)
        [body] = of_type(stream.hear(), "order.filled.1")
    assert "fee" not in body
    assert "fee_asset" not in body


def test_a_self_trade_keeps_both_its_sides(sync: Sync) -> None:
    with listening(sync) as stream:
        sync.trade(symbols(sync)[0], "buy", qty(sync), "100", self_trade=True)
        told = by_identity(stream.hear())
    assert {side for *_, side in told} == {"buy", "sell"}
    assert len({trade_id for *_, trade_id, _ in told}) == 1


@pytest.mark.parametrize("kind", ["liquidation", "adl"])
def test_forced_trades_carry_their_kind(contracts: Sync, kind: str) -> None:
    with listening(contracts) as stream:
        symbol = symbols(contracts)[0]
        contracts.trade(symbol, "buy", qty(contracts), "100")
        contracts.trade(symbol, "sell", qty(contracts), "99", kind=kind)
        told = of_type(stream.hear(), "order.filled.1")
    assert [body.get("kind", "normal") for body in told] == ["normal", kind]


# -- messages that come twice, late or broken ------------------------------------------------------


@pytest.mark.parametrize("kind", ["duplicated", "reordered"])
def test_doubled_and_reordered_messages_end_in_the_same_fills(hedge: Sync, kind: str) -> None:
    with listening(hedge) as stream:
        fault(hedge.running, hedge, kind)
        storm(hedge, 33, 60)
        stream.hear()
        hedge.running.do(lambda desk: desk.exchange.streams.clear_faults())
        stream.hear()
    assert told_fills(stream.events) == true_fills(hedge.truth())


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"data": 7, "topic": "order"}', '{"e": 1',
                                  '{"arg": {}, "data": []}'])  # fmt: skip
def test_a_message_of_another_shape_says_so(sync: Sync, text: str) -> None:
    opening = sync.ask(STREAMS[sync.venue, sync.product].open(sync.account, KEYS))
    with suppress(Malformed):
        assert understood(opening.session, text).events == ()


# -- what a venue says of the stream itself --------------------------------------------------------


def test_a_wrong_secret_is_refused_and_nothing_of_it_is_repeated(signed: Sync) -> None:
    signed.running.do(lambda desk: desk.change_account(signed.venue, KEYS.api_key, revoked=True))
    with opened_stream(signed) as stream:
        stream.hear_until("refused")
    signed.running.do(lambda desk: desk.change_account(signed.venue, KEYS.api_key, revoked=False))
    assert stream.says
    assert KEYS.secret not in stream.says


def test_a_clock_that_is_off_is_no_refusal_of_the_key(signed: Sync) -> None:
    account = signed.account
    late: Account = account._replace(now_ms=account.now_ms - 3_600_000)
    opening = signed.ask(STREAMS[signed.venue, signed.product].open(late, KEYS))
    with opened_stream(signed) as stream:
        stream.hear_until("ready")
        stream.loop.run_until_complete(stream.socket.send_str(opening.first[0]))
        stream.hear_until("expired")
    assert "refused" not in stream.words


def test_an_expired_listen_key_is_said(keyed: Sync) -> None:
    with listening(keyed) as stream:
        fault(keyed.running, keyed, "expired")
        stream.hear()
    assert stream.words == ["expired"]


def test_what_opens_a_stream_shows_no_key(sync: Sync) -> None:
    opening = sync.ask(STREAMS[sync.venue, sync.product].open(sync.account, KEYS))
    assert repr(opening) == "Opened(***)"


def test_unknown_markets_are_told_apart_from_broken_messages(sync: Sync) -> None:
    bare = sync.account._replace(markets={})
    opening = sync.ask(STREAMS[sync.venue, sync.product].open(bare, KEYS))
    with listening(sync) as stream:
        sync.trade(symbols(sync)[0], "buy", qty(sync), "100")
        texts = stream.loop.run_until_complete(_texts(stream.socket))
    failed = []
    for text in texts:
        try:
            understood(opening.session, text)
        except UnknownMarket as error:
            failed.append(error.wanted)
    if sync.venue == "bybit" or (sync.venue, sync.product) == ("okx", "spot"):
        assert failed == []  # its names tell all there is
    else:
        assert failed[0] == (sync.product, symbols(sync)[0])


async def _texts(socket: Any) -> list[str]:
    await socket.ping()
    found = []
    while isinstance((message := await socket.receive()).data, str):
        found.append(message.data)
    return found
