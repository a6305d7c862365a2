"""Accounts and cursors in MySQL: loaded for a batch, saved with what was found, or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson

from shared.exchanges.venue import Cursor, Found, Kind, Product
from shared.mysql import outbox
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.mysql.outbox import NewEvent
from shared.queries import load
from workers.sync.judge import time_ms
from workers.sync.tiers import TierName

SQL = load(Path(__file__).with_name("store.sql"))

STREAM = "orders"
IDS = UUID("0b0c4c36-8f5f-5b0e-a6b5-3a7f4b0f8d5e")
ERROR_LETTERS = 512
UNCONFIRMED_AT_ONCE = 5_000
_MOMENT_LETTERS = len("2026-11-26 05:03:00.000000")
_PLAIN = (
    "account_id", "venue", "product", "egress", "tier", "since_ms", "moved_ms", "told_hash",
    "told_ms", "failures",
    "version", "permissions_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """One account as it was read. sealed: api_key, api_secret, passphrase as Laravel keeps them."""

    account_id: int
    venue: str
    product: Product
    egress: str
    tier: TierName
    since_ms: int | None
    moved_ms: int | None
    told_hash: str | None
    told_ms: int | None
    failures: int
    version: int
    permissions_at: datetime | None
    settings: dict[str, Any]
    sealed: tuple[str | None, str | None, str | None] = field(repr=False)
    keys_hash: str
    cursors: dict[Kind, Cursor]
    due_at: dict[Kind, datetime]
    held: list[tuple[Product, str]]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a run leaves behind.

    due_at: when each kind that was read comes again; account_due_at: the earliest of all kinds.
    complete: every question was answered; failed: one was not, for another reason than the venue's
    budget. suspended: why it is asked no more, for its owner to read.
    """

    loaded: Loaded
    events: Sequence[Found]
    cursors: Mapping[Kind, Cursor]
    through_ms: Mapping[Kind, int]
    due_at: Mapping[Kind, datetime]
    account_due_at: datetime
    tier: TierName
    since_ms: int | None
    moved_ms: int | None
    told_hash: str | None
    told_ms: int | None
    complete: bool
    failed: bool
    error: str | None
    suspended: str | None = None
    venue_uid: str | None = None
    permissions_asked: bool = False


def read(connection: Any, account_ids: Sequence[int]) -> tuple[datetime, list[Loaded]]:
    """The server's time, and those of the accounts that are active."""
    cursor = connection.cursor()
    cursor.execute(SQL["now"])
    (now,) = cursor.fetchone()
    cursor.execute(SQL["kinds"], (account_ids,))
    cursors: dict[int, dict[Kind, Cursor]] = defaultdict(dict)
    due: dict[int, dict[Kind, datetime]] = defaultdict(dict)
    for account_id, kind, place, due_at in cursor.fetchall():
        cursors[account_id][kind] = orjson.loads(place)
        due[account_id][kind] = due_at
    cursor.execute(SQL["held"], (account_ids,))
    held: dict[int, list[tuple[Product, str]]] = defaultdict(list)
    for account_id, product, instrument in cursor.fetchall():
        held[account_id].append((product, instrument))
    cursor.execute(SQL["accounts"], (account_ids,))
    found = [
        Loaded(**_facts(row), cursors=cursors[row[0]], due_at=due[row[0]], held=held[row[0]])
        for row in cursor.fetchall()
    ]
    connection.commit()
    return now, found


