"""Comparing rows of the source with a sink's, without holding them. Pure.

Every row falls by the hash of its key into one of PARTS parts. Of each part the number of its rows
and the sum of their digests are kept; only parts that differ are looked at row by row.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from shared.changes import Row, Table, Value
from workers.cdc.rebuild_rows import Found

PARTS = 4096
_MODULUS = 1 << 256
_WHOLE = re.compile(r"(tiny|small|medium|big)?int\b")
_FRACTION = re.compile(r"\.?0+(?=Z?$)")

Normal = Callable[[Value], Value]


class Difference(NamedTuple):
    """what: `not there`, `not in the source`, or the columns that differ, with both values."""

    key: str
    what: str


class Sums:
    """Rows and sum of digests of each part."""

    def __init__(self) -> None:
        self.rows = [0] * PARTS
        self.digests = [0] * PARTS

    def add(self, key: str, digest: bytes) -> None:
        part = part_of(key)
        self.rows[part] += 1
        self.digests[part] = (self.digests[part] + int.from_bytes(digest)) % _MODULUS

    def differing(self, other: Sums) -> list[int]:
        return [
            part
            for part in range(PARTS)
            if (self.rows[part], self.digests[part]) != (other.rows[part], other.digests[part])
        ]


def part_of(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:2]) * PARTS >> 16


def in_groups(parts: Sequence[int], rows: Sequence[int], most: int) -> Iterator[set[int]]:
    """Parts of together at most `most` rows, or a single one. rows: of each part there is."""
    group, size = set[int](), 0
    for part in parts:
        if group and size + rows[part] > most:
            yield group
            group, size = set(), 0
        group.add(part)
        size += rows[part]
    if group:
        yield group


class Rows:
    """Rows of one table, as the source has them. hashed: the sink keeps only hashes of them."""

    def __init__(self, table: Table, *, hashed: bool) -> None:
        self.table = table
        self.hashed = hashed
        self._normal = dict(zip(table.columns, map(normal, table.types), strict=True))

    def digest(self, key: str, row: Row) -> bytes:
        """Of a row of the source, as the sink's must be."""
        if self.hashed:
            return _digest(key, {"$sha256": hash_of(self.table.columns, row)})
        return _digest(key, self._normalised(dict(zip(self.table.columns, row, strict=True))))

    def found_digest(self, key: str, found: Found) -> bytes:
        """Of a sink's row."""
        return _digest(key, found if "$sha256" in found else self._normalised(found))

    def differs(self, row: Row, found: Found) -> str:
        """Empty where they agree in everything that the sink's row has. A row from before a column
        was added does not have it, and is none the worse.
        """
        for tag in ("$sha256", "$quarantined"):
            if tag in found:
                same = any(found[tag] == hash_ for hash_ in self._hashes(row))
                return "" if same else "its hash"
        ours = self._normalised(dict(zip(self.table.columns, row, strict=True)))
        theirs = self._normalised(found)
        gone = sorted(set(theirs) - set(ours))
        if gone:
            return f"columns that the source has not: {', '.join(gone)}"
        return ", ".join(
            f"{column}: {_shown(ours[column])} in the source, {_shown(value)} here"
            for column, value in theirs.items()
            if ours[column] != value
        )

    def _hashes(self, row: Row) -> Iterator[str]:
        """Of the row, and of what it was before columns were added at its end."""
        columns = self.table.columns
        for count in range(len(columns), 0, -1):
            yield hash_of(columns[:count], row[:count])

    def _normalised(self, row: Found) -> dict[str, Value]:
        return {
            column: self._normal[column](value) if column in self._normal else value
            for column, value in row.items()
        }


def hash_of(columns: Sequence[str], row: Row) -> str:
    """As the audit log hashes a row (shared/mysql/change_log_rows.py)."""
    return hashlib.sha256(orjson.dumps(dict(zip(columns, row, strict=True)))).hexdigest()


def normal(type_: str) -> Normal:
    """Widening a column changes how its values are written, and not what they are: 5 or "5",
    "1.50" or "1.5", with or without six zeros of a second.
    """
    if _WHOLE.match(type_):
        return lambda value: str(value) if isinstance(value, int) else value
    if type_.startswith("decimal"):
        return _plain
    if type_.startswith(("datetime", "timestamp", "time")):
        return _moment
    return lambda value: value


def compare(
    rows: Rows, source: Mapping[str, Row], found: Mapping[str, Found]
) -> Iterator[Difference]:
    """Row by row, of some parts."""
    for key, row in source.items():
        theirs = found.get(key)
        what = "not there" if theirs is None else rows.differs(row, theirs)
        if what:
            yield Difference(key, what)
    for key in found.keys() - source.keys():
        yield Difference(key, "not in the source")


def excused(rows: Rows, source: Row | None, versions: Iterable[Found | None]) -> bool:
    """Whether the source shows one of the states that a row had while its view was opened."""
    if source is None:
        return None in versions
    return any(one is not None and not rows.differs(source, one) for one in versions)


def _plain(value: Value) -> Value:
    if not isinstance(value, str) or "." not in value:
        return value
    return value.rstrip("0").rstrip(".")


def _moment(value: Value) -> Value:
    if not isinstance(value, str) or "." not in value:
        return value
    return _FRACTION.sub("", value)


def _digest(key: str, row: Found) -> bytes:
    text = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(key.encode() + b"\n" + text).digest()


def _shown(value: Value) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line of a terminal
