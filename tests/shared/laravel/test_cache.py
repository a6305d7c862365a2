"""The application's cache, written by real PHP and read here, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.laravel.cache import (
    DAY_SECONDS,
    CacheStore,
    DatabaseCache,
    FileCache,
    RedisCache,
    Unreachable,
    UnreachableCache,
)
from shared.laravel.locks import unique_lock_names
from shared.mysql.connection import connect, transaction
from tests.laravel_stores import STORES, Storage, Store
from tests.laravel_world import LaravelWorld
from tests.own_redis import own_redis

database = pytest.mark.database
RESTART = "illuminate:queue:restart"
NOW = 1_795_314_407

# -- reading ---------------------------------------------------------------------------------------


VALUES: dict[str, Any] = {
    "int": 1_795_314_407, "negative": -5, "zero": 0, "true": True, "false": False,
    "text": "a-b", "list": [1, {"a": None}],
}  # fmt: skip
# A name that a role `laravel` may look at, as every signal has it.
NAMED = "illuminate:"


@database
def test_what_php_puts_there_is_read(store: Store) -> None:
    store.php(
        f"foreach (json_decode('{json.dumps(VALUES)}', true) as $key => $value)"
        f" {{ Cache::put('{NAMED}'.$key, $value, 60); }} Cache::forever('{NAMED}ever', true);"
    )
    names = [NAMED + name for name in (*VALUES, "ever", "missing")]
    assert store.ours.read(names) == [*VALUES.values(), True, None]


@database
def test_what_was_forgotten_is_gone_for_both(store: Store) -> None:
    one, two = f"{NAMED}one", f"{NAMED}two"
    store.php(f"Cache::put('{one}', 1, 60); Cache::put('{two}', 2, 60);")
    store.ours.forget(one)
    assert store.ours.read([one, two]) == [None, 2]
    assert store.php(f"say([Cache::get('{one}'), (int) Cache::get('{two}')]);") == [[None, 2]]


# -- counting --------------------------------------------------------------------------------------

COUNT = """
if (! Cache::get('job-exceptions:u')) {
    Cache::put('job-exceptions:u', 0, Illuminate\\Support\\Carbon::now()->addDay());
}
say(Cache::increment('job-exceptions:u'));
"""


@database
def test_a_counter_goes_on_wherever_the_other_side_left_it(store: Store) -> None:
    """The count of maxExceptions is of attempts of PHP and of Python together."""
    assert store.ours.count("job-exceptions:u") == 1
    assert store.php(COUNT + COUNT) == [2, 3]
    assert store.ours.count("job-exceptions:u") == 4
    assert store.php("say((int) Cache::get('job-exceptions:u'));") == [4]
    store.ours.forget("job-exceptions:u")
    assert store.php(COUNT) == [1]
    assert store.ours.count("job-exceptions:u") == 2


@database
def test_a_counter_lasts_a_day_from_its_first_use(store: Store) -> None:
    store.ours.count("job-exceptions:u")
    (left,) = store.php(
        """
        $key = 'job-exceptions:u';
        say(match ($store) {
            'redis' => Cache::connection()->ttl(Cache::getPrefix().$key),
            'database' => app('db')->table('cache')->value('expiration') - time(),
            'file' => (int) substr(file_get_contents(Cache::path($key)), 0, 10) - time(),
        });
        """
    )
    assert DAY_SECONDS - 60 < left <= DAY_SECONDS


# -- locks -----------------------------------------------------------------------------------------

UNIQUE = """
class Uniq implements Illuminate\\Contracts\\Queue\\ShouldBeUnique { public $uniqueFor = 500;
    public $uniqueId = 'id7'; }
