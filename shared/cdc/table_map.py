"""TABLE_MAP: how a table's rows stand in the row events that follow.

    table id 6 | flags 2 | n schema 0 | n table 0 | columns | a type each | n metadata | nullable
    and with binlog_row_metadata=FULL, field after field: kind, length, content

Lengths and numbers are MySQL's packed integers. The two servers differ: MariaDB counts GEOMETRY
among the columns that have a charset, MySQL counts VECTOR.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shared.cdc.errors import SourceStopped

# Types as they stand in the log.
DECIMAL, TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(10)
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2 = range(10, 20)
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141  # MariaDB
VECTOR = 242  # MySQL
JSON, NEWDECIMAL, ENUM, SET = 245, 246, 247, 248
BLOB, VAR_STRING, STRING, GEOMETRY = 252, 253, 254, 255

METADATA_BYTES = {
    FLOAT: 1, DOUBLE: 1, TIMESTAMP2: 1, DATETIME2: 1, TIME2: 1, BLOB: 1, GEOMETRY: 1, JSON: 1,
    VECTOR: 1, BLOB_COMPRESSED: 1,
    VARCHAR: 2, VARCHAR_COMPRESSED: 2, BIT: 2, NEWDECIMAL: 2, STRING: 2, VAR_STRING: 2, ENUM: 2,
    SET: 2,
}  # fmt: skip
KNOWN = frozenset(METADATA_BYTES) | {
    DECIMAL, TINY, SHORT, LONG, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR, NEWDATE,
}  # fmt: skip
SIGNED_OR_NOT = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE, YEAR})
TEXTS = frozenset({STRING, VAR_STRING, VARCHAR, BLOB, BLOB_COMPRESSED, VARCHAR_COMPRESSED})

# Kinds of the optional fields.
SIGNEDNESS, DEFAULT_CHARSET, COLUMN_CHARSET, COLUMN_NAME, SET_LABELS, ENUM_LABELS = range(1, 7)
GEOMETRY_TYPE, SIMPLE_PRIMARY_KEY, PRIMARY_KEY_WITH_PREFIX = range(7, 10)
LABEL_DEFAULT_CHARSET, LABEL_COLUMN_CHARSET, VISIBILITY = range(10, 13)

NAMELESS_CURE = (
    "SET GLOBAL binlog_row_metadata = 'FULL' and keep it in the server's configuration; what was "
    "logged before stays nameless, so begin anew: fleet cdc restart --reason 'row metadata'"
)
_WIDE = {0xFC: 2, 0xFD: 3, 0xFE: 8}


class Column(NamedTuple):
    """type: one of the constants; ENUM and SET stand for themselves, not under STRING.

    length: of STRING, VARCHAR in bytes; of BLOB, JSON the bytes that tell the length; of BIT the
    bits; of times the digits of a second; of ENUM, SET the bytes of a value. scale: of NEWDECIMAL,
    whose length is its precision. labels: in the column's charset.
    """

    name: str
    type: int
    length: int
    scale: int
    unsigned: bool
    collation: int | None
    labels: tuple[bytes, ...]
    geometry: int


class TableMap(NamedTuple):
    """key: places of the primary key's columns; empty where there is none."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]


def names(body: bytes) -> tuple[str, str]:
    """Schema and table; all that is read of a table of no interest."""
    schema_ends = 9 + body[8]
    table_begins = schema_ends + 2
    table_ends = table_begins + body[schema_ends + 1]
    return body[9:schema_ends].decode(), body[table_begins:table_ends].decode()


def packed(body: bytes, at: int) -> tuple[int, int]:
    """A packed integer and where the next field begins."""
    first = body[at]
    if first < 0xFB:  # noqa: PLR2004 - larger ones tell their width
        return first, at + 1
    ends = at + 1 + _WIDE[first]
    return int.from_bytes(body[at + 1 : ends], "little"), ends


