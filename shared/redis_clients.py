"""Redis clients from settings: TCP, TLS, a socket, behind Sentinel, or a cluster.

redis-py retries by itself since 8.0: an XADD whose reply was lost is then sent twice, and a read
whose reply was lost skips entries. Our loops know what is safe to repeat, so retries are off.
"""

from __future__ import annotations

import re
from typing import Any, cast

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.endpoints import RedisSettings
from shared.redis_cluster import ClusterClient

CONNECT_SECONDS = 5.0
SENTINEL_SECONDS = 1.0
"""For one sentinel's answer; the next one is asked then."""


def client(where: RedisSettings, name: str, timeout: float | None) -> redis.Redis:
    """name: shown by CLIENT LIST. timeout: seconds for one answer.

    Behind Sentinel every new connection asks where the primary is. A cluster's client takes the
    same commands; see shared/redis_cluster.py for what several keys need.
    """
    options = {**_login(where), **_common(name, timeout), "retry": Retry(NoBackoff(), 0)}
    if where.is_cluster:
        del options["retry"]
        return cast("redis.Redis", ClusterClient(where.nodes, **options, **_tls(where)))
    options["db"] = where.database
    if where.sentinels:
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            where.sentinels.addresses, sentinel_kwargs=sentinel_options(where), **_tls(where)
        )
        return cast("redis.Redis", sentinel.master_for(where.sentinels.service, **options))
    if where.socket:
        kind: type[Any] = redis.UnixDomainSocketConnection
        options["path"] = where.socket
        del options["socket_keepalive"]
    else:
        kind = redis.SSLConnection if where.tls else redis.Connection
        options |= {"host": where.host, "port": where.port}
        options |= tls_options(where) if where.tls else {}
    # No URL: a socket path, TLS and odd passwords go through as they are.
    return redis.Redis.from_pool(redis.ConnectionPool(connection_class=kind, **options))


def async_client(where: RedisSettings, name: str, timeout: float | None) -> aioredis.Redis:
    """Likewise, of the event loop that makes it. Not for a cluster."""
    options: dict[str, Any] = {
        **_login(where), **_common(name, timeout), "db": where.database,
        "retry": AsyncRetry(NoBackoff(), 0),
    }  # fmt: skip
    if where.sentinels:
        sentinel: Any = AsyncSentinel(  # type: ignore[no-untyped-call]
            where.sentinels.addresses, sentinel_kwargs=sentinel_options(where), **_tls(where)
        )
        return cast("aioredis.Redis", sentinel.master_for(where.sentinels.service, **options))
    if where.socket:
        del options["socket_keepalive"]
        return aioredis.Redis(unix_socket_path=where.socket, **options)
    return aioredis.Redis(host=where.host, port=where.port, **_tls(where), **options)


def tls_options(where: RedisSettings) -> dict[str, Any]:
    """The server's certificate is checked, its name too: there is no setting that leaves it out."""
    files = where.certificates
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": files.ca,
        "ssl_certfile": files.certificate,
        "ssl_keyfile": files.key,
    }


def sentinel_options(where: RedisSettings) -> dict[str, Any]:
    """Of the connections to the sentinels themselves."""
    assert where.sentinels is not None
    password = where.sentinels.password
    return {
        "username": where.sentinels.username,
        "password": password.get_secret_value() if password else None,
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        **_tls(where),
    }


def _tls(where: RedisSettings) -> dict[str, Any]:
    return {"ssl": True, **tls_options(where)} if where.tls else {}


def _login(where: RedisSettings) -> dict[str, Any]:
    return {
        "username": where.username,
        "password": where.password.get_secret_value() if where.password else None,
    }


def _common(name: str, timeout: float | None) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "decode_responses": False,
        # Redis refuses spaces and control characters in a client's name.
        "client_name": re.sub(r"[^!-~]", "_", name),
    }
