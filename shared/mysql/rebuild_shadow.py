"""Shadow rows of a rebuild: an account folded again from its first fill, beside the live rows.

What is read may grow meanwhile. A shadow remembers the version that its live row had before the
first fill was read; `holds` tells from it whether what came since lies behind the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from functools import reduce
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import DAY_MS, day_text
from shared.ledger.fill import order_key
from shared.ledger.money import LEDGER, ZERO
from shared.ledger.position import FLAT, Traded, fold_days
from shared.mysql.book_daily import AccountInstrument, DailyKey
from shared.mysql.book_positions import (
    FoldFill,
    Position,
    PositionKey,
    day_tuple,
    entry_of,
    fills_behind,
    position_at,
    position_of,
    position_tuple,
)
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("rebuild_shadow.sql"))

END_MS = 2**63  # behind every fill
_BEGINNING = (0, -(2**63), 0, b"", "")  # before every fill


class Versions(NamedTuple):
    """Of a live row; both 0 where there is none. refolded: at which anything but newer fills last
    changed it.
    """

    version: int
    refolded: int


NO_ROW = Versions(0, 0)


class Shadow(NamedTuple):
    """A position as far as it is folded. seen: the version of the live row before the first fill
    was read, 0 if there was none. complete: all fills of then are in it.
    """

    position: Position
    seen: int
    complete: bool


def unfolded(key: PositionKey, seen: int = 0) -> Shadow:
    nothing = Position(key, "", FLAT, ZERO, "", ZERO, 0, _BEGINNING, None, 0)
    return Shadow(nothing, seen, complete=False)


def holds(shadow: Shadow | None, live: Position | None, versions: Versions) -> bool:
    """Whether a shadow that was caught up says what all fills say, its account being locked.

    Nothing was written since: whatever the row says, no fill has come. Only newer fills were: then
    the live row was folded forward from a state of its own, and both agree, unless it was damaged.
    """
    if shadow is None or not shadow.complete:
        return False
    if versions.version == shadow.seen:
        return True
    forward = versions.refolded <= shadow.seen < versions.version
    return forward and shadow.position == live


class AccountFill(NamedTuple):
    """What a fold reads of a fill, and its position, in the order of the query."""

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
    account_id: int
    product: str
    instrument: str
    position_side: str
    trade_id_bytes: int


def _columns(*names: str) -> Callable[[AccountFill], tuple[Any, ...]]:
    """By place: twice as fast as by name, and every fill is asked twice."""
    return itemgetter(*(AccountFill._fields.index(name) for name in names))


_POSITION = _columns("account_id", "product", "instrument", "position_side")
# Text sorts by code points, which is the order of its bytes.
_ORDER = _columns(
    "product", "instrument", "position_side", "executed_at_ms", "venue_seq", "trade_id_bytes",
    "trade_id", "side",
)  # fmt: skip


class Batch:
    """Shadow rows that wait to be written, in few statements."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._shadows: dict[PositionKey, Shadow] = {}
        self._days: list[tuple[object, ...]] = []

    def fold_on(self, shadow: Shadow, fills: Iterable[Traded]) -> Iterator[int]:
        """Folds what stands behind the shadow; yields after each whole day how many fills it had.
        The batch may be flushed then. Raises AmountOverflow.
        """
        key, seen, position = shadow.position.key, shadow.seen, shadow.position
        realized, count = position.realized, position.fills
        for day in fold_days(position.state, fills, key[1]):
            folded = 0
            for row in day.rows.values():
                realized = LEDGER.add(realized, row.realized)
                folded += row.fills
                self._days.append(day_tuple(key, day.day, row))
            count += folded
            position = position_at(key, day.last, day.state, realized, count)
            self._shadows[key] = Shadow(position, seen, complete=False)
            yield folded
        self._shadows[key] = Shadow(position, seen, complete=True)

    def flush(self) -> None:
        written = (
            (*position_tuple(one.position), one.seen, one.complete)
            for _, one in sorted(self._shadows.items())
        )
        self._rows.write(SQL["write_positions"], written)
        self._rows.write(SQL["write_days"], self._days)
        self._rows.flush()
        self._shadows, self._days = {}, []


# ---- one account, in steps


def claim(rows: Rows, account_id: int, token: str) -> None:
    """Makes an account's shadow rows those of one run."""
    rows.run(SQL["claim"], (account_id, token))


def holder(rows: Rows, account_id: int) -> str | None:
    """The token of the run whose shadow rows these are, which keeps it until the commit."""
    found = rows.run(SQL["holder"], (account_id,))
    return str(found[0][0]) if found else None


def position_keys(rows: Rows, account_id: int) -> list[PositionKey]:
    return [row[:4] for row in rows.run(SQL["position_keys"], (account_id, account_id))]


def read_versions(rows: Rows, account_id: int) -> dict[PositionKey, Versions]:
    return {row[:4]: Versions(*row[4:]) for row in rows.run(SQL["versions"], (account_id,))}


def read_shadows(rows: Rows, account_id: int) -> dict[PositionKey, Shadow]:
    found = rows.run(SQL["read"], (account_id,))
    return {row[:4]: Shadow(position_of(row[:18]), row[18], bool(row[19])) for row in found}


