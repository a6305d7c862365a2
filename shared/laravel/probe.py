"""Asks Redis which prefix Laravel uses, when settings leave it open."""

from __future__ import annotations

import re
from collections.abc import Sequence

import redis

from shared.endpoints import RedisSettings
from shared.errors import SettingsError
from shared.laravel.naming import keys_of_laravel
from shared.redis_clients import client as client_of

# 500 rounds of 1,000 keys: half a second at a desk, and an end on a Redis with 100 million keys.
_ROUNDS = 500
_KEYS_PER_ROUND = 1000
_SECONDS = 5.0


def keys_begin_with(databases: Sequence[RedisSettings], queues: Sequence[str], prefix: str) -> bool:
    """Whether any key of these databases begins with prefix.

    First the keys Laravel's queues must have, then a bounded scan. Raises SettingsError when Redis
    does not answer: then the prefix must be written down.
    """
    try:
        return any(_seen(database, queues, prefix) for database in databases)
    except redis.RedisError as error:
        raise SettingsError(
            f"Redis at {databases[0].server} could not be asked for Laravel's key prefix "
            f"({type(error).__name__}): start it, or write REDIS_PREFIX=..."
        ) from None


def _seen(database: RedisSettings, queues: Sequence[str], prefix: str) -> bool:
    with client_of(database, "fleet-probe", _SECONDS) as client:
        if client.exists(*keys_of_laravel(prefix, queues)):
            return True
        cursor = 0
        for _ in range(_ROUNDS):
            cursor, keys = client.scan(cursor, match=_literal(prefix) + "*", count=_KEYS_PER_ROUND)
            if keys:
                return True
            if cursor == 0:
                return False
    return False


def _literal(text: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
