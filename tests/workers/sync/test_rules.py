"""Each safety rule of the sync is taken out, here in the test alone, and a schedule must go wrong.

Without that the schedules would prove nothing. No setting can take a rule out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest

from shared.exchanges.venue import Account, Cursor, Page
from shared.mysql import outbox
from shared.mysql.book_rows import Rows
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.runtime_world import World
from tests.workers.sync.conftest import SyncWorld
from tests.workers.sync.exchange_desk import exchange_desk
from tests.workers.sync.samples import fill_found, page, position_found
from workers.lease import broker_redis
from workers.sync import batch, run, store
from workers.sync.connections import Connections
from workers.sync.judge import judge
from workers.sync.loop import Loop

pytestmark = pytest.mark.database

Patch = pytest.MonkeyPatch
LATER_MS = 10_000


# -- schedules: what is wrong at their end ---------------------------------------------------------


def overtaken(sync: SyncWorld) -> list[str]:
    """A first reading takes longer than its lease, and meanwhile another one is made."""
    sync.answers = holding()
    sync.link(1)
    plain = sync.answers["fills"]
    other = Loop("another-process")

    def slow(account: Account, _cursor: Cursor) -> Page:
        sync.answers["fills"] = plain
        sync.exchanges.at_ms += LATER_MS
        with closing(broker_redis(sync.settings)) as redis:
            redis.delete(f"{sync.settings.broker_prefix}sync:1")
        batch.run_batch(sync.tools()._replace(loop=other), [1])
        return page(fill_found(1), cursor={"told": True}, through_ms=account.now_ms)

    sync.answers["fills"] = slow
    sync.sync(1)
    other.close()
    return wrong_events(sync, [1])


def killed_at_any_statement(sync: SyncWorld) -> list[str]:
    """The process dies before its first, second, ... statement; another one comes later."""
    sync.answers = holding()
    accounts: list[int] = []
    for statements in count(1):
        account = len(accounts) + 1
        accounts.append(account)
        sync.link(account)
        tools = sync.tools()
        dying = partial(Dying, partial(connect, sync.settings.mysql), statements)
        try:
            batch.run_batch(tools._replace(mysql=Connections(dying)), [account])
        except Died:
            sync.exchanges.at_ms += LATER_MS
            assert sync.sync(account) == {"done": 1}
        else:
            break
    assert len(accounts) > 5
    return wrong_events(sync, accounts)


def holding() -> dict[Any, Any]:
    """Of an account that holds a position, and made a fill that its cursor then knows."""

    def positions(account: Account, _cursor: Cursor) -> Page:
        return page(position_found(account.account_id, at_ms=account.now_ms))

    def fills(account: Account, cursor: Cursor) -> Page:
        told = [] if cursor.get("told") else [fill_found(account.account_id)]
        return page(*told, cursor={"told": True}, through_ms=account.now_ms)

    return {"positions": positions, "cash": page(), "fills": fills}


def wrong_events(sync: SyncWorld, accounts: list[int]) -> list[str]:
    """Accounts whose opening was not told exactly once, or whose fill was not told."""
    told = Counter(
        (data["account_id"], type_, data.get("ref")) for type_, data in set_of(sync.outbox())
    )
    openings = Counter(account for account, type_, _ in told if type_ == "position.opened.1")
    fills = {account for account, type_, _ in told if type_ == "order.filled.1"}
    found = [f"{one}: {openings[one]} openings" for one in accounts if openings[one] != 1]
    return found + [f"{one}: its fill is lost" for one in accounts if one not in fills]


def set_of(outbox: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Events told twice are one: they have one id."""
    return [one for place, one in enumerate(outbox) if one not in outbox[:place]]


class Died(Exception):  # noqa: N818 - kill -9
    """Nothing after it is done."""


class Dying:
    """A connection that is lost, with its process, before its n-th statement or commit."""

    def __init__(self, connect_mysql: Callable[[], Any], statements: int) -> None:
        self._connection = connect_mysql()
        self._left = statements

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> Any:
        cursor = self._connection.cursor()
        execute = cursor.execute

        def counted(*arguments: Any) -> Any:
            self._count()
            return execute(*arguments)

        cursor.execute = counted
        return cursor

    def commit(self) -> None:
        self._count()
        self._connection.commit()

    def close(self) -> None:
        if self._left > 0:
            self._connection.close()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._connection.close()
        if self._left <= 0:
            raise Died


# -- rules taken out -------------------------------------------------------------------------------


def without_version(patch: Patch) -> None:
    _replaced(patch, "save_accounts", "version = fleet_sync_accounts.version + 1",
              "version = fleet_sync_accounts.version")  # fmt: skip


def without_transaction(patch: Patch) -> None:
    @contextmanager
    def each_for_itself(connection: Any) -> Iterator[Any]:
        connection.autocommit(True)
        yield connection.cursor()

    patch.setattr(batch, "transaction", each_for_itself)


def cursor_before_events(patch: Patch) -> None:
    """Cursors are committed, and what they stand for is recorded afterwards."""
    write = store.write

    def early(connection: Any, now: Any, saved: Any) -> Any:
        written = write(connection, now, [replace(one, events=[]) for one in saved])
        connection.commit()
        rows = Rows(connection)
        outbox.record(rows, [store.event_of(found) for one in saved for found in one.events])
        rows.flush()
        return written

    patch.setattr(store, "write", early)


def _replaced(patch: Patch, name: str, text: str, by: str) -> None:
    assert text in store.SQL[name]
    patch.setattr(store, "SQL", {**store.SQL, name: store.SQL[name].replace(text, by)})


class Rule(NamedTuple):
    """A schedule, and the removal that it must notice."""

    schedule: Callable[[SyncWorld], list[str]]
    removed: Callable[[Patch], None]


RULES = [
    Rule(overtaken, without_version),
    Rule(killed_at_any_statement, without_transaction),
    Rule(killed_at_any_statement, cursor_before_events),
]
SCHEDULES = list(dict.fromkeys(rule.schedule for rule in RULES))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.__name__)
def test_with_every_rule_in_force_the_schedule_ends_right(
    sync: SyncWorld, schedule: Callable[[SyncWorld], list[str]]
) -> None:
    assert schedule(sync) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda one: one.removed.__name__)
def test_without_the_rule_the_schedule_goes_wrong(
    sync: SyncWorld, monkeypatch: Patch, rule: Rule
) -> None:
    rule.removed(monkeypatch)
    assert rule.schedule(sync)


# -- snapshots that are not quiet ------------------------------------------------------------------


def snapshots_while_it_moves(patch: Patch) -> None:
    def hasty(*arguments: Any) -> Any:
        pages = arguments[0]
        judged = judge(*arguments)
        told = [found for kind in ("positions", "balances") for found in pages[kind].events]
        return judged._replace(snapshots=told, restless=False)

    patch.setattr(run, "judge", hasty)


@pytest.mark.parametrize("in_force", [True, False])
def test_a_snapshot_between_two_fills_is_a_break_unless_it_is_left_out(
    world: World, settings_for: Callable[..., Settings], monkeypatch: Patch, *, in_force: bool
) -> None:
    with exchange_desk(world, settings_for, "binance", "linear", (1,)) as desk:
        desk.link()
        desk.ask_all()
        desk.pass_()
        if not in_force:
            snapshots_while_it_moves(monkeypatch)
        at_ms = desk.now_ms()
        desk.trade(1, at_ms=at_ms)
        desk.do("freeze_snapshot", 1)
        desk.trade(1, at_ms=at_ms)
        with desk.booking():
            desk.ask_all()
        assert bool(desk.breaks()) is not in_force
