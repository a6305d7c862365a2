"""Row events of the log, read into changes: one `Shape` per content of a TABLE_MAP.

    shapes = Shapes(selection, declarations, mariadb=…)
    shape = shapes.shape(table_map_body)         None: a table of no interest
    shape.rows(event_type, rows_event_body)      changes (captured tables)
    shape.noted(event_type, rows_event_body)     Noted (tables that are looked at)

A body is what stands between an event's header (19 bytes) and its checksum. All of it is read
before the first row of it is given away: an event is exact as a whole, or nothing of it counts.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from shared.cdc import table_map as log
from shared.cdc.errors import SourceStopped
from shared.cdc.selection import HASH_TYPE, Keeping, Selection
from shared.cdc.table_map import TableMap, packed, parse
from shared.cdc.transaction import Interest, Noted
from shared.cdc.values import Reader, reader
from shared.changes import Change, Row, Table, Value

WRITES: Final = frozenset({23, 30})
UPDATES: Final = frozenset({24, 31})
DELETES: Final = frozenset({25, 32})
ROW_EVENTS: Final = WRITES | UPDATES | DELETES
_WITH_EXTRA_DATA: Final = frozenset({30, 31, 32})
"""Version 2, of MySQL: between flags and columns stands data whose length is told."""

_SHAPES_MOST = 10_000
_PERIOD = {"row_start", "row_end"}
"""What MariaDB adds to a system-versioned table, and to its key, out of sight."""


class Declared(NamedTuple):
    """What information_schema says of a table of MariaDB today, and its log does not.

    types: DATA_TYPE of each column, to tell UUID, INET4 and INET6 from BINARY. generated: columns
    that the server computes, stored or not: it logs them with inserts only.
    """

    types: Mapping[str, str]
    generated: Collection[str] = ()


Declarations: TypeAlias = Callable[[str, str], Declared]
"""Asked with schema and table, once per shape; a table that is gone has an empty answer.

MySQL's log tells everything itself: it is not asked about."""


class Image(NamedTuple):
    """How an image with certain columns is read. nulls: bytes of its NULL bits. places: which of
    the values that were read go on, in order; None: all of them.
    """

    readers: tuple[Reader, ...]
    nulls: int
    places: tuple[int, ...] | None


class Shape:
    """How the rows of a table are read, as one TABLE_MAP describes it."""

    def __init__(
        self, table: Table, interest: Interest, readers: Sequence[Reader], kept: Sequence[int]
    ) -> None:
        """readers: of all columns of the log. kept: places of those that go on."""
        self.table = table
        self.interest: Interest = interest
        self._told = f"{table.schema}.{table.name}"
        self._readers = tuple(readers)
        self._kept = kept
        self._bitmap = (len(readers) + 7) // 8
        self._images: dict[bytes, Image] = {}
        self._key: Callable[[Row], Any] | None = itemgetter(*table.key) if table.key else None

    def rows(self, event_type: int, body: bytes) -> list[Change]:
        """Rows of a WRITE, UPDATE or DELETE event (versions 1 and 2). Raises SourceStopped."""
        table = self.table
        images = self._read(event_type, body)
        if event_type in WRITES:
            return [Change(table, "c", None, row) for row in images]
        if event_type in DELETES:
            return [Change(table, "d", row, None) for row in images]
        changes = []
        key = self._key
        for before, after in zip(images[::2], images[1::2], strict=True):
            same = key(before) == key(after) if key is not None else before == after
            if same:
                changes.append(Change(table, "u", before, after))
            else:
                changes.append(Change(table, "d", before, None))
                changes.append(Change(table, "c", None, after))
        return changes

    def noted(self, event_type: int, body: bytes) -> list[Noted]:
        """The same of a table that is only looked at: the image after, or before a delete."""
        images = self._read(event_type, body)
        op = "c" if event_type in WRITES else "d" if event_type in DELETES else "u"
        wanted = images[1::2] if op == "u" else images
        columns = self.table.columns
        return [Noted(self.table.name, op, dict(zip(columns, row, strict=True))) for row in wanted]

    def _read(self, event_type: int, body: bytes) -> list[Row]:
        """Images of the event's rows, two for a row of an update."""
        try:
            at = 8
            if event_type in _WITH_EXTRA_DATA:
                at += int.from_bytes(body[8:10], "little")
            count, at = packed(body, at)
            if count != len(self._readers):
                raise ValueError(f"{count} columns instead of {len(self._readers)}")  # noqa: TRY301
            before = after = self._image(body[at : at + self._bitmap])
            at += self._bitmap
            if event_type in UPDATES:
                after = self._image(body[at : at + self._bitmap])
                at += self._bitmap
            rows = _rows(body, at, before, after)
        except (IndexError, struct.error, OverflowError, KeyError, ValueError) as error:
            raise self._malformed(event_type, f"{type(error).__name__}: {error}") from error
        if event_type in UPDATES and len(rows) % 2:
            raise self._malformed(event_type, "an update without its second half")
        return rows

    def _image(self, present: bytes) -> Image:
        """present: a bit for each column that the image has."""
        known = self._images.get(present)
        if known is None:
            known = self._images[present] = self._image_of(int.from_bytes(present, "little"))
        return known

    def _image_of(self, present: int) -> Image:
        there = [place for place in range(len(self._readers)) if present >> place & 1]
        if not set(self._kept) <= set(there):
            raise SourceStopped(
                "row_image",
                f"a change of {self._told} was logged without all its columns (binlog_row_image "
                "was not FULL in that session)",
                "SET GLOBAL binlog_row_image = 'FULL', look for sessions that set their own; what "
                "was not logged can only be read from the table: fleet cdc restart --reason "
                "'row image'",
            )
        places = None
        if len(there) > len(self._kept):
            places = tuple(there.index(place) for place in self._kept)
        return Image(
            tuple(self._readers[place] for place in there), (len(there) + 7) // 8, places
        )

    def _malformed(self, event_type: int, why: str) -> SourceStopped:
        return SourceStopped(
            "malformed",
            f"a row event (type {event_type}) of {self._told} does not agree with its TABLE_MAP "
            f"({why})",
            "see whether the server's log is intact (mysqlbinlog --verify-binlog-checksum), then: "
            "fleet cdc restart --reason 'log damaged'",
        )


