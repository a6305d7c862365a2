"""Typed histories: which tables of the ledger have one, and how their values become its columns.

Only values that the columns hold exactly are taken. DATETIME columns of ours are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from shared.errors import FleetError
from shared.timescale import lines

Values = Mapping[str, Any]
"""A row of the source: column -> value, as `shared.changes.Value`."""

Cells = tuple[str, ...]
"""Values as COPY reads them, in the order of History.columns."""


class NotTyped(FleetError):  # noqa: N818 - a state, not a mistake
    """A value that its column here does not hold."""


class Column(NamedTuple):
    name: str
    kind: str
    nullable: bool = False


@dataclass(frozen=True)
class History:
    """table: in the schema fleet. added: its columns before those of the source."""

    table: str
    added: Sequence[str]
    columns: Sequence[Column]

    @property
    def copied(self) -> Sequence[str]:
        return (*self.added, *self.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def needs(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def values_of(self) -> Callable[[Values], tuple[Any, ...]]:
        return itemgetter(*self.names)

    @cached_property
    def plain(self) -> re.Pattern[str]:
        """A whole row, tabs between, whose values are all held and need no escape."""
        return re.compile("\t".join(map(_pattern, self.columns)), re.ASCII)

    def getter(self, names: Sequence[str]) -> Callable[[Cells], tuple[str, ...]]:
        """Of some columns of its cells."""
        return itemgetter(*(self.names.index(name) for name in names))


_MOMENT = r"(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?"
_FORMS = {
    "amount": r"-?\d{1,20}(?:\.\d{1,18})?",
    "unsigned": r"\d{1,20}",
    "whole": r"-?\d{1,18}",
    "day": r"(?!0000)\d{4}-\d\d-\d\d",
    "moment": _MOMENT,  # DATETIME: the session's time zone is UTC
    "text": r"[^\t\n\r\\\0]*",
}
_FULL = {
    kind: re.compile(form if kind != "text" else r"[^\0]*", re.ASCII).fullmatch
    for kind, form in _FORMS.items()
}


def _pattern(column: Column) -> str:
    form = _FORMS[column.kind]
    return rf"(?:{form}|\\N)" if column.nullable else form


_PLACE = ("committed_at", "seq", "row_index")

HISTORIES: Mapping[str, History] = {
    "fleet_positions": History(
        "position_history",
        (*_PLACE, "deleted"),
        (
            Column("account_id", "unsigned"),
            Column("product", "text"),
            Column("instrument", "text"),
            Column("position_side", "text"),
            Column("venue", "text"),
            Column("qty", "amount"),
            Column("cost", "amount"),
            Column("avg_entry", "amount", nullable=True),
            Column("realized", "amount"),
            Column("settle_asset", "text"),
            Column("contract_size", "amount"),
            Column("unknown_basis_qty", "amount"),
            Column("fills", "unsigned"),
            Column("last_fill_at", "moment"),
            Column("restating_from_ms", "unsigned", nullable=True),
            Column("version", "unsigned"),
        ),
    ),
    "fleet_pnl_daily": History(
        "pnl_history",
        (*_PLACE, "deleted"),
        (
            Column("account_id", "unsigned"),
            Column("product", "text"),
            Column("instrument", "text"),
            Column("day", "day"),
            Column("asset", "text"),
            Column("realized", "amount"),
            Column("fees", "amount"),
            Column("funding", "amount"),
            Column("other", "amount"),
            Column("fills", "whole"),
            Column("version", "unsigned"),
        ),
    ),
    "fleet_fills": History(
        "fill_history",
        (*_PLACE, "weight"),
        (
            Column("executed_at", "moment"),
            Column("account_id", "unsigned"),
            Column("product", "text"),
            Column("instrument", "text"),
            Column("trade_id", "text"),
            Column("side", "text"),
            Column("venue", "text"),
            Column("position_side", "text"),
            Column("order_id", "text", nullable=True),
            Column("client_order_id", "text", nullable=True),
            Column("qty", "amount"),
            Column("price", "amount"),
            Column("contract_size", "amount"),
            Column("value", "amount"),
            Column("fee", "amount", nullable=True),
            Column("fee_asset", "text", nullable=True),
            Column("settle_asset", "text"),
            Column("revision", "whole"),
            Column("source", "text", nullable=True),
            Column("liquidity", "text", nullable=True),
            Column("kind", "text"),
            Column("reported_realized", "amount", nullable=True),
            Column("signal_id", "text", nullable=True),
            Column("strategy", "text", nullable=True),
        ),
    ),
}

def has_columns(history: History, row: Values) -> bool:
    """Whether a table, as it is captured, has what its history needs. Where an operator drops a
    column, or the table is another one of that name, there is none.
    """
    return history.needs <= row.keys()


def typed(history: History, row: Values) -> Cells:
    """Raises NotTyped, with the column and the value."""
    values = history.values_of(row)
    try:
        cells = tuple(
            value if value.__class__ is str else _plain(value) for value in values
        )
    except NotTyped:
        return _by_column(history, values)
    plain = lines.NULL not in values and history.plain.fullmatch("\t".join(cells))
    return cells if plain else _by_column(history, values)


def _plain(value: Any) -> str:
    if value is None:
        return lines.NULL
    if isinstance(value, int):
        return str(value)
    raise NotTyped


def _by_column(history: History, values: Sequence[Any]) -> Cells:
    """Slowly: the columns that need an escape, or the one that does not hold its value."""
    cells = []
    for (name, kind, nullable), value in zip(history.columns, values, strict=True):
        if value is None and nullable:
            cells.append(lines.NULL)
            continue
        said = str(value) if isinstance(value, int) else value
        if not isinstance(said, str) or not _FULL[kind](said):
            raise NotTyped(f"{history.table}.{name} ({kind}) does not hold {_shortened(value)}")
        cells.append(lines.text(said))
    return tuple(cells)


def _shortened(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 100 else f"{said[:97]}..."  # noqa: PLR2004 - of a message
