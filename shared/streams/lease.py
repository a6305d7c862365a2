"""Leases and membership in Redis: liveness only. Safety is the epoch in the sink's database.

Keys (the lease shares its stream's hash tag, so both stand in one cluster slot):
    {prefix}streams:{orders:3}:lease:{consumer}   value = node, PX = LEASE_MS
    {prefix}fleet:members:{consumer}              sorted set, score = Redis' own clock in ms
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shared.streams.assignment import PartitionId
from shared.streams.keys import stream_key

if TYPE_CHECKING:
    from redis import Redis

LEASE_MS = 5_000
"""A node that is silent for this long may be replaced. Renewed every BEAT_SECONDS."""

BEAT_SECONDS = 0.4
"""Pause between heartbeats: a released or expired lease is seen well within a second."""

_AT_THE_LIMIT_TOO = "#!lua flags=allow-oom\n"
"""Redis at its memory limit refuses every SET: then nobody could take over from a node that died,
nothing would be read, and nothing trimmed. A lease is some hundred bytes. Redis 7 and Valkey 7."""

_RENEW = (
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end "
    "return 0"
)
_ACQUIRE = _AT_THE_LIMIT_TOO + (
    "local owner=redis.call('GET',KEYS[1]) "
    "if owner==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end "
    "if owner then return 0 end "
    "redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1"
)
_ANNOUNCE = _AT_THE_LIMIT_TOO + (
    "local now=redis.call('TIME') "
    "local ms=now[1]*1000+math.floor(now[2]/1000) "
    "redis.call('ZADD',KEYS[1],string.format('%.0f',ms),ARGV[1]) "
    "redis.call('ZREMRANGEBYSCORE',KEYS[1],'-inf',string.format('%.0f',ms-ARGV[2])) "
    "return redis.call('ZRANGE',KEYS[1],0,-1)"
)
_RELEASE = (
    "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0"
)


class Leases:
    """The leases of one node for one consumer. Not thread-safe: one instance per thread."""

    def __init__(self, redis: Redis, prefix: str, consumer: str, node: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._consumer = consumer
        self._node = node
        self._members = f"{prefix}fleet:members:{consumer}"

    def key(self, partition: PartitionId) -> str:
        stream = stream_key(self._prefix, partition.stream, partition.number)
        return f"{stream}:lease:{self._consumer}"

    def announce(self) -> list[str]:
        """Say that this node lives; forget the silent; return the live nodes."""
        members: Any = self._redis.eval(_ANNOUNCE, 1, self._members, self._node, LEASE_MS)
        return [member.decode() for member in members]

    def renew(self, partitions: Iterable[PartitionId]) -> set[PartitionId]:
        """Extend what is held; return what turned out to be lost."""
        held = list(partitions)
        pipe: Any = self._redis.pipeline(transaction=False)
        for partition in held:
            pipe.execute_command("EVAL", _RENEW, 1, self.key(partition), self._node, LEASE_MS)
        replies = pipe.execute() if held else []
        return {partition for partition, reply in zip(held, replies, strict=True) if not reply}

    def acquire(self, partition: PartitionId) -> bool:
        """True when the lease is this node's now (it may have been already)."""
        return bool(self._redis.eval(_ACQUIRE, 1, self.key(partition), self._node, LEASE_MS))

    def release(self, partitions: Iterable[PartitionId]) -> None:
        pipe: Any = self._redis.pipeline(transaction=False)
        for partition in partitions:
            pipe.execute_command("EVAL", _RELEASE, 1, self.key(partition), self._node)
        pipe.execute()

    def leave(self) -> None:
        """Withdraw from the members, so that the others take over at once."""
        self._redis.zrem(self._members, self._node)
