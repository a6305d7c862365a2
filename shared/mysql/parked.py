"""Parked events: kept byte for byte, with a reason a person understands."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.queries import load

SQL = load(Path(__file__).with_name("parked.sql"))

KEY_BYTES = 1024
"""Width of the byte columns; longer values are cut there and stand whole in `fields`."""

ERROR_CHARACTERS = 2048

KEPT_BYTES = 4 * 1024 * 1024
"""Larger entries are kept in part: MariaDB's default max_allowed_packet is 16 MiB, escaping may
double a value, and a statement that no server takes would stop the whole partition for ever."""
CUT_PARTS = 64
CUT_BYTES = KEPT_BYTES // CUT_PARTS


class ParkedEvent(NamedTuple):
    """One entry that is set aside. fields: name, value, name, value ... as Redis gave them."""

    stream: str
    partition: int
    entry_id: str
    fields: Sequence[bytes]
    account_id: int | None
    identity: str | None
    reason: str
    error: str


def park(connection: Any, events: Sequence[ParkedEvent]) -> None:
    """Write parked events in the transaction that moves the offset past them.

    An event that was parked before under another entry id (appended again after a loss of Redis)
    is counted there and not parked twice.
    """
    cursor = connection.cursor()
    fresh = []
    for event in map(_kept, events):  # one by one: the same event may stand twice in a batch
        if not _parked_before(cursor, event):
            cursor.execute(SQL["park"], _row(event))
            fresh.append(event)
    accounts = sorted({event.account_id for event in fresh if event.account_id is not None})
    cursor.executemany(SQL["mark_incomplete"], [(account,) for account in accounts])


def _kept(event: ParkedEvent) -> ParkedEvent:
    """The event as any server takes it; where that is less than came, its error says so."""
    size = sum(map(len, event.fields))
    if size <= KEPT_BYTES:
        return event
    fields = [part[:CUT_BYTES] for part in event.fields[:CUT_PARTS]]
    note = f"only the beginning of this entry's {size} bytes is kept"
    return event._replace(fields=fields, error=f"{note}; {event.error}")


def _parked_before(cursor: Any, event: ParkedEvent) -> bool:
    event_id = value_of(event.fields, b"id")[:KEY_BYTES]
    data = value_of(event.fields, b"data")
    if not event_id:
        return False
    changed = cursor.execute(SQL["count_again"], (event.stream, event.partition, event_id, data))
    return bool(changed)


def _row(event: ParkedEvent) -> tuple[Any, ...]:
    return (
        event.stream,
        event.partition,
        event.entry_id,
        value_of(event.fields, b"key")[:KEY_BYTES],
        value_of(event.fields, b"type")[:KEY_BYTES],
        value_of(event.fields, b"id")[:KEY_BYTES],
        fields_as_json(event.fields),
        value_of(event.fields, b"data"),
        event.account_id,
        event.identity,
        event.reason,
        _told(event.error),
    )


def _told(error: str) -> str:
    """An error's text as the column takes it: half a surrogate pair has no UTF-8."""
    return error.encode(errors="backslashreplace").decode()[:ERROR_CHARACTERS]


def value_of(fields: Sequence[bytes], name: bytes) -> bytes:
    """First value of a field, empty when it is missing."""
    for index in range(0, len(fields) - 1, 2):
        if fields[index] == name:
            return fields[index + 1]
    return b""


def fields_as_json(fields: Sequence[bytes]) -> bytes:
    """Every field but data, in order, so that a replay sees exactly what came."""
    pairs = [
        [_text(fields[index]), _text(fields[index + 1])]
        for index in range(0, len(fields) - 1, 2)
        if fields[index] != b"data"
    ]
    return orjson.dumps(pairs)


def fields_from_json(text: bytes, data: bytes) -> list[bytes]:
    """Inverse of fields_as_json: the flat entry again, data at its end."""
    flat = [_bytes(part) for pair in orjson.loads(text) for part in pair]
    return [*flat, b"data", data]


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _bytes(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


class OpenEvent(NamedTuple):
    """A parked event that nobody has resolved, as `fleet parked` shows it."""

    stream: str
    partition: int
    entry_id: str
    key: bytes
    type: bytes
    event_id: bytes
    fields: bytes
    data: bytes
    account_id: int | None
    identity: str | None
    reason: str
    error: str
    tries: int
    parked_at: Any

    @property
    def place(self) -> tuple[str, int, str]:
        return self.stream, self.partition, self.entry_id

    def entry_fields(self) -> list[bytes]:
        """The flat entry as it came."""
        return fields_from_json(self.fields, self.data)


class Filter(NamedTuple):
    """Which open events; None matches all."""

    stream: str | None = None
    type: str | None = None
    reason: str | None = None
    key: str | None = None
    entry_id: str | None = None


def open_events(
    connection: Any, wanted: Filter, limit: int, after: tuple[str, int, str] = ("", 0, "")
) -> list[OpenEvent]:
    """One page of open events behind `after` (a `place`)."""
    cursor = connection.cursor()
    stream, partition, entry = after
    place = {"after_stream": stream, "after_partition": partition, "after_entry": entry}
    cursor.execute(SQL["open"], {**wanted._asdict(), **place, "limit": limit})
    return [OpenEvent(*row) for row in cursor.fetchall()]


def still_open(connection: Any, place: tuple[str, int, str]) -> bool:
    """Lock one event; False when somebody resolved it meanwhile."""
    cursor = connection.cursor()
    cursor.execute(SQL["lock_one"], place)
    row = cursor.fetchone()
    return row is not None and row[0] is None


def resolve(connection: Any, event: OpenEvent, resolution: str, reason: str | None) -> bool:
    """Close one event; the account is complete again when none of its events is open."""
    cursor = connection.cursor()
    changed = cursor.execute(SQL["resolve"], (resolution, reason, *event.place))
    if event.account_id is not None:
        cursor.execute(SQL["settle_incomplete"], (event.account_id,))
    return bool(changed)


def refused_again(connection: Any, event: OpenEvent, reason: str, error: str) -> None:
    """A replay ended as before; the newest reason is kept."""
    connection.cursor().execute(
        SQL["refused_again"], (reason, _told(error), *event.place)
    )
