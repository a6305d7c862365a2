"""Operator job: after a restore of MySQL or a loss of Redis, bring everything in once more.

Every stream is read again from its first entry and every outbox row is sent again. Identity makes
each double harmless, so this may be run at any time, twice, and while traffic flows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from shared.mysql import outbox
from shared.mysql.connection import connect
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
    """The operator job."""
    connection = connect(settings.mysql)
    redis = control_client(settings.streams_redis, "fleet-recover")
    ended = recover(
        connection,
        redis,
        settings.prefix,
        STREAMS,
        settings.partitions,
        progress=progress.update,
        cancelled=progress.cancelled,
    )
    connection.close()
    return ended._asdict()


def recover(
    connection: Any,
    redis: Redis,
    prefix: str,
    streams: Sequence[str],
    partitions: int,
    *,
    progress: Callable[[int], None] = lambda done: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Rewind every offset (owners are fenced and take over again), then send the whole outbox."""
    cursor = connection.cursor()
    rewound = 0
    for stream in streams:
        for number in range(partitions):
            key = stream_key(prefix, stream, number)
            trimmed = 0
            if redis.exists(key):
                info: Any = redis.xinfo_stream(key)
                trimmed = int(info["entries-added"]) - int(info["length"])
            rewound += cursor.execute(
                "UPDATE fleet_offsets SET epoch = epoch + 1, last_id = '0-0', last_event_id = NULL,"
                " entries_read = %s WHERE stream = %s AND partition_no = %s",
                (trimmed, stream, number),
            )
            connection.commit()
            progress(rewound)
    resent = outbox.resend_all(connection)
    connection.commit()
    while not cancelled():
        again = cursor.execute("UPDATE fleet_outbox SET state = 0 WHERE state = 2 LIMIT %s", (ROWS,))
        connection.commit()
        resent += again
        progress(rewound + resent)
        if again < ROWS:
            break
    return Recovered(rewound, resent)
