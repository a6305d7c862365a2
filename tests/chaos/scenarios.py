"""Scripted schedules, one per safety rule: what went wrong, or nothing.

The effect is a counter that goes up by one for each event: it shows what the runtime itself applied
twice or never, where the ledger's own identities would hide it.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import MySQLdb

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.ledger.fill import read_report
from shared.mysql import outbox
from shared.mysql.book import Book
from shared.mysql.connection import connect
from shared.mysql.offsets import Offsets
from shared.streams.assignment import PartitionId
from shared.streams.lease import Leases
from tests.runtime_world import CONSUMER, QUICK, TS_US, World, fill, with_apply
from tests.waiting import eventually
from workers.lane import Lane
from workers.outbox_relay import Relay, RelayBounds, RelayTools

ACCOUNT = 7
ONLY = PartitionId("orders", 0)
LOST_CONNECTION = 2013
LOOK_SECONDS = 0.15  # InnoDB shows its transactions anew after 0.1 s without a look
TAKES = 2  # tries of a successor; each waits a second for the row of a sleeping owner


class Died(BaseException):
    """The process is gone. Nothing of ours may catch it."""


class Wants:
    """A keeper that wants the only partition for ever."""

    wanted = frozenset({ONLY})

    def hold(self, partition: PartitionId) -> None: ...
    def drop(self, partition: PartitionId) -> None: ...
    def lost(self, partition: PartitionId) -> bool:
        return partition != ONLY


class Counted:
    """A world of one partition whose effect is a counter; `admin` may write its table."""

    def __init__(self, world: World, admin: MySQLSettings) -> None:
        world.partitions = 1
        self.world = world
        self.connect: Callable[[], Any] = partial(connect, admin)
        world.run("CREATE TABLE IF NOT EXISTS chaos_counts (id INT PRIMARY KEY, n INT NOT NULL)")
        world.run("DELETE FROM chaos_counts")
        with closing(self.connect()) as connection:
            Offsets(connection, CONSUMER).ensure([ONLY])
            connection.commit()

    def remove(self) -> None:
        self.world.run("DROP TABLE chaos_counts")

    def add(self, count: int, first_id: int | None = None) -> None:
        """Entries of ACCOUNT; first_id: milliseconds of the first entry's id."""
        for number in range(count):
            fields: dict[Any, Any] = {
                "type": "order.filled.1", "key": str(ACCOUNT), "id": str(uuid.uuid4()),
                "ts_us": TS_US, "data": json.dumps(fill(ACCOUNT, number)),
            }  # fmt: skip
            entry_id = "*" if first_id is None else f"{first_id + number}-0"
            self.world.redis.xadd(self.world.key(0), fields, id=entry_id)

    def miscounted(self, expected: int) -> list[str]:
        rows = self.world.rows("SELECT n FROM chaos_counts")
        counted = int(rows[0][0]) if rows else 0
        return [] if counted == expected else [f"{expected} events were applied {counted} times"]

    def unconfirmed(self) -> list[str]:
        count = self.world.one("SELECT COUNT(*) FROM fleet_outbox WHERE state <> 2")
        return [f"{count} outbox rows are not confirmed"] if count else []


