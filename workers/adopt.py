"""`fleet adopt`: what an account holds by its own newest reports becomes the start of its books.

Each position that the books have otherwise gets a `position.opened.1` at the watermark of its
report: it takes the place of whatever fills before say, and realizes nothing. Ref and event id are
made of account, position and watermark, so that twice is once.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from shared.errors import FleetError, InvalidEvent
from shared.ledger.identity import position_identity
from shared.ledger.money import plain
from shared.ledger.observed import ObservedPosition
from shared.mysql import facts, outbox
from shared.mysql.book import Book
from shared.mysql.book_positions import PositionKey
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.mysql.facts import Instrument
from shared.mysql.outbox import NewEvent
from shared.mysql.reconcile_positions import (
    NO_END,
    SQL,
    Books,
    compare_report,
    held_at,
    newest_reports,
    read_books,
)
from shared.streams.decode import decode, routes
from shared.streams.keys import partition_of
from workers.registry import EVENTS

TYPE = "position.opened.1"
STREAM = "orders"
IDS = UUID("5a8d1c2e-7f44-5f0b-9b53-6c1e2a0d7741")
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class AdoptRefused(FleetError):  # noqa: N818 - named for what happened
    """The reports do not say enough; the message says what to do."""


class Opening(NamedTuple):
    """held: what the books have as of the report."""

    report: ObservedPosition
    held: Decimal
    event: NewEvent


class Plan(NamedTuple):
    """openings: to be recorded. unnamed: what the books hold and no report names; it stays."""

    openings: list[Opening]
    unnamed: list[PositionKey]


def plan(connection: Any, account_id: int, at: datetime | None, partitions: int) -> Plan:
    """What is to be recorded, from the newest reports up to a time. Reads only, and ends its
    transaction. Raises AdoptRefused.
    """
    until_ms = NO_END if at is None else (at - _EPOCH) // _MS
    with transaction(connection):
        Book(connection).lock_accounts([account_id])
        rows = Rows(connection)
        reports = newest_reports(rows, account_id, until_ms)
        if not reports:
            raise AdoptRefused(
                f"account {account_id} has no position report{' up to then' if at else ''}: wait "
                "for its sync, or send position.observed.1; an empty answer is no report"
            )
        books = read_books(rows, account_id)
        openings = []
        for report in reports:
            if not _agrees(rows, books, report):
                event = _event(connection, rows, books, report)
                _check(report, event, partitions)
                held, _ = held_at(rows, books, report[:4], report.watermark_ms)
                openings.append(Opening(report, held.qty, event))
        known = outbox.on_their_way(rows, [one.event.event_id for one in openings])
    named = {report[:4] for report in reports}
    unnamed = [key for key, one in sorted(books.positions.items()) if one.state.qty]
    return Plan(
        [one for one in openings if one.event.event_id not in known],
        [key for key in unnamed if key not in named],
    )


def record(connection: Any, openings: list[Opening]) -> None:
    """Commits."""
    with transaction(connection):
        outbox.record(Rows(connection), [one.event for one in openings])


def _agrees(rows: Rows, books: Books, report: ObservedPosition) -> bool:
    if books.superseded(report):
        return True
    waits = books.waits(report[:4], report.watermark_ms)
    return not waits and compare_report(rows, books, report) is None


def _check(report: ObservedPosition, event: NewEvent, partitions: int) -> None:
    """What a stream worker would park is refused here."""
    partition = partition_of(event.event_key, partitions)
    try:
        decode(STREAM, partition, partitions, "0-1", _fields(event), routes(EVENTS))
    except InvalidEvent as invalid:
        raise AdoptRefused(f"{_named(report)}: {invalid.detail}") from None


def _event(connection: Any, rows: Rows, books: Books, report: ObservedPosition) -> NewEvent:
    fact = facts.instrument_at(
        connection, report.venue, report.product, report.instrument,
        _EPOCH + report.watermark_ms * _MS,
    )  # fmt: skip
    position = books.positions.get(report[:4])
    settle = report.settle_asset or (position or fact or report).settle_asset
    if settle is None:
        raise AdoptRefused(
            f"{_named(report)}: neither its report nor a fill nor `fleet instruments` says what it "
            "settles in; set the instrument, or send the report with settle_asset"
        )
    price = json.loads(report.data).get("entry_price")
    if report.qty and report.entry_price is None:
        raise AdoptRefused(
            f"{_named(report)}: its report has no entry price, and without one every later P&L "
            "would be made up; send the report with entry_price, or a position.opened.1 with its "
            "cost"
        )
    size = report.contract_size or (position or fact or report).contract_size
    base, quote = _assets(rows, report, fact)
    body = {
        "account_id": report.account_id,
        "venue": report.venue,
        "product": report.product,
        "instrument": report.instrument,
        "position_side": report.position_side,
        "ref": f"adopt:{report.watermark_ms}",
        "qty": plain(report.qty),
        "entry_price": price if report.qty else None,
        "contract_size": plain(size) if size else None,
        "settle_asset": settle,
        "base_asset": base,
        "quote_asset": quote,
        "at_ms": report.watermark_ms,
    }
    told = {name: value for name, value in body.items() if value is not None}
    event_id = uuid5(IDS, f"{position_identity(*report[:4])}@{report.watermark_ms}")
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    key = str(report.account_id)
    return NewEvent(STREAM, TYPE, key, str(event_id), report.watermark_ms * 1000, data)


def _assets(
    rows: Rows, report: ObservedPosition, fact: Instrument | None
) -> tuple[str | None, str | None]:
    """Base and quote: a spot opening must name them."""
    if report.product != "spot":
        return None, None
    if fact is not None:
        return fact.base_asset, fact.quote_asset
    found = rows.run(SQL["spot_assets"], report[:4])
    return found[0] if found else (None, None)


def _fields(event: NewEvent) -> dict[bytes, bytes]:
    told = {
        "type": event.type, "key": event.event_key, "id": event.event_id,
        "ts_us": str(event.ts_us), "data": event.data,
    }  # fmt: skip
    return {name.encode(): text.encode() for name, text in told.items()}


def _named(report: ObservedPosition) -> str:
    return f"{report.product} {report.instrument} {report.position_side}"
