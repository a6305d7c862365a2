"""Redis clients for streams and leases."""

from __future__ import annotations

from importlib.util import find_spec

import redis

from shared.endpoints import RedisSettings
from shared.errors import SettingsError
from shared.redis_clients import client

CONTROL_SECONDS = 5.0
BLOCK_MARGIN_SECONDS = 2.0  # a socket timeout below the BLOCK time looks like a lost server


def data_client(where: RedisSettings, name: str, *, block_ms: int = 0) -> redis.Redis:
    """For one thread that reads or appends streams; bytes in and out.

    block_ms: the longest BLOCK it will ask for. name: the role, shown by CLIENT LIST.
    Raises SettingsError when hiredis is missing: without it reading is half as fast.
    """
    require_hiredis()
    return client(where, name, max(CONTROL_SECONDS, block_ms / 1000 + BLOCK_MARGIN_SECONDS))


def control_client(where: RedisSettings, name: str) -> redis.Redis:
    """For leases, membership and questions: short commands, never blocking."""
    return client(where, name, CONTROL_SECONDS)


def require_hiredis() -> None:
    if find_spec("hiredis") is None:
        raise SettingsError("hiredis is not installed: pip install 'redis[hiredis]'")
