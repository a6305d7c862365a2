"""User streams end to end: what is told, what is lost, who takes over. The exchange is the local
one; servers, grants, limiter, keys and websockets are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from shared.exchanges import connection
from shared.exchanges.stream_table import STREAMS
from shared.laravel.encrypter import Encrypter
from tests.own_redis import own_redis
from tests.runtime_world import running
from tests.waiting import eventually
from tests.workers.sync.exchange_desk import POOLS
from tests.workers.userstreams.conftest import QUICK, QUICK_LINE, Streams

pytestmark = pytest.mark.database

ALL = sorted(STREAMS)
At = Callable[..., Streams]


# -- told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "product"), ALL, ids=["-".join(one) for one in ALL])
def test_what_is_told_and_found_is_one_fill_and_the_books_tie(
    streams_at: At, venue: str, product: str
) -> None:
    streams = streams_at(venue, product)
    desk = streams.desk
    with streams.streaming():
        desk.exchange.do(lambda one: one.storm(seed=6, trades=60))
        true = {account: len(desk.do("truth", account)["fills"]) for account in desk.accounts}
        eventually(lambda: {one: len(streams.told(one)) for one in desk.accounts} == true)
    with desk.booking():
        desk.ask_when_quiet()
    assert desk.differences() == []
    merged = "SELECT COUNT(*), SUM(reports >= 2) FROM fleet_fills"
    assert streams.world.one(merged) == (sum(true.values()), sum(true.values()))


def test_a_trade_is_in_the_outbox_at_once(streams_at: At) -> None:
    streams = streams_at("okx", "linear", (1,))
    took = []
    with streams.streaming():
        for number in range(20):
            began = time.monotonic()
            streams.desk.trade(1, price=str(60_000 + number))
            eventually(lambda number=number: len(streams.told(1)) == number + 1)  # type: ignore[misc] # bound
            took.append(time.monotonic() - began)
    print(f"trade to outbox row: median {median(took) * 1000:.0f} ms, worst {max(took):.3f} s")
    assert median(took) < 1


def test_a_quiet_account_that_trades_is_asked_at_once(streams_at: At) -> None:
    streams = streams_at("bybit", "linear", (1,))
    with streams.streaming():
        streams.world.run(
            "UPDATE fleet_sync_accounts SET tier = 'idle',"
            " due_at = UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
        )
        streams.desk.trade(1)
        eventually(lambda: streams.is_due(1))


# -- lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("dropped", "disconnected"), ("closed", "disconnected"), ("dead", "silent")],
)
@pytest.mark.parametrize(("venue", "product"), POOLS, ids=["-".join(one) for one in POOLS])
def test_a_lost_stream_leaves_a_gap_that_the_sync_closes(
    streams_at: At, venue: str, product: str, fault: str, cause: str
) -> None:
    streams = streams_at(venue, product)
    with streams.streaming():
        streams.fault(fault, 1)
        eventually(lambda: len(streams.gaps(1)) > 0)
        assert streams.gaps(1) == [cause]
        streams.until_up()
        [(from_ms, until_ms, closed_at)] = streams.gaps(1, "from_ms, until_ms, closed_at")
        assert from_ms <= until_ms
        assert closed_at is None
        assert streams.is_due(1)
        assert streams.gaps(2) == []
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)
        streams.sync()
        eventually(lambda: streams.close_gaps() >= 0 and streams.open_gaps() == 0)


def test_an_expired_listen_key_is_replaced(streams_at: At) -> None:
    streams = streams_at("binance", "linear")
    with streams.streaming():
        streams.fault("expired", 1)
        eventually(lambda: streams.gaps(1) == ["expired"])
        streams.until_up()
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)


def test_a_listen_key_that_is_gone_is_noticed_when_it_is_renewed(streams_at: At) -> None:
    streams = streams_at("binance", "linear")
    with streams.streaming():
        streams.desk.exchange.do(lambda desk: desk.exchange.listen_keys.clear())
        eventually(lambda: [streams.gaps(one) for one in (1, 2)] == [["expired"], ["expired"]])
        streams.until_up()


def test_a_stream_is_opened_anew_before_the_venue_ends_it(streams_at: At) -> None:
    streams = streams_at("bybit", "linear", (1,))
    with streams.streaming(line_bounds=QUICK_LINE._replace(lifetime=0.5)):
        eventually(lambda: streams.gaps(1)[:2] == ["renewed", "renewed"])


@pytest.mark.parametrize(("venue", "product"), POOLS, ids=["-".join(one) for one in POOLS])
def test_a_stream_that_is_open_and_dead_is_found_by_the_sync(
    streams_at: At, venue: str, product: str
) -> None:
    streams = streams_at(venue, product)
    with streams.streaming():
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)
        streams.fault("mute", 1)
        streams.desk.trade(1, price="60001")
        streams.sync()  # beat's turn: the account trades, so within a minute
        eventually(lambda: streams.gaps(1) == ["missed"])
        streams.until_up()
        streams.sync()
        assert streams.gaps(2) == []
        assert len(streams.told(1)) == 1
        streams.desk.trade(1, price="60002")
        eventually(lambda: len(streams.told(1)) == 2)
        eventually(lambda: streams.close_gaps() >= 0 and streams.open_gaps() == 0)
    booked = "SELECT COUNT(*) FROM fleet_fills WHERE account_id = 1"
    assert streams.world.one(booked) == 2


def test_a_message_that_is_not_understood_leaves_a_gap(streams_at: At) -> None:
    streams = streams_at("okx", "linear")
    with streams.streaming():
        for _ in range(3):
            streams.say(1, '{"arg": {"channel": "orders"}, "data": [{"instType": "SWAP"}]}')
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)
        eventually(lambda: streams.gaps(1) == ["unread"])
        assert streams.is_due(1)
        streams.until_up()
        assert streams.gaps(1) == ["unread"]


def test_an_instrument_that_was_listed_a_moment_ago_is_looked_up(
    streams_at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNKNOWN_SECONDS", 0)
    streams = streams_at("binance", "linear", (1,))
    new = "NEWUSDT"
    with streams.streaming():
        streams.desk.exchange.do(lambda desk: list_market(desk.exchange, "BTCUSDT", new))
        streams.desk.trade(1, symbol=new)
        eventually(lambda: streams.gaps(1) == ["unread"])
        streams.until_up()
        streams.desk.trade(1, symbol=new)
        eventually(lambda: [one["instrument"] for one in streams.told(1)] == [new])


def list_market(exchange: Any, like: str, symbol: str) -> None:
    """Another market of Binance's futures."""
    key = ("binance", "linear", like)
    market = exchange.markets[key]
    exchange.markets["binance", "linear", symbol] = replace(market, symbol=symbol, base="NEW")


