"""Stream entry -> Event, or InvalidEvent with a reason to count and a sentence that says the cure.

Reasons: missing_field, malformed, too_large, invalid_json, unknown_type, unknown_version,
wrong_stream, wrong_partition, wrong_key (the last is raised by bodies).

The good entry takes one straight path; everything about a bad one happens in functions of its own,
because good ones come by the million.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias
from zlib import crc32

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreConfig, SchemaValidator

from shared.errors import InvalidEvent
from shared.streams.event import Event

DATA_BYTES = 65_536
"""Largest `data`. An order event has 0.5 KB; this bounds what one entry can cost a batch."""

ID_CHARACTERS = 191  # width of fleet_outbox.event_id and fleet_offsets.last_event_id
TS_US_FROM = 1_230_768_000_000_000  # 2009-01-01: before it nothing was traded that we book
TS_US_BELOW = 7_258_118_400_000_000  # 2200-01-01: seconds and nanoseconds end up outside
TS_US_DIGITS = 16  # every value between the two has 16 digits
U64_DIGITS = 20
U64_LIMIT = 1 << 64
LETTER_N, LETTER_I = b"NI"
SHOWN_CHARACTERS = 60  # of a foreign value inside a message
SHOWN_ERRORS = 5  # of one body; the first few say enough

Fields: TypeAlias = "list[bytes] | dict[bytes, bytes]"
"""Fields of an entry: name, value, name, value ... as Redis sends them, or a dict of them."""

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Pure function from the data of one version to the data of the next."""

_PLAIN_ID = re.compile(rb"[!-~]{1,191}")
_TEXT_ID = re.compile(r"[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?")
_DIRECT = [b"type", b"key", b"id", b"ts_us", b"data"]
_RELAYED = [*_DIRECT, b"outbox"]


Values: TypeAlias = tuple[bytes, bytes, bytes, bytes, bytes, bytes | None]
"""type, key, id, ts_us, data, outbox."""


class Kind(Protocol):
    """What decode asks of a row of the table of event types."""

    @property
    def stream(self) -> str: ...
    @property
    def model(self) -> type[Any]: ...
    @property
    def check(self) -> Callable[[Any, str], None]: ...


class Route(NamedTuple):
    """How entries of one `type` become events."""

    type: str  # of the body, after upcasting
    stream: str
    validate: Callable[[bytes], Any]
    check: Callable[[Any, str], None]  # body and key; raises InvalidEvent
    upcast: Callable[[bytes], bytes] | None  # data of an old version to data of `type`


Table: TypeAlias = Mapping[bytes, Route]


def routes(
    kinds: Mapping[str, Kind], upcasters: Mapping[tuple[str, int], Upcast] | None = None
) -> Table:
    """Compile the table of event types once, at start.

    kinds: `order.filled.2` -> row. upcasters: (`order.filled`, 1) -> data of 1 to data of 2; chains
    end at the first version that has a row. Raises ValueError on a chain that leads nowhere or
    starts at a version which has a row itself.
    """
    table: dict[bytes, Route] = {}
    for name, kind in kinds.items():
        schema = TypeAdapter(kind.model).core_schema
        # Values are mostly unique: keeping them costs more than it saves.
        validator = SchemaValidator(schema, CoreConfig(cache_strings="keys"))
        table[name.encode()] = Route(name, kind.stream, validator.validate_json, kind.check, None)
    for name, version in upcasters or {}:
        old = f"{name}.{version}"
        if old in kinds:
            raise ValueError(f"{old} has a row and an upcaster; keep one of them")
        steps: list[Upcast] = []
        while f"{name}.{version}" not in kinds:
            step = (upcasters or {}).get((name, version))
            if step is None:
                raise ValueError(f"upcasting {old} ends at {name}.{version}, which has no row")
            steps.append(step)
            version += 1  # noqa: PLW2901 - the walk along the chain
        current = table[f"{name}.{version}".encode()]
        table[old.encode()] = current._replace(upcast=partial(_upcast, tuple(steps)))
    return table


