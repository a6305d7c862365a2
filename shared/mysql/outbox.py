"""The outbox: what must not be lost is a row here first, in the transaction that caused it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("outbox.sql"))

IDS_PER_STATEMENT = 500
"""With a thousand and more MariaDB reads, and locks, the whole outbox instead of these rows."""


class OutboxRow(NamedTuple):
    """One event on its way to a stream."""

    id: int
    stream: str
    type: str
    event_key: str
    event_id: str
    ts_us: int
    data: str
    traceparent: str | None


class NewEvent(NamedTuple):
    """An event to be recorded."""

    stream: str
    type: str
    event_key: str
    event_id: str
    ts_us: int
    data: str


class Unconfirmed(NamedTuple):
    """Rows of one partition that were sent a while ago and that no sink has confirmed."""

    stream: str
    partition: int
    rows: int
    oldest_sent_at: float


def record(rows: Rows, events: Iterable[NewEvent]) -> None:
    """In the caller's transaction, with whatever caused them."""
    rows.write(SQL["record"], events)
    rows.flush()


def on_their_way(rows: Rows, event_ids: Iterable[str]) -> set[str]:
    """Those of them that are recorded and not applied yet."""
    return {found for (found,) in rows.read(SQL["on_their_way"], ((one,) for one in event_ids))}


def claim(connection: Any, limit: int, partitions: int) -> list[OutboxRow]:
    """Mark waiting rows as sent and return them. The caller commits, then appends."""
    cursor = connection.cursor()
    cursor.execute(SQL["claim"], (limit,))
    rows = [OutboxRow(*row) for row in cursor.fetchall()]
    if rows:
        cursor.execute(SQL["mark_sent"], (partitions, [row.id for row in rows]))
    return rows


def give_back(connection: Any, ids: Sequence[int]) -> None:
    """The append did not happen (or nobody knows): send again later."""
    if ids:
        connection.cursor().execute(SQL["mark_waiting"], (list(ids),))


def confirm(connection: Any, events: Collection[tuple[int, str]]) -> None:
    """Mark rows whose effect stands in this very transaction.

    events: (row id, event id). After a restore of MySQL an id may be given a second time, while
    the stream still holds the entry of the row that had it before: both must agree.
    """
    if not events:
        return
    wanted = set(events)
    cursor = connection.cursor()
    ids = sorted({row_id for row_id, _ in wanted})
    for first in range(0, len(ids), IDS_PER_STATEMENT):
        cursor.execute(SQL["confirmable"], (ids[first : first + IDS_PER_STATEMENT],))
        found = [row_id for row_id, event_id in cursor.fetchall() if (row_id, event_id) in wanted]
        if found:
            cursor.execute(SQL["confirm"], (found,))


def resend_all(connection: Any) -> int:
    """Send every unconfirmed row again; returns how many."""
    return int(connection.cursor().execute(SQL["resend_all"]))


def resend_partition(connection: Any, stream: str, partition: int) -> int:
    """Send a partition's unconfirmed rows again; returns how many."""
    return int(connection.cursor().execute(SQL["resend_stream"], (stream, partition)))


def send_again(connection: Any, after: int, limit: int) -> tuple[int, int | None]:
    """Send the next `limit` rows behind the id `after` again, confirmed ones too.

    Returns how many, and the last id of the page: None when there was no row left.
    """
    cursor = connection.cursor()
    cursor.execute(SQL["end_of_page"], (after, limit))
    (last,) = cursor.fetchone()
    if last is None:
        return 0, None
    return int(cursor.execute(SQL["send_again"], (after, last))), int(last)


def prune(connection: Any, retention_seconds: int, limit: int) -> int:
    """Delete confirmed rows older than the retention; returns how many."""
    return int(connection.cursor().execute(SQL["prune"], (retention_seconds, limit)))
