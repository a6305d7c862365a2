"""Positions as of their newest report's watermark, against what it says; and position modes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from shared.ledger.days import DAY_MS, day_of
from shared.ledger.identity import position_identity
from shared.ledger.money import LEDGER
from shared.ledger.observed import ObservedPosition
from shared.ledger.position import FLAT, Leg, State, average_entry, legs
from shared.ledger.reconcile import (
    MODE,
    DatedMode,
    Difference,
    Looked,
    Unequal,
    cause_of,
    compare_position,
    is_negative,
    last_tied,
    rounding_of_entry,
    suspects,
    unit_of,
)
from shared.mysql import facts
from shared.mysql.book_breaks import Break, open_of_account
from shared.mysql.book_positions import (
    FoldFill,
    Position,
    PositionKey,
    checkpoint,
    fills_in_order,
    read_positions,
)
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("reconcile.sql"))

KINDS = ("balance_diverged", "mode_conflict", "negative_leg", "position_diverged")
NO_END = 2**63 - 1
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
EARLIER_REPORTS = 100  # looked through for the last that tied: a day of quarter hours


class Books(NamedTuple):
    """What is known of an account before anything is compared.

    parked: some of its events are. openings: the newest per position. stood: its open breaks.
    """

    account_id: int
    parked: bool
    positions: dict[PositionKey, Position]
    openings: dict[PositionKey, int]
    stood: dict[tuple[str, str], Break]

    def superseded(self, report: ObservedPosition) -> bool:
        """By an opening that is newer than the report."""
        return self.openings.get(report[:4], 0) > report.watermark_ms

    def waits(self, key: PositionKey, until_ms: int) -> bool:
        """Whether a fold waits that changes the position as of that time."""
        position = self.positions.get(key)
        since = position.restating_from_ms if position else None
        return since is not None and since <= until_ms


class Compared(NamedTuple):
    """A position that differs, and the asset that it settles in, if anybody knows."""

    difference: Difference
    settle_asset: str | None


def read_books(rows: Rows, account_id: int) -> Books:
    incomplete = rows.run(SQL["account"], (account_id,))
    held = rows.run(SQL["positions"], (account_id,))
    openings = rows.run(SQL["openings"], (account_id,))
    return Books(
        account_id,
        any(flag for (flag,) in incomplete),
        read_positions(rows, [(account_id, *key) for key in held]),
        {(account_id, *row[:3]): row[3] for row in openings},
        {(one.kind, one.identity): one for one in open_of_account(rows, account_id, KINDS)},
    )


def newest_reports(rows: Rows, account_id: int, until_ms: int = NO_END) -> list[ObservedPosition]:
    """The newest report of each position, up to a time."""
    keys = sorted(rows.run(SQL["reported_positions"], (account_id,)))
    newest = (rows.run(SQL["newest_position"], (account_id, *key, until_ms)) for key in keys)
    return [ObservedPosition._make(row) for found in newest for row in found]


# ---- positions


def compare_positions(rows: Rows, books: Books) -> Iterator[Compared]:
    """What an opening supersedes is not compared: of that past it says that it is unknown."""
    reports = newest_reports(rows, books.account_id)
    for report in reports:
        if books.superseded(report):
            continue
        unequal = compare_report(rows, books, report)
        if unequal is not None:
            key = report[:4]
            position = books.positions.get(key)
            asset = position.settle_asset if position else report.settle_asset
            yield Compared(_difference(rows, books, key, report.watermark_ms, unequal), asset)
    yield from _unnamed_legs(rows, books, reports)


def compare_report(rows: Rows, books: Books, report: ObservedPosition) -> Unequal | None:
    """One report against the books as of its watermark."""
    state, size = held_at(rows, books, report[:4], report.watermark_ms)
    price = None if size is None else average_entry(report.product, state, size)
    # The column has 18 decimals whatever the venue wrote, so its own text is asked.
    unit = unit_of(json.loads(report.data).get("entry_price") or "0")
    venues = (report.qty, report.entry_price)
    position = books.positions.get(report[:4])
    rounding = rounding_of_entry(price, state.cost, position.fills if position else 0)
    unit = LEDGER.add(unit, rounding)
    return compare_position(report.position_side, (state.qty, price), venues, unit)


def _unnamed_legs(
    rows: Rows, books: Books, reports: Iterable[ObservedPosition]
) -> Iterator[Compared]:
    """A leg below nothing is impossible whatever the venue names: seen at the newest report of its
    instrument.
    """
    named = {report[:4] for report in reports}
    watermarks: dict[PositionKey, int] = {}
    for report in reports:
        for side in ("long", "short"):
            leg = (*report[:3], side)
            watermarks[leg] = max(watermarks.get(leg, 0), report.watermark_ms)
    for key in sorted(books.positions.keys() & watermarks.keys() - named):
        at_ms = watermarks[key]
        if books.openings.get(key, 0) <= at_ms:
            qty = held_at(rows, books, key, at_ms)[0].qty
            if is_negative(key[3], qty):
                unequal = Unequal("negative_leg", qty, None)
                difference = _difference(rows, books, key, at_ms, unequal)
                yield Compared(difference, books.positions[key].settle_asset)


def held_at(
    rows: Rows, books: Books, key: PositionKey, at_ms: int
) -> tuple[State, Decimal | None]:
    """A position as of a time, that millisecond included; the contract size of its last fill."""
    position = books.positions.get(key)
    if position is None:
        return FLAT, None
    if position.last[0] <= at_ms:
        return position.state, position.contract_size
    state, done = legs_since(rows, key, at_ms, at_ms)
    size = position.contract_size
    for leg in done:
        state, size = leg.state, leg.fill.contract_size
    return state, size


def legs_since(
    rows: Rows, key: PositionKey, from_ms: int, until_ms: int
) -> tuple[State, Iterator[Leg[FoldFill]]]:
    """The state at the end of a day before `from_ms`, and what fills and entries did since."""
    before = checkpoint(rows, key, day_of(from_ms))
    day, state = (0, FLAT) if before is None else (before[0] + 1, before[1])
    fills = fills_in_order(rows, key, day * DAY_MS)
    until = takewhile(lambda one: one.executed_at_ms <= until_ms, fills)
    return state, legs(state, until, key[1])


def _difference(
    rows: Rows, books: Books, key: PositionKey, at_ms: int, unequal: Unequal
) -> Difference:
    kind = "negative_leg" if unequal.what == "negative_leg" else "position_diverged"
    identity = position_identity(*key)
    looked = _look(rows, books, key, at_ms, books.stood.get((kind, identity)))
    details = {"what": unequal.what, "watermark_ms": str(at_ms)}
    if looked.tied_ms is not None:
        details["tied_ms"] = str(looked.tied_ms)
    cause = cause_of(unequal.what, looked)
    return Difference(kind, identity, unequal.ours, unequal.venues, cause, details)


def _look(
    rows: Rows, books: Books, key: PositionKey, at_ms: int, stood: Break | None
) -> Looked:
    """Where it tied last is looked for once: an open break remembers."""
    first_reports = rows.run(SQL["first_report"], key)
    first_fills = rows.run(SQL["fill_between"], (*key, 0, NO_END))
    remembered = stood.details.get("tied_ms") if stood else None
    opened_ms = books.openings.get(key)
    tied = int(remembered) if remembered else _last_tied(rows, key, at_ms, opened_ms or 0)
    tied_ms = max((ms for ms in (tied, opened_ms) if ms is not None), default=None)
    after = 0 if tied_ms is None else tied_ms + 1
    return Looked(
        parked=books.parked,
        waiting=books.waits(key, at_ms),
        opened_ms=opened_ms,
        first_held_ms=next((ms for ms, qty in first_reports if qty), None),
        first_fill_ms=next((ms for ms, _ in first_fills), None),
        tied_ms=tied_ms,
        moved=bool(rows.run(SQL["fill_between"], (*key, after, at_ms + 1))),
    )


def _last_tied(rows: Rows, key: PositionKey, before_ms: int, opened_ms: int) -> int | None:
    newest_first = rows.run(SQL["earlier_reports"], (*key, before_ms, EARLIER_REPORTS))
    reports = [row for row in reversed(newest_first) if row[0] >= opened_ms]
    if not reports:
        return None
    held, done = legs_since(rows, key, reports[0][0], before_ms)
    steps = ((leg.fill.executed_at_ms, leg.state.qty) for leg in done)
    return last_tied(reports, held.qty, steps)


# ---- position modes


def compare_modes(rows: Rows, books: Books) -> Iterator[Difference]:
    """Fills of one position mode at a time when the account was in the other, as the facts say."""
    modes = [
        DatedMode(product, instrument, (valid_from - _EPOCH) // _MS, mode)
        for _, product, instrument, valid_from, mode, _ in rows.run(
            facts.SQL["modes"], {"account": books.account_id}
        )
    ]
    for key in sorted(books.positions):
        for suspect in suspects(*key[1:], modes):
            until_ms = NO_END if suspect.to_ms is None else suspect.to_ms
            found = rows.run(SQL["fill_between"], (*key, suspect.from_ms, until_ms))
            if found:
                ((at_ms, trade_id),) = found
                details = {
                    "what": "mode", "mode": suspect.mode, "position_side": key[3],
                    "trade_id": trade_id, "first_fill_ms": str(at_ms),
                }  # fmt: skip
                identity = position_identity(*key)
                yield Difference("mode_conflict", identity, None, None, MODE, details)
                break
