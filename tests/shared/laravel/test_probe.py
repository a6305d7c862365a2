from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from shared.endpoints import RedisSettings
from shared.errors import SettingsError
from shared.laravel.probe import keys_begin_with
from shared.settings import Settings, load


@pytest.fixture
def app() -> str:
    return f"Desk {uuid.uuid4().hex[:10]}"


@pytest.fixture
def put(servers: Mapping[str, str]) -> Iterator[Callable[[int, str], None]]:
    """Writes a key of the application into a database; all of them go afterwards."""
    written: list[tuple[int, str]] = []

    def client(database: int) -> redis_py.Redis:
        return redis_py.Redis(
            port=int(servers["REDIS_PORT"]), password=servers["REDIS_PASSWORD"], db=database
        )

    def write(database: int, key: str) -> None:
        with closing(client(database)) as redis:
            redis.set(key, 1)
        written.append((database, key))

    yield write
    for database, key in written:
        with closing(client(database)) as redis:
            redis.delete(key)


@pytest.fixture
def start(servers: Mapping[str, str], app: str, tmp_path: Path) -> Callable[[], Settings]:
    environ = {k: v for k, v in servers.items() if k.startswith(("DB_", "REDIS_"))}
    environ |= {"APP_NAME": app, "FLEET_ENV_FILE": str(tmp_path / ".env")}
    environ.pop("REDIS_PREFIX", None)
    (tmp_path / ".env").touch()
    return partial(load, "cli", environ)


@pytest.mark.parametrize(
    "written",
    [(0, "queues:default:notify"), (0, "queues:emails"), (0, "fleet:partitions"), (1, "cache_:x")],
)
@pytest.mark.parametrize("separator", ["_", "-"])
def test_the_prefix_under_which_laravel_has_keys_is_taken(
    app: str,
    put: Callable[[int, str], None],
    start: Callable[[], Settings],
    written: tuple[int, str],
    separator: str,
) -> None:
    prefix = app.lower().replace(" ", separator) + f"{separator}database{separator}"
    put(written[0], prefix + written[1])
    assert start().prefix == prefix


def test_no_key_at_all_refuses_to_start(start: Callable[[], Settings]) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_PREFIX=desk_\w+ or REDIS_PREFIX=desk-"):
        start()


def test_keys_under_both_refuse_to_start(
    app: str, put: Callable[[int, str], None], start: Callable[[], Settings]
) -> None:
    for separator in "_-":
        put(0, app.lower().replace(" ", separator) + f"{separator}database{separator}queues:a")
    with pytest.raises(SettingsError, match="more than one"):
        start()


def test_a_redis_that_is_away_says_what_to_write() -> None:
    away: Any = RedisSettings(port=1)
    with pytest.raises(SettingsError, match="REDIS_PREFIX="):
        keys_begin_with((away,), ("default",), "p")
