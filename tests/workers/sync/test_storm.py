"""Accounts of every venue trade on the local exchange; the books end where the exchange stands.

Everything is real but the venue's owner: encrypted keys, the limiter, the client, the batch, the
outbox, relay, streams, ledger and reconciliation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from deploy.exchange.server import Running, new_exchange
from shared.exchanges.table import VENUES
from shared.laravel.encrypter import Encrypter
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World, running
from tests.waiting import eventually
from workers.build import relay_of
from workers.reconcile import reconcile_account
from workers.sync import batch, planner
from workers.sync.judge import QUIET_MS
from workers.sync_build import tools_of

pytestmark = pytest.mark.database

ALL = sorted(VENUES)
DEPOSITS = {"USDT": "1000000", "BTC": "100", "ETH": "1000", "BNB": "500"}


@dataclass
class Desk:
    """Accounts 1.. of one venue and product. exchange: in a thread of this process."""

    world: World
    exchange: Running
    settings: Settings
    tools: batch.Tools
    relay: Settings
    jobs: Settings
    venue: str
    product: str
    accounts: tuple[int, ...] = (1, 2, 3, 4)

    def do(self, verb: str, account: int, **more: Any) -> Any:
        told = {"venue": self.venue, "api_key": f"key-{account}", **more}
        return self.exchange.do(lambda desk: desk.do(verb, told))

    def link(self, *, hedge: tuple[int, ...] = ()) -> None:
        rows = [
            {
                "venue": self.venue, "uid": str(4_000 + account), "api_key": f"key-{account}",
                "secret": f"secret-{account}", "passphrase": f"pass-{account}",
                "products": [self.product], "hedge": account in hedge,
                "wallets": {self.product: DEPOSITS},
            }
            for account in self.accounts
        ]  # fmt: skip
        self.exchange.do(lambda desk: desk.add_accounts(rows))
        key = self.settings.app_key
        assert key is not None
        encrypt = Encrypter(key).encrypt_string
        schema = self.settings.mysql.laravel_database
        self.world.connection.cursor().executemany(
            f"INSERT INTO {schema}.exchange_accounts"  # noqa: S608 - our own schema
            " (id, user_id, venue, product, api_key, api_secret, passphrase, active)"
            " VALUES (%s, 1, %s, %s, %s, %s, %s, 1)",
            [
                (account, self.venue, self.product, encrypt(f"key-{account}"),
                 encrypt(f"secret-{account}"), encrypt(f"pass-{account}"))
                for account in self.accounts
            ],
        )  # fmt: skip
        self.world.connection.commit()
        with closing(connect(self.settings.mysql)) as connection:
            planner.note_accounts(connection, VENUES, ["default"])

    def ask(self) -> dict[str, int]:
        """Everybody, everything, now."""
        with closing(connect(self.settings.mysql)) as connection:
            planner.ask_now(connection, self.accounts)
            connection.commit()
        return {one: count for one, count in batch.run_batch(self.tools, self.accounts).items()
                if count}  # fmt: skip

    def ask_when_quiet(self) -> None:
        """Once nothing has moved for long enough: every account is read whole."""
        eventually(lambda: self.exchange.do(self._quiet_for) > 2 * QUIET_MS)
        before = self.reports()
        self.ask()
        left = self.world.rows("SELECT account_id, error FROM fleet_sync_accounts")
        assert self.reports().keys() == set(self.accounts), left
        assert all(count > before.get(one, 0) for one, count in self.reports().items()), left

    def reports(self) -> dict[int, int]:
        rows = self.world.rows(
            "SELECT event_key, COUNT(*) FROM fleet_outbox WHERE type = 'balance.observed.1'"
            " GROUP BY event_key"
        )
        return {int(key): count for key, count in rows}

    def _quiet_for(self, desk: Any) -> int:
        accounts = desk.exchange.accounts.values()
        newest = max(entry.at_ms for account in accounts for entry in account.entries)
        return int(desk.exchange.now_ms(self.venue)) - newest

    @contextmanager
    def booking(self) -> Iterator[None]:
        with running(relay_of(self.relay)), self.world.reading():
            yield
            eventually(lambda: self.world.one(
                "SELECT COUNT(*) FROM fleet_outbox WHERE state < 2") == 0, 60)  # fmt: skip
            eventually(lambda: self.world.one(
                "SELECT COUNT(*) FROM fleet_positions WHERE restating_from_ms IS NOT NULL") == 0)  # fmt: skip

    def differences(self) -> list[Any]:
        """Open breaks of all accounts, after a reconciliation, and parked events."""
        with closing(connect(self.jobs.mysql)) as connection:
            breaks = [
                one for account in self.accounts
                for one in reconcile_account(connection, self.jobs, account)
            ]  # fmt: skip
        return [*breaks, *self.world.rows("SELECT type, error FROM fleet_parked")]


@pytest.fixture(params=ALL, ids="-".join)
def desk(
    request: pytest.FixtureRequest, world: World, settings_for: Callable[..., Settings]
) -> Iterator[Desk]:
    venue, product = request.param
    relay = settings_for("relay", FLEET_PARTITIONS=str(PARTITIONS))
    with Running(new_exchange(scale=100)) as exchange:
        settings = settings_for(
            "sync", FLEET_PARTITIONS=str(PARTITIONS), FLEET_EXCHANGE_URL=exchange.url
        )
        tools = tools_of(settings)
        jobs = settings_for("jobs", FLEET_PARTITIONS=str(PARTITIONS))
        yield Desk(world, exchange, settings, tools, relay, jobs, venue, product)
        tools.close()


def test_after_a_storm_every_figure_is_the_exchanges(desk: Desk) -> None:
    desk.link(hedge=() if desk.product == "spot" else (2,))
    desk.ask_when_quiet()
    desk.exchange.do(lambda one: one.storm(seed=5, trades=120))
    with desk.booking():
        desk.ask_when_quiet()
    assert [(b.identity, str(b.expected), str(b.actual), b.details) for b in desk.differences()] == []
    for account in desk.accounts:
        truth = desk.do("truth", account)
        true = sorted(
            (fill["symbol"], fill["side"], Decimal(fill["qty"]), Decimal(fill["price"]))
            for fill in truth["fills"]
        )
        booked = desk.world.rows(
            "SELECT instrument, side, qty, price FROM fleet_fills WHERE account_id = %s", account
        )
        assert sorted(booked) == true
        held = {(one["symbol"], one["side"]): Decimal(one["qty"]) for one in truth["positions"]}
        ours = desk.world.rows(
            "SELECT instrument, position_side, qty FROM fleet_positions WHERE account_id = %s",
            account,
        )
        if desk.product != "spot":
            assert {(name, side): qty for name, side, qty in ours if qty} == {
                key: qty for key, qty in held.items() if qty
            }
