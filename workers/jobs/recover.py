"""Operator job: after a restore of MySQL or a loss of Redis, bring everything in once more.

Every stream is read again from its first entry and every outbox row is sent again. Identity makes
each double harmless, so this may be run at any time, twice, and while traffic flows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from redis import Redis

from shared.mysql import outbox
from shared.mysql.connection import connect
from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.streams.keys import stream_key
from workers.jobs.operator import Progress
from workers.registry import STREAMS

ROWS = 10_000


class Recovered(NamedTuple):
    """What is on its way again."""

    partitions: int
    outbox_rows: int


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The operator job. An interrupted one goes on behind the last outbox row it sent."""
    begun = progress.checkpoint or {}
    with (
        closing(connect(settings.mysql)) as connection,
        closing(control_client(settings.streams_redis, "fleet-recover")) as redis,
    ):
        ended = recover(
            connection,
            redis,
            settings.prefix,
            STREAMS,
            settings.partitions,
            after=begun.get("outbox_id"),
            progress=lambda done, after: progress.update(
                done, checkpoint=None if after is None else {"outbox_id": after}
            ),
            cancelled=progress.cancelled,
        )
    return ended._asdict()


def recover(
    connection: Any,
    redis: Redis,
    prefix: str,
    streams: Sequence[str],
    partitions: int,
    *,
    after: int | None = None,
    progress: Callable[[int, int | None], None] = lambda _done, _after: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Rewind every offset (owners are fenced and take over again), then send the whole outbox.

    after: last outbox row of an earlier run, which rewound already. progress: (done, last row).
    """
    rewound = 0
    if after is None:
        for stream in streams:
            for number in range(partitions):
                rewound += _rewind(connection, redis, prefix, stream, number)
                progress(rewound, None)
    resent, last = 0, after or 0
    # Page by page of ids, once: rows that are confirmed meanwhile are not sent a third time.
    while not cancelled():
        again, end = outbox.send_again(connection, last, ROWS)
        connection.commit()
        if end is None:
            break
        resent, last = resent + again, end
        progress(rewound + resent, last)
    return Recovered(rewound, resent)


def _rewind(connection: Any, redis: Redis, prefix: str, stream: str, number: int) -> int:
    key = stream_key(prefix, stream, number)
    trimmed = 0
    if redis.exists(key):
        info: Any = redis.xinfo_stream(key)
        trimmed = int(info["entries-added"]) - int(info["length"])
    rewound: int = connection.cursor().execute(OFFSETS_SQL["recover"], (trimmed, stream, number))
    connection.commit()
    return rewound
