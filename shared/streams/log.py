"""Reading partition streams: plain XREAD from an offset that the sink owns. No group, no XACK.

Replies are read raw (nested lists of bytes) because building a dict per entry costs more than
reading it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis import Redis

START = "0-0"


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
    words: list[Any] = ["XREAD", "COUNT", count]
    if block_ms > 0:
        words += ["BLOCK", block_ms]
    words.append("STREAMS")
    words += [key for key, _ in offsets]
    words += [last_id for _, last_id in offsets]
    connection = redis.connection_pool.get_connection()
    healthy = False
    try:
        connection.send_command(*words)  # type: ignore[no-untyped-call]
        reply = connection.read_response()
        healthy = True
    finally:
        if not healthy:
            # A reply that was not read must never be taken for the answer to the next command.
            connection.disconnect()  # type: ignore[no-untyped-call]
        redis.connection_pool.release(connection)
    if not reply:
        return []
    streams = reply.items() if isinstance(reply, dict) else reply  # RESP3 sends a map
    # tuple.__new__ makes an Entry in half the time of Entry(): this line runs once per entry.
    make = tuple.__new__
    return [
        (key, [make(Entry, (entry_id.decode(), fields or [])) for entry_id, fields in entries])
        for key, entries in streams
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
