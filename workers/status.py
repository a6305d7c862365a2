"""What the fleet is doing, from MySQL and Redis: for `fleet status`, metrics and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from shared.queries import load
from shared.streams.keys import stream_key
from workers.equity_copy import CopyStatus
from workers.laravel.status import NO_QUEUES, LaravelStatus
from workers.memory import streams_bytes
from workers.sync import status as sync_status
from workers.sync.status import Group as SyncGroup

SQL = load(Path(__file__).with_name("status.sql"))

NO_COPY = CopyStatus("off")


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of one consumer. lag_seconds: age of the oldest unread entry, 0 when none.
    owner: who took it last. leased: whether somebody has it now; an owner that was killed has not.
    """

    consumer: str
    stream: str
    partition: int
    owner: str | None
    epoch: int
    offset: str
    lag_events: int
    lag_seconds: float
    parked: int
    halted_reason: str | None
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The whole picture at one moment."""

    partitions: list[PartitionStatus]
    parked_by_reason: dict[str, int]
    outbox_waiting: int
    outbox_unconfirmed: int
    oldest_outbox_seconds: float
    restating_positions: int
    redis_used_bytes: int
    redis_budget_bytes: int | None
    laravel: LaravelStatus
    identity_breaks: int = 0
    breaks_by_kind: dict[str, int] = field(default_factory=dict)  # open ones
    equity_copy: CopyStatus = NO_COPY
    syncs: list[SyncGroup] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "syncs": [group._asdict() for group in self.syncs]}

    @property
    def lag_events(self) -> int:
        return sum(partition.lag_events for partition in self.partitions)


def collect(
    connection: Any,
    redis: Redis,
    prefix: str,
    streams: Sequence[str],
    partitions: int,
    *,
    budget_bytes: int | None,
    laravel: LaravelStatus = NO_QUEUES,
    equity_copy: CopyStatus = NO_COPY,
) -> Status:
    """Read everything once. Six statements in MySQL, three round trips to Redis."""
    cursor = connection.cursor()
    cursor.execute(SQL["partitions"])
    rows = cursor.fetchall()
    cursor.execute(SQL["parked"])
    parked = dict(cursor.fetchall())
    cursor.execute(SQL["outbox"])
    waiting, unconfirmed, oldest_micros = cursor.fetchone()
    cursor.execute(SQL["restating"])
    (restating,) = cursor.fetchone()
    cursor.execute(SQL["breaks"])
    breaks = {kind: int(count) for kind, count in cursor.fetchall()}
    syncs = sync_status.groups(connection)
    connection.commit()
    return Status(
        partitions=partition_status(redis, prefix, rows),
        parked_by_reason=parked,
        outbox_waiting=int(waiting),
        outbox_unconfirmed=int(unconfirmed),
        oldest_outbox_seconds=int(oldest_micros) / 1_000_000,
        restating_positions=int(restating),
        redis_used_bytes=streams_bytes(redis, prefix, streams, partitions),
        redis_budget_bytes=budget_bytes,
        laravel=laravel,
        identity_breaks=breaks.get("identity", 0),
        breaks_by_kind=breaks,
        equity_copy=equity_copy,
        syncs=syncs,
    )


def partition_status(redis: Redis, prefix: str, rows: Sequence[Any]) -> list[PartitionStatus]:
    """rows: as the statement `partitions` finds them."""
    seconds, micros = redis.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    pipe = redis.pipeline(transaction=False)
    for consumer, stream, number, _, _, last_id, _, _, _ in rows:
        key = stream_key(prefix, stream, number)
        pipe.xinfo_stream(key)
        pipe.xrange(key, min=f"({last_id}", count=1)
        pipe.exists(f"{key}:lease:{consumer}")
    replies = pipe.execute(raise_on_error=False)
    found = []
    for index, row in enumerate(rows):
        consumer, stream, number, owner, epoch, last_id, entries_read, halted, parked = row
        info, unread, leased = replies[3 * index : 3 * index + 3]
        added = 0 if isinstance(info, Exception) else int(info["entries-added"])
        first_unread = unread[0][0] if unread and not isinstance(unread, Exception) else None
        age_ms = now_ms - int(first_unread.split(b"-")[0]) if first_unread else 0
        found.append(
            PartitionStatus(
                consumer=consumer,
                stream=stream,
                partition=int(number),
                owner=owner,
                epoch=int(epoch),
                offset=last_id,
                # An unread entry is never reported as no lag, whatever the counters say.
                lag_events=max(added - int(entries_read), 1) if first_unread else 0,
                lag_seconds=max(age_ms, 0) / 1000,
                parked=int(parked),
                halted_reason=halted,
                leased=leased == 1,
            )
        )
    return found
