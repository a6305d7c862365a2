"""Accounts at the local exchange, read once by the sync, and nodes that hear their streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.exchanges.venue import Product
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World, running
from tests.waiting import eventually
from tests.workers.sync.exchange_desk import ExchangeDesk, exchange_desk
from workers.reporting import Report
from workers.sync import planner
from workers.userstreams import line, node, recorder, store
from workers.userstreams.node import UserStreams
from workers.userstreams_build import build_userstreams

QUICK = node.Bounds(
    turn_seconds=0.05, look_seconds=0.05, lease_ms=1_000, moved=2, margin_ms=0, grace_ms=200,
    steady_seconds=0.5,
)  # fmt: skip
QUICK_LINE = line.Bounds(
    ready=5.0, ping=1.0, pong=0.8, renew=0.3, renew_again=0.1, pause=0.05, pause_most=0.2,
    steady=0.5,
)  # fmt: skip

@dataclass
class Streams:
    """desk: the accounts, and their sync. settings: of the role `userstreams`."""

    desk: ExchangeDesk
    settings: Settings
    environ: dict[str, str]
    reports: list[Report] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.desk.world

    def node(
        self,
        bounds: node.Bounds = QUICK,
        line_bounds: line.Bounds = QUICK_LINE,
        record_bounds: recorder.Bounds | None = None,
    ) -> UserStreams:
        return build_userstreams(
            self.settings, self.reports.append, node_bounds=bounds, line_bounds=line_bounds,
            record_bounds=record_bounds,
        )  # fmt: skip

    @contextmanager
    def streaming(self, **more: Any) -> Iterator[UserStreams]:
        """A node that hears every account."""
        with running(self.node(**more)) as node_:
            self.until_up()
            yield node_

    def until_up(self) -> None:
        eventually(lambda: self.down() == [])

    def down(self) -> list[int]:
        """Accounts whose stream is not up, by the rows."""
        rows = self.world.rows(
            "SELECT account_id FROM fleet_stream_gaps GROUP BY account_id"
            " HAVING SUM(until_ms IS NULL) = 0"
        )
        up = {account for (account,) in rows}
        return [one for one in self.desk.accounts if one not in up]

    def gaps(self, account: int, columns: str = "cause") -> list[Any]:
        """Of the account, oldest first, behind the one that it began with."""
        rows = self.world.rows(
            f"SELECT {columns} FROM fleet_stream_gaps WHERE account_id = %s ORDER BY id",  # noqa: S608 - a test's own
            account,
        )
        return [row[0] if len(row) == 1 else row for row in rows][1:]

    def fault(self, kind: str, account: int) -> None:
        done = self.desk.exchange.do(
            lambda desk: desk.stream_fault(kind, self.desk.venue, f"key-{account}")
        )
        assert done == 1, self.all_gaps()

    def say(self, account: int, text: str) -> None:
        """A message of the venue, as it never wrote one."""

        def say(desk: Any) -> None:
            for one in desk.exchange.streams.of(self.desk.venue, f"key-{account}"):
                one.say(text)

        self.desk.exchange.do(say)

    def all_gaps(self) -> Any:
        return self.world.rows("SELECT * FROM fleet_stream_gaps ORDER BY id")

    def open_at_the_venue(self, account: int) -> int:
        return len(
            self.desk.exchange.do(lambda desk: desk.streams(self.desk.venue, f"key-{account}"))
        )

    def told(self, account: int) -> list[Any]:
        """Fills of the account that its stream has told."""
        told = self.desk.told("order.filled.1", account)
        return [one for one in told if one["source"] == "stream"]

    def is_due(self, account: int) -> bool:
        sql = "SELECT due_at <= UTC_TIMESTAMP(6) FROM fleet_sync_accounts WHERE account_id = %s"
        return bool(self.world.one(sql, account))

    def sync(self) -> None:
        """A run of every account, and all of it in the books."""
        with self.desk.booking():
            assert self.desk.ask().keys() == {"done"}, self.desk.errors()

    def close_gaps(self) -> int:
        """A part of beat's task."""
        with closing(connect(self.desk.jobs.mysql)) as connection:
            return store.close_gaps(connection)

    def open_gaps(self) -> int:
        sql = "SELECT COUNT(*) FROM fleet_stream_gaps WHERE closed_at IS NULL"
        return int(self.world.one(sql))

    def switch(self, account: int, column: str, value: Any) -> None:
        """A column of Laravel's, and what beat makes of it."""
        schema = self.desk.settings.mysql.laravel_database
        self.world.run(
            f"UPDATE {schema}.exchange_accounts SET {column} = %s WHERE id = %s",  # noqa: S608 - ours
            value, account,
        )  # fmt: skip
        with closing(connect(self.desk.jobs.mysql)) as connection:
            planner.note_accounts(
                connection, [(self.desk.venue, self.desk.product)], ["default"]
            )


@pytest.fixture
def streams_at(
    world: World, settings_for: Callable[..., Settings], environ_for: Callable[..., dict[str, str]]
) -> Iterator[Callable[..., Streams]]:
    """`streams_at("okx", "linear", (1, 2))`: accounts there, linked and read; more: settings."""
    with ExitStack() as stack:

        def make(
            venue: str, product: Product, accounts: tuple[int, ...] = (1, 2), **more: str
        ) -> Streams:
            desk = stack.enter_context(exchange_desk(world, settings_for, venue, product, accounts))
            desk.link()
            desk.ask_when_quiet()
            more |= {"FLEET_PARTITIONS": str(PARTITIONS), "FLEET_EXCHANGE_URL": desk.exchange.url}
            return Streams(
                desk, settings_for("userstreams", **more), environ_for("userstreams", **more)
            )

        yield make
