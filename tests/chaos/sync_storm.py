"""A storm over the exchange sync: accounts of every venue trade, and who reads them is killed.

The exchange is a process of its own, with books of its own. At last it is asked what is true: every
fill is booked once, no cursor ever said more than was there, nothing is stuck, and reconciliation
finds nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from shared.exchanges.table import VENUES
from shared.mysql.connection import connect
from tests.chaos.exchange import (
    Exchange,
    Member,
    add_accounts,
    link_accounts,
    local_exchange,
)
from tests.chaos.fleet import Fleet, Gated
from tests.chaos.gates import Gates
from tests.chaos.sync_node import CLAIM_SECONDS, LEASE_MS, running
from tests.chaos.verdict import status_of, what_is_left
from tests.desk import Desk, make_desk
from tests.sync_truth import BOOKED_FILLS, CLAIMS, ahead_of_rows, true_fill
from tests.waiting import eventually
from workers.lease import broker_redis
from workers.migrate import migrate_mysql
from workers.reconcile import reconcile_account
from workers.sync import planner
from workers.sync.judge import QUIET_MS

LONG_AGO_MS = 3_600_000
TRADES = 6  # of all accounts, each tick
TICK_SECONDS = 0.1
ASK_SECONDS = 0.4
LOOK_SECONDS = 1.0
CALM = (0.05, 0.8)  # seconds between two kills
CAUGHT_SECONDS = 2.0
START_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """kills: kill -9 that hit a sync in mid-batch. each: accounts of a venue and product."""

    seed: int
    kills: int
    each: int = 1
    syncs: int = 2
    seconds_most: float = 600.0
    drain_seconds: float = 60.0


@dataclass
class Outcome:
    """found: differences, empty when everything ties."""

    plan: Plan
    struck: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    fills: int = 0
    looks: int = 0
    recovery_seconds: float = 0.0
    logs: Path | None = None


def run(plan: Plan, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """One storm from an empty desk to the verdict. Nothing is left running."""
    desk = make_desk(f"fleet_syncs_{os.getpid()}_{plan.seed}", laravel=True)
    migrate_mysql(desk.settings("migrate"))  # the view over Laravel's table, which is there now
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan, logs=folder)
    gates = Gates()
    try:
        with local_exchange(folder) as exchange:
            environ = {**desk.environ, "FLEET_EXCHANGE_URL": exchange.url}
            fleet = Fleet(replace(desk, environ=environ), gates, folder, 1, 1, plan.syncs)
            try:
                _run(plan, desk, exchange, fleet, outcome, say)
            finally:
                fleet.down(signal.SIGKILL)
    finally:
        gates.close()
    if not outcome.found:
        desk.remove()
        shutil.rmtree(folder)
        outcome.logs = None
    return outcome


def _run(  # noqa: PLR0917 - the order people say it in
    plan: Plan,
    desk: Desk,
    exchange: Exchange,
    fleet: Fleet,
    outcome: Outcome,
    say: Callable[[str], None],
) -> None:
    numbers = range(1, plan.each * len(VENUES) + 1)
    pools = sorted(VENUES) * plan.each
    members = [Member(account, *pool) for account, pool in zip(numbers, pools, strict=True)]
    storm = Storm(plan, desk, exchange, fleet, members)
    with closing(desk.connect()) as storm.connection, closing(
        broker_redis(desk.settings("sync"))
    ) as storm.redis:
        fleet.up()
        storm.begin()
        storm.blow(outcome)
        fleet.up()
        healed = time.monotonic()
        say(f"  storm over: {sum(outcome.struck.values())} kills, {outcome.looks} looks")
        outcome.found += storm.drain()
        outcome.recovery_seconds = time.monotonic() - healed
        outcome.found += fleet.end()
        outcome.found += [words for one in fleet.members for words in one.own_deaths]
        outcome.found += storm.differences()
        [(outcome.fills,)] = storm.rows("SELECT COUNT(*) FROM fleet_fills")


class Storm:
    """connection, redis: of the storm itself."""

    connection: Any
    redis: Any

    def __init__(
        self,
        plan: Plan,
        desk: Desk,
        exchange: Exchange,
        fleet: Fleet,
        members: Sequence[Member],
    ) -> None:
        self._plan = plan
        self._desk = desk
        self._exchange = exchange
        self._fleet = fleet
        self._members = members
        self._rng = Random(plan.seed)
        self._seeds = Random(-plan.seed)
        self._since_ms: dict[int, int] = {}
        prefix = desk.settings("sync").broker_prefix
        self._running, self._leases = running(prefix), f"{prefix}sync:*"

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is committed now."""
        cursor = self.connection.cursor()
        cursor.execute(sql, values)
        found = list(cursor.fetchall())
        self.connection.commit()
        return found

    def begin(self) -> None:
        """Accounts with money and open positions of long ago."""
        at_ms = int(time.time() * 1000) - LONG_AGO_MS
        add_accounts(self._exchange, self._members, at_ms)
        self._trade(80, from_ms=at_ms + 1_000, to_ms=at_ms + 60_000)
        link_accounts(self.connection, self._desk.settings("sync"), self._members)

    # -- the storm ---------------------------------------------------------------------------------

    def blow(self, outcome: Outcome) -> None:
        """A quarter of the kills while the accounts are read for the first time, then trading."""
        eventually(lambda: self._fleet.syncs[0].alive, START_SECONDS)
        self._until(outcome, lambda: outcome.struck[MID_BATCH] * 4 >= self._plan.kills)
        eventually(self._all_begun, START_SECONDS)
        self._since_ms = dict(self.rows("SELECT account_id, since_ms FROM fleet_sync_accounts"))
        self._until(outcome, lambda: outcome.struck[MID_BATCH] >= self._plan.kills, trading=True)

    def _until(
        self, outcome: Outcome, done: Callable[[], bool], *, trading: bool = False
    ) -> None:
        end = time.monotonic() + self._plan.seconds_most
        strikes = asks = looks = 0.0
        while not done():
            now = time.monotonic()
            assert now < end, f"not so many kills in {self._plan.seconds_most:.0f} s"
            if trading:
                self._trade(TRADES)
            if now >= asks:
                asks = now + ASK_SECONDS
                self._ask()
            if now >= strikes and (struck := self._strike()):
                outcome.struck[struck] += 1
                strikes = now + self._rng.uniform(*CALM)
            if trading and now >= looks:
                looks = now + LOOK_SECONDS
                outcome.looks += 1
                outcome.found += self._ahead() + self._overdue()
            time.sleep(TICK_SECONDS)

    def _trade(self, trades: int, **times: int) -> None:
        self._exchange.do("storm", seed=self._seeds.randrange(2**31), trades=trades, **times)

    def _ask(self) -> None:
        planner.ask_all_now(self.connection)
        self.connection.commit()

    def _strike(self) -> str | None:
        """What was done; None: nobody has begun to work since the last kill."""
        at_work = [one for one in self._fleet.syncs if self._batches(one) is not None]
        if not at_work:
            return None
        drawn = self._rng.random()
        if drawn < ELSEWHERE:
            syncs = self._fleet.syncs
            member = self._rng.choice([one for one in self._fleet.members if one not in syncs])
            return self._kill(member, f"kill -9 of a {member.name.partition('-')[0]}")
        member = self._rng.choice(at_work)
        if drawn < ELSEWHERE + AT_COMMIT:
            return self._kill_at_commit(member)
        return self._kill(member, BETWEEN)

    def _batches(self, member: Gated) -> int | None:
        """That it is at; None: it never was at one."""
        pid = member.process.pid if member.alive and member.process else 0
        found = self.redis.hget(self._running, str(pid))
        return None if found is None else int(found)

    def _kill_at_commit(self, member: Gated) -> str:
        """Before the server has heard of it, or before the process hears of the server."""
        lost = member.mysql.commits_lost
        what = self._rng.choice(("request", "reply"))
        member.mysql.lose_commit(what)  # type: ignore[arg-type] # one of the two
        end = time.monotonic() + CAUGHT_SECONDS
        while member.mysql.commits_lost == lost and member.alive and time.monotonic() < end:
            time.sleep(0.002)
        return self._kill(member, f"kill -9 at a COMMIT without {what}")

    def _kill(self, member: Gated, words: str) -> str:
        assert member.process is not None
        member.send(signal.SIGKILL)
        member.process.wait()
        pid = str(member.process.pid)
        batches = int(self.redis.hget(self._running, pid) or 0)
        self.redis.hdel(self._running, pid)
        return MID_BATCH if batches and words == BETWEEN else words

    # -- after -------------------------------------------------------------------------------------

    def _all_begun(self) -> bool:
        self._ask()
        begun = self.rows("SELECT COUNT(*) FROM fleet_sync_accounts WHERE since_ms IS NOT NULL")
        return bool(begun[0][0] == len(self._members))

    def drain(self) -> list[str]:
        """Until every account was read whole and all of it is booked; what is left when the time
        is over.
        """
        end = time.monotonic() + self._plan.drain_seconds
        [(after,)] = self.rows("SELECT COALESCE(MAX(id), 0) FROM fleet_outbox")
        quiet = time.monotonic() + 2 * QUIET_MS / 1000
        asks = 0.0
        while True:
            now = time.monotonic()
            if now >= asks and now >= quiet:
                asks = now + 2 * ASK_SECONDS
                self._ask()
            left = self._unread(after) or self._stuck() or what_is_left(status_of(self._desk))
            if not left or now > end:
                return [f"after {self._plan.drain_seconds:.0f} s: {words}" for words in left]
            if not self._unread(after):
                asks = end  # nothing new, so that leases and claims must come to an end
            time.sleep(TICK_SECONDS)

    def _unread(self, after: int) -> list[str]:
        reported = {
            int(key) for (key,) in self.rows(
                "SELECT DISTINCT event_key FROM fleet_outbox"
                " WHERE id > %s AND type = 'balance.observed.1'", after,
            )
        }  # fmt: skip
        rows = self.rows("SELECT account_id, state, error FROM fleet_sync_accounts")
        return [
            f"account {account} is {state}, {error or 'not reported'}"
            for account, state, error in rows
            if account not in reported or state != "active" or error
        ]

    def _stuck(self) -> list[str]:
        claimed = self.rows(
            "SELECT account_id FROM fleet_sync_accounts WHERE claimed_until > UTC_TIMESTAMP(6)"
        )
        leases = list(self.redis.scan_iter(match=self._leases))
        return [f"{len(claimed)} claims and {len(leases)} leases"] if claimed or leases else []

    def _overdue(self) -> list[str]:
        """Claims and leases that would last longer than they may."""
        found = [
            f"account {account} is claimed for {seconds} s"
            for account, seconds in self.rows(
                "SELECT account_id, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), claimed_until)"
                " FROM fleet_sync_accounts WHERE claimed_until >"
                " UTC_TIMESTAMP(6) + INTERVAL %s SECOND", CLAIM_SECONDS,
            )
        ]  # fmt: skip
        for key in self.redis.scan_iter(match=self._leases):
            left_ms = self.redis.pttl(key)
            if left_ms == NO_END or left_ms > LEASE_MS:
                found.append(f"{key.decode()} is leased for {left_ms} ms")
        return found

    def _truth(self, member: Member) -> list[Any]:
        """Fills since the account was linked."""
        truth = self._exchange.do("truth", venue=member.venue, api_key=member.api_key)
        since_ms = self._since_ms[member.account]
        return [fill for fill in truth["fills"] if fill["at_ms"] >= since_ms]

    def _ahead(self) -> list[str]:
        found = []
        for member in self._members:
            claims = self.rows(CLAIMS, str(member.account), member.account)
            true_ms = [fill["at_ms"] for fill in self._truth(member)]
            found += [f"{member.name}: {text}" for text in ahead_of_rows(claims, true_ms)]
        return found

    def differences(self) -> list[str]:
        found = self._ahead()
        jobs = self._desk.settings("jobs")
        with closing(connect(jobs.mysql)) as connection:
            for member in self._members:
                true = sorted(true_fill(fill) for fill in self._truth(member))
                booked = sorted(self.rows(BOOKED_FILLS, member.account))
                if booked != true:
                    lost = len(Counter(true) - Counter(booked))
                    words = f"{len(booked)} fills, {len(true)} are true, {lost} lost"
                    found.append(f"{member.name}: {words}")
                breaks = reconcile_account(connection, jobs, member.account)
                found += [str(one) for one in breaks]
        found += [str(row) for row in self.rows("SELECT type, error FROM fleet_parked")]
        found += [f"opened twice: {row}" for row in self.rows(OPENED_TWICE)]
        return found


MID_BATCH, BETWEEN = "kill -9 in mid-batch", "kill -9 between two batches"
AT_COMMIT, ELSEWHERE = 0.2, 0.15  # of the kills
NO_END = -1
OPENED_TWICE = """
SELECT account_id, instrument, position_side, COUNT(*) FROM fleet_position_entries
WHERE kind = 'open' GROUP BY account_id, instrument, position_side HAVING COUNT(*) > 1
"""
