"""The change stream in Redis: the collector appends by compare-and-set, sinks read from their own
offset. Nothing but the script's own `ok` counts as success.

Redis and its connection being away is Unavailable: the outcome of an append is then unknown, and
whoever appended reads the checkpoint again. A reply that refuses is Unavailable too (the same work
succeeds once Redis is cured), but for a key of another type, which no waiting cures.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import orjson
from redis.exceptions import NoScriptError, RedisError, ResponseError

from shared.cdc.checkpoint import (
    Checkpoint,
    Id,
    Opening,
    Place,
    Report,
    Stopped,
    checkpoint_from,
    id_from,
    id_text,
    opening_bytes,
    position_bytes,
    report_bytes,
    report_from,
    stopped_bytes,
)
from shared.cdc.errors import SourceStopped
from shared.cdc.keys import cdc_keys
from shared.errors import Fenced, FleetError, Unavailable
from shared.redis_cluster import ask

if TYPE_CHECKING:
    from redis import Redis

_FOLDER = Path(__file__).with_name("lua")

# A producer is refused at the memory limit, before it writes anything. What frees memory, or says
# why nothing is appended, must work there too.
_PRODUCER = "#!lua\n"
_AT_THE_LIMIT_TOO = "#!lua flags=allow-oom\n"
_FREES = frozenset({"trim", "stop", "take"})

T = TypeVar("T")
Fields: TypeAlias = dict[bytes, bytes]


class Lost(FleetError):  # noqa: N818 - a state, not a mistake
    """Redis has not what it was given: emptied, cut back, or somebody removed a key."""


class Entry(NamedTuple):
    """One stream entry on its way: id, name of the payload's field (p or z), header, payload."""

    id: bytes
    name: bytes
    header: bytes
    payload: bytes


class Taken(NamedTuple):
    """What a collector finds when it takes over. agrees: the stream ends where the checkpoint says,
    so nothing of either is gone.
    """

    checkpoint: Checkpoint | None
    agrees: bool


class Extent(NamedTuple):
    """first: None when the stream is empty. bytes: memory as Redis estimates it."""

    first: Id | None
    length: int
    bytes: int


class Request(NamedTuple):
    """Something asked of the collector. kind: snapshot (of `tables`, () means all), restart
    (a new epoch from now on, because of `reason`), or recover (a restart, if the log does not go on
    from where the stream and every sink are).
    """

    id: str
    kind: str
    tables: tuple[str, ...]
    by: str
    reason: str = ""


