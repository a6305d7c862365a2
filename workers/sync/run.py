"""One account, asked once: its readings in order, each answer kept until all are there.

Snapshots are asked for first and movements after them, so that what a snapshot contains has been
read when it is judged. Nothing is written here; what a run found is written at once, with its
cursors, by the batch (see batch.py), or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from shared.errors import FleetError
from shared.exchanges.errors import KeyRefused, Throttled, UnknownMarket
from shared.exchanges.venue import KINDS, Account, Cursor, Kind, Page, Product, Reading, Venue
from workers.sync.judge import MOVES, SNAPSHOTS, Judged, judge, openings

Read = Callable[[Reading], Awaitable[Page]]

REFUSED = "the exchange refuses the key: {}; store a new one"
RESTLESS_MS = 5_000  # nobody's failure: the next look may be a quiet one
RESTLESS = "it traded while it was read for the first time; it is read again"


class Asked(NamedTuple):
    """A run to be made. due: kinds whose turn it is. first: the account was never read before.
    moved_ms: its newest movement that is known.
    """

    account: Account
    venue: Venue
    due: Sequence[Kind]
    cursors: Mapping[Kind, Cursor]
    first: bool
    moved_ms: int | None = None


class Answered(NamedTuple):
    """What came of it.

    cursors, through_ms: of the kinds that were read. again: kinds that must be asked at once.
    error: why the run ended early; what was read before it stands. pause_ms: it is worth trying
    again after so long, and nobody failed. refused: why the account must not be asked any more, for
    its owner to read. unknown_market: an instrument that has to be looked up.
    """

    judged: Judged
    cursors: dict[Kind, Cursor]
    through_ms: dict[Kind, int]
    again: set[Kind]
    error: str | None = None
    pause_ms: int = 0
    refused: str | None = None
    unknown_market: tuple[Product, str] | None = None


NOTHING = Answered(Judged([], [], None, None, restless=True), {}, {}, set())


async def ask(asked: Asked, read: Read) -> Answered:
    """Raises nothing for what a venue does; bugs come out as they are."""
    pages: dict[Kind, Page] = {}
    ended = NOTHING
    wanted: dict[str, int] = {}
    kinds = kinds_to_read(asked.due)
    try:
        for kind in KINDS:
            if kind not in kinds and not (kind == "fills" and wanted):
                continue
            if kind not in asked.venue.readings:
                continue
            cursor = asked.cursors.get(kind, {})
            if kind == "fills" and wanted:
                cursor = _with_wanted(cursor, wanted)
            pages[kind] = await read(asked.venue.readings[kind](asked.account, cursor))
            served = kind == "fills"
            wanted = _merged({} if served else wanted, pages[kind].wanted)
        if wanted and "fills" in pages:
            # Orders are read last, because one that is gone was filled before: so look once more.
            before, reading = pages["fills"], asked.venue.readings["fills"]
            after = await read(reading(asked.account, _with_wanted(before.cursor, wanted)))
            pages["fills"] = after._replace(events=[*before.events, *after.events])
            wanted = dict(after.wanted)
    except FleetError as error:
        ended = ended_by(error)
    if wanted:
        # Whoever told them has moved its cursor past them, so they must outlive this run.
        read_fills = pages.get("fills", Page((), asked.cursors.get("fills", {})))
        cursor = _with_wanted(read_fills.cursor, wanted)
        pages["fills"] = read_fills._replace(cursor=cursor, more=True)
    return _answer(asked, pages, ended)


def ended_by(error: FleetError) -> Answered:
    """What an error of a venue says about the run that it ended."""
    if isinstance(error, KeyRefused):
        return NOTHING._replace(refused=REFUSED.format(error.reason))
    if isinstance(error, Throttled):
        return NOTHING._replace(error=str(error), pause_ms=error.retry_after_ms)
    unknown = error.wanted if isinstance(error, UnknownMarket) else None
    return NOTHING._replace(error=str(error), unknown_market=unknown)


def kinds_to_read(due: Sequence[Kind]) -> set[Kind]:
    """Whoever asks for a snapshot asks for what moved, too: else it cannot be judged."""
    return {*due, *(MOVES if any(kind in SNAPSHOTS for kind in due) else ())}


def _with_wanted(cursor: Cursor, wanted: Mapping[str, int]) -> Cursor:
    return {**cursor, "wanted": _merged(cursor.get("wanted", {}), wanted)}


def _merged(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The later time of each symbol: 0 says only that it is not known."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _answer(asked: Asked, pages: Mapping[Kind, Page], ended: Answered) -> Answered:
    early = ended is not NOTHING
    if early:
        # Unjudged snapshots say nothing; the movements that were read are worth keeping.
        pages = {kind: page for kind, page in pages.items() if kind not in SNAPSHOTS}
    judged = judge(pages, asked.account.now_ms, asked.moved_ms)
    if asked.first:
        # An opening needs one quiet look at everything; nothing is begun before.
        if early:
            return ended
        if judged.restless:
            return NOTHING._replace(error=RESTLESS, pause_ms=RESTLESS_MS)
        snapshots = [pages[kind].events for kind in SNAPSHOTS if kind in pages]
        opened = openings([found for events in snapshots for found in events])
        judged = judged._replace(events=[*opened, *judged.events])
    return ended._replace(
        judged=judged,
        cursors={kind: page.cursor for kind, page in pages.items()},
        through_ms={
            kind: page.through_ms for kind, page in pages.items() if page.through_ms is not None
        },
        again={kind for kind, page in pages.items() if page.more},
    )
