"""Roll-ups: what the rows of a batch add to them, and how that is merged with what is there.

    changes    per hour of commit, table and op: how many            added up
    trading    per hour of execution, account, ...: fills, amounts   added up, with their weights
    positions  per hour of commit and position: its last figures     the newest place stays
    pnl        per day, account, ...: its last figures               the newest place stays

Each merge gives the same in whatever order batches come, and needs no raw row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, Inexact, Overflow
from typing import NamedTuple

from shared.timescale import lines
from shared.timescale.histories import HISTORIES, Cells

EXACT = Context(prec=120, traps=[Inexact, Overflow])

_ZERO, _ONE = Decimal(0), Decimal(1)


class Stamp(NamedTuple):
    """A row's place, and when it was committed; hour: it begins so."""

    seq: int
    row_index: int
    committed_at: str
    hour: str


class Rollup(NamedTuple):
    """columns: as they are copied. The statement that merges them is of the same name."""

    name: str
    columns: Sequence[str]


_POSITION = ("account_id", "product", "instrument", "position_side")
_POSITION_FIGURES = ("qty", "cost", "avg_entry", "realized", "settle_asset")
_PNL = ("account_id", "product", "instrument", "day", "asset")
_PNL_FIGURES = ("realized", "fees", "funding", "other", "fills")
_TRADING = ("account_id", "venue", "product", "instrument", "side", "settle_asset")
_LAST = ("seq", "row_index", "committed_at", "deleted")

ROLLUPS: Mapping[str, Rollup] = {
    rollup.name: rollup
    for rollup in (
        Rollup("rollup_changes", ("hour", "table_name", "op", "changes")),
        Rollup("rollup_positions", ("hour", *_POSITION, *_LAST, *_POSITION_FIGURES)),
        Rollup("rollup_pnl", (*_PNL, *_LAST, *_PNL_FIGURES)),
        Rollup(
            "rollup_trading",
            ("hour", *_TRADING, "fee_asset", "fills", "qty", "value", "fees", "fee_unknown"),
        ),
    )
}


_position_key = HISTORIES["fleet_positions"].getter(_POSITION)
_position_figures = HISTORIES["fleet_positions"].getter(_POSITION_FIGURES)
_pnl_key = HISTORIES["fleet_pnl_daily"].getter(_PNL)
_pnl_figures = HISTORIES["fleet_pnl_daily"].getter(_PNL_FIGURES)
_fill_key = HISTORIES["fleet_fills"].getter(_TRADING)
_fill_figures = HISTORIES["fleet_fills"].getter(
    ("executed_at", "qty", "value", "fee", "fee_asset")
)


class Increments:
    """What a batch adds. Rows come in the order of their places."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str, str], int] = {}
        self._positions: dict[tuple[str, ...], str] = {}
        self._pnl: dict[tuple[str, ...], str] = {}
        self._trading: dict[tuple[str, ...], list[Decimal]] = {}

    def count(self, hour: str, table: str, op: str) -> None:
        key = (hour, table, op)
        self._changes[key] = self._changes.get(key, 0) + 1

    def position(self, stamp: Stamp, cells: Cells, deleted: str) -> None:
        key = (stamp.hour, *_position_key(cells))
        self._positions[key] = _last(stamp, _position_figures(cells), deleted)

    def pnl(self, stamp: Stamp, cells: Cells, deleted: str) -> None:
        self._pnl[_pnl_key(cells)] = _last(stamp, _pnl_figures(cells), deleted)

    def fill(self, cells: Cells, weight: int) -> None:
        """weight: 1 for a fill as it is from now on, -1 for what it no longer is."""
        executed_at, qty, value, fee, asset = _fill_figures(cells)
        hour = f"{executed_at[:13]}:00:00Z"
        key = (hour, *_fill_key(cells), "" if asset == lines.NULL else asset)
        told = fee != lines.NULL
        amounts = (
            _ONE,
            Decimal(qty),
            Decimal(value),
            Decimal(fee) if told else _ZERO,
            _ZERO if told else _ONE,
        )
        sums = self._trading.setdefault(key, [_ZERO] * len(amounts))
        for place, amount in enumerate(amounts):
            sums[place] = EXACT.fma(amount, weight, sums[place])

    def rows(self) -> Iterator[tuple[Rollup, list[str]]]:
        """Lines for COPY, of each roll-up that has some."""
        for name, kept in (
            ("rollup_changes", [(*key, str(count)) for key, count in self._changes.items()]),
            ("rollup_positions", [(*key, rest) for key, rest in self._positions.items()]),
            ("rollup_pnl", [(*key, rest) for key, rest in self._pnl.items()]),
            (
                "rollup_trading",
                [
                    (*key, *(format(amount, "f") for amount in sums))
                    for key, sums in self._trading.items()
                ],
            ),
        ):
            if kept:
                yield ROLLUPS[name], [lines.line(cells) for cells in kept]


def _last(stamp: Stamp, figures: Sequence[str], deleted: str) -> str:
    return "\t".join(
        (str(stamp.seq), str(stamp.row_index), stamp.committed_at, deleted, *figures)
    )
