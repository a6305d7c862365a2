"""Rows of a table in the order of its key, some at a time, with the values that the log gives.

Each column is selected in a form that loses nothing (raw bytes for text, the index of an ENUM, a
FLOAT as DOUBLE) and becomes the `Value` that the log's decoder makes of the same column; the tests
hold both against each other for every type. The connection has to convert nothing (`conv={}`), to
be in UTC, and to allow every date (`SESSION`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from shared.cdc import table_map as log
from shared.cdc.declared import DeclaredTable, quoted
from shared.cdc.selection import Selection
from shared.cdc.table_map import Column
from shared.changes import Row, Table, Value

SESSION = (
    "SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', lock_wait_timeout = 2"
)
"""lock_wait_timeout: where an ALTER waits for somebody else, nobody waits behind it for long."""

Key: TypeAlias = tuple[bytes, ...]
"""A row's key as it was selected; `literals` makes SQL of it again."""


class Kind(NamedTuple):
    """How a column is selected ({} is its name), compared and written into a statement."""

    select: str
    compare: str
    literal: Callable[[bytes, str], str]


def _number(raw: bytes, charset: str) -> str:
    """Raises ValueError: what comes from a checkpoint or a mark is never trusted."""
    del charset
    text = raw.decode("ascii")
    if not re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", text):
        raise ValueError(f"no number: {text[:40]!r}")
    return text


def _double(raw: bytes, charset: str) -> str:
    text = _number(raw, charset)
    return text if "e" in text else f"{text}e0"


def _bits(raw: bytes, charset: str) -> str:
    del charset
    return str(int.from_bytes(raw))


def _bytes(raw: bytes, charset: str) -> str:
    del charset
    return f"x'{raw.hex()}'"


def _text(raw: bytes, charset: str) -> str:
    return f"_{charset} x'{raw.hex()}'"


def _plain(raw: bytes, charset: str) -> str:
    del charset
    text = raw.decode("ascii")
    if not re.fullmatch(r"[0-9A-Fa-f:. -]+", text):
        raise ValueError(f"no time, UUID or address: {text[:40]!r}")
    return f"'{text}'"


_WHOLE = Kind("{}", "{}", _number)
_REAL = Kind("{} * 1e0", "{} * 1e0", _double)
_LABELS = Kind("CAST({} AS UNSIGNED)", "CAST({} AS UNSIGNED)", _number)
_TIME = Kind("{}", "{}", _plain)
_NAMED = Kind("CAST({} AS CHAR)", "{}", _plain)
_JSON = Kind("CAST(CAST({} AS CHAR CHARACTER SET utf8mb4) AS BINARY)", "{}", _bytes)
_RAW = Kind("{}", "{}", _bytes)
_TEXT = Kind("CAST({} AS BINARY)", "{}", _text)

_KINDS = {
    log.FLOAT: _REAL, log.DOUBLE: _REAL, log.ENUM: _LABELS, log.SET: _LABELS,
    log.DATE: _TIME, log.TIME2: _TIME, log.DATETIME2: _TIME, log.TIMESTAMP2: _TIME,
    log.BIT: Kind("{}", "{}", _bits), log.JSON: _JSON, log.GEOMETRY: _RAW, log.VECTOR: _RAW,
}  # fmt: skip
_BY_NAME = frozenset({"uuid", "inet4", "inet6"})


def kind_of(column: Column, data_type: str, charset: str) -> Kind:
    if data_type in _BY_NAME:
        return _NAMED
    if column.type in log.TEXTS:
        return _TEXT if charset else _RAW
    return _KINDS.get(column.type, _WHOLE)


class TableChunks:
    """Statements and rows of one table. Pure: whoever has a connection runs them.

    table: as the log's reader makes it of the same table. values: of each column as it stands in
    the database (`snapshot_values`). Raises ValueError without a key.
    """

    def __init__(
        self,
        found: DeclaredTable,
        table: Table,
        selection: Selection,
        values: Sequence[Callable[[bytes], Value]],
    ) -> None:
        columns = found.table_map.columns
        kinds = [
            kind_of(column, data_type, charset)
            for column, data_type, charset in zip(
                columns, found.data_types, found.charsets, strict=True
            )
        ]
        names = [quoted(column.name) for column in columns]
        keeping = selection.columns(
            table.schema, table.name, [column.name for column in columns]
        )
        self.table = table
        self._values: list[Callable[[bytes], Value]] = []
        selected = []
        for place, kept in enumerate(keeping):
            if kept == "drop" or columns[place].name not in table.columns:
                continue
            selected.append(kinds[place].select.format(names[place]))
            self._values.append(
                _hashed(values[place], selection) if kept == "hash" else values[place]
            )
        key = found.table_map.key
        if not key:
            raise ValueError(f"{table.schema}.{table.name} has no key")
        self._key = [(kinds[place], names[place], found.charsets[place]) for place in key]
        self._key_selected = ", ".join(kind.select.format(name) for kind, name, _ in self._key)
        self._selected = ", ".join([*selected, self._key_selected])
        name = f"{quoted(table.schema)}.{quoted(table.name)}"
        self._from = f"FROM {name} FORCE INDEX ({quoted(found.key_index)})"

    def last_key(self) -> str:
        """A statement: the key of the last row there is."""
        order = ", ".join(f"{name} DESC" for _, name, _ in self._key)
        return f"SELECT {self._key_selected} {self._from} ORDER BY {order} LIMIT 1"

    def rows_between(self, after: Key | None, through: Key | None, limit: int) -> str:
        """A statement: rows behind `after` up to and with `through`, in the order of the key."""
        wanted = []
        if after is not None:
            wanted.append(self._bound(after, ">"))
        if through is not None:
            wanted.append(self._bound(through, "<"))
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        order = ", ".join(name for _, name, _ in self._key)
        return f"SELECT {self._selected} {self._from}{where} ORDER BY {order} LIMIT {limit:d}"

    def row(self, raw: Sequence[bytes | None]) -> tuple[Key, Row]:
        """Of a row that `rows_between` selected."""
        count = len(self._values)
        row = [
            None if one is None else value(one)
            for one, value in zip(raw[:count], self._values, strict=True)
        ]
        return self.key(raw[count:]), row

    def key(self, raw: Sequence[bytes | None]) -> Key:
        return tuple(one for one in raw if one is not None)

    def _bound(self, key: Key, sign: str) -> str:
        """`>`: behind the key. `<`: up to and with it. As ranges that the index serves."""
        parts, equal = [], ""
        for place, ((kind, name, charset), raw) in enumerate(zip(self._key, key, strict=True)):
            column, value = kind.compare.format(name), kind.literal(raw, charset)
            with_it = "=" if sign == "<" and place == len(key) - 1 else ""
            parts.append(f"({equal}{column} {sign}{with_it} {value})")
            equal += f"{column} = {value} AND "
        return f"({' OR '.join(parts)})"


def _hashed(value: Callable[[bytes], Value], selection: Selection) -> Callable[[bytes], Value]:
    return lambda raw: selection.hashed(value(raw))


def execute(cursor: Any, statement: str) -> Sequence[Sequence[bytes | None]]:
    """Statements here hold their values as literals, and any % is the column's own."""
    cursor.execute(statement)
    found: Sequence[Sequence[bytes | None]] = cursor.fetchall()
    return found
