"""Some accounts, asked at the same time and written in one transaction.

    leases ──> load ──> ask each at its venue, at once ──> one commit ──> leases go

Whoever finds an account's lease taken counts it as skipped. A run that lost its lease meanwhile is
fenced by the account's version: nothing of it is written. A process that dies here loses nothing
but time: cursors and events commit together, and the account is due again when its claim ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from redis import Redis

from shared import telemetry
from shared.errors import Unavailable
from shared.mysql.connection import transaction
from workers.lease import RELEASE, TAKE
from workers.sync import planner, store
from workers.sync.account import Desk, run_account
from workers.sync.connections import Connections
from workers.sync.loop import Loop
from workers.sync.settle import Run, settle
from workers.sync.store import Loaded, Saved
from workers.sync.tiers import SAME_AGAIN_MS

CLOSE_SECONDS = 10.0
WRITES = 3  # of a batch: after a deadlock the same rows go in again

_log = telemetry.log(__name__)


class Times(NamedTuple):
    """lease_ms: of an account, which a process that died holds for so long. batch_seconds: then a
    batch is given up, because its leases must not end under it. same_again_ms: see settle.
    """

    lease_ms: int = 180_000
    batch_seconds: float = 150.0
    same_again_ms: int = SAME_AGAIN_MS


class Tools(NamedTuple):
    """What a batch is given by the composition root.

    loop: what the connections of `desk` live on. tell_suspended: tells Laravel, in the transaction
    that suspends.
    """

    mysql: Connections
    redis: Redis
    prefix: str
    desk: Desk
    loop: Loop
    tell_suspended: Callable[[Any, int, str], object]
    times: Times = Times()

    def close(self) -> None:
        """Connections to venues, to Redis, and the calling thread's to MySQL."""
        self.mysql.close()
        self.loop.wait(self.desk.exchanges.close(), CLOSE_SECONDS)
        self.loop.close()
        self.redis.close()


def run_batch(tools: Tools, account_ids: Sequence[int]) -> Counter[str]:
    """Accounts by outcome: done, failed, paused, suspended, skipped (leased elsewhere), fenced,
    gone.
    """
    owner = secrets.token_hex(8)
    held = _take(tools, owner, account_ids)
    counts = Counter(skipped=len(account_ids) - len(held))
    try:
        if held:
            counts += _run_held(tools, held)
    except BaseException:
        # Nothing was written, so nobody has to wait until the claims end.
        with suppress(Unavailable), tools.mysql() as connection:
            planner.give_back(connection, held)
        raise
    finally:
        _release(tools, owner, held)
    for outcome, number in counts.items():
        telemetry.count("fleet_sync_accounts_total", number, outcome=outcome)
    return counts


def _run_held(tools: Tools, account_ids: Sequence[int]) -> Counter[str]:
    with tools.mysql() as connection:
        now, loaded = store.read(connection, account_ids)
        if not loaded:
            return Counter(gone=len(account_ids))
        runs = tools.loop.wait(_ask_all(tools.desk, now, loaded), tools.times.batch_seconds)
        written = _write(tools, connection, now, runs)
    for one in written:
        _report(one)
    counts = Counter(outcome_of(one) for one in written)
    counts["gone"] = len(account_ids) - len(loaded)
    counts["fenced"] = len(runs) - len(written)
    return counts


def _write(tools: Tools, connection: Any, now: datetime, runs: Sequence[Run]) -> list[Saved]:
    """What the venues told is worth another try where a lock was not free."""
    for left in reversed(range(WRITES)):
        try:
            with transaction(connection):
                again_ms = tools.times.same_again_ms
                saved = [
                    settle(now, run, _linked_before(connection, run), again_ms) for run in runs
                ]
                written = store.write(connection, now, saved)
                for one in written:
                    if one.suspended is not None:
                        tools.tell_suspended(connection, one.loaded.account_id, one.suspended)
        except Unavailable:
            if not left:
                raise
        else:
            return written
    raise AssertionError("unreachable")


async def _ask_all(desk: Desk, now: datetime, loaded: Sequence[Loaded]) -> list[Run]:
    return await asyncio.gather(*(run_account(desk, now, one) for one in loaded))


def _linked_before(connection: Any, run: Run) -> int | None:
    uid = run.permissions.uid if run.permissions else None
    return store.same_exchange_account(connection, run.loaded, uid) if uid else None


def outcome_of(one: Saved) -> str:
    if one.suspended is not None:
        return "suspended"
    return "done" if one.complete else "failed" if one.failed else "paused"


def _report(one: Saved) -> None:
    telemetry.count("fleet_sync_events_total", len(one.events), venue=one.loaded.venue)
    if one.suspended is not None:
        _log.warning("sync_suspended", account=one.loaded.account_id, reason=one.suspended)
    elif one.error is not None:
        _log.warning("sync_failed", account=one.loaded.account_id, error=one.error)


# -- leases ----------------------------------------------------------------------------------------


def _key(tools: Tools, account_id: int) -> str:
    return f"{tools.prefix}sync:{account_id}"


def _take(tools: Tools, owner: str, account_ids: Sequence[int]) -> list[int]:
    keys = [_key(tools, account_id) for account_id in account_ids]
    taken: Any = tools.redis.eval(TAKE, len(keys), *keys, owner, tools.times.lease_ms)
    return [one for one, got in zip(account_ids, taken, strict=True) if got]


def _release(tools: Tools, owner: str, account_ids: Sequence[int]) -> None:
    if account_ids:
        keys = [_key(tools, account_id) for account_id in account_ids]
        tools.redis.eval(RELEASE, len(keys), *keys, owner)