def decode(  # noqa: PLR0917 - once per entry: a record of its own to pass them would cost more
    stream: str, partition: int, partitions: int, entry_id: str, fields: Fields, table: Table
) -> Event[Any]:
    """Decode one entry read from a partition of a stream. Raises InvalidEvent, and nothing else.

    partitions: how many the stream has. table: from `routes`.
    """
    type_, key, event_id, ts_us, data, outbox = _values(fields)
    route = table.get(type_)
    if route is None or route.stream != stream:
        raise _not_of(stream, type_, table)
    if crc32(key) % partitions != partition:
        raise _wrong_partition(key, partition, partitions)
    if len(data) > DATA_BYTES:
        raise _too_large(len(data))
    event = _text_id(event_id) if _PLAIN_ID.fullmatch(event_id) is None else event_id.decode()
    time = int(ts_us) if len(ts_us) == TS_US_DIGITS and ts_us.isdigit() else 0
    if not TS_US_FROM <= time < TS_US_BELOW:
        raise _wrong_time(ts_us)
    if LETTER_N in data or LETTER_I in data:
        # The body's parser lets NaN and Infinity pass, as bare words in fields it ignores. Looking
        # for one letter, as a number, is twenty times quicker than looking for the words.
        _refuse_json_dialect(data)
    if route.upcast is not None:
        data = route.upcast(data)
    try:
        key_text = key.decode()
        body = route.validate(data)
    except ValidationError as error:
        raise _invalid(route.type, error) from None
    except UnicodeDecodeError:
        raise _not_utf8("key", key) from None
    route.check(body, key_text)
    outbox_id = None if outbox is None else _outbox_id(outbox)
    return Event(
        stream, partition, entry_id, route.type, key_text, event, time, data, outbox_id, body
    )


def _values(fields: Fields) -> Values:
    """The six fields that count. Others (traceparent) pass unread."""
    if isinstance(fields, list):
        # Producers that keep the order of the contract are served without hashing a name.
        names = fields[::2]
        if names == _DIRECT and len(fields) == len(_DIRECT) * 2:
            return fields[1], fields[3], fields[5], fields[7], fields[9], None
        if names == _RELAYED and len(fields) == len(_RELAYED) * 2:
            return fields[1], fields[3], fields[5], fields[7], fields[9], fields[11]
        named = dict(zip(names, fields[1::2], strict=False))
        if len(named) * 2 != len(fields):
            raise InvalidEvent(
                "malformed", "the entry holds a field name twice or without a value; send it once"
            )
    else:
        named = fields
    try:
        type_, key, event_id, ts_us, data = [named[name] for name in _DIRECT]
    except KeyError:
        raise _missing(named) from None
    return type_, key, event_id, ts_us, data, named.get(b"outbox")


