"""The ledger code of a stream node without its runtime: what the peers run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shared.mysql.book import Book
from shared.streams.decode import decode, routes
from workers.registry import EVENTS, UPCASTERS

TABLE = routes(EVENTS, UPCASTERS)


def record(connection: Any, entries: Iterable[Mapping[bytes, bytes]]) -> None:
    """Decodes entries and books them in one transaction."""
    by_type: dict[str, list[Any]] = {}
    accounts = set()
    for fields in entries:
        event = decode("orders", 0, 1, "1-1", dict(fields), TABLE)
        by_type.setdefault(event.type, []).append(event)
        accounts.add(int(event.key))
    book = Book(connection)
    book.lock_accounts(accounts)
    for name, events in by_type.items():
        EVENTS[name].apply(book, events)
    connection.commit()