def open_instrument(
    rows: Rows, instrument: AccountInstrument, keys: Sequence[PositionKey]
) -> list[Shadow]:
    """Begins an instrument's positions: remembers the versions of now, then counts its fees."""
    versions = read_versions(rows, instrument[0])
    shadows = [unfolded(key, versions.get(key, NO_ROW).version) for key in keys]
    rows.write(SQL["open"], ((*one.position.key, one.seen) for one in shadows))
    rows.run(SQL["open_days"], instrument)
    count_fees(rows, instrument, keys, 0, END_MS)
    return shadows


def count_fees(
    rows: Rows, instrument: AccountInstrument, keys: Iterable[PositionKey], from_ms: int, to_ms: int
) -> None:
    """Adds the fees of an instrument's fills in a span of time to its shadow days."""
    sides = tuple(key[3] for key in keys)
    rows.run(SQL["instrument_fees"], (*instrument, sides, from_ms, to_ms))


def remaining_fills(rows: Rows, shadow: Shadow) -> Iterator[FoldFill]:
    return fills_behind(rows, shadow.position.key, shadow.position.last)


def drop_instruments(rows: Rows, instruments: Iterable[AccountInstrument]) -> None:
    """Their shadow rows, so that they are built again."""
    keys = sorted(instruments)
    for statement in (
        SQL["drop_positions"], SQL["drop_position_days"], SQL["drop_pnl_daily"],
    ):  # fmt: skip
        rows.change(statement, keys)


def clear(rows: Rows, account_ids: Iterable[int]) -> None:
    """All shadow rows of accounts, whoever made them."""
    keys = [(account_id,) for account_id in sorted(account_ids)]
    for statement in (
        SQL["clear_claims"], SQL["clear_positions"], SQL["clear_position_days"],
        SQL["clear_pnl_daily"],
    ):  # fmt: skip
        rows.change(statement, keys)


# ---- whole accounts at once


def build_accounts(connection: Any, account_ids: Sequence[int]) -> None:
    """All shadow rows of small accounts, which are locked."""
    rows = Rows(connection)
    keys = [(account_id,) for account_id in account_ids]
    entries: dict[PositionKey, list[FoldFill]] = {}
    for row in rows.read(SQL["account_entries"], keys):
        entries.setdefault(row[:4], []).append(entry_of(row[4:]))
    batch, fees = Batch(rows), _Fees()
    with closing(_read_ahead(connection, account_ids)) as accounts:
        for found in accounts:
            found.sort(key=_ORDER)
            for key, group in groupby(found, key=_POSITION):
                fills = list(group)
                fees.add(key, fills)
                _fold_all(batch, key, fills, entries.pop(key, []))
    for key, moves in entries.items():
        _fold_all(batch, key, [], moves)
    batch.flush()
    rows.write(SQL["write_fees"], fees.rows())
    rows.flush()


def _read_ahead(
    connection: Any, account_ids: Sequence[int]
) -> Generator[list[AccountFill], None, None]:
    """The fills of each account. The server reads the next one while this one is folded: waiting
    for it would be a third of the time. No other statement may run until this is closed.
    """
    found: list[AccountFill] | None = None
    sent = False
    try:
        for account_id in account_ids:
            if sent:
                found, sent = _received(connection), False
            connection.send_query(SQL["account_fills"].replace("%s", str(account_id)).encode())
            sent = True
            if found is not None:
                yield found
        if sent:
            sent = False
            yield _received(connection)
    finally:
        if sent:
            _received(connection)


def _received(connection: Any) -> list[AccountFill]:
    connection.read_query_result()
    rows = connection.store_result().fetch_row(0)
    return [AccountFill._make(row) for row in rows]


def _fold_all(
    batch: Batch, key: PositionKey, fills: list[AccountFill], moves: list[FoldFill]
) -> None:
    ordered: list[Traded] = [*fills, *moves]
    if moves:
        ordered.sort(key=order_key)
    for _ in batch.fold_on(unfolded(key), ordered):
        pass


class _Fees:
    """Fees by account, product, instrument, day and asset."""

    def __init__(self) -> None:
        self._sums: dict[DailyKey, tuple[Decimal, int]] = {}

    def add(self, key: PositionKey, fills: Iterable[AccountFill]) -> None:
        paid: dict[tuple[int, str], list[Decimal]] = {}
        for fill in fills:
            fee = fill.fee
            if fee:
                at = (fill.executed_at_ms // DAY_MS, fill.fee_asset or fill.settle_asset)
                paid.setdefault(at, []).append(fee)
        for (day, asset), fees in paid.items():
            row = (*key[:3], day, asset)
            total, entries = self._sums.get(row, (ZERO, 0))
            self._sums[row] = (reduce(LEDGER.add, fees, total), entries + len(fees))

    def rows(self) -> Iterator[tuple[object, ...]]:
        for key, (fees, entries) in sorted(self._sums.items()):
            yield (*key[:3], day_text(key[3]), key[4], fees, entries)
