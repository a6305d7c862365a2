"""The recovery drill: what a fleet knows is set back to an older backup, or lost, under traffic.

    traffic ─> backups ─> more traffic ─> the loss ─> `fleet recover` ─> books and sinks are judged

The exchange goes on and is the truth: at last every fill stands in the books once, they reconcile,
and both sinks equal the tables. The time of each part is told.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import MySQLdb

from shared.errors import Unavailable
from shared.exchanges.table import VENUES
from tests.chaos.exchange import Member as Account
from tests.chaos.exchange import add_accounts, link_accounts
from tests.chaos.fleet import Crew, Member
from tests.chaos.recovery_verdict import differences, on_its_way, sinks_apart
from tests.chaos.recovery_world import RecoveryWorld, recovery_world, rows
from tests.desk import server_values
from tests.waiting import eventually
from workers.sync import planner

LONG_AGO_MS = 3_600_000
START_SECONDS = 120.0
SETTLE_SECONDS = 120.0
TICK_SECONDS = 0.1
ASK_SECONDS = 0.5
TRADES = 4

OTHER_ACCOUNT = """
INSERT INTO app_laravel.exchange_accounts
  (user_id, venue, product, api_key, api_secret, passphrase, active)
VALUES (2, 'binance', 'linear', '', '', '', 0)
"""
"""Captured, and known to the application alone: what a restore loses of them is lost."""

TABLE_LINES = ("┏", "┃", "┡", "│", "└")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """losses: names of LOSSES, one after the other. seconds: of traffic between backup and loss.
    audit_elsewhere: its log on a server that is not set back. each: accounts of a venue.
    """

    seed: int
    losses: Sequence[str] = ()
    seconds: float = 8.0
    audit_elsewhere: bool = False
    each: int = 1


@dataclass
class Outcome:
    """found: differences, empty when everything ties. took: seconds of each part."""

    plan: Plan
    found: list[str] = field(default_factory=list)
    took: dict[str, dict[str, float]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    fills: int = 0
    epoch: int = 0
    logs: Path | None = None


class Drill:
    """What the losses see."""

    def __init__(self, plan: Plan, world: RecoveryWorld, crew: Crew[Member]) -> None:
        self.plan = plan
        self.world = world
        self.crew = crew
        self.stack = ExitStack()
        self.rng = Random(plan.seed)
        self.backups: Mapping[str, Path] = {}
        pools = sorted(VENUES) * plan.each
        self.accounts = [Account(number, *pool) for number, pool in enumerate(pools, 1)]
        self._since_ms: dict[int, int] = {}

    def rows(self, sql: str, *words: Any) -> list[Any]:
        return rows(self.world.mysql.connection, sql, *words)

    # -- before ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Accounts with money and trades of long ago, all of it booked and captured."""
        at_ms = int(time.time() * 1000) - LONG_AGO_MS
        add_accounts(self.world.exchange, self.accounts, at_ms)
        self.trade(60, from_ms=at_ms + 1_000, to_ms=at_ms + 60_000)
        with closing(self.world.mysql.connection()) as connection:
            link_accounts(connection, self.world.settings("sync"), self.accounts)
        self.crew.up()
        eventually(self._has_begun, START_SECONDS)
        self._since_ms = dict(self.rows("SELECT account_id, since_ms FROM fleet_sync_accounts"))

    def back_up(self) -> None:
        self.backups = {
            "mysql": self.world.dump_mysql(), "timescale": self.world.dump_timescale()
        }  # fmt: skip

    def trade(self, trades: int, **times: int) -> None:
        seed = self.rng.randrange(2**31)
        self.world.exchange.do("storm", seed=seed, trades=trades, **times)

    def ask(self) -> None:
        """Every account is due."""
        with suppress(Unavailable, MySQLdb.Error), closing(
            self.world.mysql.connection()
        ) as connection:
            planner.ask_all_now(connection)
            connection.commit()

    def differences(self) -> list[str]:
        return differences(self.world, self.accounts, self._since_ms)

    def _has_begun(self) -> bool:
        self.ask()
        begun = self.rows("SELECT COUNT(*) FROM fleet_sync_accounts WHERE since_ms IS NOT NULL")
        known = self.world.timescale.run("SELECT seq FROM fleet.cdc_offset WHERE seq > 1")
        audit = self.world.audited("SELECT 1 FROM fleet_cdc_offset WHERE seq > 1")
        return bool(begun[0][0] == len(self.accounts) and known and audit)


