"""What may be thrown away, and when: stream entries below every offset, confirmed outbox rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis

from shared.mysql import outbox
from shared.queries import load
from shared.streams.keys import stream_key
from shared.streams.log import START, id_pair

SQL = load(Path(__file__).with_name("retention.sql"))

PRUNE_ROWS = 5_000
PRUNE_TURNS = 200
LARAVEL_DAYS = 30
"""Requests answer `fleet:status` and support questions; a push is remembered in Redis for a day."""
CONTEXT_DAYS = 1
TIGHT_SHARE = 60
"""From this share (percent) of the budget on, consumed entries go at once, whatever their age. Well
below the alarm (FleetRedisBudget, 70): that one is for streams that nobody reads.
"""


def floor_id(offset: str, now_ms: int, retention_seconds: int, *, tight: bool) -> str:
    """Lowest id that must stay. Pure.

    The entry at the offset always stays: it is how a loss of Redis is noticed. Younger than the
    retention stays as well, unless memory is tight.
    """
    if offset == START:
        return START
    oldest = (now_ms - retention_seconds * 1000, 0)
    if tight or id_pair(offset) < oldest:
        return offset
    return f"{max(oldest[0], 0)}-0"


def trim_streams(
    redis: Redis,
    connection: Any,
    prefix: str,
    streams: Sequence[str],
    *,
    retention_seconds: int,
    used_bytes: int,
    budget_bytes: int | None,
) -> int:
    """Trim every partition below its slowest offset; returns the entries removed."""
    tight = budget_bytes is not None and used_bytes * 100 >= budget_bytes * TIGHT_SHARE
    seconds, micros = redis.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    removed = 0
    for (stream, number), offset in slowest_offsets(connection, streams).items():
        floor = floor_id(offset, now_ms, retention_seconds, tight=tight)
        if floor != START:
            # Exact: an approximate trim stops after 10,000 entries and leaves a hundred behind.
            key = stream_key(prefix, stream, number)
            removed += int(redis.xtrim(key, minid=floor, approximate=False))
    return removed


def slowest_offsets(connection: Any, streams: Sequence[str]) -> dict[tuple[str, int], str]:
    """Per partition the offset of the consumer that is furthest behind."""
    cursor = connection.cursor()
    cursor.execute(SQL["offsets"], (tuple(streams),))
    slowest: dict[tuple[str, int], str] = {}
    for stream, number, last_id in cursor.fetchall():
        known = slowest.get((stream, number), last_id)
        slowest[(stream, number)] = min(known, last_id, key=id_pair)
    connection.commit()
    return slowest


def prune_outbox(connection: Any, retention_seconds: int) -> int:
    """Delete confirmed rows older than the retention, a bounded number at a time."""
    pruned = 0
    for _ in range(PRUNE_TURNS):
        deleted = outbox.prune(connection, retention_seconds, PRUNE_ROWS)
        connection.commit()
        pruned += deleted
        if deleted < PRUNE_ROWS:
            break
    return pruned


def prune_laravel(connection: Any) -> int:
    """Delete what nobody will ask for again: pushed dispatches, answered requests, who was behind
    transactions of yesterday.
    """
    cursor = connection.cursor()
    pruned = 0
    for statement, days in (
        (SQL["prune_dispatches"], LARAVEL_DAYS),
        (SQL["prune_requests"], LARAVEL_DAYS),
        (SQL["prune_contexts"], CONTEXT_DAYS),
    ):
        for _ in range(PRUNE_TURNS):
            deleted = int(cursor.execute(statement, (days, PRUNE_ROWS)))
            connection.commit()
            pruned += deleted
            if deleted < PRUNE_ROWS:
                break
    return pruned


def refresh_mirrors(redis: Redis, connection: Any, prefix: str, consumer: str) -> int:
    """Mirror offsets as consumer groups, so that standard tools see the lag. We read none."""
    cursor = connection.cursor()
    cursor.execute(SQL["progress"], (consumer,))
    rows = cursor.fetchall()
    connection.commit()
    pipe = redis.pipeline(transaction=False)
    for stream, number, _, _ in rows:
        pipe.exists(stream_key(prefix, stream, number))
    present = [row for row, exists in zip(rows, pipe.execute(), strict=True) if exists]
    pipe = redis.pipeline(transaction=False)
    for stream, number, last_id, entries_read in present:
        key = stream_key(prefix, stream, number)
        pipe.xgroup_create(key, consumer, id="0")
        pipe.xgroup_setid(key, consumer, last_id, entries_read=entries_read)
    pipe.execute(raise_on_error=False)  # BUSYGROUP: the group is there already
    return len(present)