class Node:
    """A lane that is turned by hand. fates: how its next commits of an effect end."""

    def __init__(self, counted: Counted, name: str) -> None:
        self.fates: list[str] = []
        self.applied = False
        self._counted = counted
        self._real: Any = None
        self.tools = counted.world.tools(
            connect_mysql=self._connect, table=with_apply(self._count), node=name
        )
        keeper: Any = Wants()
        self.lane = Lane(self.tools, keeper, 0, 1)

    def take(self) -> None:
        self.lane._holdings._next_follow = 0.0
        self.lane._holdings.follow(lambda: False)

    def read(self) -> list[Any]:
        self.lane._holdings._next_check = 0.0
        return self.lane._read()

    def turn(self) -> None:
        self.take()
        self.lane._settle(self.read())

    def lose_lease(self) -> None:
        tools, redis = self.tools, self._counted.world.redis
        Leases(redis, tools.prefix, tools.consumer, tools.node).release([ONLY])

    def die(self) -> None:
        """As after SIGKILL: no goodbye, the sessions end, the lease runs out."""
        self.lane._links.close_mysql()
        self.lane._links.close_redis()
        if self._real is not None:
            with suppress(MySQLdb.Error):  # it may be closed already
                self._real.close()
        self.lose_lease()

    def _connect(self) -> Any:
        self._real = self._counted.connect()
        return Wire(self._real, self)

    def _count(self, _: Any, events: Sequence[Any]) -> None:
        self.applied = True
        self._real.cursor().execute(
            "INSERT INTO chaos_counts (id, n) VALUES (1, %s)"
            " ON DUPLICATE KEY UPDATE n = n + VALUES(n)",
            (len(events),),
        )


class Wire:
    """A MySQL connection whose commits end as their node's fate says."""

    def __init__(self, real: Any, node: Node) -> None:
        self._real = real
        self._node = node

    def commit(self) -> None:
        applied, self._node.applied = self._node.applied, False
        fate = self._node.fates.pop(0) if applied and self._node.fates else "done"
        if fate in {"dies before", "sleeps"}:
            raise Died
        if fate == "request lost":
            self._real.close()
            raise MySQLdb.OperationalError(LOST_CONNECTION, "the request was lost")
        self._real.commit()
        if fate == "dies after":
            raise Died
        if fate == "reply lost":
            raise MySQLdb.OperationalError(LOST_CONNECTION, "the reply was lost")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


# -- the compare-and-set ---------------------------------------------------------------------------


def overtaken_owner(counted: Counted) -> list[str]:
    """It slept between reading and writing; a successor has done the work meanwhile."""
    old, new = Node(counted, "old"), Node(counted, "new")
    counted.add(3)
    old.take()
    work = old.read()
    old.lose_lease()
    new.turn()
    old.lane._settle(work)
    found = counted.miscounted(3)
    old.die()
    new.die()
    return found


def crash(counted: Counted) -> list[str]:
    """A process dies just before, another just after its commit; successors go on."""
    counted.add(3)
    for fate in ("dies before", "dies after"):
        node = Node(counted, fate)
        node.fates = [fate]
        try:
            node.turn()
        except Died:
            node.die()
    last = Node(counted, "last")
    last.turn()
    last.die()
    return counted.miscounted(3)


def lost_commit(counted: Counted) -> list[str]:
    """A COMMIT that never arrived, and one whose reply is lost: neither moves the partition."""
    node = Node(counted, "only")
    for fate in ("request lost", "reply lost"):
        counted.add(3)
        node.fates = [fate]
        node.turn()
    epochs = [one.epoch for one in node.lane.owned]
    node.die()
    return counted.miscounted(6) + ([] if epochs == [1] else [f"epochs owned: {epochs}"])


def sleeping_owner(counted: Counted) -> list[str]:
    """It sleeps on an open transaction, over a session that it opened after a reconnect."""
    old, new = Node(counted, "old"), Node(counted, "new")
    counted.add(3)
    old.take()
    old.lane._links.close_mysql()
    old.fates = ["sleeps"]
    try:
        old.turn()
    except Died:
        old.lose_lease()
    for _ in range(TAKES):
        try:
            new.turn()
        except Unavailable:
            continue
        break
    old.die()
    new.die()
    return counted.miscounted(3)


# -- loss of Redis ---------------------------------------------------------------------------------


def older_stream(counted: Counted) -> list[str]:
    """The stream is lost, and its new entries have ids below the offset."""
    node = Node(counted, "only")
    counted.add(3, first_id=1_000)
    node.turn()
    counted.world.redis.delete(counted.world.key(0))
    counted.add(2, first_id=500)
    node.turn()
    node.turn()
    node.die()
    return counted.miscounted(5)


