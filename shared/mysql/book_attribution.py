"""Attribution: daily P&L in parts, by what caused each fill, and the rounding account beside it.

A projection behind the books: whatever changes a daily row, or what its fills belong to, marks it
(`attribution_due`), and a pass under the account's lock folds the days that are due once more, fill
by fill, and replaces their parts. The parts of a row sum to it exactly, whatever came first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.attribution import (
    Due,
    Steps,
    Tag,
    affordable,
    cause_of,
    diverges,
    tag_of,
)
from shared.ledger.days import DAY_MS, day_number, day_of, day_text, spans
from shared.ledger.fill import order_key
from shared.ledger.identity import fill_identity
from shared.ledger.money import LEDGER, ZERO, plain
from shared.ledger.position import FLAT, Leg, legs
from shared.ledger.reconcile import Difference
from shared.mysql.book import SQL as BOOK
from shared.mysql.book_breaks import settle_breaks_of
from shared.mysql.book_positions import FOLD_CHUNK, PositionKey, checkpoint, entry_of
from shared.mysql.book_positions import SQL as POSITIONS
from shared.mysql.book_rows import Rows
from shared.mysql.connection import transaction
from shared.queries import load

SQL = load(Path(__file__).with_name("book_attribution.sql"))

SETTLE_FILLS = 20_000  # of one transaction: about 0.6 s under the account's lock
DAYS_AT_ONCE = 1_000
SUMS_AT_ONCE = 5_000  # parts, or figures of venues, kept before they are written

DIVERGED = "realized_diverged"


class Settled(NamedTuple):
    """What one transaction did. more: days are left that are due and can be settled."""

    days: int
    more: bool


def due_accounts(connection: Any, after: int, limit: int) -> list[int]:
    """Accounts with days that are due, in order of id, from behind `after`."""
    with transaction(connection) as cursor:
        cursor.execute(SQL["due_accounts"], (after, limit))
        return [account_id for (account_id,) in cursor.fetchall()]


def settle_account(connection: Any, account_id: int) -> int:
    """Settles all that is due of an account, in as many transactions as it takes; returns the days.

    What waits for a fold (`restating_from_ms`) stays due. Raises Unavailable.
    """
    days = 0
    while True:
        settled = settle_once(connection, account_id)
        days += settled.days
        if not settled.more:
            return days


def settle_once(
    connection: Any, account_id: int, *, fills: int = SETTLE_FILLS, wait: bool = True
) -> Settled:
    """One transaction of about `fills` fills; whole days, one at least. wait: for the account's
    lock; otherwise a locked account is left to a later call.
    """
    lock = BOOK["lock_accounts" if wait else "lock_free_accounts"]
    with transaction(connection):
        rows = Rows(connection)
        if not rows.read(lock, [(account_id,)]):
            return Settled(0, more=False)
        found = rows.run(SQL["due_days"], (account_id, DAYS_AT_ONCE))
        due = [Due(product, name, day_number(day), count) for product, name, day, count in found]
        chosen = affordable(due, fills)
        for (product, instrument), days in groupby(chosen, key=lambda one: one[:2]):
            _settle_instrument(rows, (account_id, product, instrument), list(days))
        if chosen:
            rows.run(SQL["check_due"], (account_id,))
        return Settled(len(chosen), len(chosen) < len(found) or len(found) == DAYS_AT_ONCE)


def _settle_instrument(rows: Rows, key: tuple[int, str, str], due: Sequence[Due]) -> None:
    days = [(*key, day_text(one.day)) for one in due]
    rows.change(SQL["remove_parts"], days)
    rows.change(SQL["remove_rounding"], days)
    rows.change(SQL["add_cash"], days)
    folds = spans(one.day for one in due if one.fills)
    if folds:
        sums = _Sums(rows, key)
        for (position_side,) in rows.run(SQL["position_sides"], key):
            for span in folds:
                for leg in _legs(rows, (*key, position_side), span):
                    sums.add(position_side, leg)
        sums.write()
    rows.change(SQL["attributed"], days)
    rows.flush()


class DueFill(NamedTuple):
    """What a fold reads of a fill or an entry (see FoldFill), and what attribution needs of it.
    tag None: an entry, which realizes nothing.
    """

    executed_at_ms: int
    venue_seq: int
    trade_id: str
    side: str
    venue: str
    qty: Decimal
    value: Decimal
    fee: Decimal | None
    fee_asset: str | None
    base_asset: str | None
    settle_asset: str
    contract_size: Decimal
    reported_realized: Decimal | None
    tag: Tag | None


def _legs(rows: Rows, key: PositionKey, span: range) -> Iterator[Leg[DueFill]]:
    """What each fill of these days did, folded from the last state that is known before them."""
    known = checkpoint(rows, key, span.start)
    first_day, state = (0, FLAT) if known is None else (known[0] + 1, known[1])
    until_ms = span.stop * DAY_MS
    fills = _fills(rows, key, first_day * DAY_MS, until_ms)
    entries = map(entry_of, rows.run(POSITIONS["entries"], (*key, first_day * DAY_MS)))
    moves = [DueFill(*one, None, None) for one in entries if one.executed_at_ms < until_ms]
    both = merge(fills, sorted(moves, key=order_key), key=order_key) if moves else fills
    for leg in legs(state, both, key[1]):
        if leg.fill.tag is not None and day_of(leg.fill.executed_at_ms) in span:
            yield leg


def _fills(rows: Rows, key: PositionKey, from_ms: int, until_ms: int) -> Iterator[DueFill]:
    """In order, in chunks, each with its tag."""
    ms, seq, size, trade_id, side = from_ms, -(2**63), 0, "", ""
    while True:
        place = (ms, ms, ms, seq, seq, size, size, trade_id, trade_id, side)
        chunk = rows.run(SQL["fills_in_order"], (*key, until_ms, *place, FOLD_CHUNK))
        tags = _tags(rows, key, chunk)
        for row, tag in zip(chunk, tags, strict=True):
            yield DueFill._make((*row[:13], tag))
        if len(chunk) < FOLD_CHUNK:
            return
        ms, seq, trade_id, side = chunk[-1][:4]
        size = len(trade_id.encode())


class _Source(NamedTuple):
    """What a fill or an order says of its cause."""

    client_order_id: str | None
    signal_id: str | None
    strategy: str | None


def _tags(rows: Rows, key: PositionKey, chunk: Sequence[tuple[Any, ...]]) -> list[Tag]:
    """Of fills as the query gives them; see shared/ledger/attribution.py for the rule."""
    wanted: list[list[str]] = []
    clients: set[str] = set()
    for *_, order_id, client_id, signal_id, strategy in chunk:
        orders = []
        if signal_id is None and strategy is None:
            if order_id is not None:
                orders.append("o:" + order_id)
            if client_id is not None:
                orders.append("c:" + client_id)
                if order_id is None:
                    clients.add(client_id)
        wanted.append(orders)
    keys = sorted({order for orders in wanted for order in orders})
    named = ((*key[:3], order) for order in keys)
    known = {row[0]: _Source(*row[1:]) for row in rows.read(SQL["orders"], named)}
    # Known by the client's id alone, a fill is of the order that has it, of the smallest id if two.
    found = rows.read(SQL["orders_of_clients"], ((*key[:3], one) for one in sorted(clients)))
    for _, *order in sorted(found, reverse=True):
        known["c:" + order[0]] = _Source(*order)
    return [
        tag_of(row[13], [_Source(*row[15:]), *(known[one] for one in orders if one in known)])
        for row, orders in zip(chunk, wanted, strict=True)
    ]


class _Compared(NamedTuple):
    """A figure of the venue beside ours. fee: what was paid in the same asset."""

    computed: Decimal
    reported: Decimal
    step: Decimal
    fee: Decimal | None


class _Sums:
    """Parts and rounding of an instrument, on their way to their rows. Memory stays flat: what has
    become too much is written, and the rest added to it.
    """

    def __init__(self, rows: Rows, key: tuple[int, str, str]) -> None:
        self._rows = rows
        self._key = key
        self._parts: dict[tuple[int, str, Tag], list[Any]] = {}  # realized, fees, fills
        self._rounding: dict[tuple[int, str, str], list[Any]] = {}  # reported, computed, fills
        self._compared: dict[str, _Compared] = {}
        self._steps: dict[str, Steps] = {}
        self._has_breaks = bool(rows.run(SQL["has_diverged"], (key[0], DIVERGED))[0][0])

    def add(self, position_side: str, leg: Leg[DueFill]) -> None:
        fill, tag = leg.fill, leg.fill.tag
        if tag is None:
            raise ValueError("an entry has no part")
        day = day_of(fill.executed_at_ms)
        part = self._part(day, fill.settle_asset, tag)
        part[0] = LEDGER.add(part[0], leg.realized)
        part[2] += 1
        if fill.fee:
            part = self._part(day, fill.fee_asset or fill.settle_asset, tag)
            part[1] = LEDGER.add(part[1], fill.fee)
        if fill.reported_realized is not None:
            self._compare(position_side, day, fill, leg.realized, fill.reported_realized)
        if max(len(self._parts), len(self._compared)) >= SUMS_AT_ONCE:
            self.write()

    def write(self) -> None:
        self._rows.write(
            SQL["add_parts"],
            ((*self._key, day_text(day), asset, *tag, *self._parts[day, asset, tag])
             for day, asset, tag in sorted(self._parts)),
        )  # fmt: skip
        self._rows.write(
            SQL["add_rounding"],
            ((*self._key, day_text(day), asset, side, reported, computed,
              LEDGER.subtract(reported, computed), fills)
             for (day, asset, side), (reported, computed, fills) in sorted(self._rounding.items())),
        )  # fmt: skip
        self._settle_breaks()
        self._parts, self._rounding, self._compared = {}, {}, {}

    def _part(self, day: int, asset: str, tag: Tag) -> list[Any]:
        return self._parts.setdefault((day, asset, tag), [ZERO, ZERO, 0])

    def _compare(
        self, position_side: str, day: int, fill: DueFill, computed: Decimal, reported: Decimal
    ) -> None:
        sums = self._rounding.setdefault((day, fill.settle_asset, position_side), [ZERO, ZERO, 0])
        sums[0], sums[1] = LEDGER.add(sums[0], reported), LEDGER.add(sums[1], computed)
        sums[2] += 1
        fee = fill.fee if fill.fee_asset == fill.settle_asset else None
        step = self._steps_of(fill.venue).at(fill.executed_at_ms)
        identity = fill_identity(*self._key, fill.trade_id, fill.side)
        self._compared[identity] = _Compared(computed, reported, step, fee)

    def _steps_of(self, venue: str) -> Steps:
        steps = self._steps.get(venue)
        if steps is None:
            dated = self._rows.run(SQL["money_steps"], (venue, *self._key[1:]))
            steps = self._steps[venue] = Steps((from_ms, step) for from_ms, step in dated)
        return steps

    def _settle_breaks(self) -> None:
        differences = [
            _difference(identity, one)
            for identity, one in sorted(self._compared.items())
            if diverges(one.computed, one.reported, one.step)
        ]
        if differences or self._has_breaks:
            settle_breaks_of(self._rows, self._key[0], DIVERGED, self._compared, differences)


def _difference(identity: str, one: _Compared) -> Difference:
    cause = cause_of(one.computed, one.reported, one.step, one.fee)
    details = {"what": "realized", "bound": plain(one.step)}
    return Difference(DIVERGED, identity, one.computed, one.reported, cause, details)


# ---- the two books


class Untied(NamedTuple):
    """Where performance book and rounding account do not make the cash book."""

    instrument: str
    day: str
    asset: str
    performance: Decimal
    rounding: Decimal
    cash: Decimal


def untied(connection: Any, account_id: int) -> list[Untied]:
    """Of an account whose venue sends what it realized as cash entries; settle it first. Nothing
    for an account without such entries.
    """
    with transaction(connection) as cursor:
        cursor.execute(SQL["untied"], {"account_id": account_id})
        return [Untied(*row) for row in cursor.fetchall()]
