from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest
import redis as redis_py

from shared.endpoints import RedisSettings
from shared.errors import SettingsError
from shared.settings import Settings
from shared.streams import connection
from shared.streams.connection import control_client, data_client


def test_a_reader_may_block_longer_than_the_usual_timeout(settings: Settings) -> None:
    with closing(data_client(settings.streams_redis, "tests", block_ms=9_000)) as client:
        options = client.connection_pool.connection_kwargs
        assert options["socket_timeout"] == 11
    with closing(data_client(settings.streams_redis, "tests", block_ms=100)) as client:
        key = f"{settings.prefix}streams:{{x:0}}"
        assert not client.xread({key: "0-0"}, block=100)
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 5


@pytest.mark.parametrize("make", [data_client, control_client])
def test_nothing_is_retried_and_bytes_come_back(settings: Settings, make: Any) -> None:
    with closing(make(settings.streams_redis, "fleet streams\n")) as client:
        assert client.get_retry().get_retries() == 0
        client.set(f"{settings.prefix}fleet:partitions", "4")
        assert client.get(f"{settings.prefix}fleet:partitions") == b"4"


def test_clients_are_named(settings: Settings, redis_root: Any) -> None:
    with closing(control_client(settings.streams_redis, "fleet streams")) as client:
        client.ping()
        assert "fleet_streams" in {row["name"] for row in redis_root.client_list()}


@pytest.mark.parametrize(
    "where",
    [RedisSettings(port=1), RedisSettings(socket="/nonexistent"), RedisSettings(host="no.invalid")],
)
def test_a_server_that_is_away_fails_at_once(where: RedisSettings) -> None:
    begun = time.monotonic()
    with closing(data_client(where, "tests")) as client, pytest.raises(redis_py.ConnectionError):
        client.ping()
    assert time.monotonic() - begun < 5


def test_tls_is_used_where_laravel_uses_it() -> None:
    with closing(control_client(RedisSettings(tls=True), "tests")) as client:
        assert client.connection_pool.connection_class is redis_py.SSLConnection


def test_reading_without_hiredis_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="pip install"):
        data_client(RedisSettings(), "tests")
