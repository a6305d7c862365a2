"""A desk whose accounts stand in Laravel's table; its exchange is a list of answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from shared.exchanges.keys import Keys
from shared.exchanges.venue import Kind, Product, Venue
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World
from tests.workers.sync.samples import Exchanges, venue_of
from workers.lease import broker_redis
from workers.sync import batch, planner
from workers.sync.account import Desk
from workers.sync.connections import Connections
from workers.sync.loop import Loop

EGRESSES = ("left", "right")


@dataclass
class SyncWorld:
    """The sync of one desk. answers: what each kind finds; told: suspensions told to Laravel."""

    world: World
    settings: Settings
    jobs: Settings
    loop: Loop
    answers: dict[Kind, Any] = field(default_factory=dict)
    exchanges: Exchanges = field(default_factory=Exchanges)
    told: list[tuple[int, str]] = field(default_factory=list)
    permissions: Any = None
    allow_withdraw: bool = False

    @property
    def venues(self) -> Mapping[tuple[str, Product], Venue]:
        return {("testing", "linear"): venue_of(self.answers, self.permissions)}

    def tools(self) -> batch.Tools:
        return batch.Tools(
            mysql=Connections(partial(connect, self.settings.mysql)),
            redis=broker_redis(self.settings),
            prefix=self.settings.broker_prefix,
            desk=Desk(
                exchanges=self.exchanges,  # type: ignore[arg-type] # the same calls, no network
                venues=self.venues,
                open_keys=lambda _id, key, secret, _: Keys(key or "", secret or "", "", "print"),
                allow_withdraw=self.allow_withdraw,
            ),
            loop=self.loop,
            tell_suspended=lambda _connection, account, why: self.told.append((account, why)),
        )

    def link(self, *accounts: int, venue: str = "testing", **more: Any) -> None:
        """Laravel's rows, and ours after them."""
        schema = self.settings.mysql.laravel_database
        self.world.connection.cursor().executemany(
            f"INSERT INTO {schema}.exchange_accounts"  # noqa: S608 - our own schema
            " (id, user_id, venue, product, api_key, api_secret, settings, active)"
            " VALUES (%s, 1, %s, 'linear', %s, 'secret', %s, %s)"
            " ON DUPLICATE KEY UPDATE api_key = VALUES(api_key), active = VALUES(active),"
            " venue = VALUES(venue)",
            [
                (account, venue, more.get("api_key", "key"), json.dumps(more.get("settings")),
                 more.get("active", True))
                for account in accounts
            ],
        )
        self.world.connection.commit()
        self.note()

    def note(self) -> int:
        with closing(connect(self.jobs.mysql)) as connection:
            return planner.note_accounts(connection, self.venues, EGRESSES)

    def plan(self) -> list[int]:
        """Accounts that were sent to be synced."""
        sent: list[int] = []
        with closing(connect(self.settings.mysql)) as connection:
            planner.plan(connection, ["testing"], EGRESSES, sent.extend)
        return sent

    def sync(self, *accounts: int) -> dict[str, int]:
        counts = batch.run_batch(self.tools(), accounts)
        return {outcome: number for outcome, number in counts.items() if number}

    def outbox(self) -> list[tuple[str, Any]]:
        rows = self.world.rows("SELECT type, data FROM fleet_outbox ORDER BY id")
        return [(type_, json.loads(data)) for type_, data in rows]

    def account(self, account_id: int, columns: str) -> tuple[Any, ...]:
        sql = f"SELECT {columns} FROM fleet_sync_accounts WHERE account_id = %s"  # noqa: S608
        [row] = self.world.rows(sql, account_id)
        return tuple(row)

    def kinds(self, account_id: int, column: str) -> dict[str, Any]:
        sql = f"SELECT kind, {column} FROM fleet_syncs WHERE account_id = %s"  # noqa: S608
        return dict(self.world.rows(sql, account_id))

    def due_in(self, account_id: int) -> float:
        (due_at,) = self.account(account_id, "due_at")
        return float((due_at - datetime.now(UTC)).total_seconds())


@pytest.fixture
def sync(world: World, settings_for: Callable[..., Settings]) -> Iterator[SyncWorld]:
    """Roles `sync` and, for what beat starts, `jobs`, each with its own grants."""
    loop = Loop("test-exchanges")
    settings, jobs = (
        settings_for(role, FLEET_PARTITIONS=str(PARTITIONS)) for role in ("sync", "jobs")
    )
    yield SyncWorld(world, settings, jobs, loop)
    loop.close()