def emptied_redis(counted: Counted) -> list[str]:
    """Everything was appended, nothing read; then Redis forgets it all."""
    world = counted.world
    for number in range(3):
        world.record(ACCOUNT, fill(ACCOUNT, number))
    relay = _relay(counted, sweep_seconds=1e9)
    relay.turn()
    relay.turn()
    world.redis.delete(*world.redis.scan_iter(match=f"{world.settings.prefix}*"))
    relay.turn()
    return _read_all(counted, relay)


def dead_relay(counted: Counted) -> list[str]:
    """A relay dies between marking rows as sent and appending them."""
    for number in range(3):
        counted.world.record(ACCOUNT, fill(ACCOUNT, number))
    relay = _relay(counted, generation_seconds=1e9)
    relay.turn()  # knows this Redis now; the rows of the dead one come after
    for number in range(3, 6):
        counted.world.record(ACCOUNT, fill(ACCOUNT, number))
    with closing(counted.connect()) as connection:
        outbox.claim(connection, 10, 1)
        connection.commit()
    node = Node(counted, "first")
    node.turn()
    node.die()
    relay.turn()
    return _read_all(counted, relay, 6)


def _relay(counted: Counted, **more: Any) -> Relay:
    bounds = RelayBounds(generation_seconds=0, sweep_seconds=0, sweep_age_seconds=0)
    return Relay(
        RelayTools(
            connect_mysql=counted.connect,
            connect_redis=lambda: counted.world.redis,
            prefix=counted.world.settings.prefix,
            consumer=CONSUMER,
            streams=("orders",),
            partitions=1,
            budget_bytes=lambda _: None,
            log=lambda *_, **__: None,
            bounds=replace(bounds, **more),
        )
    )


def _read_all(counted: Counted, relay: Relay, expected: int = 3) -> list[str]:
    relay._close()
    node = Node(counted, "reader")
    node.turn()
    node.die()
    return counted.miscounted(expected) + counted.unconfirmed()


# -- the account's lock ----------------------------------------------------------------------------


def two_writers(counted: Counted) -> list[str]:
    """The stream's owner and a replay book fills of one position at the same time."""
    _book(counted, 1)
    failures: list[MySQLdb.Error] = []
    with closing(counted.connect()) as first, closing(counted.connect()) as second:
        Book(first).record_fills([_report(2)])

        def write() -> None:
            try:
                Book(second).record_fills([_report(3)])
                second.commit()
            except MySQLdb.Error as error:
                failures.append(error)

        session = second.thread_id()
        writer = threading.Thread(target=write, name="second-writer")
        writer.start()
        eventually(lambda: not writer.is_alive() or _waits(counted.world, session))
        first.commit()
        writer.join(10)
    stored = counted.world.one("SELECT qty, fills FROM fleet_positions")
    found = [f"the second writer failed: {error}" for error in failures]
    return found + ([] if stored == (3, 3) else [f"3 fills make a position of {stored}"])


def _book(counted: Counted, trade: int) -> None:
    with closing(counted.connect()) as connection:
        Book(connection).record_fills([_report(trade)])
        connection.commit()


def _report(trade: int) -> Any:
    return read_report(json.dumps(fill(ACCOUNT, trade, executed_at_ms=1_764_000_000_000 + trade)))


def _waits(world: World, session: int) -> bool:
    threading.Event().wait(LOOK_SECONDS)
    sql = "SELECT COUNT(*) FROM information_schema.innodb_trx"
    waits = f"{sql} WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id = %s"
    return bool(world.one(waits, session))


__all__ = [
    "QUICK", "Counted", "crash", "dead_relay", "emptied_redis", "lost_commit", "older_stream",
    "overtaken_owner", "sleeping_owner", "two_writers",
]  # fmt: skip
