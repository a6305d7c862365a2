"""What is told is written in small batches; what cannot be written is a gap, never a silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.exchanges.venue import Found
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World, fill
from tests.waiting import eventually
from workers.reporting import Report
from workers.userstreams.recorder import Bounds, Recorder
from workers.userstreams.store import Cause

pytestmark = pytest.mark.database

ACCOUNT = 7
QUICK = Bounds(batch_seconds=0.01, pause_seconds=0.01, pause_seconds_most=0.02)
PATIENCE = 5.0


class Server:
    """The way to MySQL, which may be shut. said: suspensions that Laravel was told of."""

    def __init__(self, settings: Settings) -> None:
        self._connect = partial(connect, settings.mysql)
        self.shut = False
        self.tries = 0
        self.said: list[tuple[int, str]] = []
        self.reports: list[Report] = []

    def connect(self) -> Any:
        self.tries += 1
        if self.shut:
            raise Unavailable("MySQL is away")
        return self._connect()

    def recorder(self, bounds: Bounds = QUICK) -> Recorder:
        def tell(_: Any, account: int, why: str) -> None:
            self.said.append((account, why))

        return Recorder(self.connect, tell, self.reports.append, bounds)

    def run(self, work: Callable[[Recorder], Coroutine[Any, Any, None]], **more: Any) -> None:
        """`work` beside the recorder, until all is written."""

        async def main() -> None:
            recorder = self.recorder(**more)
            running = asyncio.create_task(recorder.run())
            await asyncio.wait_for(work(recorder), PATIENCE)
            recorder.end()
            await asyncio.wait_for(running, PATIENCE)

        asyncio.run(main())


@pytest.fixture
def server(world: World, settings_for: Callable[..., Settings]) -> Server:
    del world  # its tables are empty
    return Server(settings_for("userstreams", FLEET_PARTITIONS=str(PARTITIONS)))


def told(trade: int) -> Found:
    return Found("order.filled.1", fill(ACCOUNT, trade, source="stream"))


def gaps(world: World) -> list[Any]:
    sql = "SELECT account_id, cause, from_ms, until_ms FROM fleet_stream_gaps ORDER BY id"
    return world.rows(sql)


def trades(world: World) -> int:
    return int(world.one("SELECT COUNT(*) FROM fleet_outbox WHERE type = 'order.filled.1'"))


def test_what_comes_together_is_written_at_once(world: World, server: Server) -> None:
    async def work(recorder: Recorder) -> None:
        for trade in range(150):
            recorder.told(ACCOUNT, "okx", 1_000 + trade, [told(trade)])
        await recorder.written()

    server.run(work)
    assert trades(world) == 150
    assert [one.counts["events"] for one in server.reports] == [150]


def test_many_events_go_in_batches(world: World, server: Server) -> None:
    async def work(recorder: Recorder) -> None:
        recorder.told(ACCOUNT, "okx", 1_000, [told(trade) for trade in range(450)])
        await recorder.written()

    server.run(work)
    assert [one.counts["events"] for one in server.reports] == [200, 200, 50]
    assert trades(world) == 450


def test_what_cannot_be_written_is_a_gap_of_its_account(world: World, server: Server) -> None:
    server.shut = True

    async def work(recorder: Recorder) -> None:
        recorder.told(ACCOUNT, "okx", 1_000, [told(1)])
        await asyncio.to_thread(eventually, lambda: server.tries >= 1)
        recorder.told(ACCOUNT, "okx", 3_000, [told(2)])
        server.shut = False
        await recorder.written()
        recorder.told(ACCOUNT, "okx", 4_000, [told(3)])
        await recorder.written()

    server.run(work)
    [(account, cause, from_ms, until_ms)] = gaps(world)
    assert (account, cause, from_ms) == (ACCOUNT, "unrecorded", 1_000)
    assert until_ms in {1_000, 3_000}
    assert trades(world) == (2 if until_ms == 1_000 else 1)


def test_more_than_fits_is_a_gap(world: World, server: Server) -> None:
    async def work(recorder: Recorder) -> None:
        recorder.told(ACCOUNT, "okx", 1_000, [told(1), told(2)])
        recorder.told(ACCOUNT, "okx", 2_000, [told(3), told(4)])
        await recorder.written()

    server.run(work, bounds=QUICK._replace(most_waiting=3))
    assert trades(world) == 2
    assert gaps(world) == [(ACCOUNT, "unrecorded", 2_000, 2_000)]


def test_a_gap_is_written_when_mysql_is_there_again(world: World, server: Server) -> None:
    server.shut = True

    async def work(recorder: Recorder) -> None:
        recorder.lost(ACCOUNT, "okx", "silent", 1_000)
        await asyncio.sleep(0)
        server.shut = False
        recorder.back(ACCOUNT, 2_000)
        await recorder.written()

    server.run(work)
    assert gaps(world) == [(ACCOUNT, "silent", 1_000, 2_000)]


def test_an_account_has_one_gap_that_has_not_ended(world: World, server: Server) -> None:
    async def work(recorder: Recorder) -> None:
        causes: list[Cause] = ["started", "disconnected"]
        for number, cause in enumerate(causes):
            recorder.lost(ACCOUNT, "okx", cause, 1_000 + number)
            await recorder.written()
        recorder.back(ACCOUNT, 2_000)
        recorder.back(ACCOUNT, 2_500)
        recorder.lost(ACCOUNT, "okx", "expired", 3_000)
        await recorder.written()

    server.run(work)
    assert gaps(world) == [
        (ACCOUNT, "started", 1_000, 2_000), (ACCOUNT, "expired", 3_000, None)
    ]  # fmt: skip


def test_events_that_are_not_recorded_leave_an_open_gap_as_it_is(
    world: World, server: Server
) -> None:
    async def work(recorder: Recorder) -> None:
        recorder.lost(ACCOUNT, "okx", "started", 500)
        recorder.told(ACCOUNT, "okx", 1_000, [told(1), told(2)])
        await recorder.written()

    server.run(work, bounds=QUICK._replace(most_waiting=1))
    assert gaps(world) == [
        (ACCOUNT, "started", 500, None), (ACCOUNT, "unrecorded", 1_000, 1_000)
    ]  # fmt: skip


def test_a_refused_key_suspends_once_and_laravel_is_told(world: World, server: Server) -> None:
    world.run(
        "INSERT INTO fleet_sync_accounts (account_id, venue, product, egress, since_ms)"
        " VALUES (%s, 'okx', 'linear', 'default', 1)",
        ACCOUNT,
    )

    async def work(recorder: Recorder) -> None:
        for _ in range(2):
            recorder.refuse(ACCOUNT, "the exchange refuses the key", "ab12")
            await recorder.written()

    server.run(work)
    assert server.said == [(ACCOUNT, "the exchange refuses the key")]
    row = world.one("SELECT state, keys_hash, version FROM fleet_sync_accounts")
    assert row == ("suspended", "ab12", 1)
    assert world.one("SELECT status FROM fleet_account_state") == "suspended"