def write(connection: Any, now: datetime, saved: Sequence[Saved]) -> list[Saved]:
    """Those that were written: the others were read again by somebody else meanwhile, and nothing
    of theirs may be. In the caller's transaction.
    """
    cursor = connection.cursor()
    cursor.execute(SQL["lock"], ([one.loaded.account_id for one in saved],))
    versions = dict(cursor.fetchall())
    ours = [one for one in saved if versions.get(one.loaded.account_id) == one.loaded.version]
    rows = Rows(connection)
    events = [event_of(found) for one in ours for found in one.events]
    first, last = _recorded(rows, events) if events else (None, None)
    at = moment(now)
    rows.write(
        SQL["save_kinds"],
        [
            (
                one.loaded.account_id, kind, orjson.dumps(cursor).decode(),
                moment(one.due_at[kind]), at, one.through_ms.get(kind),
                None if one.events else one.through_ms.get(kind),
                first if one.events else None, last if one.events else None,
            )
            for one in ours
            for kind, cursor in one.cursors.items()
        ],
    )  # fmt: skip
    rows.write(SQL["save_accounts"], [_account_row(one, now) for one in ours])
    rows.flush()
    for one in ours:
        if one.suspended is not None:
            cursor.execute(SQL["suspend"], (one.loaded.account_id, one.suspended))
    return ours


def _recorded(rows: Rows, events: Sequence[NewEvent]) -> tuple[int, int]:
    """Outbox ids that these events have are among those from the first to the last."""
    [(before,)] = rows.run(SQL["newest_outbox"])
    outbox.record(rows, events)
    [(newest,)] = rows.run(SQL["newest_outbox"])
    return before + 1, newest


def event_of(found: Found) -> NewEvent:
    """Its id is made of its content: the same, found twice, is the same event."""
    data = orjson.dumps(found.body, option=orjson.OPT_SORT_KEYS).decode()
    event_id = str(uuid5(IDS, f"{found.type} {data}"))
    key = str(found.body["account_id"])
    return NewEvent(STREAM, found.type, key, event_id, time_ms(found) * 1000, data)


def same_exchange_account(connection: Any, loaded: Loaded, venue_uid: str) -> int | None:
    """The account that was linked to it first, if there is one."""
    cursor = connection.cursor()
    row = (loaded.venue, venue_uid, loaded.product, loaded.account_id)
    cursor.execute(SQL["same_exchange_account"], row)
    (first,) = cursor.fetchone()
    return None if first is None else int(first)


def confirm(connection: Any) -> int:
    """Cursors whose rows are all in the books are complete; returns how many. Commits."""
    waits: dict[tuple[int, int, int], bool] = {}
    confirmed = 0
    with transaction(connection) as cursor:
        cursor.execute(SQL["unconfirmed"], (UNCONFIRMED_AT_ONCE,))
        # By account, as runs lock them: a run that is a deadlock's victim asks its venue in vain.
        for account_id, kind, through_ms, first, last in sorted(cursor.fetchall()):
            span = (first, last, account_id)
            if span not in waits:
                cursor.execute(SQL["on_their_way"], (first, last, str(account_id)))
                waits[span] = cursor.fetchone() is not None
            if not waits[span]:
                confirmed += cursor.execute(SQL["confirm"], (through_ms, account_id, kind, last))
    return confirmed


def _account_row(one: Saved, now: datetime) -> tuple[Any, ...]:
    loaded = one.loaded
    return (
        loaded.account_id, loaded.venue, loaded.product, loaded.egress,
        "active" if one.suspended is None else "suspended",
        one.tier, loaded.keys_hash, one.venue_uid, one.since_ms, one.moved_ms, one.told_hash,
        one.told_ms,
        moment(one.account_due_at), moment(now) if one.complete else None,
        moment(now) if one.permissions_asked else None,
        0 if one.complete else loaded.failures + one.failed,
        None if one.error is None else one.error[:ERROR_LETTERS], 0,
    )  # fmt: skip


def moment(at: datetime) -> str:
    """Text of a UTC time as a DATETIME(6) takes it."""
    if at.utcoffset() != timedelta():
        raise ValueError("only UTC goes into a column")
    return at.isoformat(" ", "microseconds")[:_MOMENT_LETTERS]


def _facts(row: tuple[Any, ...]) -> dict[str, Any]:
    *plain, settings, api_key, secret, passphrase, keys_hash = row
    found = orjson.loads(settings) if settings else {}
    return {
        **dict(zip(_PLAIN, plain, strict=True)),
        "settings": found if isinstance(found, dict) else {},
        "sealed": (api_key, secret, passphrase),
        "keys_hash": keys_hash,
    }
