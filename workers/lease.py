"""A scheduled run takes a lease: a double beat or a redelivered message is counted and skipped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from redis import Redis

from shared.redis_clients import client
from shared.settings import Settings

LEASE = timedelta(seconds=660)
"""Longer than any task may run, so that a lease never ends under its owner."""
TAKE = """
local taken = {}
for place, key in ipairs(KEYS) do
  taken[place] = redis.call('set', key, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
end
return taken
"""
"""KEYS: leases. ARGV: who wants them, and for how long (ms). Reply: 1 for each that was free."""

RELEASE = """
for _, key in ipairs(KEYS) do
  if redis.call('get', key) == ARGV[1] then redis.call('del', key) end
end
"""
"""KEYS: leases. ARGV: their owner; those that are another's by now stay."""


def broker_redis(settings: Settings, *, socket_timeout: float = 10.0) -> Redis:
    """A client of the broker's Redis. Retries are off: a retried SET NX would refuse itself."""
    return client(settings.broker, "fleet-broker", socket_timeout)


def last_success_key(settings: Settings) -> str:
    """Hash task -> seconds since 1970: the dead-man's switch of every schedule."""
    return f"{settings.broker_prefix}last_success"


def running_key(settings: Settings, name: str) -> str:
    """The lease of a scheduled task: there while somebody is at it."""
    return f"{settings.broker_prefix}running:{name}"


def run_once(
    settings: Settings, name: str, work: Callable[[], int], lease: timedelta = LEASE
) -> int | None:
    """`work()` under the lease of `name`; None if somebody else is at it."""
    redis = broker_redis(settings)
    key, owner = running_key(settings, name), secrets.token_hex(8)
    try:
        if not redis.set(key, owner, nx=True, px=lease):
            return None
        try:
            done = work()
            redis.hset(last_success_key(settings), name, str(int(time.time())))
        finally:
            redis.eval(RELEASE, 1, key, owner)
        return done
    finally:
        redis.close()