def _rows(body: bytes, at: int, before: Image, after: Image) -> list[Row]:
    """All images from there to the end, by turns in the one form and the other."""
    rows = list[Row]()
    ends = len(body)
    image = before
    while at < ends:
        readers, width, places = image
        nulls = int.from_bytes(body[at : at + width], "little")
        at += width
        row: Row = []
        if nulls & (1 << len(readers)) - 1:
            for read in readers:
                if nulls & 1:
                    row.append(None)
                else:
                    value, at = read(body, at)
                    row.append(value)
                nulls >>= 1
        else:
            for read in readers:
                value, at = read(body, at)
                row.append(value)
        rows.append(row if places is None else [row[place] for place in places])
        image = after if image is before else before
    if at != ends:
        raise ValueError(f"{at - ends} bytes more than there are")
    return rows


class Shapes:
    """Shapes by the bytes of their TABLE_MAP, the table's number aside: what is the same there is
    read in the same way, and a transaction of one row does not read it again.
    """

    def __init__(
        self, selection: Selection, declarations: Declarations, *, mariadb: bool
    ) -> None:
        """mariadb: whose log it is; the source may set it when it has seen the server's version."""
        self.selection = selection
        self.mariadb = mariadb
        self._declarations = declarations
        self._known: dict[bytes, Shape | None] = {}

    def shape(self, body: bytes) -> Shape | None:
        """None: of no interest. Raises SourceStopped where its rows could not be read exactly."""
        content = body[6:]
        try:
            return self._known[content]
        except KeyError:
            pass
        if len(self._known) >= _SHAPES_MOST:
            self._known.clear()
        found = self._known[content] = self._made(body)
        return found

    def forget(self) -> None:
        """After a DDL statement: what `Declarations` answered may have changed."""
        self._known.clear()

    def _made(self, body: bytes) -> Shape | None:
        schema, name = log.names(body)
        interest = self.selection.interest(schema, name)
        if interest is None:
            return None
        table_map = parse(body, mariadb=self.mariadb)
        declared = Declared({})
        if self.mariadb and interest == "captured":
            declared = self._declarations(schema, name)
        return shape_of(table_map, declared, interest, self.selection)


def shape_of(
    table_map: TableMap, declared: Declared, interest: Interest, selection: Selection
) -> Shape:
    """The key is the one that the log names: the primary key, else the first unique key without
    NULLs. Generated columns that `declared` names are left out.

    Raises SourceStopped for a column that can not be read exactly, or a key that is dropped.
    """
    told = f"{table_map.schema}.{table_map.name}"
    made = [
        reader(told, column, declared.types.get(column.name, "")) for column in table_map.columns
    ]
    types, readers = [type_ for type_, _ in made], [read for _, read in made]
    names = [column.name for column in table_map.columns]
    if declared.types and _PERIOD.issubset(set(names) - set(declared.types)):
        raise SourceStopped(
            "system_versioned",
            f"{told} is system-versioned: its log holds each version as a row of its own, under "
            "columns that SELECT does not show",
            "leave the table out of FLEET_CDC_TABLES: it keeps its history itself",
        )
    keeping: Sequence[Keeping] = ["keep" for _ in names]
    if interest == "captured":
        keeping = selection.columns(table_map.schema, table_map.name, names)
    for place, what in enumerate(keeping):
        if what == "hash":
            types[place] = HASH_TYPE
            readers[place] = _hashed(readers[place], selection)
    kept = [
        place
        for place, what in enumerate(keeping)
        if what != "drop" and names[place] not in declared.generated
    ]
    table = Table(
        table_map.schema,
        table_map.name,
        tuple(names[place] for place in kept),
        tuple(types[place] for place in kept),
        _key(told, table_map, names, kept),
        "",
    )
    table = table._replace(shape=hashlib.sha256(orjson.dumps(list(table))).hexdigest()[:12])
    return Shape(table, interest, readers, kept)


def _key(told: str, table_map: TableMap, names: list[str], kept: list[int]) -> tuple[int, ...]:
    """Places of the key's columns among those that are kept."""
    for place in table_map.key:
        if place not in kept:
            raise SourceStopped(
                "key_dropped",
                f"column {names[place]} belongs to the key of {told} and is dropped, so its rows "
                "could not be told apart",
                f"FLEET_CDC_COLUMNS={table_map.name}.{names[place]}=hash keeps it secret and "
                "distinct",
            )
    return tuple(kept.index(place) for place in table_map.key)


def _hashed(read: Reader, selection: Selection) -> Reader:
    def read_hashed(body: bytes, at: int) -> tuple[Value, int]:
        value, at = read(body, at)
        return selection.hashed(value), at

    return read_hashed


def table_id(body: bytes) -> int:
    """Of a TABLE_MAP's or a row event's body; it is good until the end of its statement."""
    return int.from_bytes(body[:6], "little")


def statement_ends(body: bytes) -> bool:
    """Whether this row event is the last of its statement (STMT_END_F)."""
    return bool(body[6] & 1)
