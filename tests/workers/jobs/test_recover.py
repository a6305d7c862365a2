"""Recovery brings everything in once more; twice, or while events flow, it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client
from tests.runtime_world import CONSUMER, World, fill, running
from tests.waiting import eventually
from workers.jobs.recover import NOT_SETTLED, Recovered, recover, run
from workers.outbox_relay import Relay, RelayTools

pytestmark = pytest.mark.database


def again(world: World, **more: Any) -> Recovered:
    return recover(
        world.connection,
        world.redis,
        world.settings.prefix,
        world.streams,
        world.partitions,
        **more,
    )


def relay_of(world: World, settings: Settings) -> Relay:
    return Relay(
        RelayTools(
            connect_mysql=partial(connect, settings.mysql),
            connect_redis=partial(control_client, settings.streams_redis, "relay"),
            prefix=world.settings.prefix,
            consumer=CONSUMER,
            streams=world.streams,
            partitions=world.partitions,
            budget_bytes=lambda _: None,
            log=lambda *_, **__: None,
        )
    )


def book(world: World) -> list[tuple[Any, ...]]:
    """The rows that must not change: all of them but counters of versions and reports."""
    return [
        *world.rows("SELECT account_id, trade_id, qty, price FROM fleet_fills ORDER BY 1, 2"),
        *world.rows("SELECT account_id, qty, cost, realized FROM fleet_positions ORDER BY 1"),
        *world.rows("SELECT account_id, day, realized, fees FROM fleet_pnl_daily ORDER BY 1"),
    ]


def test_recovering_twice_while_the_fleet_runs_is_harmless(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    for trade in range(1, 4):
        world.record(7, fill(7, trade))
        world.add(8, fill(8, trade))
    with world.reading(), running(relay_of(world, settings_for("relay"))):
        confirmed = "SELECT COUNT(*) FROM fleet_outbox WHERE state = 2"
        eventually(lambda: world.one(confirmed) == 3 and len(world.trades(8)) == 3)
        before = book(world)
        for _ in range(2):
            sent = world.one("SELECT SUM(sends) FROM fleet_outbox")
            assert again(world) == Recovered(4, 3)
            eventually(
                lambda sent=sent: world.one("SELECT SUM(sends) FROM fleet_outbox") == sent + 3  # type: ignore[misc]
            )
            eventually(lambda: world.one(confirmed) == 3)
            length: Any = world.redis.xlen(world.key(world.partition(8)))
            eventually(
                lambda length=length: world.offset(world.partition(8), "entries_read") >= length  # type: ignore[misc]
            )
        assert book(world) == before
    assert {row[0] for row in world.rows("SELECT crashes FROM fleet_offsets")} == {0}


def test_what_mysql_lost_comes_back_from_the_streams(world: World) -> None:
    """A restore to before the events, while Redis still holds them; the reader is idle."""
    ids = world.add_fills(7, [1, 2])
    number = world.partition(7)
    with world.reading():
        eventually(lambda: world.offset(number) == ids[-1])
        eventually(lambda: world.trades(7) == ["1", "2"])
        before = book(world)
        for table in ("fleet_fills", "fleet_fill_reports", "fleet_positions"):
            world.run(f"DELETE FROM {table}")  # noqa: S608 - ours
        for table in ("fleet_position_days", "fleet_pnl_daily"):
            world.run(f"DELETE FROM {table}")  # noqa: S608 - ours
        again(world)
        eventually(lambda: world.trades(7) == ["1", "2"])
        assert book(world) == before


def test_the_lag_is_right_after_a_rewind_of_a_trimmed_stream(world: World) -> None:
    ids = world.add_fills(7, [1, 2, 3])
    number = world.partition(7)
    with world.reading():
        eventually(lambda: world.offset(number) == ids[-1])
    world.redis.xtrim(world.key(number), minid=ids[-1], approximate=False)
    again(world)
    assert world.offset(number, "last_id, entries_read, owner") == ("0-0", 2, None)


def test_a_second_run_goes_on_behind_the_last_row_and_does_not_rewind_again(world: World) -> None:
    rows = [world.record(7, fill(7, trade)) for trade in range(4)]
    world.run("UPDATE fleet_outbox SET state = 2")
    seen: list[tuple[int, int | None]] = []
    ended = again(world, after=rows[1], progress=lambda *words: seen.append(words))
    assert ended == Recovered(0, 2)
    assert seen == [(2, rows[3])]
    states = [row[0] for row in world.rows("SELECT state FROM fleet_outbox ORDER BY id")]
    assert states == [2, 2, 0, 0]
    assert again(world, cancelled=lambda: True).outbox_rows == 0


class FakeProgress:
    def __init__(self, checkpoint: dict[str, Any] | None = None) -> None:
        self.checkpoint = checkpoint

    def update(
        self, done: int, *, checkpoint: dict[str, Any] | None = None, note: str = ""
    ) -> None:
        del done, note
        self.checkpoint = checkpoint or self.checkpoint

    def cancelled(self) -> bool:
        return False


def test_the_operator_job_works_as_the_role_rq(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    row = world.record(7, fill(7, 1))
    world.run("UPDATE fleet_outbox SET state = 2")
    progress: Any = FakeProgress()
    assert run(settings_for("rq"), progress, patience=0)["outbox_rows"] == 1
    assert progress.checkpoint == {"outbox_id": row}
    ended = run(settings_for("rq"), progress, patience=0)
    assert ended == {"partitions": 0, "outbox_rows": 0, "reconciled": NOT_SETTLED}


def test_it_ends_with_the_books_compared_once_all_of_it_is_in_them(
    world: World, settings_for: Callable[..., Settings]
) -> None:
    """Half recovered they would differ: the report is there, the fill not yet."""
    told = {
        "account_id": 7, "venue": "binance", "product": "linear", "instrument": "BTCUSDT",
        "position_side": "net", "qty": "2", "watermark_ms": 1_764_000_000_200,
    }  # fmt: skip
    world.record(7, told, type="position.observed.1")
    world.record(7, fill(7, 1, qty="2"))
    with world.reading(), running(relay_of(world, settings_for("relay"))):
        eventually(lambda: world.trades(7) == ["1"])
        for table in ("fleet_fills", "fleet_fill_reports", "fleet_positions"):
            world.run(f"DELETE FROM {table}")  # noqa: S608 - ours
        settings = settings_for("rq", FLEET_PARTITIONS=str(world.partitions))
        progress: Any = FakeProgress()
        ended = run(settings, progress)
    assert ended["reconciled"] == {"accounts": 1, "differing": 0, "failed": 0}
    assert ended["unread"] == 0
    assert world.rows("SELECT * FROM fleet_breaks") == []
