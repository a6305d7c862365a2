"""Rows that are read again: which of them are new or changed, and where to begin next time.

Venues show some rows late and change some afterwards (a fee that is filled in). So every reading
goes back a while, and what it has told already is known by its key and a mark of its content.
Doubles within one reading are told once.

What is remembered is part of the cursor, so it is bounded: where more rows than REMEMBERED lie
within OVERLAP_MS, the overlap begins later. To forget too much is harmless, because what is told
twice has one identity.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from shared.exchanges.venue import Cursor

OVERLAP_MS = 600_000
REMEMBERED = 1_000
"""Rows of a cursor: 40 bytes for each at most."""
KEY_WIDTH = 16


class Row(NamedTuple):
    """A row of the venue. key: what the venue knows it by; data: as it came. Of a key that is
    longer than KEY_WIDTH a mark is remembered.
    """

    key: str
    at_ms: int
    data: Mapping[str, Any]


class Fresh(NamedTuple):
    """A row that was not told like this before. revision: 1, and one more for each change."""

    row: Row
    revision: int


def start_ms(cursor: Cursor, since_ms: int) -> int:
    """Where the next reading begins, inclusive: with the overlap, or where the last one stopped."""
    return max(since_ms, int(cursor.get("resume_ms", cursor.get("from_ms", since_ms))))


def fresh(cursor: Cursor, rows: Iterable[Row]) -> list[Fresh]:
    """What the cursor does not know yet, each once, in the order in which it came."""
    known = {key: mark for marks in _seen(cursor).values() for key, mark in marks.items()}
    found = []
    for row in rows:
        key, mark = _short(row.key), _mark(row.data)
        before = known.get(key, "")
        if mark == before:
            continue  # nearly all of them
        content, _, revision = before.partition(".")
        if mark != content:
            next_revision = int(revision or 1) + 1 if content else 1
            known[key] = f"{mark}.{next_revision}"
            found.append(Fresh(row, next_revision))
    return found


def advanced(
    cursor: Cursor,
    told: Iterable[Fresh],
    through_ms: int,
    *,
    resume_ms: int | None = None,
    keep: int = REMEMBERED,
) -> dict[str, Any]:
    """The cursor after everything up to `through_ms` was read and `told` was told of it:
    {"through_ms", "from_ms", "seen": {time: {key: mark of the content, "." and its revision}}}.

    resume_ms: where to go on without the overlap, because there is more.
    """
    told = list(told)
    again = {_short(one.row.key) for one in told}
    seen = {
        at_ms: {key: mark for key, mark in marks.items() if key not in again}
        for at_ms, marks in _seen(cursor).items()
    }
    for row, revision in told:
        mark = _mark(row.data) + (f".{revision}" if revision > 1 else "")
        seen.setdefault(str(row.at_ms), {})[_short(row.key)] = mark
    from_ms = max(through_ms - OVERLAP_MS, int(cursor.get("from_ms", 0)))  # never back again
    for at_ms in sorted(map(int, seen), reverse=True):
        keep -= len(seen[str(at_ms)])
        if keep < 0:
            from_ms = max(from_ms, at_ms + 1)
            break
    kept = {at_ms: marks for at_ms, marks in seen.items() if int(at_ms) >= from_ms}
    left = {"through_ms": through_ms, "from_ms": min(from_ms, through_ms + 1), "seen": kept}
    return left if resume_ms is None else {**left, "resume_ms": resume_ms}


def _seen(cursor: Cursor) -> Mapping[str, Mapping[str, str]]:
    seen: Mapping[str, Mapping[str, str]] = cursor.get("seen", {})
    return seen


def _short(key: str) -> str:
    return key if len(key) <= KEY_WIDTH else _mark(key)


def _mark(content: object) -> str:
    """48 bits: a change that they do not show is one of 10^14."""
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    mark = b2a_base64(blake2b(text, digest_size=6).digest(), newline=False)
    return mark.translate(_URLSAFE).decode()


_URLSAFE = bytes.maketrans(b"+/", b"-_")
