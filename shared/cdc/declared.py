"""A table as the server declares it today, in the form in which the log describes it.

What reads tables (snapshots, proof) has no TABLE_MAP; it makes the same description of a table from
information_schema, so that both go on through the same code to the same `Table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from shared.cdc import table_map as log
from shared.cdc.table_map import Column, TableMap
from shared.errors import InvalidEvent
from shared.queries import load

SQL = load(Path(__file__).with_name("declared.sql"))

_PLAIN = {
    "tinyint": log.TINY, "smallint": log.SHORT, "mediumint": log.INT24, "int": log.LONG,
    "bigint": log.LONGLONG, "year": log.YEAR, "date": log.DATE,
}  # fmt: skip
_TIMES = {"time": log.TIME2, "datetime": log.DATETIME2, "timestamp": log.TIMESTAMP2}
_BLOBS = {
    "tinyblob": 1, "blob": 2, "mediumblob": 3, "longblob": 4,
    "tinytext": 1, "text": 2, "mediumtext": 3, "longtext": 4,
}  # fmt: skip
_GEOMETRIES = {
    "geometry": 0, "point": 1, "linestring": 2, "polygon": 3, "multipoint": 4,
    "multilinestring": 5, "multipolygon": 6, "geometrycollection": 7, "geomcollection": 7,
}  # fmt: skip
_FIXED = {"uuid": 16, "inet6": 16, "inet4": 4}
_COMPRESSED = {log.VARCHAR: log.VARCHAR_COMPRESSED, log.BLOB: log.BLOB_COMPRESSED}
_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "Z": "\x1a"}
_BINARY = 63  # the collation of bytes
_SET_LABELS_PER_BYTE, _SET_BYTES_OF_INT = 8, 4
_ENUM_LABELS_IN_A_BYTE = 255

Encode: TypeAlias = Callable[[str, str], bytes]
"""A text in a charset of the server's; Python has not all of them."""


class ColumnRow(NamedTuple):
    """A row of information_schema.columns, in the order of the query."""

    name: str
    data_type: str
    column_type: str
    charset: str | None
    collation: str | None
    octets: int
    precision: int
    scale: int
    fraction: int
    nullable: str


class DeclaredTable(NamedTuple):
    """data_types, charsets: of each column ("" where it has no charset). index: of the key."""

    table_map: TableMap
    data_types: tuple[str, ...]
    charsets: tuple[str, ...]
    key_index: str


def declared(cursor: Any, schema: str, table: str, *, mariadb: bool) -> DeclaredTable | None:
    """None where there is no such table."""
    cursor.execute(SQL["columns"], (schema, table))
    rows = [
        ColumnRow._make([*map(_text, row[:5]), *map(int, row[5:9]), _text(row[9])])
        for row in cursor.fetchall()
    ]
    if not rows:
        return None
    cursor.execute(SQL["collations_mariadb"] if mariadb else SQL["collations_mysql"])
    collations = {_text(name): int(number) for name, number in cursor.fetchall()}
    names = [row.name for row in rows]

    def encode(charset: str, text: str) -> bytes:
        if charset in {"utf8mb4", "utf8mb3", "ascii", "binary"}:
            return text.encode()
        cursor.execute(f"SELECT HEX(CONVERT(%s USING {charset}))", (text,))
        return bytes.fromhex(_text(cursor.fetchone()[0]))

    index, key = _key(cursor, schema, table)
    return DeclaredTable(
        TableMap(
            schema,
            table,
            tuple(column_of(row, collations, encode, mariadb=mariadb) for row in rows),
            tuple(names.index(name) for name in key),
        ),
        tuple(row.data_type for row in rows),
        tuple(row.charset or "" for row in rows),
        index,
    )


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _key(cursor: Any, schema: str, table: str) -> tuple[str, list[str]]:
    """Name and columns of the primary key; without one, of the first unique key without NULLs in
    the server's own order of keys: the log names that one as primary key, too.
    """
    cursor.execute(f"SHOW INDEX FROM {quoted(schema)}.{quoted(table)}")
    keys: dict[str, list[tuple[str, bool]]] = {}
    for row in cursor.fetchall():
        _, non_unique, index, _, column, _, _, part, _, nullable = map(_text, row[:10])
        if not int(non_unique) and column is not None:
            good = part is None and nullable != "YES"
            keys.setdefault(index, []).append((column, good or index == "PRIMARY"))
    for index, columns in keys.items():
        if all(good for _, good in columns):
            return index, [name for name, _ in columns]
    return "", []


