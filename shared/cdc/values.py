"""Values of a row event, exact: one reader per column, made once from its TABLE_MAP.

A reader takes the event's body and the place where the value begins, and gives the value and the
place after it. What each type becomes stands at `shared.changes.Value`. Texts of numbers and times
are the server's own: DECIMAL keeps its scale, a time as many digits of a second as its column has.
FLOAT is the shortest text that reads back the same float32; SELECT rounds it to six digits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from shared.cdc import table_map as log
from shared.cdc.charsets import Charset, charset_of
from shared.cdc.decimals import decimal_reader
from shared.cdc.errors import SourceStopped
from shared.cdc.floats import double_text, float_text
from shared.cdc.json_binary import json_reader
from shared.cdc.table_map import Column
from shared.cdc.values_text import (
    binary_reader,
    compressed_reader,
    enum_reader,
    fixed_reader,
    set_reader,
    text_or_bytes,
    text_reader,
)
from shared.cdc.values_time import date_reader, datetime_reader, time_reader, timestamp_reader
from shared.changes import Value

Reader: TypeAlias = Callable[[bytes, int], tuple[Value, int]]
_Made: TypeAlias = Callable[[Column], tuple[str, Reader]]

_BEFORE_5_6 = {
    log.TIMESTAMP: "timestamp",
    log.DATETIME: "datetime",
    log.TIME: "time",
}
_INTEGERS = {
    log.TINY: ("tinyint", 1),
    log.SHORT: ("smallint", 2),
    log.INT24: ("mediumint", 3),
    log.LONG: ("int", 4),
    log.LONGLONG: ("bigint", 8),
}
_STRUCTS = {1: "b", 2: "<h", 4: "<i", 8: "<q"}
_BLOBS = {1: "tiny", 2: "", 3: "medium", 4: "long"}
_GEOMETRIES = (
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geomcollection",
)  # fmt: skip


def reader(table: str, column: Column, declared: str) -> tuple[str, Reader]:
    """The column's type as SQL writes it, and how its values are read.

    declared: its DATA_TYPE today, "" where nobody asked. Raises SourceStopped.
    """
    made = _BY_TYPE.get(column.type)
    if made is not None:
        type_, read = made(column)
        return type_ + (" unsigned" if column.unsigned and column.type != log.YEAR else ""), read
    told = f"{table}.{column.name}"
    if column.type == log.JSON:
        return "json", json_reader(told, column.length)
    if column.type in _BEFORE_5_6:
        raise SourceStopped(
            "column_type",
            f"column {told} has the {_BEFORE_5_6[column.type]} format from before 5.6, in which "
            "the log does not say what its bytes mean",
            f"SET GLOBAL mysql56_temporal_format = ON (MariaDB), ALTER TABLE {table} FORCE, then "
            f"begin anew: fleet cdc restart --reason '{table} converted'",
        )
    charset = charset_of_column(table, column)
    if column.type in {log.ENUM, log.SET}:
        return _labels(table, column, charset)
    if column.type in {log.BLOB, log.BLOB_COMPRESSED}:
        return _blob(told, column, charset)
    if column.type == log.STRING and charset.name == "binary":
        return fixed_reader(column.length, _prefix(column.length), declared)
    return _varying(told, column, charset)


def _integer(column: Column) -> tuple[str, Reader]:
    """BIGINT as text: readers of JSON take such numbers for doubles."""
    name, width = _INTEGERS[column.type]
    signed = not column.unsigned
    if width == 3:  # noqa: PLR2004 - MEDIUMINT has no struct

        def read_three(body: bytes, at: int) -> tuple[Value, int]:
            ends = at + 3
            return int.from_bytes(body[at:ends], "little", signed=signed), ends

        return name, read_three
    unpack = struct.Struct(_STRUCTS[width] if signed else _STRUCTS[width].upper()).unpack_from
    if width == 8:  # noqa: PLR2004 - BIGINT

        def read_big(body: bytes, at: int) -> tuple[Value, int]:
            return str(unpack(body, at)[0]), at + 8

        return name, read_big

    def read(body: bytes, at: int) -> tuple[Value, int]:
        return unpack(body, at)[0], at + width

    return name, read


def _float(body: bytes, at: int) -> tuple[Value, int]:
    return float_text(struct.unpack_from("<f", body, at)[0]), at + 4


def _double(body: bytes, at: int) -> tuple[Value, int]:
    return double_text(struct.unpack_from("<d", body, at)[0]), at + 8


def _bits(column: Column) -> tuple[str, Reader]:
    length = column.length
    size = (length + 7) // 8

    def read(body: bytes, at: int) -> tuple[Value, int]:
        ends = at + size
        return f"{int.from_bytes(body[at:ends], 'big'):0{length}b}", ends

    return f"bit({length})", read


def _year(body: bytes, at: int) -> tuple[Value, int]:
    return (body[at] + 1900 if body[at] else 0), at + 1


def _time(name: str, made: Callable[[int], Reader]) -> _Made:
    def of(column: Column) -> tuple[str, Reader]:
        digits = f"({column.length})" if column.length else ""
        return name + digits, made(column.length)

    return of


def _decimal(column: Column) -> tuple[str, Reader]:
    read = decimal_reader(column.length, column.scale)
    return f"decimal({column.length},{column.scale})", read


def _geometry(column: Column) -> tuple[str, Reader]:
    return _GEOMETRIES[min(column.geometry, 7)], binary_reader(column.length)


_BY_TYPE: dict[int, _Made] = {
    **dict.fromkeys(_INTEGERS, _integer),
    log.NEWDECIMAL: _decimal,
    log.FLOAT: lambda _: ("float", _float),
    log.DOUBLE: lambda _: ("double", _double),
    log.BIT: _bits,
    log.YEAR: lambda _: ("year", _year),
    log.DATE: lambda _: ("date", date_reader),
    log.NEWDATE: lambda _: ("date", date_reader),
    log.DATETIME2: _time("datetime", datetime_reader),
    log.TIMESTAMP2: _time("timestamp", timestamp_reader),
    log.TIME2: _time("time", time_reader),
    log.VECTOR: lambda column: ("vector", binary_reader(column.length)),
    log.GEOMETRY: _geometry,
}


def _prefix(length: int) -> int:
    """Bytes that tell how long a value is."""
    return 1 if length < 256 else 2  # noqa: PLR2004 - what one byte can tell


def _varying(told: str, column: Column, charset: Charset) -> tuple[str, Reader]:
    """CHAR, VARCHAR and VARBINARY."""
    if column.type == log.STRING:
        characters = column.length // charset.longest
        return f"char({characters})", text_reader(_prefix(column.length), charset)
    name = "varbinary" if charset.name == "binary" else "varchar"
    if column.type == log.VARCHAR_COMPRESSED:
        characters = (column.length - 1) // charset.longest
        read = compressed_reader(told, _prefix(column.length), charset.decode)
        return f"{name}({characters}) compressed", read
    characters = column.length // charset.longest
    return f"{name}({characters})", text_reader(_prefix(column.length), charset)


def _blob(told: str, column: Column, charset: Charset) -> tuple[str, Reader]:
    name = _BLOBS[column.length] + ("blob" if charset.name == "binary" else "text")
    if column.type == log.BLOB_COMPRESSED:
        return f"{name} compressed", compressed_reader(told, column.length, charset.decode)
    return name, text_reader(column.length, charset)


def _labels(table: str, column: Column, charset: Charset) -> tuple[str, Reader]:
    """ENUM and SET. A SET's labels must be text."""
    values = [text_or_bytes(label, charset.decode) for label in column.labels]
    known = [value for value in values if isinstance(value, str)]
    listed = ",".join(
        _quoted(value) if isinstance(value, str) else f"x'{label.hex()}'"
        for value, label in zip(values, column.labels, strict=True)
    )
    if column.type == log.ENUM:
        return f"enum({listed})", enum_reader(values, column.length)
    if len(known) < len(values):
        raise SourceStopped(
            "labels",
            f"a label of the SET column {column.name} of {table} is no text of its charset",
            f"rename it: ALTER TABLE {table} MODIFY {column.name} SET(...)",
        )
    return f"set({listed})", set_reader(known, column.length)


def _quoted(label: str) -> str:
    return "'" + label.replace("'", "''") + "'"


def charset_of_column(table: str, column: Column) -> Charset:
    """Raises SourceStopped: a column without a collation, or with one nobody knew here."""
    if column.collation is None:
        raise SourceStopped(
            "row_metadata",
            f"column {column.name} of {table} was logged without its charset",
            log.NAMELESS_CURE,
        )
    found = charset_of(column.collation)
    if found is None:
        raise SourceStopped(
            "collation",
            f"column {column.name} of {table} has collation number {column.collation}, which is "
            "not known here",
            "give the column another collation of the same charset "
            "(information_schema.collations shows its name)",
        )
    return found