def parse(body: bytes, *, mariadb: bool) -> TableMap:
    """Raises SourceStopped: without names and signedness, or with a type nobody knows."""
    schema, table = names(body)
    told = f"{schema}.{table}"
    at = 9 + body[8] + 2 + body[9 + body[8] + 1] + 1
    count, at = packed(body, at)
    types = list(body[at : at + count])
    metadata, at = packed(body, at + count)
    lengths = _lengths(told, types, body[at : at + metadata])
    at += metadata + (count + 7) // 8
    fields = dict(_fields(body, at))

    if COLUMN_NAME not in fields:
        raise SourceStopped(
            "row_metadata",
            f"a change of {told} was logged without column names (binlog_row_metadata was not "
            "FULL then)",
            NAMELESS_CURE,
        )
    titles = [name.decode() for name in _strings(fields[COLUMN_NAME])]
    unsigned = _unsigned(told, types, fields)
    with_charset = TEXTS | ({GEOMETRY} if mariadb else {VECTOR})
    texts = [place for place, type_ in enumerate(types) if type_ in with_charset]
    labelled = [place for place, type_ in enumerate(types) if type_ in {ENUM, SET}]
    collations = _collations(fields, DEFAULT_CHARSET, COLUMN_CHARSET, texts)
    collations |= _collations(fields, LABEL_DEFAULT_CHARSET, LABEL_COLUMN_CHARSET, labelled)
    labels = _labels(types, fields)
    geometries = iter(_numbers(fields.get(GEOMETRY_TYPE, b"")))
    columns = tuple(
        Column(
            titles[place],
            type_,
            *lengths[place],
            place in unsigned,
            collations.get(place),
            labels.get(place, ()),
            next(geometries, 0) if type_ == GEOMETRY else 0,
        )
        for place, type_ in enumerate(types)
    )
    key = tuple(_numbers(fields.get(SIMPLE_PRIMARY_KEY, b"")))
    if PRIMARY_KEY_WITH_PREFIX in fields:
        key = tuple(_numbers(fields[PRIMARY_KEY_WITH_PREFIX]))[::2]
    return TableMap(schema, table, columns, key)


def _lengths(table: str, types: list[int], metadata: bytes) -> list[tuple[int, int]]:
    """(length, scale) of each column; puts ENUM and SET in `types` in place of STRING."""
    at, found = 0, list[tuple[int, int]]()
    for place, type_ in enumerate(types):
        if type_ not in KNOWN:
            raise SourceStopped(
                "column_type",
                f"column {place + 1} of {table} has a type that is not known here (number {type_})",
                "leave the table out of FLEET_CDC_TABLES, or change the column's type",
            )
        width = METADATA_BYTES.get(type_, 0)
        of_column = metadata[at : at + width]
        at += width
        if type_ == NEWDECIMAL:
            found.append((of_column[0], of_column[1]))
        elif type_ == BIT:
            found.append((of_column[1] * 8 + of_column[0], 0))
        elif type_ == STRING:
            length = of_column[1]
            if of_column[0] & 0x30 != 0x30:  # noqa: PLR2004 - two more bits of the length hide there
                length |= ((of_column[0] & 0x30) ^ 0x30) << 4
            elif of_column[0] in {ENUM, SET}:
                types[place] = of_column[0]
            found.append((length, 0))
        else:
            found.append((int.from_bytes(of_column, "little"), 0))
    return found


def _fields(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        kind = body[at]
        length, begins = packed(body, at + 1)
        at = begins + length
        yield kind, body[begins:at]


def _numbers(field: bytes) -> Iterator[int]:
    at = 0
    while at < len(field):
        number, at = packed(field, at)
        yield number


def _strings(field: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(field):
        length, begins = packed(field, at)
        at = begins + length
        yield field[begins:at]


def _unsigned(table: str, types: list[int], fields: dict[int, bytes]) -> set[int]:
    numeric = [place for place, type_ in enumerate(types) if type_ in SIGNED_OR_NOT]
    bits = fields.get(SIGNEDNESS, b"")
    if len(bits) * 8 < len(numeric):
        raise SourceStopped(
            "row_metadata",
            f"a change of {table} was logged without saying which numbers are unsigned",
            NAMELESS_CURE,
        )
    return {
        place for number, place in enumerate(numeric) if bits[number // 8] & (0x80 >> number % 8)
    }


def _collations(
    fields: dict[int, bytes], default: int, each: int, places: list[int]
) -> dict[int, int]:
    """Collation of each place: one for all with exceptions, or one after the other."""
    if each in fields:
        return dict(zip(places, _numbers(fields[each]), strict=True))
    if default not in fields:
        return {}
    usual, *exceptions = _numbers(fields[default])
    found = dict.fromkeys(places, usual)
    for number, collation in zip(exceptions[::2], exceptions[1::2], strict=True):
        found[places[number]] = collation
    return found


def _labels(types: list[int], fields: dict[int, bytes]) -> dict[int, tuple[bytes, ...]]:
    found = {}
    for kind, type_ in ((ENUM_LABELS, ENUM), (SET_LABELS, SET)):
        field, at = fields.get(kind, b""), 0
        for place in (place for place, each in enumerate(types) if each == type_):
            count, at = packed(field, at)
            of_column = list[bytes]()
            for _ in range(count):
                length, begins = packed(field, at)
                at = begins + length
                of_column.append(field[begins:at])
            found[place] = tuple(of_column)
    return found
