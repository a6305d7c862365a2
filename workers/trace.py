"""What made a figure: the fills, entries and cash rows behind a day's rows of fleet_pnl_daily.

Each row is computed once more from what is immutable, by the ledger's own fold from the checkpoint
before the day, and compared with what stands in it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.cash import DAILY_COLUMN, CashEntry
from shared.ledger.days import DAY_MS, day_number, day_of
from shared.ledger.entries import PLACE
from shared.ledger.fill import Fill
from shared.ledger.identity import cash_identity, entry_identity, fill_identity
from shared.ledger.money import LEDGER, ZERO, AmountOverflow
from shared.ledger.position import FLAT, Leg, State, legs
from shared.mysql.book_entries import SQL as ENTRIES_SQL
from shared.mysql.book_fills import SQL as FILLS_SQL
from shared.mysql.book_positions import FoldFill, PositionKey, checkpoint, fills_in_order
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("trace.sql"))

FIGURES = ("realized", "fees", "funding", "other")


class Wanted(NamedTuple):
    """Which rows of fleet_pnl_daily; None: all of them. figure: one of FIGURES."""

    account_id: int
    day: date
    product: str | None = None
    instrument: str | None = None
    asset: str | None = None
    figure: str | None = None

    @property
    def figures(self) -> tuple[str, ...]:
        return (self.figure,) if self.figure else FIGURES


class Figures(NamedTuple):
    """Of one row of fleet_pnl_daily."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    other: Decimal = ZERO
    fills: int = 0


class Line(NamedTuple):
    """A fill, an entry or a cash row, and what it adds to each figure of a row.

    what: buy, sell, open, in, out, or the kind of the cash row. before, after: the position's
    state, None for cash. reports: verbatim; empty unless they were asked for.
    """

    at_ms: int
    what: str
    ref: str
    identity: str
    parts: Mapping[str, Decimal]
    position_side: str = ""
    before: State | None = None
    after: State | None = None
    contract_size: Decimal = ZERO
    fill: Fill | None = None
    cash: CashEntry | None = None
    reports: tuple[str, ...] = ()

    @property
    def venue_difference(self) -> Decimal | None:
        """What the venue reported as realized, less what was computed; None: it reported none."""
        if self.fill is None or self.fill.reported_realized is None or "realized" not in self.parts:
            return None
        return LEDGER.subtract(self.fill.reported_realized, self.parts["realized"])


class Earlier(NamedTuple):
    """A row as it stood before something late changed it. version 0: there was none."""

    version: int
    figures: Figures
    identities: list[str]
    more: int  # identities beyond those kept
    restated_at: datetime


RowKey = tuple[str, str, str]  # product, instrument, asset


class RowTrace(NamedTuple):
    """One row of fleet_pnl_daily and what made it. stored None: there is no such row.

    notes: why the figures of the row may not be those of the lines.
    """

    key: RowKey
    figures: tuple[str, ...]
    version: int
    stored: Figures | None
    lines: list[Line]
    earlier: list[Earlier]
    notes: list[str]

    def sum_of(self, figure: str) -> Decimal:
        total = ZERO
        for line in self.lines:
            total = LEDGER.add(total, line.parts.get(figure, ZERO))
        return total

    def stored_of(self, figure: str) -> Decimal:
        amount: Decimal = getattr(self.stored or Figures(), figure)
        return amount

    @property
    def fills(self) -> int:
        """How many fills count in this row: those it is the settle asset of."""
        return sum(line.fill is not None and "realized" in line.parts for line in self.lines)

    @property
    def ties(self) -> bool:
        """Whether the lines sum to the row, in every figure that was asked for."""
        sums = all(self.sum_of(name) == self.stored_of(name) for name in self.figures)
        counts = "realized" not in self.figures or self.fills == (self.stored or Figures()).fills
        return sums and counts


def is_known(rows: Rows, account_id: int) -> bool:
    """Whether anything of the account has ever come."""
    return bool(rows.run(SQL["known"], (account_id,)))


def trace(rows: Rows, wanted: Wanted, *, reports: bool = False) -> list[RowTrace]:
    """The rows of one account and day, in order of product, instrument and asset.

    reports: with every report verbatim. Reads several tables: give it a snapshot.
    """
    span = _span(wanted)
    lines: dict[RowKey, list[Line]] = defaultdict(list)
    notes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for *key, restating_from_ms in rows.run(SQL["positions"], span):
        position: PositionKey = (key[0], key[1], key[2], key[3])
        made = _of_position(rows, position, wanted.day, restating_from_ms, notes[position[1:3]])
        told = _reports(rows, position, made) if reports else {}
        for leg, before, fill in made:
            for row, line in _lines(position, leg, before, fill):
                lines[row].append(line._replace(reports=told.get(line.identity, ())))
    for found in rows.run(SQL["cash"], span):
        entry = CashEntry._make(found)
        lines[entry.product, entry.instrument, entry.asset].append(_cash_line(entry, reports))
    return [
        _row_trace(key, wanted, stood, lines[key], notes[key[:2]])
        for key, stood in sorted(_stood(rows, span, lines).items())
        if wanted.asset is None or key[2] == wanted.asset
    ]


def _span(wanted: Wanted) -> dict[str, Any]:
    from_ms = day_number(wanted.day) * DAY_MS
    return {
        "account": wanted.account_id, "day": wanted.day, "product": wanted.product,
        "instrument": wanted.instrument, "from_ms": from_ms, "to_ms": from_ms + DAY_MS,
        "kinds": sorted(DAILY_COLUMN),
    }  # fmt: skip


