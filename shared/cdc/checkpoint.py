"""Where the collector is: a hash beside the stream, written by the script that appends.

    fence     who may append: the collector that took it last
    head      id of the last entry, perhaps of a transaction that is not whole yet
    epoch seq position     after the last whole transaction: reading goes on there
    filter    fingerprint of what is captured
    opens     where the stream was begun afresh by an epoch: id of its control entry, and whether
              that left out a part of the log; empty where it never was
    stopped   why nothing is appended, JSON; empty while all is well
    at_ms     when the collector last wrote any of this

`seq` is dense, so the id that must follow an id is known; everything here that decides is pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from shared.changes import Offset, Position, position_from, position_json

Id = tuple[int, int]

NOTHING: Id = (0, 1)
"""The head of a stream that never had an entry; 1-0 follows. 0-0 is no id that Redis takes."""


class Stopped(NamedTuple):
    """As SourceStopped, and since when."""

    reason: str
    what: str
    cure: str
    since_ms: int


class Place(NamedTuple):
    """After a whole transaction: its number, where the source is read on, and what was captured."""

    epoch: int
    seq: int
    position: Position
    filter: str


class Opening(NamedTuple):
    """The control entry with which the stream begins. position: from where its epoch reads the log;
    None: from where it ended then, whatever was before.
    """

    id: Id
    position: Position | None


class Checkpoint(NamedTuple):
    """See the module."""

    fence: int
    head: Id
    place: Place
    stopped: Stopped | None
    at_ms: int
    opens: Opening | None = None

    @property
    def broken_off(self) -> bool:
        """Whether the stream ends inside a transaction."""
        return self.head[0] > self.place.seq


class Report(NamedTuple):
    """What a sink says of itself in the hash of sinks. offset None: it has nothing yet. why: it
    does not go on.
    """

    offset: Offset | None
    at_ms: int
    why: str = ""


def id_text(place: Id) -> str:
    return f"{place[0]}-{place[1]}"


def id_from(text: bytes | str) -> Id:
    """Ids compare as two numbers, never as text."""
    plain = text.decode() if isinstance(text, bytes) else text
    seq, _, chunk = plain.partition("-")
    return int(seq), int(chunk)


def position_bytes(position: Position) -> bytes:
    return orjson.dumps(position_json(position))


def checkpoint_from(fields: Mapping[bytes, bytes]) -> Checkpoint:
    """Raises KeyError or ValueError for what no collector wrote."""
    stopped = fields.get(b"stopped")
    place = Place(
        int(fields[b"epoch"]),
        int(fields[b"seq"]),
        position_from(orjson.loads(fields[b"position"])),
        fields[b"filter"].decode(),
    )
    return Checkpoint(
        int(fields[b"fence"]),
        id_from(fields[b"head"]),
        place,
        Stopped(**orjson.loads(stopped)) if stopped else None,
        int(fields[b"at_ms"]),
        _opening_from(fields.get(b"opens", b"")),
    )


def opening_bytes(opening: Opening | None) -> bytes:
    if opening is None:
        return b""
    position = opening.position
    told = None if position is None else position_json(position)
    return orjson.dumps({"id": opening.id, "position": told})


def _opening_from(text: bytes) -> Opening | None:
    if not text:
        return None
    found = orjson.loads(text)
    position = found["position"]
    seq, chunk = found["id"]
    return Opening((seq, chunk), None if position is None else position_from(position))


def stopped_bytes(stopped: Stopped | None) -> bytes:
    return b"" if stopped is None else orjson.dumps(stopped._asdict())


def report_bytes(report: Report) -> bytes:
    """Empty for a sink that has nothing yet."""
    if report.offset is None:
        return b""
    told: dict[str, Any] = report.offset._asdict()
    told |= {"position": position_json(report.offset.position), "at_ms": report.at_ms}
    told["why"] = report.why
    return orjson.dumps(told)


def report_from(text: bytes) -> Report:
    if not text:
        return Report(None, 0)
    told = orjson.loads(text)
    at_ms, why = int(told.pop("at_ms")), str(told.pop("why", ""))
    told["position"] = position_from(told["position"])
    return Report(Offset(**told), at_ms, why)


def following(offset: Offset) -> Id:
    """The entry a sink needs next."""
    return (offset.seq + 1, 0) if offset.whole else (offset.seq, offset.chunk + 1)


def whole_seq(offset: Offset) -> int:
    """The last transaction a sink has whole."""
    return offset.seq if offset.whole else offset.seq - 1


def is_there(wanted: Id, first: Id | None, head: Id) -> bool:
    """Whether an entry is still in the stream, or is yet to come. first: of the stream, None when
    it is empty.
    """
    return wanted > head if first is None else wanted >= first


def trim_before(offsets: list[Offset]) -> Id | None:
    """The first id that some sink has not read; nothing from there on may be removed."""
    return min((following(offset) for offset in offsets), default=None)
