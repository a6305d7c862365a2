"""The end of a storm: is everything there, once, to the last digit? Truth is the feed alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from redis import Redis

from deploy.desk import oracle
from shared.streams.keys import stream_key
from shared.streams.log import id_pair
from tests.chaos.faults import QUEUE
from tests.chaos.feed import Told
from tests.desk import Desk
from workers.registry import STREAMS
from workers.status import Status, collect


def status_of(desk: Desk) -> Status:
    settings = desk.settings()
    with closing(desk.connect()) as connection, closing(desk.redis()) as redis:
        return collect(
            connection, redis, settings.prefix, STREAMS, settings.partitions, budget_bytes=None
        )


def what_is_left(status: Status) -> list[str]:
    """Work that is still to be done; empty when the fleet has come to rest."""
    left = {
        "lag": status.lag_events,
        "outbox waiting": status.outbox_waiting,
        "outbox unconfirmed": status.outbox_unconfirmed,
        "restating": status.restating_positions,
        "halted": sum(one.halted_reason is not None for one in status.partitions),
    }
    return [f"{name} {count}" for name, count in left.items() if count]


def miscounted(desk: Desk) -> list[str]:
    """Partitions whose counter of entries read is not the stream's own yet."""
    with closing(desk.connect()) as connection, closing(desk.redis()) as redis:
        cursor = connection.cursor()
        cursor.execute("SELECT stream, partition_no, entries_read FROM fleet_offsets")
        rows = cursor.fetchall()
        keys = [stream_key(desk.prefix, stream, number) for stream, number, _ in rows]
        added = [
            int(redis.xinfo_stream(key)["entries-added"]) if redis.exists(key) else None
            for key in keys
        ]
    wrong = sum(1 for row, found in zip(rows, added, strict=True) if found not in {None, row[2]})
    return [f"{wrong} counters of entries read"] if wrong else []


def differences(desk: Desk, told: Sequence[Told], jobs: Sequence[bytes] | None) -> list[str]:
    """One line per difference. jobs: Laravel's queue as it must stand; None: Redis was emptied."""
    with closing(desk.connect()) as connection, closing(desk.redis()) as redis:
        valid = [(one.line.type, one.line.data) for one in told if one.reason is None]
        return [
            *oracle.differences(connection, oracle.books(valid)),
            *_parked(connection, told),
            *_outbox(connection, told),
            *_signals(connection, told),
            *_offsets(connection, redis, desk.prefix),
            *_accounts(connection, told),
            *_queue(redis, desk.prefix, jobs),
        ]


def _parked(connection: Any, told: Sequence[Told]) -> list[str]:
    cursor = connection.cursor()
    cursor.execute("SELECT event_id, reason, error FROM fleet_parked ORDER BY parked_at")
    expected = {one.line.id: one.reason for one in told if one.reason is not None}
    found, seen = [], set()
    for event_id, reason, error in cursor.fetchall():
        name = event_id.decode()
        if expected.get(name) != reason:
            found.append(f"parked {name}: {reason}, expected {expected.get(name)}: {error}")
        if name in seen:
            found.append(f"parked {name}: twice")
        seen.add(name)
    return found + [f"not parked: {name} ({expected[name]})" for name in expected.keys() - seen]


def _outbox(connection: Any, told: Sequence[Told]) -> list[str]:
    cursor = connection.cursor()
    cursor.execute("SELECT event_id, MIN(state) FROM fleet_outbox GROUP BY event_id")
    rows = dict(cursor.fetchall())
    wanted = {one.line.id for one in told if not one.direct}
    found = [f"outbox row of {name} is lost" for name in wanted - rows.keys()]
    found += [f"outbox row of {name} is nobody's" for name in rows.keys() - wanted]
    return found + [f"outbox row of {name} is not confirmed" for name, s in rows.items() if s != 2]


def _signals(connection: Any, told: Sequence[Told]) -> list[str]:
    cursor = connection.cursor()
    cursor.execute("SELECT COUNT(*) FROM fleet_signals")
    (stored,) = cursor.fetchone()
    wanted = len({one.line.id for one in told if one.line.stream == "signals"})
    return [] if stored == wanted else [f"signals: expected {wanted}, stored {stored}"]


def _offsets(connection: Any, redis: Redis, prefix: str) -> list[str]:
    """Every offset is at the end of its stream and says goodbye; the counters agree."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT stream, partition_no, last_id, entries_read, epoch, owner, handler_failures"
        " FROM fleet_offsets"
    )
    found = []
    for stream, number, last_id, entries_read, epoch, owner, failures in cursor.fetchall():
        name = f"offset of {stream}:{number}"
        if not epoch:
            found.append(f"{name} was never owned")
        if owner is not None:
            found.append(f"{name} still has the owner {owner}")
        if failures:
            found.append(f"{name} counts {failures} failures of our own handlers")
        key = stream_key(prefix, stream, number)
        if not redis.exists(key):
            continue
        info: Any = redis.xinfo_stream(key)
        end = info["last-generated-id"].decode()
        if id_pair(end) != id_pair(last_id):
            found.append(f"{name} is {last_id}, the stream ends at {end}")
        if int(info["entries-added"]) != entries_read:
            found.append(f"{name} counts {entries_read}, the stream {info['entries-added']}")
    return found


def _accounts(connection: Any, told: Sequence[Told]) -> list[str]:
    """Exactly the accounts with a parked fill are incomplete."""
    cursor = connection.cursor()
    cursor.execute("SELECT account_id FROM fleet_account_state WHERE incomplete = 1")
    stored = {account for (account,) in cursor.fetchall()}
    cursor.execute("SELECT DISTINCT account_id FROM fleet_parked WHERE account_id IS NOT NULL")
    wanted = {account for (account,) in cursor.fetchall()}
    most = {int(one.line.key) for one in told if one.reason is not None}
    found = [f"account {one}: incomplete flag is wrong" for one in stored ^ wanted]
    return found + [f"account {one}: parked by nobody" for one in wanted - most]


def _queue(redis: Redis, prefix: str, jobs: Sequence[bytes] | None) -> list[str]:
    stored: Any = redis.lrange(f"{prefix}{QUEUE}", 0, -1)
    if jobs is None:
        return [] if not stored else ["Laravel's queue has jobs after a FLUSHALL"]
    return [] if stored == list(jobs) else [f"Laravel's queue: {len(stored)} of {len(jobs)} jobs"]
