"""Accounts at the local exchange, linked and synced with everything real but the venue's owner:
encrypted keys, the limiter, the client, the batch, the outbox, relay, streams, ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.exchange.exchange import wall_ms
from deploy.exchange.server import Running, new_exchange
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product, Venue
from shared.laravel.encrypter import Encrypter
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import PARTITIONS, World, running
from tests.scaled_venues import scaled_venues
from tests.sync_truth import BOOKED_FILLS, CLAIMS, ahead_of_rows, true_fill
from tests.waiting import eventually
from workers.build import relay_of
from workers.lease import broker_redis
from workers.reconcile import reconcile_account
from workers.sync import batch, planner, store
from workers.sync.judge import QUIET_MS
from workers.sync_build import tools_of

DEPOSITS = {"USDT": "1000000", "BTC": "100", "ETH": "1000", "BNB": "500"}
LONG_AGO_MS = 3_600_000
QUIET_FOR_MS = 3 * QUIET_MS
RUNS = 20

POOLS: Sequence[tuple[str, Product]] = [
    ("binance", "linear"), ("binance", "spot"), ("bybit", "linear"), ("okx", "linear"),
]  # fmt: skip
"""One for each ccxt class: where a fault depends on the venue's words, not on the product."""


@dataclass
class Clock:
    """The exchange's: this host's, put forward where a test would have to wait."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return wall_ms() + self.ahead_ms


@dataclass
class ExchangeDesk:
    """Accounts 1.. of one venue and product. exchange: in a thread of this process."""

    world: World
    clock: Clock
    exchange: Running
    settings: Settings
    relay: Settings
    jobs: Settings
    venue: str
    product: Product
    accounts: tuple[int, ...]
    venues: Mapping[tuple[str, Product], Venue]
    workers: list[batch.Tools] = field(default_factory=list)

    # -- the exchange ------------------------------------------------------------------------------

    def do(self, verb: str, account: int, **more: Any) -> Any:
        told = {"venue": self.venue, "api_key": f"key-{account}", **more}
        return self.exchange.do(lambda desk: desk.do(verb, told))

    def trade(self, account: int, side: str = "buy", price: str = "60000.10", **more: Any) -> None:
        """A thousandth of a bitcoin, or one contract."""
        qty = {"inverse": "1", "spot": "0.001"}.get(self.product, "0.010")
        told = {"symbol": self.symbol, "side": side, "qty": qty, "price": price, **more}
        self.do("trade", account, product=self.product, **told)

    @property
    def symbol(self) -> str:
        names = {"okx": {"linear": "BTC-USDT-SWAP", "inverse": "BTC-USD-SWAP", "spot": "BTC-USDT"}}
        plain = "BTCUSD" if self.product == "inverse" else "BTCUSDT"
        return names.get(self.venue, {}).get(self.product, plain)

    def fault(self, kind: str, account: int | None = None, **more: Any) -> None:
        key = "" if account is None else f"key-{account}"
        told = {"kind": kind, "venue": self.venue, "api_key": key, **more}
        self.exchange.do(lambda desk: desk.do("fault", told))

    def refused(self) -> dict[str, int]:
        """Answers 429 and 418 so far."""
        return dict(self.exchange.do(lambda desk: desk.exchange.limiter.refused))

    def now_ms(self) -> int:
        return int(self.exchange.do(lambda desk: desk.exchange.now_ms(self.venue)))

    def pass_(self, milliseconds: int = QUIET_FOR_MS) -> None:
        """Time goes by, for the limiter as well. Processes do not live through that: others work on
        from what stands in MySQL and Redis.
        """
        self.clock.ahead_ms += milliseconds
        self.close()
        with closing(broker_redis(self.settings)) as redis:
            for egress in self.settings.egress:
                pool = self.venues[self.venue, self.product].ccxt_class
                state = f"{self.settings.broker_prefix}fleet:limits:{{{pool}:{egress}}}"
                # No test can move the clock of Redis, but what the limiter makes of it.
                [offset] = redis.hmget(state, ["offset"])
                redis.hset(state, "offset", int(offset or 0) + milliseconds)

    # -- accounts ----------------------------------------------------------------------------------

    def link(self, *, hedge: Sequence[int] = ()) -> None:
        """They have had their money for an hour."""
        rows = [
            {
                "venue": self.venue, "uid": str(4_000 + account), "api_key": f"key-{account}",
                "secret": f"secret-{account}", "passphrase": f"pass-{account}",
                "products": [self.product], "hedge": account in hedge,
                "wallets": {self.product: DEPOSITS}, "at_ms": self.now_ms() - LONG_AGO_MS,
            }
            for account in self.accounts
        ]  # fmt: skip
        self.exchange.do(lambda desk: desk.add_accounts(rows))
        self.store_keys({account: f"key-{account}" for account in self.accounts})

    def store_keys(self, keys: dict[int, str]) -> int:
        """As Laravel's casts write them; beat sees it. How many accounts changed for it."""
        key = self.settings.app_key
        assert key is not None
        encrypt = Encrypter(key).encrypt_string
        schema = self.settings.mysql.laravel_database
        self.world.connection.cursor().executemany(
            f"INSERT INTO {schema}.exchange_accounts"  # noqa: S608 - our own schema
            " (id, user_id, venue, product, api_key, api_secret, passphrase, active)"
            " VALUES (%s, 1, %s, %s, %s, %s, %s, 1)"
            " ON DUPLICATE KEY UPDATE api_key = VALUES(api_key), api_secret = VALUES(api_secret)",
            [
                (account, self.venue, self.product, encrypt(api_key),
                 encrypt(f"secret-{account}"), encrypt(f"pass-{account}"))
                for account, api_key in keys.items()
            ],
        )  # fmt: skip
        self.world.connection.commit()
        with closing(connect(self.jobs.mysql)) as connection:
            return planner.note_accounts(connection, VENUES, sorted(self.settings.egress))

    # -- the sync ----------------------------------------------------------------------------------

    def worker(self) -> batch.Tools:
        """As another process would make them."""
        times = batch.Times(same_again_ms=0)  # every look is told
        self.workers.append(tools_of(self.settings, self.venues)._replace(times=times))
        return self.workers[-1]

    @property
    def tools(self) -> batch.Tools:
        return self.workers[0] if self.workers else self.worker()

    def close(self) -> None:
        for tools in self.workers:
            tools.close()
        self.workers.clear()

    def ask(self, *accounts: int, tools: batch.Tools | None = None) -> dict[str, int]:
        """These, or everybody: everything, now."""
        wanted = accounts or self.accounts
        with closing(connect(self.settings.mysql)) as connection:
            planner.ask_now(connection, wanted)
            connection.commit()
        counts = batch.run_batch(tools or self.tools, wanted)
        return {outcome: count for outcome, count in counts.items() if count}

    def ask_all(self) -> None:
        """Until no history is left to be read."""
        for _ in range(RUNS):
            assert self.ask().keys() <= {"done"}, self.errors()
            if not self.world.rows(
                "SELECT 1 FROM fleet_syncs s JOIN fleet_sync_accounts a USING (account_id)"
                " WHERE s.due_at <= s.ran_at"
            ):
                return
        raise AssertionError(f"more was left after {RUNS} runs")

    def ask_when_quiet(self) -> None:
        """Once nothing has moved for long enough: every account is read whole."""
        self.pass_()
        before = self.reports()
        self.ask_all()
        after = self.reports()
        assert all(after.get(one, 0) > before.get(one, 0) for one in self.accounts), self.errors()

    def errors(self) -> Any:
        return self.world.rows("SELECT account_id, state, error FROM fleet_sync_accounts")

    def account(self, account_id: int, columns: str) -> tuple[Any, ...]:
        sql = f"SELECT {columns} FROM fleet_sync_accounts WHERE account_id = %s"  # noqa: S608
        [row] = self.world.rows(sql, account_id)
        return tuple(row)

    def reports(self) -> dict[int, int]:
        """Balances told so far, by account."""
        rows = self.world.rows(
            "SELECT event_key, COUNT(*) FROM fleet_outbox WHERE type = 'balance.observed.1'"
            " GROUP BY event_key"
        )
        return {int(key): count for key, count in rows}

    def told(self, type_: str, account: int) -> list[Any]:
        sql = "SELECT data FROM fleet_outbox WHERE type = %s AND event_key = %s ORDER BY id"
        return [json.loads(data) for (data,) in self.world.rows(sql, type_, str(account))]

    # -- the books ---------------------------------------------------------------------------------

    @contextmanager
    def booking(self) -> Iterator[None]:
        """At the end everything that was told is in the books, and beat has seen it."""
        with running(relay_of(self.relay)), self.world.reading():
            yield
            self.booked()

    def booked(self) -> None:
        eventually(lambda: self.world.one(
            "SELECT COUNT(*) FROM fleet_outbox WHERE state < 2") == 0, 60)  # fmt: skip
        restating = "SELECT COUNT(*) FROM fleet_positions WHERE restating_from_ms IS NOT NULL"
        eventually(lambda: self.world.one(restating) == 0)
        with closing(connect(self.settings.mysql)) as connection:
            store.confirm(connection)

    def breaks(self) -> list[Any]:
        """Open breaks of all accounts, after a reconciliation, and parked events."""
        with closing(connect(self.jobs.mysql)) as connection:
            found = [
                one for account in self.accounts
                for one in reconcile_account(connection, self.jobs, account)
            ]  # fmt: skip
        return [*found, *self.world.rows("SELECT type, error FROM fleet_parked")]

    def differences(self) -> list[str]:
        """Everything that is not as the exchange has it: breaks, fills, cursors."""
        found = [str(one) for one in self.breaks()]
        for account in self.accounts:
            truth = self.do("truth", account)["fills"]
            true = sorted(true_fill(fill) for fill in truth)
            booked = sorted(self.world.rows(BOOKED_FILLS, account))
            if booked != true:
                found.append(f"account {account}: {len(booked)} fills of {len(true)}, or others")
            claims = self.world.rows(CLAIMS, str(account), account)
            found += ahead_of_rows(claims, [one["at_ms"] for one in truth])
        return found


@contextmanager
def exchange_desk(  # noqa: PLR0917 - the order people say it in
    world: World,
    settings_for: Callable[..., Settings],
    venue: str,
    product: Product,
    accounts: Sequence[int] = (1, 2, 3, 4),
    scale: int = 20,
    **more: str,
) -> Iterator[ExchangeDesk]:
    """scale: of the venue's windows, on both sides. more: settings of the role sync."""
    partitions = {"FLEET_PARTITIONS": str(PARTITIONS)}
    clock = Clock()
    with Running(new_exchange(scale=scale, clock=clock)) as exchange:
        sync = settings_for("sync", **partitions, FLEET_EXCHANGE_URL=exchange.url, **more)
        relay, jobs = settings_for("relay", **partitions), settings_for("jobs", **partitions)
        desk = ExchangeDesk(
            world, clock, exchange, sync, relay, jobs, venue, product, tuple(accounts),
            scaled_venues(scale),
        )  # fmt: skip
        try:
            yield desk
        finally:
            desk.close()
