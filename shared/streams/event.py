"""An event: one stream entry after it was decoded and found valid."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Body_co = TypeVar("Body_co", covariant=True)


class Event(NamedTuple, Generic[Body_co]):
    """A valid event.

    type: name and version of `body`; newer than the entry's own `type` field where it was upcast.
    ts_us: event time, microseconds since 1970 UTC.
    data: the JSON object that `body` was read from, valid UTF-8: byte for byte as it came, except
        that the data of an old version was upcast to the version in `type`.
    outbox_id: id of the `fleet_outbox` row that the relay appended, None for a direct XADD.
    """

    stream: str
    partition: int
    entry_id: str
    type: str
    key: str
    event_id: str
    ts_us: int
    data: bytes
    outbox_id: int | None
    body: Body_co