def column_of(
    row: ColumnRow, collations: dict[str, int], encode: Encode, *, mariadb: bool
) -> Column:
    """Raises InvalidEvent for a type that the log's reader does not know either."""
    type_, length, scale = _storage(row, mariadb=mariadb)
    if "COMPRESSED" in row.column_type:
        type_, length = _COMPRESSED[type_], length + (type_ == log.VARCHAR)
    unsigned = type_ in log.SIGNED_OR_NOT and (
        "unsigned" in row.column_type or "zerofill" in row.column_type or row.data_type == "year"
    )
    labels: tuple[bytes, ...] = ()
    collation = collations[row.collation] if row.collation else None
    if type_ in {log.ENUM, log.SET}:
        collation = _BINARY if collation is None else collation
        labels = tuple(
            encode(row.charset or "binary", label) for label in labels_of(row.column_type)
        )
        length = _bytes_of_labels(type_, len(labels))
    elif collation is None and type_ in log.TEXTS | ({log.GEOMETRY} if mariadb else {log.VECTOR}):
        collation = _BINARY
    geometry = _GEOMETRIES[row.data_type] if type_ == log.GEOMETRY else 0
    return Column(row.name, type_, length, scale, unsigned, collation, labels, geometry)


def labels_of(column_type: str) -> list[str]:
    """Of "enum('a','b''c')"."""
    return [_ESCAPED.sub(_unescaped, label) for label in _LABEL.findall(column_type)]


def _unescaped(found: re.Match[str]) -> str:
    return "'" if found[1] is None else _ESCAPES.get(found[1], found[1])


def _storage(row: ColumnRow, *, mariadb: bool) -> tuple[int, int, int]:
    """Type in the log, length, scale."""
    name = row.data_type
    if name in _PLAIN:
        return _PLAIN[name], 0, 0
    if name in _TIMES:
        return _TIMES[name], row.fraction, 0
    if name in _BLOBS:
        return log.BLOB, _BLOBS[name], 0
    if name in _GEOMETRIES:
        return log.GEOMETRY, 4, 0
    if name in _FIXED:
        return log.STRING, _FIXED[name], 0
    found = {
        "float": (log.FLOAT, 4, 0),
        "double": (log.DOUBLE, 8, 0),
        "decimal": (log.NEWDECIMAL, row.precision, row.scale),
        "bit": (log.BIT, row.precision, 0),
        "char": (log.STRING, row.octets, 0),
        "binary": (log.STRING, row.octets, 0),
        "varchar": (log.VARCHAR, row.octets, 0),
        "varbinary": (log.VARCHAR, row.octets, 0),
        "enum": (log.ENUM, 0, 0),
        "set": (log.SET, 0, 0),
        "json": (log.JSON, 4, 0),
        "vector": (log.VARCHAR, row.octets, 0) if mariadb else (log.VECTOR, 4, 0),
    }.get(name)
    if found is None:
        raise InvalidEvent(
            "column_type",
            f"column {row.name} has a type that is not known here ({row.column_type}): leave the "
            "table out of FLEET_CDC_TABLES, or change the column's type",
        )
    return found


def _bytes_of_labels(type_: int, labels: int) -> int:
    if type_ == log.ENUM:
        return 1 if labels <= _ENUM_LABELS_IN_A_BYTE else 2
    needed = (labels + _SET_LABELS_PER_BYTE - 1) // _SET_LABELS_PER_BYTE
    return needed if needed <= _SET_BYTES_OF_INT else 8


def _text(value: Any) -> Any:
    """Some connections of ours give bytes, so that no value is converted behind our back."""
    return value.decode() if isinstance(value, bytes) else value