def test_a_gap_is_open_until_a_sync_has_read_past_its_end(streams_at: At) -> None:
    streams = streams_at("okx", "linear", (1,))
    with streams.streaming():
        assert streams.open_gaps() == 1
        assert streams.close_gaps() == 0
        assert streams.is_due(1)
        later = "UPDATE fleet_sync_accounts SET due_at = UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
        streams.world.run(later)
        streams.close_gaps()
        assert streams.is_due(1), "a run that was under way had given it a later turn"
        streams.sync()
        eventually(lambda: streams.close_gaps() == 1)


# -- accounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("venue", "product"), POOLS, ids=["-".join(one) for one in POOLS])
def test_a_revoked_key_suspends_its_account_and_no_other(
    streams_at: At, venue: str, product: str
) -> None:
    streams = streams_at(venue, product, (1, 2, 3))
    with streams.streaming():
        streams.desk.do("change_account", 2, revoked=True)
        streams.fault("dropped", 2)
        state = "SELECT state FROM fleet_sync_accounts ORDER BY account_id"
        eventually(lambda: [one for (one,) in streams.world.rows(state)]
                   == ["active", "suspended", "active"])  # fmt: skip
        status, reason = streams.world.one(
            "SELECT status, reason FROM fleet_account_state WHERE account_id = 2"
        )
        assert status == "suspended"
        assert "store a new one" in reason
        assert "key-2" not in reason
        assert (streams.gaps(1), streams.gaps(3)) == ([], [])
        for account in (1, 3):
            streams.desk.trade(account)
        eventually(lambda: (len(streams.told(1)), len(streams.told(3))) == (1, 1))


def test_a_new_key_brings_the_stream_back(streams_at: At) -> None:
    streams = streams_at("okx", "linear")
    key = streams.settings.app_key
    assert key is not None
    with streams.streaming():
        streams.desk.do("change_account", 1, revoked=True)
        streams.fault("dropped", 1)
        state = "SELECT state FROM fleet_sync_accounts WHERE account_id = 1"
        eventually(lambda: streams.world.one(state) == "suspended")
        streams.desk.do("rotate_key", 1, new_key="key-9", secret="secret-9")
        encrypt = Encrypter(key).encrypt_string
        streams.switch(1, "api_secret", encrypt("secret-9"))
        streams.switch(1, "api_key", encrypt("key-9"))
        eventually(lambda: streams.world.one(state) == "active")
        eventually(lambda: streams.open_at_the_venue(9) == 1)
        streams.until_up()


