"""Which node has which account's stream: a lease in Redis for each, all renewed in one step.

A lease is for order only: two nodes that hear one account tell the same fills twice, and identity
makes that harmless. So while Redis is away, nodes keep what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from shared.errors import Unavailable
from workers.lease import RELEASE

KEYS_AT_ONCE = 500

# Takes what is free, renews what is ours: 1 where it is ours now.
_HOLD = """
local held = {}
for number, key in ipairs(KEYS) do
  local owner = redis.call('get', key)
  if not owner or owner == ARGV[1] then
    redis.call('set', key, ARGV[1], 'PX', ARGV[2])
    held[number] = 1
  else
    held[number] = 0
  end
end
return held
"""
# Nodes by the time at which they count no more; returns how many there are.
_PRESENT = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('zadd', KEYS[1], now + ARGV[2], ARGV[1])
for _, gone in ipairs(redis.call('zrangebyscore', KEYS[1], '-inf', now)) do
  redis.call('zrem', KEYS[1], gone)
end
return #redis.call('zrange', KEYS[1], 0, -1)
"""


def nodes_key(prefix: str) -> str:
    """Sorted set: nodes by the time (ms) at which they count no more."""
    return f"{prefix}userstreams:nodes"


class Leases:
    """Of one node. redis: of the node's event loop. Every method raises Unavailable."""

    def __init__(self, redis: Any, prefix: str, owner: str, lease_ms: int) -> None:
        self._prefix = f"{prefix}userstreams:"
        self._nodes = nodes_key(prefix)
        self._owner = owner
        self._ms = lease_ms
        self._redis = redis
        self._hold = redis.register_script(_HOLD)
        self._release = redis.register_script(RELEASE)
        self._present = redis.register_script(_PRESENT)

    async def present(self) -> int:
        """Says that this node is there; how many are."""
        return int(await self._run(self._present, [self._nodes], self._ms))

    async def hold(self, account_ids: Sequence[int]) -> set[int]:
        """Those that are ours for the next lease_ms."""
        held: set[int] = set()
        for some in _pieces(account_ids):
            got = await self._run(self._hold, self._keys(some), self._ms)
            held |= {account_id for account_id, one in zip(some, got, strict=True) if one}
        return held

    async def release(self, account_ids: Sequence[int]) -> None:
        for some in _pieces(account_ids):
            await self._run(self._release, self._keys(some))

    async def leave(self) -> None:
        try:
            await self._redis.zrem(self._nodes, self._owner)
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis is away ({type(error).__name__})") from None

    async def close(self) -> None:
        await self._redis.aclose()

    def _keys(self, account_ids: Sequence[int]) -> list[str]:
        return [f"{self._prefix}{account_id}" for account_id in account_ids]

    async def _run(self, script: Any, keys: Sequence[str], *more: int) -> Any:
        try:
            return await script(keys=keys, args=[self._owner, *more])
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis is away ({type(error).__name__})") from None


def _pieces(account_ids: Sequence[int]) -> list[Sequence[int]]:
    return [
        account_ids[first : first + KEYS_AT_ONCE]
        for first in range(0, len(account_ids), KEYS_AT_ONCE)
    ]