class Traffic:
    """Trades at the exchange, and orders that Laravel records where it can. A thread of its own."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._ending = threading.Event()
        self._failed: list[str] = []
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.recorded = self.refused = 0

    def start(self) -> None:
        self._thread.start()

    def end(self) -> list[str]:
        self._ending.set()
        self._thread.join()
        return self._failed

    def _run(self) -> None:
        asks = 0.0
        try:
            while not self._ending.wait(TICK_SECONDS):
                self._drill.trade(TRADES)
                self._record()
                if time.monotonic() >= asks:
                    asks = time.monotonic() + ASK_SECONDS
                    self._drill.ask()
        except Exception as error:  # noqa: BLE001 - told at the end
            self._failed.append(f"traffic: {error!r}")

    def _record(self) -> None:
        """A row in a transaction of the application."""
        account = self._drill.accounts[self.recorded % len(self._drill.accounts)]
        order = uuid.uuid4().hex
        at_ms = time.time_ns() // 1_000_000
        data = {
            "account_id": account.account, "venue": account.venue, "product": account.product,
            "instrument": "BTCUSDT", "order_id": order, "at_ms": at_ms, "side": "buy",
        }  # fmt: skip
        try:
            with closing(self._drill.world.mysql.connection()) as connection:
                connection.cursor().execute(
                    "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)"
                    " VALUES ('orders', 'order.placed.1', %s, %s, %s, %s)",
                    (str(account.account), order, at_ms * 1000, json.dumps(data)),
                )
                connection.cursor().execute(OTHER_ACCOUNT)
                connection.commit()
        except (Unavailable, MySQLdb.Error):
            self.refused += 1
        else:
            self.recorded += 1


# -- losses ----------------------------------------------------------------------------------------


def lose_mysql(drill: Drill) -> None:
    drill.world.replace_mysql(drill.backups["mysql"], drill.stack)


def lose_redis(drill: Drill) -> None:
    drill.world.redis.stop()
    drill.world.redis.start()


def lose_timescale(drill: Drill) -> None:
    drill.world.replace_timescale(drill.backups["timescale"])


def empty_timescale(drill: Drill) -> None:
    drill.world.replace_timescale(None)


def lose_all(drill: Drill) -> None:
    lose_redis(drill)
    lose_timescale(drill)
    lose_mysql(drill)


def load_in_place(drill: Drill) -> None:
    """Into the server that runs, as many do: then the fleet must be stopped meanwhile."""
    drill.crew.down(signal.SIGKILL)
    drill.world.load_mysql(drill.world.mysql, drill.backups["mysql"])
    drill.crew.up()


def load_unlogged(drill: Drill) -> None:
    """The same, and the log does not tell of it: no position shows that anything has happened."""
    text = drill.backups["mysql"].read_bytes()
    silent = drill.world.folder / "silent.sql"
    silent.write_bytes(b"SET SESSION sql_log_bin = 0;\n" + text)
    drill.crew.down(signal.SIGKILL)
    drill.world.load_mysql(drill.world.mysql, silent)
    drill.crew.up()


LOSSES: Mapping[str, Callable[[Drill], None]] = {
    "mysql": lose_mysql,
    "redis": lose_redis,
    "timescale": lose_timescale,
    "timescale emptied": empty_timescale,
    "mysql in place": load_in_place,
    "mysql in place, unlogged": load_unlogged,
    "all": lose_all,
}


def full_plan(seed: int, seconds: float) -> Plan:
    """Every loss, in an order of the seed's. The audit log is elsewhere with an odd one."""
    losses = list(LOSSES)
    Random(seed).shuffle(losses)
    return Plan(seed, losses, seconds, audit_elsewhere=bool(seed % 2))


