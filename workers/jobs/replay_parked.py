"""Operator job: apply parked events again, one transaction each, under their account's lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import MySQLdb

from shared.errors import InvalidEvent
from shared.mysql import parked
from shared.mysql.book import Book
from shared.mysql.connection import classify, connect
from shared.mysql.parked import Filter, OpenEvent
from shared.settings import Settings
from shared.streams.decode import Table, decode, routes
from shared.streams.keys import partition_of
from workers.jobs.operator import Progress
from workers.registry import EVENTS, UPCASTERS, EventType

PAGE = 200


class Replayed(NamedTuple):
    """How a replay ended."""

    replayed: int
    refused: int


def run(settings: Settings, progress: Progress, **words: Any) -> dict[str, Any]:
    """The operator job. words: the fields of a Filter."""
    with closing(connect(settings.mysql)) as connection:
        ended = replay(
            connection,
            EVENTS,
            routes(EVENTS, UPCASTERS),
            settings.partitions,
            Filter(**words),
            progress=progress.update,
            cancelled=progress.cancelled,
        )
    return ended._asdict()


def replay(
    connection: Any,
    table: Mapping[str, EventType],
    routes: Table,
    partitions: int,
    wanted: Filter,
    *,
    progress: Callable[[int], None] = lambda _done: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Replay every open event that matches; stops between two events when cancelled."""
    replayed = refused = 0
    after = ("", 0, "")
    while page := parked.open_events(connection, wanted, PAGE, after):
        connection.commit()
        for event in page:
            if cancelled():
                return Replayed(replayed, refused)
            if _replay_one(connection, table, routes, partitions, event):
                replayed += 1
            else:
                refused += 1
            progress(replayed + refused)
        after = page[-1].place
    connection.commit()
    return Replayed(replayed, refused)


def _replay_one(
    connection: Any,
    table: Mapping[str, EventType],
    routes: Table,
    partitions: int,
    parked_event: OpenEvent,
) -> bool:
    """One event, one transaction. The partition is that of its key: a wrong one is cured."""
    try:
        number = partition_of(parked_event.key, partitions)
        event = decode(
            parked_event.stream, number, partitions, parked_event.entry_id,
            parked_event.entry_fields(), routes,
        )
        kind = table[event.type]
        book = Book(connection)
        if kind.locks_account:
            book.lock_accounts({int(event.key)})
        if not parked.still_open(connection, parked_event.place):
            connection.rollback()
            return False
        # First, because the book resolves what it finds open of this identity as superseded.
        parked.resolve(connection, parked_event, "replayed", None)
        kind.apply(book, [event])
        connection.commit()
    except InvalidEvent as invalid:
        connection.rollback()
        parked.refused_again(connection, parked_event, invalid.reason, invalid.detail)
        connection.commit()
        return False
    except MySQLdb.Error as error:
        connection.rollback()
        away = classify(error)
        if away is not None:
            raise away from error
        return _failed(connection, parked_event, error)
    except Exception as error:  # noqa: BLE001 - a bug of ours; the event stays open and says so
        connection.rollback()
        return _failed(connection, parked_event, error)
    return True


def _failed(connection: Any, parked_event: OpenEvent, error: Exception) -> bool:
    text = f"{type(error).__name__}: {error}"
    reason = "overflow" if isinstance(error, ArithmeticError) else "handler_failed"
    parked.refused_again(connection, parked_event, reason, text)
    connection.commit()
    return False


def skip(connection: Any, wanted: Filter, reason: str) -> int:
    """Close matching events without applying them; the reason is kept with each."""
    skipped = 0
    while page := parked.open_events(connection, wanted, PAGE):
        # As every writer of an account's rows: its lock first.
        Book(connection).lock_accounts({one.account_id for one in page if one.account_id})
        for event in page:
            skipped += parked.resolve(connection, event, "skipped", reason)
        connection.commit()
    return skipped
