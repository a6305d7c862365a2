"""A role that is drained takes no work until it is told to go on; what it has in hand, it finishes.

`fleet drain ROLE` leaves a mark in the broker's Redis. Each process of the role looks at it once a
second and says there what it still holds, so it works wherever the processes run and whoever
supervises them, and a process that starts meanwhile takes nothing either. While Redis is away
everybody stays as they were; a Redis that lost its memory forgets the mark, and the role goes on.

    {broker's prefix}drain:{role}   hash: `asked` = since when and why, `node:NAME` = when, holds
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from shared.errors import Unavailable

LOOK_SECONDS = 1.0
SILENT_MS = 10_000
"""A node that has said nothing for so long is not there."""

DRAINABLE: Mapping[str, str] = {
    "streams": "FleetPartitionUnowned",
    "relay": "FleetOutboxOld",
    "laravel": "FleetLaravelQueueOld",
    "jobs": "FleetScheduleLate",
    "sync": "FleetSyncOverdue",
    "userstreams": "FleetStreamsDown",
    "rq": "FleetOperatorJobsFail",
    "collector": "FleetCaptureLag",
    "audit": "FleetSinkBehind",
    "timescale": "FleetSinkBehind",
}
"""Roles that take work, and the alert that comes of it where one rests for long. The others hold
nothing: they are stopped as they are.
"""

_ASKED = "asked"
_NODE = "node:"
# Redis at its memory limit refuses every write: then nobody would hear the mark.
_BEGIN = (
    "#!lua flags=allow-oom\n"
    "local time = redis.call('TIME') "
    "local now = time[1] * 1000 + math.floor(time[2] / 1000) "
)
# A node says when, whether it has heard and what it holds; those that are silent are forgotten.
_TELL = _BEGIN + (
    "redis.call('HSET', KEYS[1], 'node:' .. ARGV[1],"
    " string.format('%.0f', now) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]) "
    "local all = redis.call('HGETALL', KEYS[1]) "
    "for place = 1, #all, 2 do "
    "  if string.sub(all[place], 1, 5) == 'node:' "
    "      and now - tonumber(string.match(all[place + 1], '^%d+')) > tonumber(ARGV[4]) then "
    "    redis.call('HDEL', KEYS[1], all[place]) "
    "  end "
    "end "
    "return redis.call('HGET', KEYS[1], 'asked')"
)
_ASK = _BEGIN + (
    "if redis.call('HEXISTS', KEYS[1], 'asked') == 0 then "
    "  redis.call('HSET', KEYS[1], 'asked',"
    " cjson.encode({since_ms = string.format('%.0f', now), why = ARGV[1]})) "
    "end "
    "return redis.call('HGET', KEYS[1], 'asked')"
)
_LOOK = _BEGIN + "return {string.format('%.0f', now), redis.call('HGETALL', KEYS[1])}"


class Drain(NamedTuple):
    """What an operator asked for. why: may be empty."""

    since_ms: int
    why: str


class Node(NamedTuple):
    """A running process of the role. heard: it knows that the role is drained. holds: partitions,
    jobs, accounts or batches in its hands, or that are on their way there.
    """

    name: str
    heard: bool
    holds: int


class RoleDrain(NamedTuple):
    asked: Drain | None
    nodes: tuple[Node, ...]

    @property
    def done(self) -> bool:
        """Nobody of the role holds anything, and nobody will take anything."""
        return self.asked is not None and all(one.heard and not one.holds for one in self.nodes)


class Gate:
    """Whether this process may take work; loops look at it before they do.

    held: told by the loops' owner; what it says must count what they are about to take.
    """

    def __init__(self) -> None:
        self.closed = False
        self.held: Callable[[], int] = lambda: 0

    def is_closed(self) -> bool:
        return self.closed


def never() -> bool:
    """For what runs without a gate."""
    return False


class Attendance(threading.Thread):
    """Keeps a process' gate as the mark says, and says what the process holds."""

    def __init__(
        self,
        connect: Callable[[], Redis],
        key: str,
        node: str,
        gate: Gate,
        *,
        log: Callable[..., None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        super().__init__(name="fleet-attendance", daemon=True)
        self._connect = connect
        self._key = key
        self._node = node
        self._gate = gate
        self._log = log
        self._look_seconds = look_seconds
        self._redis: Redis | None = None
        self._holds = 1
        self._said = ""
        self._stopping = threading.Event()

    def run(self) -> None:
        while True:
            try:
                self.turn()
            except RedisError as error:
                self._redis = None
                if str(error) != self._said:  # once, not every second
                    self._said = str(error)
                    self._log("drain_unknown", error=self._said)
            if self._stopping.wait(self._look_seconds):
                break
        self._leave()

    def stop(self) -> None:
        """The node says nothing more: it is about to end."""
        self._stopping.set()

    def turn(self) -> None:
        """One look. Nothing is held only if two say so: a loop may be just behind the gate."""
        heard, before = self._gate.closed, self._holds
        self._holds = self._gate.held()
        holds = max(before, self._holds) if heard else max(self._holds, 1)
        self._redis = self._redis or self._connect()
        mark: Any = self._redis.eval(_TELL, 1, self._key, self._node, int(heard), holds, SILENT_MS)
        if heard != (mark is not None):
            self._gate.closed = mark is not None
            self._holds = 1
            self._log("drained" if mark else "undrained", node=self._node)

    def _leave(self) -> None:
        if self._redis is None:
            return
        try:
            self._redis.hdel(self._key, f"{_NODE}{self._node}")
            self._redis.close()
        except RedisError as error:
            # It is forgotten after SILENT_MS.
            self._log("left_without_goodbye", error=str(error))


def drain_key(broker_prefix: str, role: str) -> str:
    return f"{broker_prefix}drain:{role}"


def ask(redis: Redis, key: str, why: str) -> Drain:
    """The role shall take no work; asked again, the first time stands."""
    try:
        reply: Any = redis.eval(_ASK, 1, key, why)
    except RedisError as error:
        raise Unavailable(f"the broker's Redis: {error}") from error
    return _drain(reply)


def cancel(redis: Redis, key: str) -> bool:
    """The role goes on; whether it was drained."""
    try:
        gone: Any = redis.hdel(key, _ASKED)
    except RedisError as error:
        raise Unavailable(f"the broker's Redis: {error}") from error
    return bool(gone)


def asked(redis: Redis, key: str) -> Drain | None:
    """Whether the role is drained; for whoever may only read. Raises RedisError."""
    found: Any = redis.hget(key, _ASKED)
    return None if found is None else _drain(found)


def look(redis: Redis, key: str) -> RoleDrain:
    """How far it is. Nodes that are silent are left out."""
    try:
        reply: Any = redis.eval(_LOOK, 1, key)
    except RedisError as error:
        raise Unavailable(f"the broker's Redis: {error}") from error
    now, flat = int(reply[0]), reply[1]
    return read(dict(zip(flat[::2], flat[1::2], strict=True)), now)


def read(fields: Mapping[bytes, bytes], now_ms: int) -> RoleDrain:
    """The hash of a role, at a time of Redis' own clock."""
    told, nodes = None, list[Node]()
    for field, value in sorted(fields.items()):
        name = field.decode()
        if name == _ASKED:
            told = _drain(value)
        elif name.startswith(_NODE):
            at, heard, holds = map(int, value.split())
            if now_ms - at <= SILENT_MS:
                nodes.append(Node(name.removeprefix(_NODE), bool(heard), holds))
    return RoleDrain(told, tuple(nodes))


def _drain(value: bytes) -> Drain:
    told = json.loads(value)
    return Drain(int(told["since_ms"]), str(told["why"]))
