"""Reading partition streams: plain XREAD from an offset that the sink owns. No group, no XACK.

Replies are read raw (nested lists of bytes) because building a dict per entry costs more than
reading it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from shared.redis_cluster import ClusterClient, ask, ask_each

if TYPE_CHECKING:
    from redis import Redis

START = "0-0"
CLUSTER_PAUSE_SECONDS = 0.02
"""In a cluster no command waits for the news of several streams: they are looked at so often."""


class Entry(NamedTuple):
    """One stream entry as Redis delivers it: fields are name, value, name, value ..."""

    entry_id: str
    fields: list[bytes]


class Tail(NamedTuple):
    """What a stream says of itself beside an offset."""

    last_id: str  # last-generated-id; START when the stream does not exist
    length: int
    entries_added: int
    at_offset: Entry | None  # the entry at the offset, None when it is gone


def id_pair(entry_id: str) -> tuple[int, int]:
    """Ids compare as two integers, never as text (5-10 is after 5-9)."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def read(
    redis: Redis, offsets: Sequence[tuple[bytes, str]], count: int, block_ms: int
) -> list[tuple[bytes, list[Entry]]]:
    """Entries after each offset, at most `count` per stream; waits up to block_ms for the first.

    offsets: (stream key, last id read). Returns (stream key, entries) for streams with news.
    """
    if isinstance(redis, ClusterClient):
        return _read_each(redis, offsets, count, block_ms)
    words: list[Any] = ["XREAD", "COUNT", count]
    if block_ms > 0:
        words += ["BLOCK", block_ms]
    words.append("STREAMS")
    words += [key for key, _ in offsets]
    words += [last_id for _, last_id in offsets]
    return _entries([ask(redis, words, offsets[0][0])])


def _read_each(
    cluster: ClusterClient, offsets: Sequence[tuple[bytes, str]], count: int, block_ms: int
) -> list[tuple[bytes, list[Entry]]]:
    """One command may name keys of one slot only."""
    asked = [
        (key, ("XREAD", "COUNT", count, "STREAMS", key, last_id)) for key, last_id in offsets
    ]
    ends = time.monotonic() + block_ms / 1000
    while True:
        replies = ask_each(cluster, asked)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        if any(replies) or time.monotonic() >= ends:
            return _entries(replies)
        time.sleep(CLUSTER_PAUSE_SECONDS)


def _entries(replies: Iterable[Any]) -> list[tuple[bytes, list[Entry]]]:
    # tuple.__new__ makes an Entry in half the time of Entry(): this line runs once per entry.
    make = tuple.__new__
    return [
        (key, [make(Entry, (entry_id.decode(), fields or [])) for entry_id, fields in entries])
        for reply in replies
        if reply
        for key, entries in (reply.items() if isinstance(reply, dict) else reply)  # RESP3: a map
    ]


def tails(redis: Redis, offsets: Sequence[tuple[bytes, str]]) -> list[Tail | None]:
    """State of many streams beside their offsets, in one round trip.

    None for a key that holds something else than a stream: it concerns that key alone.
    """
    pipe = redis.pipeline(transaction=False)
    for key, last_id in offsets:
        pipe.xrange(key, last_id, last_id, count=1)
        pipe.xinfo_stream(key)
    replies = pipe.execute(raise_on_error=False)
    return [_tail(replies[index], replies[index + 1]) for index in range(0, len(replies), 2)]


def _tail(found: Any, info: Any) -> Tail | None:
    for reply in (found, info):
        if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
            return None
        if isinstance(reply, Exception) and "no such key" not in str(reply):
            raise reply
    if isinstance(info, Exception):
        return Tail(START, 0, 0, None)
    at_offset = None
    if found:
        entry_id, fields = found[0]
        at_offset = Entry(entry_id.decode(), _flat(fields))
    return Tail(
        last_id=_text(info["last-generated-id"]),
        length=int(info["length"]),
        entries_added=int(info.get("entries-added", info["length"])),
        at_offset=at_offset,
    )


def _flat(fields: Any) -> list[bytes]:
    if isinstance(fields, dict):
        return [part for pair in fields.items() for part in pair]
    return list(fields)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def field(fields: Sequence[bytes], name: bytes) -> bytes | None:
    """Value of one field of a flat entry; the first one if it is doubled."""
    for index in range(0, len(fields) - 1, 2):
        if fields[index] == name:
            return fields[index + 1]
    return None
