from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from shared.endpoints import RedisSettings


@pytest.fixture
def redis_where(servers: Mapping[str, str]) -> RedisSettings:
    """The Redis of the tests."""
    password = servers.get("REDIS_PASSWORD")
    return RedisSettings(
        host=servers["REDIS_HOST"],
        port=int(servers["REDIS_PORT"]),
        password=SecretStr(password) if password else None,
    )
