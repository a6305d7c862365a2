"""User streams in MySQL: which there should be, what they told, and where they have gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.exchanges.venue import Found, Product
from shared.mysql import outbox
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load
from workers.sync import planner
from workers.sync.store import ERROR_LETTERS, event_of, moment
from workers.sync.store import SQL as SYNC_SQL

SQL = load(Path(__file__).with_name("store.sql"))

AT_ONCE = 5_000
KEPT_DAYS = 30
NEAR_SECONDS = 5
"""An account that is due this soon is not asked for again."""

Cause = Literal[
    "started",  # nobody had it before, or a node that is gone
    "disconnected",
    "silent",  # nothing within the time for a pong, or for getting ready
    "expired",  # the listen key, or the venue said that it ends
    "renewed",  # we opened it anew, before the venue ends it
    "missed",  # the sync found a fill that it had not told: it was open, and dead
    "unread",  # it told something that we do not understand
    "unrecorded",  # what it told could not be written
    "stopped",  # our process gave it up
]


class Mark(NamedTuple):
    """What a stream was opened with; another one needs another connection."""

    venue: str
    product: Product
    egress: str
    since_ms: int
    keys_hash: str


@dataclass(frozen=True, slots=True)
class Linked:
    """An account whose stream can be opened. complete_ms: the books have everything up to here.

    sealed: api_key, api_secret, passphrase as Laravel keeps them.
    """

    account_id: int
    mark: Mark
    complete_ms: int
    sealed: tuple[str | None, str | None, str | None] = field(repr=False)


class Standing(NamedTuple):
    """in_gap: the rows say that the stream is down."""

    mark: Mark
    in_gap: bool


class Lost(NamedTuple):
    """A stream tells nothing from here on. Times are the venue's."""

    account_id: int
    cause: Cause
    from_ms: int


class Back(NamedTuple):
    """It tells everything again from here on."""

    account_id: int
    until_ms: int


class Span(NamedTuple):
    """What it told in this time is not recorded; it goes on."""

    account_id: int
    cause: Cause
    from_ms: int
    until_ms: int


Change = Lost | Back | Span


class Refusal(NamedTuple):
    """keys_hash: of the keys that were refused; others lift the suspension."""

    account_id: int
    reason: str
    keys_hash: str


class FillFound(NamedTuple):
    """Identity and time of a fill in the books."""

    account_id: int
    product: str
    instrument: str
    trade_id: str
    side: str
    executed_at_ms: int


# -- which there should be -------------------------------------------------------------------------


def wanted(connection: Any, after: int, most: int) -> list[int]:
    """Accounts behind the id `after`, in order."""
    return [account_id for (account_id,) in _read(connection, SQL["wanted"], (after, most))]


def number(connection: Any) -> int:
    """How many streams there should be, on all nodes."""
    [(found,)] = _read(connection, SQL["number"], ())
    return int(found)


def linked(connection: Any, account_ids: Sequence[int]) -> list[Linked]:
    """Those of the accounts that are (still) wanted."""
    return [
        Linked(account_id, Mark(*row[:5]), row[5], tuple(row[6:]))
        for account_id, *row in _read(connection, SQL["linked"], (account_ids,))
    ]


def standing(connection: Any, account_ids: Sequence[int]) -> dict[int, Standing]:
    """Those of the accounts that are still wanted."""
    return {
        account_id: Standing(Mark(*mark), bool(in_gap))
        for account_id, *mark, in_gap in _read(connection, SQL["standing"], (account_ids,))
    }


def found(connection: Any, account_ids: Sequence[int], since_ms: int) -> list[FillFound]:
    """Fills of these accounts that were executed since and that only the sync has reported."""
    since = moment(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since_ms))
    arguments = (since, since_ms, account_ids, since_ms, AT_ONCE)
    return [FillFound(*row) for row in _read(connection, SQL["found"], arguments)]


# -- what they told --------------------------------------------------------------------------------


def record(
    connection: Any,
    events: Sequence[Found],
    changes: Sequence[Change],
    refusals: Sequence[Refusal],
) -> list[Refusal]:
    """In the caller's transaction. Returns the refusals that suspended an account."""
    rows = Rows(connection)
    outbox.record(rows, map(event_of, events))
    _record_gaps(connection, rows, changes)
    cursor = connection.cursor()
    done = []
    for one in refusals:
        error = one.reason[:ERROR_LETTERS]
        if cursor.execute(SQL["suspend"], (error, one.keys_hash, one.account_id)):
            cursor.execute(SYNC_SQL["suspend"], (one.account_id, error))
            done.append(one)
    return done


def _record_gaps(connection: Any, rows: Rows, changes: Sequence[Change]) -> None:
    """An account has one gap that has not ended, or none."""
    if not changes:
        return
    cursor = connection.cursor()
    cursor.execute(SQL["open_gaps"], ([one.account_id for one in changes],))
    standing: dict[int, list[Any]] = {
        account_id: [gap_id, account_id, "", 0, None] for account_id, gap_id in cursor.fetchall()
    }
    written: list[list[Any]] = []
    for one in changes:
        gap = standing.get(one.account_id)
        if isinstance(one, Span):
            written.append([None, one.account_id, one.cause, one.from_ms, one.until_ms])
        elif isinstance(one, Lost):
            if gap is None:
                gap = [None, one.account_id, one.cause, max(one.from_ms, 0), None]
                standing[one.account_id] = gap
                written.append(gap)
        elif gap is not None:
            gap[-1] = one.until_ms
            if gap[0] is not None:
                written.append(gap)
            del standing[one.account_id]
    rows.write(SQL["save_gaps"], written)
    rows.flush()


def ask(connection: Any, in_gap: Iterable[int], traded: Iterable[int]) -> int:
    """The sync looks at these now: those with a gap, and quiet ones that trade. Commits."""
    due = set(in_gap)
    with transaction(connection) as cursor:
        trading = sorted(set(traded) - due)
        if trading:
            cursor.execute(SQL["quiet"], (trading,))
            due |= {account_id for (account_id,) in cursor.fetchall()}
        return planner.ask_now(connection, sorted(due)) if due else 0


# -- gaps that are over ----------------------------------------------------------------------------


def close_gaps(connection: Any) -> int:
    """Closes those that a sync has read past, asks for the others again, and deletes old ones.
    Returns how many were closed. Commits.
    """
    with transaction(connection) as cursor:
        cursor.execute(SQL["read_past"], (AT_ONCE,))
        done = [gap_id for (gap_id,) in cursor.fetchall()]
        if done:
            cursor.execute(SQL["close"], (done,))
        cursor.execute(SQL["prune"], (KEPT_DAYS, AT_ONCE))
        cursor.execute(SQL["unread"], (NEAR_SECONDS, AT_ONCE))
        again = [account_id for (account_id,) in cursor.fetchall()]
        if again:
            planner.ask_now(connection, again)
    return len(done)


def _read(connection: Any, statement: str, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with transaction(connection) as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())