def run(plan: Plan, say: Say = lambda _: None) -> Outcome:
    """From empty servers to the verdict. Nothing is left running."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan, logs=folder)
    with ExitStack() as stack, recovery_world(
        server_values(), folder, stack, audit_elsewhere=plan.audit_elsewhere
    ) as world:
        crew = world.crew()
        drill = Drill(plan, world, crew)
        stack.push(drill.stack)
        try:
            _run(drill, outcome, say)
        finally:
            crew.down(signal.SIGKILL)
    if not outcome.found:
        shutil.rmtree(folder)
        outcome.logs = None
    return outcome


def _run(drill: Drill, outcome: Outcome, say: Say) -> None:
    begun = time.monotonic()
    drill.begin()
    say(f"  books and sinks have begun, {time.monotonic() - begun:.1f} s")
    for name in drill.plan.losses:
        outcome.found += _lose(drill, outcome, name, say)
        if outcome.found:
            break
    outcome.found += drill.crew.end()
    outcome.found += [
        f"{one.name} ended by itself: {words}"
        for one in drill.crew.members for words in one.own_deaths
    ]  # fmt: skip
    [(outcome.fills,)] = drill.rows("SELECT COUNT(*) FROM fleet_fills")
    [(outcome.epoch,)] = drill.world.audited("SELECT epoch FROM fleet_cdc_offset")


def _lose(drill: Drill, outcome: Outcome, name: str, say: Say) -> list[str]:
    traffic = Traffic(drill)
    took = outcome.took.setdefault(name, {})
    traffic.start()
    try:
        drill.back_up()
        time.sleep(drill.plan.seconds)
        with _timed(took, "loss and restore"):
            LOSSES[name](drill)
        with _timed(took, "fleet recover"):
            done = drill.world.fleet("recover", "--reason", name)
    finally:
        found = traffic.end()
    outcome.told[name] = done.stdout.splitlines()
    if done.returncode:
        told = [line for line in outcome.told[name] if not line.startswith(TABLE_LINES)]
        found.append(f"{name}: fleet recover ends with {done.returncode}: {told}"
                     f"{done.stderr[-1500:]}")  # fmt: skip
        found += [f"{name}: break {row}" for row in drill.rows("SELECT * FROM fleet_breaks")]
    with _timed(took, "until all is quiet"):
        found += [f"{name}: {words}" for words in _settled(drill)]
    with _timed(took, "fleet cdc verify"):
        proof = drill.world.fleet("cdc", "verify")
    if proof.returncode:
        found.append(f"{name}: fleet cdc verify: {proof.stdout[-1500:]}{proof.stderr[-500:]}")
    found += [f"{name}: {words}" for words in sinks_apart(drill.world)]
    say(f"  {name}: " + ", ".join(f"{part} {seconds:.1f} s" for part, seconds in took.items()))
    for line in outcome.told[name]:
        if line.startswith(("books:", "change capture:", "sinks:", "differing")):
            say(f"    {line}")
    return found


def _settled(drill: Drill) -> list[str]:
    """Until the books say what the exchange says; what is left when the time is over."""
    end, asks = time.monotonic() + SETTLE_SECONDS, 0.0
    while True:
        if time.monotonic() >= asks:
            drill.ask()
            asks = time.monotonic() + 4 * ASK_SECONDS
        left = on_its_way(drill.world) or drill.differences()
        if not left or time.monotonic() > end:
            return left
        time.sleep(TICK_SECONDS)


class _timed:  # noqa: N801 - reads as a statement
    def __init__(self, took: dict[str, float], part: str) -> None:
        self._took, self._part = took, part

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._took[self._part] = time.monotonic() - self._begun
