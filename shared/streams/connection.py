"""Redis clients for streams and leases.

redis-py retries by itself since 8.0: an XADD whose reply was lost is then sent twice, and a read
whose reply was lost skips entries. Our loops know what is safe to repeat, so retries are off.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.endpoints import RedisSettings
from shared.errors import SettingsError

CONNECT_SECONDS = 5.0
CONTROL_SECONDS = 5.0
BLOCK_MARGIN_SECONDS = 2.0  # a socket timeout below the BLOCK time looks like a lost server


def data_client(where: RedisSettings, name: str, *, block_ms: int = 0) -> redis.Redis:
    """For one thread that reads or appends streams; bytes in and out.

    block_ms: the longest BLOCK it will ask for. name: the role, shown by CLIENT LIST.
    Raises SettingsError when hiredis is missing: without it reading is half as fast.
    """
    require_hiredis()
    return _client(where, name, max(CONTROL_SECONDS, block_ms / 1000 + BLOCK_MARGIN_SECONDS))


def control_client(where: RedisSettings, name: str) -> redis.Redis:
    """For leases, membership and questions: short commands, never blocking."""
    return _client(where, name, CONTROL_SECONDS)


def require_hiredis() -> None:
    if find_spec("hiredis") is None:
        raise SettingsError("hiredis is not installed: pip install 'redis[hiredis]'")


def _client(where: RedisSettings, name: str, timeout: float) -> redis.Redis:
    # No URL: a socket path, TLS and odd passwords go through as they are.
    options: dict[str, Any] = {
        "username": where.username,
        "password": where.password.get_secret_value() if where.password else None,
        "db": where.database,
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
        # Redis refuses spaces and control characters in a client's name.
        "client_name": re.sub(r"[^!-~]", "_", name),
    }
    if where.socket:
        kind: type[Any] = redis.UnixDomainSocketConnection
        options["path"] = where.socket
    else:
        kind = redis.SSLConnection if where.tls else redis.Connection
        options |= {"host": where.host, "port": where.port, "socket_keepalive": True}
    return redis.Redis.from_pool(redis.ConnectionPool(connection_class=kind, **options))