class ChangeLog:
    """One collector's, sink's or command's view of the stream. Not thread-safe: as its client."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis = redis
        self.keys = cdc_keys(prefix)
        self._both = (self.keys.stream, self.keys.checkpoint)
        self._scripts: dict[str, tuple[str, str]] = {}

    # --- the collector ---

    def take(self) -> Taken:
        """Take the fence: from now on every other collector is refused."""
        last, *found = self._run("take", ())
        try:
            checkpoint = checkpoint_from(dict(zip(found[::2], found[1::2], strict=True)))
        except (KeyError, ValueError, TypeError):
            return Taken(None, agrees=False)  # nothing there, or nothing that says where to go on
        return Taken(checkpoint, agrees=last == id_text(checkpoint.head).encode())

    def append(
        self, known: Checkpoint, entries: Sequence[Entry], place: Place | None, now_ms: int
    ) -> Checkpoint:
        """All entries and the place, or nothing; returns the checkpoint as it is now.

        known: what the collector believes stands there. place: after the last transaction that is
        whole now, None when there is none. Without entries only the place moves.
        Raises Fenced and Lost: start again from `take`. Unavailable: nobody knows whether it was
        written, `take` tells.
        """
        self._run("append", _words(known.fence, known.head, entries, place, now_ms))
        head = _head(entries, known.head)
        return known._replace(head=head, place=place or known.place, at_ms=now_ms)

    def rewind(
        self,
        fence: int | None,
        after: Id,
        place: Place,
        now_ms: int,
        *,
        entries: Sequence[Entry] = (),
        opens: Opening | None = None,
    ) -> Checkpoint:
        """Empties the stream; it goes on after an id with `entries`, and the place is this one.

        fence: None when there is no checkpoint. opens: where entries begin an epoch. Raises as
        `append`.
        """
        known = "" if fence is None else fence
        words = _words(known, after, entries, place, now_ms, opens=opens)
        (found,) = self._run("rewind", words)
        return Checkpoint(int(found), _head(entries, after), place, None, now_ms, opens)

    def stop(self, fence: int, stopped: Stopped | None) -> None:
        """Why nothing is appended, for everybody who looks; None when it is cured."""
        self._run("stop", [fence, stopped_bytes(stopped)])

    def trim(self, fence: int, before: Id) -> int:
        """Removes entries below `before`; how many."""
        (removed,) = self._run("trim", [fence, id_text(before)])
        return int(removed)

    def extent(self) -> Extent:
        """What is in the stream, and how much memory it takes."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.xrange(self.keys.stream, count=1)
        pipe.xlen(self.keys.stream)
        pipe.memory_usage(self.keys.stream, samples=0)  # all of it, not the first five parts
        first, length, size = self._ask(pipe.execute)
        return Extent(id_from(first[0][0]) if first else None, int(length), int(size or 0))

    # --- sinks ---

    def read(self, after: bytes, count: int, block_ms: int) -> list[tuple[bytes, Fields]]:
        """At most `count` entries after an id, as they stand; waits up to block_ms for the first.

        envelope.decode makes a Chunk of each. An entry may be half a megabyte.
        """
        words: list[Any] = ["XREAD", "COUNT", count]
        if block_ms > 0:
            words += ["BLOCK", block_ms]
        words += ["STREAMS", self.keys.stream, after]
        # Replies as nested lists: a dict per entry is made once, by us.
        reply = self._ask(lambda: ask(self.redis, words, self.keys.stream))
        if not reply:
            return []
        streams = reply.items() if isinstance(reply, dict) else reply  # RESP3 sends a map
        return [
            (entry_id, dict(zip(flat[::2], flat[1::2], strict=True)))
            for _, entries in streams
            for entry_id, flat in entries
        ]

    def report(self, sink: str, report: Report) -> None:
        """What a sink has: where the collector begins when Redis lost everything else."""
        self._ask(lambda: self.redis.hset(self.keys.sinks, sink, report_bytes(report)))

    def reports(self) -> dict[str, Report]:
        found: Any = self._ask(lambda: self.redis.hgetall(self.keys.sinks))
        return {name.decode(): report_from(text) for name, text in found.items()}

    # --- anybody ---

    def look(self) -> Checkpoint | None:
        """The checkpoint as it stands; None when there is none."""
        found: Any = self._ask(lambda: self.redis.hgetall(self.keys.checkpoint))
        return checkpoint_from(found) if b"head" in found else None

    def first_from(self, start: Id) -> tuple[bytes, Fields] | None:
        """The first entry from an id on, for those who only look; None: there is none yet."""
        found: Any = self._ask(
            lambda: self.redis.xrange(self.keys.stream, min=id_text(start), count=1)
        )
        return found[0] if found else None

    def owner(self) -> str | None:
        """Which collector has the lease."""
        found: Any = self._ask(lambda: self.redis.get(self.keys.lease))
        return found.decode() if found else None

    def request(self, kind: str, by: str, tables: Sequence[str] = (), reason: str = "") -> Request:
        """Asks something of the collector; it does it in order, also after a restart."""
        asked = Request(secrets.token_hex(8), kind, tuple(tables), by, reason)
        text = orjson.dumps(asked._asdict())
        self._ask(lambda: self.redis.rpush(self.keys.requests, text))
        return asked

    def requests(self) -> list[Request]:
        """Everything that is asked and not done yet, oldest first."""
        found: Any = self._ask(lambda: self.redis.lrange(self.keys.requests, 0, -1))
        return [_request(orjson.loads(text)) for text in found]

    def done(self, request: Request) -> None:
        """Takes a request off the list."""
        found: Any = self._ask(lambda: self.redis.lrange(self.keys.requests, 0, -1))
        for text in found:
            if orjson.loads(text)["id"] == request.id:
                self._ask(partial(self.redis.lrem, self.keys.requests, 1, text))

    # --- Redis ---

    def _run(self, name: str, words: Sequence[bytes | str | int]) -> list[bytes]:
        """One script; its reply behind `ok`."""
        reply = self._ask(lambda: self._evalsha(name, words))
        word, *rest = reply
        if word == b"ok":
            return list(rest)
        told = rest[0].decode(errors="replace")
        if word == b"fenced":
            raise Fenced(f"another collector took over ({told})")
        if word == b"lost":
            raise Lost(f"Redis does not hold what it was given, it ends at {told or 'nothing'}")
        if word == b"wrong":
            raise _wrong_type(told)
        if word == b"refused":
            raise Unavailable(f"Redis refuses {told} to this user: fleet doctor --grants")
        raise RuntimeError(f"{name}: {word!r} {told}")

    def _evalsha(self, name: str, words: Sequence[bytes | str | int]) -> Any:
        text, sha = self._script(name)
        say: Any = self.redis.execute_command
        try:
            return say("EVALSHA", sha, 2, *self._both, *words)
        except NoScriptError:  # another server, or one that was restarted: nothing was run
            return say("EVAL", text, 2, *self._both, *words)

    def _script(self, name: str) -> tuple[str, str]:
        found = self._scripts.get(name)
        if found is None:
            kind = _AT_THE_LIMIT_TOO if name in _FREES else _PRODUCER
            common = (_FOLDER / "common.lua").read_text(encoding="utf-8")
            text = kind + common + (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            found = self._scripts[name] = (text, sha)
        return found

    def _ask(self, act: Callable[[], T]) -> T:
        """Errors of Redis as ours: no reply but a good one is a success."""
        try:
            return act()
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise _wrong_type(self.keys.stream) from error
            raise Unavailable(f"Redis refuses, {type(error).__name__}: {error}") from error
        except RedisError as error:
            raise Unavailable(f"Redis: {error}") from error


def _head(entries: Sequence[Entry], before: Id) -> Id:
    return id_from(entries[-1].id) if entries else before


def _words(
    fence: int | str,
    before: Id,
    entries: Sequence[Entry],
    place: Place | None,
    now_ms: int,
    *,
    opens: Opening | None = None,
) -> list[bytes | str | int]:
    """Arguments of `append` and `rewind`."""
    head = id_text(_head(entries, before))
    words: list[bytes | str | int] = [fence, id_text(before), head, now_ms]
    if place is None:
        words += ("", "", "", "")
    else:
        words += (place.epoch, place.seq, position_bytes(place.position), place.filter)
    words.append(opening_bytes(opens))
    for entry in entries:
        words += entry
    return words


def _request(found: dict[str, Any]) -> Request:
    tables = tuple(found.get("tables") or ())
    return Request(found["id"], found["kind"], tables, found["by"], found.get("reason", ""))


def _wrong_type(key: str) -> SourceStopped:
    return SourceStopped(
        "redis_wrong_type",
        f"{key} in Redis holds something that no collector wrote",
        f"See what it is (TYPE {key}), then RENAME or DEL it: the log is read again from what the "
        "sinks have",
    )
