"""End to end on real servers: a message arrives, an event decides, the book records it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from tests.event_samples import CASH, SIGNAL
from tests.laravel_application import LaravelApplication
from tests.runtime_world import CONSUMER, TS_US, World, fill, running
from tests.waiting import eventually
from workers.outbox_relay import Relay, RelayTools
from workers.partitions import settle_partitions

pytestmark = pytest.mark.database


@pytest.fixture
def fleet(world: World, settings_for: Callable[..., Settings]) -> Callable[[], Any]:
    """A reader of both streams and a relay, each as its own role."""
    world.streams = ("orders", "signals")
    prefix = world.settings.prefix
    settle_partitions(world.connection, world.redis, prefix, world.partitions)
    relay = settings_for("relay")

    @contextmanager
    def start() -> Iterator[None]:
        tools = RelayTools(
            connect_mysql=partial(connect, relay.mysql),
            connect_redis=partial(control_client, relay.streams_redis, "relay"),
            prefix=prefix,
            consumer=CONSUMER,
            streams=world.streams,
            partitions=world.partitions,
            budget_bytes=lambda _: None,
            log=lambda event, **words: world.logs.append((event, words)),
        )
        with world.reading(lanes=2), running(Relay(tools)):
            yield

    return start


def confirmed(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM fleet_outbox WHERE state = 2"))


def test_a_row_in_the_outbox_becomes_a_position_and_is_confirmed(
    world: World, fleet: Callable[[], Any]
) -> None:
    world.record(7, fill(7, 1, qty="2", price="100", fee="0.5", fee_asset="USDT"))
    world.record(7, fill(7, 2, side="sell", qty="2", price="103", fee=None, fee_asset=None))
    cash = {**CASH, "account_id": 7, "amount": "-0.25"}
    world.record(7, cash, type="cash.moved.1")
    world.record(
        1, SIGNAL, type="signal.received.1", stream="signals", event_key=SIGNAL["channel_id"]
    )
    with fleet():
        eventually(lambda: confirmed(world) == 4)
    assert world.parked() == []
    assert world.one("SELECT qty, realized FROM fleet_positions WHERE account_id = 7") == (0, 6)
    daily = "SELECT SUM(realized), SUM(fees), SUM(funding), SUM(fills) FROM fleet_pnl_daily"
    assert world.one(daily) == (6, Decimal("0.5"), Decimal("-0.25"), 2)
    assert world.one("SELECT COUNT(*) FROM fleet_signals") == 1
    assert world.one("SELECT MAX(sends) FROM fleet_outbox") == 1


def test_rows_that_come_again_and_shuffled_change_nothing(
    world: World, fleet: Callable[[], Any]
) -> None:
    amounts = [
        ("buy", "1", "100"),
        ("buy", "3", "101.5"),
        ("sell", "2", "99"),
        ("sell", "2", "120"),
    ]
    events = [
        fill(
            7,
            trade,
            side=side,
            qty=qty,
            price=price,
            fee="0",
            executed_at_ms=1_764_000_000_000 + trade,
        )
        for trade, (side, qty, price) in enumerate(amounts)
    ]
    for event in [events[at] for at in (3, 1, 3, 0, 2, 2)]:
        world.record(7, event)
    with fleet():
        eventually(lambda: confirmed(world) == 6)
        eventually(
            lambda: (
                not world.one(
                    "SELECT COUNT(*) FROM fleet_positions WHERE restating_from_ms IS NOT NULL"
                )
            )
        )
    # Bought 4 for 404.5; sold 2 at 99 and 2 at 120: 438 - 404.5.
    assert world.one("SELECT qty, realized, fills FROM fleet_positions") == (0, Decimal("33.5"), 4)


def lines(events: Sequence[tuple[int, Mapping[str, Any]]]) -> str:
    """What `php artisan desk:feed -` takes."""
    told = [
        {
            "stream": "orders",
            "type": "order.filled.1",
            "key": str(account),
            "id": str(uuid.uuid4()),
            "ts_us": TS_US,
            "data": data,
        }
        for account, data in events
    ]
    return "".join(f"{json.dumps(one)}\n" for one in told)


def test_what_laravel_writes_both_ways_is_booked_once(
    world: World, fleet: Callable[[], Any], app: LaravelApplication
) -> None:
    events = [(account, fill(account, trade)) for account in (7, 8, 9) for trade in range(4)]
    said = app.artisan("desk:feed", "-", "--via=mixed", given=lines(events))
    assert '"outbox":6,"xadd":6' in said.splitlines()[-1].replace(" ", "")
    with fleet():
        eventually(lambda: world.one("SELECT COUNT(*) FROM fleet_fills") == 12)
        eventually(lambda: confirmed(world) == 6)
        app.artisan("desk:feed", "-", "--via=outbox", given=lines(events))
        eventually(lambda: confirmed(world) == 18)
    assert world.parked() == []
    assert world.one("SELECT COUNT(*) FROM fleet_fill_reports") == 12
    assert world.rows("SELECT account_id, qty, fills FROM fleet_positions ORDER BY 1") == [
        (account, 4, 4) for account in (7, 8, 9)
    ]


def test_an_amount_that_laravel_sent_as_a_number_is_parked(
    world: World, fleet: Callable[[], Any], app: LaravelApplication
) -> None:
    events = [(7, {**fill(7, 1), "price": 64000.1}), (7, fill(7, 2))]
    app.artisan("desk:feed", "-", given=lines(events))
    with fleet():
        eventually(lambda: confirmed(world) == 2)
    assert world.trades(7) == ["2"]
    assert "price" in world.one("SELECT error FROM fleet_parked WHERE reason = 'malformed'")
    assert world.one("SELECT incomplete FROM fleet_account_state WHERE account_id = 7") == 1