def _upcast(steps: tuple[Upcast, ...], data: bytes) -> bytes:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _not_json(error) from None
    if not isinstance(body, dict):
        raise InvalidEvent("malformed", "`data` must be a JSON object")
    try:
        for step in steps:
            body = step(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # An upcaster reads what an old producer should have sent; here it did not.
        detail = f"`data` is not of its version: {type(error).__name__} {_shown(str(error))}"
        raise InvalidEvent("malformed", detail) from None
    return orjson.dumps(body)


def _text_id(value: bytes) -> str:
    """An id outside plain ASCII: rare, so it is looked at here and not in decode."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _not_utf8("id", value) from None
    if len(text) > ID_CHARACTERS or _TEXT_ID.fullmatch(text) is None:
        raise InvalidEvent(
            "malformed",
            f"`id` is {_shown(value)}; send 1 to {ID_CHARACTERS} characters (a UUID) without "
            "control characters and without white space at either end",
        )
    return text


def _outbox_id(value: bytes) -> int:
    if value.isdigit() and len(value) <= U64_DIGITS and not value.startswith(b"0"):
        number = int(value)
        if number < U64_LIMIT:
            return number
    raise InvalidEvent(
        "malformed",
        f"`outbox` is {_shown(value)}; only the relay writes it, as the decimal id of its row",
    )


def _refuse_json_dialect(data: bytes) -> None:
    if b"NaN" not in data and b"Infinity" not in data:
        return
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _not_json(error) from None


def _not_json(error: object) -> InvalidEvent:
    return InvalidEvent("invalid_json", f"`data` is not JSON: {error}; send a JSON object")


def _missing(named: dict[bytes, bytes]) -> InvalidEvent:
    names = ", ".join(f"`{name.decode()}`" for name in _DIRECT if name not in named)
    return InvalidEvent("missing_field", f"the entry has no field {names}; send all of it")


def _not_of(stream: str, type_: bytes, table: Table) -> InvalidEvent:
    """Why no event of this type can come on this stream."""
    route = table.get(type_)
    if route is not None:
        return InvalidEvent(
            "wrong_stream",
            f"{route.type} came on stream {_shown(stream)}; send it to stream {route.stream!r}",
        )
    name, _, _ = type_.rpartition(b".")
    types = sorted(known.decode() for known in table)
    versions = [known for known in types if known.rpartition(".")[0].encode() == name]
    if versions:
        return InvalidEvent(
            "unknown_version",
            f"`type` is {_shown(type_)}; known versions are {', '.join(versions)}. Send one of "
            "them, or deploy the fleet that knows this one and replay the event",
        )
    return InvalidEvent(
        "unknown_type", f"`type` is {_shown(type_)}; send one of {', '.join(types)}"
    )


def _wrong_partition(key: bytes, partition: int, partitions: int) -> InvalidEvent:
    return InvalidEvent(
        "wrong_partition",
        f"key {_shown(key)} belongs to partition {crc32(key) % partitions} of {partitions} "
        f"(crc32 of the key's text modulo {partitions}), the entry came on {partition}; "
        "read the number of partitions from {REDIS_PREFIX}fleet:partitions",
    )


def _too_large(size: int) -> InvalidEvent:
    return InvalidEvent(
        "too_large", f"`data` has {size} bytes, the limit is {DATA_BYTES}; send less"
    )


def _wrong_time(value: bytes) -> InvalidEvent:
    return InvalidEvent(
        "malformed",
        f"`ts_us` is {_shown(value)}; send microseconds since 1970 UTC as decimal text, "
        "between the years 2009 and 2200",
    )


def _not_utf8(name: str, value: bytes) -> InvalidEvent:
    return InvalidEvent("malformed", f"`{name}` is {_shown(value)}; send UTF-8")


def _invalid(type_: str, error: ValidationError) -> InvalidEvent:
    """Say which fields of the body are wrong, what came and what is wanted."""
    found = error.errors(include_url=False, include_context=False)
    first = found[0]["type"]
    if first == "json_invalid":
        return _not_json(found[0]["msg"].removeprefix("Invalid JSON: "))
    sentences = [_sentence(one["loc"], one["type"], one["msg"], one["input"]) for one in found]
    more = len(sentences) - SHOWN_ERRORS
    if more > 0:
        sentences[SHOWN_ERRORS:] = [f"{more} more"]
    reason = "missing_field" if first == "missing" else "malformed"
    return InvalidEvent(reason, f"`data` of {type_}: {'; '.join(sentences)}")


def _sentence(loc: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    name = ".".join(str(part) for part in loc)
    if kind == "missing":
        return f"`{name}` is missing, send it"
    if not name:
        return "it must be a JSON object"
    wanted = message.replace("Input should be", "must be")
    return f"`{name}` is {_shown(value)}, {wanted}"


def _shown(value: object) -> str:
    """A foreign value for a message: printable ASCII, cut to a length a person reads. What is in
    an object or a list is not shown: a message is copied further than the event, and stays longer.
    """
    if isinstance(value, dict | list):
        return "a JSON object" if isinstance(value, dict) else "a JSON array"
    if isinstance(value, bytes):
        value = value[: SHOWN_CHARACTERS + 1].decode("utf-8", "backslashreplace")
    text = ascii(value[: SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
