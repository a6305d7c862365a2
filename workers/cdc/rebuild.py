"""`fleet cdc rebuild`: a table as of any transaction or time, and the hash of its content. Pure."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TextIO

import orjson

from shared.changes import Value
from workers.cdc.rebuild_rows import Found

_MODULUS = 1 << 256
_HASH_ONLY = "$sha256"

Write = Callable[[TextIO, Iterable[tuple[str, Found]]], None]


class NotKept(Exception):  # noqa: N818 - an answer, not a mistake
    """The log has hashes of these rows, not the rows."""


class ContentHash:
    """Of a set of rows, whatever their order: the sum of SHA-256 of each row (its columns in the
    order of their names, as JSON) modulo 2^256, hashed with their number.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Found) -> None:
        self.rows += 1
        self._sum = (self._sum + int.from_bytes(digest(row))) % _MODULUS

    def text(self) -> str:
        return hashlib.sha256(b"%d\n%064x" % (self.rows, self._sum)).hexdigest()


def digest(row: Found) -> bytes:
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).digest()


def hashed(rows: Iterable[tuple[str, Found]], into: ContentHash) -> Iterator[tuple[str, Found]]:
    """The same rows, counted and hashed on their way. Raises NotKept."""
    for key, row in rows:
        if _HASH_ONLY in row:
            raise NotKept("the audit log keeps only hashes of these rows: they never change")
        into.add(row)
        yield key, row


def write_jsonl(out: TextIO, rows: Iterable[tuple[str, Found]]) -> None:
    for _, row in rows:
        out.write(orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode())
        out.write("\n")


def write_csv(out: TextIO, rows: Iterable[tuple[str, Found]]) -> None:
    r"""NULL is `\N`; lists and tagged values stand as JSON. Raises ValueError where a row has other
    columns than the first one: the table was altered in between.
    """
    columns: list[str] = []
    writer = csv.writer(out)
    for _, row in rows:
        if not columns:
            columns = sorted(row)
            writer.writerow(columns)
        if set(row) != set(columns):
            told = ", ".join(sorted(set(row) ^ set(columns)))
            raise ValueError(f"columns differ from row to row ({told}): use --format jsonl")
        writer.writerow([_cell(row[column]) for column in columns])


def _cell(value: Value) -> str | int:
    if value is None:
        return "\\N"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return value


FORMATS: dict[str, Write] = {"jsonl": write_jsonl, "csv": write_csv}


def as_of(text: str) -> int | datetime:
    """`4711` is a seq; `2026-11-26`, `2026-11-26T08:00Z` a moment in UTC. Raises ValueError."""
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