$unique = new Illuminate\\Bus\\UniqueLock(app(Illuminate\\Contracts\\Cache\\Repository::class));
"""


@database
def test_the_lock_of_a_unique_job_is_released_for_php(store: Store) -> None:
    """Trap 18: it would keep every later dispatch out."""
    take = UNIQUE + "say([$unique->acquire(new Uniq), $unique->acquire(new Uniq)]);"
    assert store.php(take) == [[True, False]]
    store.ours.unlock(unique_lock_names("Uniq", "id8", version=store.version))
    assert store.php(take) == [[False, False]]
    store.ours.unlock(unique_lock_names("Uniq", "id7", version=store.version))
    assert store.php(take) == [[True, False]]


@database
def test_without_a_version_the_lock_is_found_all_the_same(store: Store) -> None:
    take = UNIQUE + "say($unique->acquire(new Uniq));"
    assert store.php(take) == [True]
    store.ours.unlock(unique_lock_names("Uniq", "id7"))
    assert store.php(take) == [True]


@database
def test_clearing_the_cache_takes_no_job_with_it(
    laravel: LaravelWorld, servers: Mapping[str, str], storage: Storage
) -> None:
    """Trap 14: `cache:clear` flushes the whole database of the cache; nothing of ours is there."""
    with own_redis(servers) as redis, closing(redis.client()) as root:
        world = replace(laravel, environ={**laravel.environ, **redis.environ()})
        world.php(
            STORES
            + "Cache::put('illuminate:queue:restart', 1);"
            " app('queue')->connection('redis')->pushRaw('{}', 'fleet');"
            " Artisan::call('cache:clear');",
            storage.inside,
            "redis",
        )
        prefix = laravel.settings.prefix
        assert root.lrange(f"{prefix}queues:fleet", 0, -1) == [b"{}"]
        with closing(redis.client(laravel.settings.cache.redis.database)) as cache:
            assert cache.dbsize() == 0
    assert laravel.settings.broker.database != laravel.settings.cache.redis.database


# -- files that are no cache file ------------------------------------------------------------------


def files(tmp_path: Path, now: float = NOW) -> FileCache:
    (tmp_path / "framework" / "cache" / "data").mkdir(parents=True, exist_ok=True)
    return FileCache(tmp_path, lambda: now)


def put(tmp_path: Path, key: str, text: bytes) -> None:
    path = files(tmp_path)._path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)


def test_a_file_stands_where_laravel_looks_for_it(tmp_path: Path) -> None:
    path = files(tmp_path)._path(RESTART)
    folder = tmp_path / "framework" / "cache" / "data"
    assert str(path.relative_to(folder)) == "ee/2f/ee2f842aa7bb1f53edf3a2ed2c09a1807ffa6c90"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9999999999i:5;", 5),  # for ever
        (f"{NOW + 1}i:5;".encode(), 5),
        (f"{NOW}i:5;".encode(), None),  # PHP calls it over in its last second
        (f"{NOW - 1}i:5;".encode(), None),
        (b"", None),  # PHP makes an empty file, then locks and fills it
        (b"99999", None),
        (b"9999999999", None),
        (b"9999999999i:", None),
        (b"garbage!!!i:5;", None),
        (b"9999999999\xff", None),
    ],
)
def test_a_file_that_php_would_not_read_is_none(
    tmp_path: Path, text: bytes, value: object
) -> None:
    put(tmp_path, "key", text)
    assert files(tmp_path).read(["key"]) == [value]
    assert files(tmp_path).count("key") == (6 if value else 1)


@given(st.binary(max_size=40))
def test_arbitrary_bytes_in_a_file_stop_no_worker(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    folder = tmp_path_factory.mktemp("storage")
    put(folder, "key", text)
    files(folder).read(["key"])
    assert isinstance(files(folder).count("key"), int)


def test_a_counter_in_a_file_keeps_its_end(tmp_path: Path) -> None:
    assert files(tmp_path).count("key") == 1
    assert files(tmp_path, NOW + 100).count("key") == 2
    assert files(tmp_path)._path("key").read_bytes() == f"{NOW + DAY_SECONDS}i:2;".encode()
    assert files(tmp_path, NOW + DAY_SECONDS).count("key") == 1


# -- rows and values that are no value -------------------------------------------------------------


@database
def test_a_row_that_is_no_value_counts_from_one(laravel: LaravelWorld) -> None:
    with closing(connect(laravel.settings.mysql)) as connection:
        cache = DatabaseCache(partial(transaction, connection), laravel.schema, ["cache"])
        with transaction(laravel.connection) as cursor:
            cursor.execute(
                f"INSERT INTO `{laravel.schema}`.cache VALUES"  # noqa: S608 - our own name
                " ('cachekey', 'garbage', UNIX_TIMESTAMP() + 60), ('cacheold', 'i:5;', 1)"
            )
        assert cache.read(["key", "old"]) == [b"garbage", None]
        assert cache.count("key") == 1
        assert cache.count("old") == 1
        assert cache.read(["key", "old"]) == [1, 1]


@database
@pytest.mark.parametrize("value", [b"", b"garbage", b"-", b"1x", b"a:9:{", b"\xff"])
def test_a_key_in_redis_that_is_no_value_stops_no_worker(
    laravel: LaravelWorld, value: bytes
) -> None:
    prefix = f"{laravel.settings.prefix}cache"
    laravel.redis.set(f"{prefix}key", value)
    store = RedisCache(laravel.redis, laravel.redis, [prefix])
    assert store.read(["key"]) == [value]


def test_a_prefix_is_looked_for_in_its_order(laravel: LaravelWorld) -> None:
    """A version that is not known: Laravel 10 puts a colon after the prefix, 11 does not."""
    prefix = laravel.settings.prefix
    store = RedisCache(laravel.redis, laravel.redis, [f"{prefix}cache:", f"{prefix}cache"])
    laravel.redis.set(f"{prefix}cachenew", 1)
    laravel.redis.set(f"{prefix}cache:old", 2)
    assert store.read(["new", "old", "none"]) == [1, 2, None]
    store.forget("new")
    store.forget("old")
    assert store.read(["new", "old"]) == [None, None]


# -- stores that cannot be reached -----------------------------------------------------------------

CALLS: list[Callable[[CacheStore], object]] = [
    lambda store: store.read(["a"]),
    lambda store: store.count("a"),
    lambda store: store.forget("a"),
    lambda store: store.unlock(["a"]),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_store_that_only_php_reaches_is_never_taken_for_empty(
    call: Callable[[CacheStore], object],
) -> None:
    with pytest.raises(Unreachable, match="set CACHE_STORE"):
        call(UnreachableCache("set CACHE_STORE to redis"))


@pytest.mark.parametrize("call", CALLS)
def test_files_of_another_host_are_unreachable(
    tmp_path: Path, call: Callable[[CacheStore], object]
) -> None:
    with pytest.raises(Unreachable, match="FLEET_LARAVEL_STORAGE"):
        call(FileCache(tmp_path / "nowhere", lambda: NOW))