Stood = tuple[tuple[Any, ...] | None, list[Earlier]]  # what stands now, and what did


def _row_trace(
    key: RowKey, wanted: Wanted, stood: Stood, lines: Iterable[Line], notes: list[str]
) -> RowTrace:
    kept = [line for line in lines if any(name in line.parts for name in wanted.figures)]
    now, earlier = stood
    version, figures = (now[0], Figures(*now[1:])) if now else (0, None)
    return RowTrace(key, wanted.figures, version, figures, kept, earlier, notes)


def _stood(
    rows: Rows, span: Mapping[str, Any], lines: Iterable[RowKey]
) -> dict[RowKey, Stood]:
    """Rows that are there, were there, or ought to be."""
    now = {row[:3]: row[3:] for row in rows.run(SQL["rows"], span)}
    earlier: dict[RowKey, list[Earlier]] = defaultdict(list)
    for *head, cause, restated_at in rows.run(SQL["restatements"], span):
        told = json.loads(cause)
        before = Earlier(
            head[3], Figures(*head[4:]), told["identities"], told.get("more", 0), restated_at
        )
        earlier[head[0], head[1], head[2]].append(before)
    keys = {*now, *earlier, *lines}
    return {key: (now.get(key), earlier.get(key, [])) for key in keys}


# ---- positions

Made = tuple[Leg[FoldFill], State, Fill | None]  # what one did, the state before it, the whole fill


def _of_position(
    rows: Rows, key: PositionKey, day: date, restating_from_ms: int | None, notes: list[str]
) -> list[Made]:
    """What a position's fills and entries of the day did, folded from the checkpoint before it."""
    number = day_number(day)
    first = number
    if restating_from_ms is not None and day_of(restating_from_ms) <= number:
        # The days from there on are what a fold still has to replace: no checkpoint among them.
        first = day_of(restating_from_ms)
        notes.append(f"a fold of {key[3]} waits: the row will be restated once it is done")
    known = checkpoint(rows, key, first)
    start, state = (0, FLAT) if known is None else (known[0] + 1, known[1])
    done = []
    try:
        for leg, before in _legs(rows, key, start, state):
            at = day_of(leg.fill.executed_at_ms)
            if at > number:
                break
            if at == number:
                done.append((leg, before))
    except AmountOverflow as overflow:
        notes.append(f"{key[3]} cannot be folded any further: {overflow}")
    fills = _fills(rows, key, (leg.fill for leg, _ in done))
    return [(leg, before, fills.get(_place(leg.fill))) for leg, before in done]


def _legs(
    rows: Rows, key: PositionKey, start: int, state: State
) -> Iterator[tuple[Leg[FoldFill], State]]:
    for leg in legs(state, fills_in_order(rows, key, start * DAY_MS), key[1]):
        yield leg, state
        state = leg.state


def _place(fill: FoldFill) -> tuple[str, str]:
    return fill.trade_id, fill.side


def _fills(rows: Rows, key: PositionKey, folded: Iterable[FoldFill]) -> dict[Any, Fill]:
    wanted = [(*key[:3], *_place(one)) for one in folded if one.side not in PLACE]
    found = map(Fill._make, rows.read(FILLS_SQL["read_fills"], sorted(wanted)))
    return {(fill.trade_id, fill.side): fill for fill in found}


def _lines(
    key: PositionKey, leg: Leg[FoldFill], before: State, fill: Fill | None
) -> Iterator[tuple[RowKey, Line]]:
    """A fill's part in its settle asset's row, and its fee's in the row of another asset."""
    one = leg.fill
    row = (key[1], key[2], one.settle_asset)
    if fill is None:
        identity = entry_identity(*key, one.side, one.trade_id)
    else:
        identity = fill_identity(*fill[:5])
    line = Line(
        one.executed_at_ms, one.side, one.trade_id, identity, {"realized": leg.realized}, key[3],
        before, leg.state, one.contract_size, fill,
    )  # fmt: skip
    if not one.fee:
        yield row, line
        return
    asset = one.fee_asset or one.settle_asset
    if asset == one.settle_asset:
        yield row, line._replace(parts={**line.parts, "fees": one.fee})
    else:
        yield row, line
        yield (key[1], key[2], asset), line._replace(parts={"fees": one.fee})


# ---- cash and reports


def _cash_line(entry: CashEntry, reports: bool) -> Line:  # noqa: FBT001 - as asked of trace
    return Line(
        entry.at_ms, entry.kind, entry.ref, cash_identity(*entry[:5]),
        {DAILY_COLUMN[entry.kind]: entry.amount}, cash=entry,
        reports=(entry.data,) if reports else (),
    )  # fmt: skip


def _reports(
    rows: Rows, key: PositionKey, made: Collection[Made]
) -> dict[str, tuple[str, ...]]:
    """Identity -> its reports. An entry keeps the one that stands."""
    fills = sorted(fill[:5] for _, _, fill in made if fill is not None)
    told: dict[str, tuple[str, ...]] = {}
    for row in rows.read(FILLS_SQL["read_report_data"], fills):
        identity = fill_identity(*row[:5])
        told[identity] = (*told.get(identity, ()), row[5])
    ones = [leg.fill for leg, _, fill in made if fill is None]
    entries = sorted((*key, one.side, one.trade_id) for one in ones)
    for row in rows.read(ENTRIES_SQL["read_position_entries"], entries):
        told[entry_identity(*row[:6])] = (row[13],)
    return told