def test_an_account_that_is_switched_off_is_heard_no_more(streams_at: At) -> None:
    streams = streams_at("bybit", "linear")
    with streams.streaming():
        streams.switch(1, "active", 0)
        eventually(lambda: streams.open_at_the_venue(1) == 0)
        assert streams.open_at_the_venue(2) == 1
        streams.switch(1, "active", 1)
        eventually(lambda: streams.open_at_the_venue(1) == 1)
        streams.until_up()


def test_an_account_that_was_never_read_has_no_stream(streams_at: At) -> None:
    streams = streams_at("okx", "linear")
    streams.world.run("UPDATE fleet_sync_accounts SET since_ms = NULL WHERE account_id = 1")
    with running(streams.node()) as node:
        eventually(lambda: node.info() == {"streams": 1, "up": 1})
        assert streams.open_at_the_venue(1) == 0


# -- nodes -----------------------------------------------------------------------------------------


def test_two_nodes_share_the_accounts(streams_at: At) -> None:
    streams = streams_at("okx", "linear", (1, 2, 3, 4))
    with running(streams.node()) as first:
        eventually(lambda: first.info() == {"streams": 4, "up": 4})
        with running(streams.node()) as second:
            eventually(lambda: first.info() == second.info() == {"streams": 2, "up": 2})
            for account in streams.desk.accounts:
                assert streams.open_at_the_venue(account) == 1
        eventually(lambda: first.info() == {"streams": 4, "up": 4})
        streams.until_up()


def test_a_node_takes_no_more_than_its_bound(streams_at: At) -> None:
    streams = streams_at("okx", "linear", (1, 2, 3))
    with running(streams.node(QUICK._replace(most=2))) as node:
        eventually(lambda: node.info() == {"streams": 2, "up": 2})


NODE = """
import json, sys
from workers.roles import load_settings
from workers.userstreams import line, node
from workers.userstreams_build import build_userstreams
bounds, lines = json.loads(sys.argv[1])
build_userstreams(load_settings("userstreams"), lambda report: None,
    node_bounds=node.Bounds(**bounds), line_bounds=line.Bounds(**lines)).run()
"""


def test_a_killed_nodes_accounts_are_taken_over_when_its_leases_end(streams_at: At) -> None:
    streams = streams_at("okx", "linear")
    bounds = json.dumps([QUICK._asdict(), QUICK_LINE._asdict()])
    killed: Any = subprocess.Popen([sys.executable, "-c", NODE, bounds], env=streams.environ)
    try:
        streams.until_up()
        with running(streams.node(QUICK._replace(moved=0))) as node:
            eventually(node.ready)
            assert node.info() == {"streams": 0}
            killed.kill()
            streams.desk.trade(1)
            began = time.monotonic()
            eventually(lambda: node.info() == {"streams": 2, "up": 2})
            took = time.monotonic() - began
            assert took < QUICK.lease_ms / 1000 + 2
            eventually(lambda: streams.gaps(1) == ["started"])
            streams.until_up()
            streams.sync()
            eventually(lambda: streams.close_gaps() >= 0 and streams.open_gaps() == 0)
        booked = "SELECT COUNT(*) FROM fleet_fills WHERE account_id = 1"
        assert streams.world.one(booked) == 1
    finally:
        killed.kill()
        killed.wait()


def test_without_redis_streams_go_on(streams_at: At, servers: Mapping[str, str]) -> None:
    with own_redis(servers) as redis:
        broker = f"redis://127.0.0.1:{redis.where.port}/2"
        streams = streams_at("bybit", "linear", FLEET_BROKER_URL=broker)
        with streams.streaming() as node:
            redis.stop()
            streams.desk.trade(1)
            eventually(lambda: len(streams.told(1)) == 1)
            redis.start()
            eventually(lambda: redis.client(2).dbsize() > 0)
            assert node.info() == {"streams": 2, "up": 2}
            assert (streams.gaps(1), streams.gaps(2)) == ([], [])


def test_a_node_that_stops_says_what_it_gave_up(streams_at: At) -> None:
    streams = streams_at("okx", "linear")
    with streams.streaming():
        pass
    assert sorted(streams.down()) == [1, 2]
    assert streams.gaps(1) == ["stopped"]
    with streams.streaming():
        assert [streams.gaps(one) for one in (1, 2)] == [["stopped"], ["stopped"]]


def test_flower_sees_what_was_recorded(streams_at: At) -> None:
    streams = streams_at("okx", "linear", (1,))
    with streams.streaming():
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)
    counts = [one.counts["events"] for one in streams.reports if one.task == "userstreams.batch"]
    assert sum(counts) >= 1
