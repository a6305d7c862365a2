"""Operator job: after a restore of MySQL or a loss of Redis, bring everything in once more.

Every stream is read again from its first entry, every outbox row is sent again, and every account
is asked at its exchange: its cursors stand where the restored database has them. Identity makes
each double harmless, so this may be run at any time, twice, and while traffic flows. Once all of it
is in the books they are compared with the exchanges' reports: half recovered, they would differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from shared.mysql import outbox
from shared.mysql import reconcile as books
from shared.mysql.connection import connect
from shared.mysql.offsets import SQL as OFFSETS_SQL
from shared.queries import load
from shared.settings import Settings
from shared.streams.connection import control_client
from shared.streams.keys import stream_key
from workers.day_close import SQL as DAY_SQL
from workers.day_close import is_settled
from workers.jobs.operator import Progress
from workers.reconcile import reconcile_all
from workers.registry import STREAMS
from workers.sync import planner

SQL = load(Path(__file__).with_name("recover.sql"))

ROWS = 10_000
PATIENCE_SECONDS = 120.0
"""Without anything moving. Then nobody reads the streams, or a partition is halted."""
LOOK_SECONDS = 1.0
ROUNDS = 3
"""Of asking and comparing. Under traffic a report may be there before the fill that it shows."""
NOT_SETTLED = "nothing moved for a while: `fleet status`; once all is read: `fleet reconcile`"


class Recovered(NamedTuple):
    """What is on its way again."""

    partitions: int
    outbox_rows: int


def run(
    settings: Settings, progress: Progress, *, patience: float = PATIENCE_SECONDS
) -> dict[str, Any]:
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
        progress.update(sum(ended), note="sent; waiting until it is in the books")
        if not wait_until_settled(connection, redis, settings.prefix, progress, patience):
            return {**ended._asdict(), "reconciled": NOT_SETTLED}
        for _ in range(ROUNDS):
            unread = ask_exchanges(connection, progress, patience)
            if not wait_until_settled(connection, redis, settings.prefix, progress, patience):
                return {**ended._asdict(), "unread": unread, "reconciled": NOT_SETTLED}
            accounts = books.reporting(connection)
            compared = reconcile_all(connection, settings, accounts, progress.cancelled)
            if not compared.differing:
                break
    return {**ended._asdict(), "unread": unread, "reconciled": compared._asdict()}


def ask_exchanges(connection: Any, progress: Progress, patience: float) -> int:
    """Every account is due; how many were not read after all when nothing moved for so long."""
    cursor = connection.cursor()
    cursor.execute(SQL["now"])
    (begun,) = cursor.fetchone()
    planner.ask_all_now(connection)
    cursor.execute(SQL["fence"])
    connection.commit()
    unread, moved_at = -1, time.monotonic()
    while not progress.cancelled():
        cursor.execute(SQL["unread"], (begun,))
        (left,) = cursor.fetchone()
        connection.commit()
        if left != unread:
            unread, moved_at = left, time.monotonic()
            progress.update(0, note=f"{unread} accounts are to be read")
        if not unread or time.monotonic() - moved_at >= patience:
            break
        time.sleep(LOOK_SECONDS)
    return unread


def wait_until_settled(
    connection: Any, redis: Redis, prefix: str, progress: Progress, patience: float
) -> bool:
    """Whether all that was on its way at the call came into the books; False when cancelled, and
    after `patience` seconds in which nothing moved.
    """
    cursor = connection.cursor()
    begun = datetime.now(UTC)
    stood: Any = None
    moved_at = time.monotonic()
    while not progress.cancelled():
        if is_settled(cursor, redis, prefix, begun):
            connection.commit()
            return True
        cursor.execute(SQL["left"])
        left = cursor.fetchone()
        cursor.execute(DAY_SQL["offsets"])
        stands = (left, sorted(cursor.fetchall()))
        connection.commit()
        if stands != stood:
            stood, moved_at = stands, time.monotonic()
        elif time.monotonic() - moved_at >= patience:
            return False
        time.sleep(LOOK_SECONDS)
    return False


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
