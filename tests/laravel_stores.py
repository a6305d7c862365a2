"""Laravel's cache stores, each as real PHP writes it and as we read it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from shared.laravel.cache import CacheStore, DatabaseCache, FileCache, RedisCache
from shared.mysql.connection import connect, transaction
from shared.settings import Settings
from shared.streams.connection import control_client
from tests.laravel_world import LaravelWorld

STORE_NAMES = ("redis", "database", "file")

# Every store as a Laravel configuration has it; `say` answers with a line.
STORES = """
umask(0);
$folder = json_decode(fgets(STDIN)); $store = json_decode(fgets(STDIN));
$app->useStoragePath($folder);
config([
    'cache.stores.file' => ['driver' => 'file', 'path' => "$folder/framework/cache/data"],
    'cache.stores.database' => ['driver' => 'database', 'table' => 'cache', 'connection' => null],
    'cache.default' => $store,
]);
use Illuminate\\Support\\Facades\\Cache;
use Illuminate\\Support\\Facades\\Artisan;
"""


class Storage(NamedTuple):
    """The application's storage folder: here, and where PHP sees it in its root."""

    path: Path
    inside: str


class Store(NamedTuple):
    """One store of the application: as we see it, and as PHP does. settings: that name it."""

    name: str
    ours: CacheStore
    world: LaravelWorld
    storage: Storage
    settings: Settings

    @property
    def version(self) -> tuple[int, int]:
        assert self.settings.laravel.version
        major, minor, *_ = self.settings.laravel.version
        return major, minor

    def php(self, code: str) -> list[Any]:
        return self.world.php(STORES + code, self.storage.inside, self.name)


@contextmanager
def open_storage(servers: Mapping[str, str]) -> Iterator[Storage]:
    """Files in it belong to both sides, as in a deployment with one group."""
    inside = f"/tmp/fleet-{uuid.uuid4().hex}"  # noqa: S108 - of the root, and nobody guesses it
    path = Path(servers["SERVERS_ROOT"] + inside)
    before = os.umask(0)
    (path / "framework" / "cache" / "data").mkdir(parents=True)
    try:
        yield Storage(path, inside)
    finally:
        os.umask(before)
        shutil.rmtree(path)


@contextmanager
def open_store(
    name: str, world: LaravelWorld, settings_for: Callable[..., Settings], storage: Storage
) -> Iterator[Store]:
    """As the role `laravel`."""
    (version,) = world.php("echo json_encode($app->version()), PHP_EOL;")
    settings = settings_for(
        "laravel",
        CACHE_STORE=name,
        CACHE_PREFIX="cache",
        FLEET_LARAVEL_VERSION=version,
        FLEET_LARAVEL_STORAGE=str(storage.path),
    )
    prefixes = settings.cache.prefixes
    with (
        closing(connect(settings.mysql)) as connection,
        closing(control_client(settings.cache.redis, "test")) as values,
        closing(control_client(settings.redis, "test")) as locks,
    ):
        redis: Any = world.redis
        stores: dict[str, CacheStore] = {
            "redis": RedisCache(values, locks, [settings.prefix + one for one in prefixes]),
            "database": DatabaseCache(
                partial(transaction, connection), settings.mysql.laravel_database, prefixes
            ),
            "file": FileCache(storage.path, lambda: redis.time()[0]),
        }
        yield Store(name, stores[name], world, storage, settings)
