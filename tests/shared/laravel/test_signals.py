"""What `php artisan` tells queue workers, in every store that an application may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.laravel.cache import CacheStore, FileCache, UnreachableCache
from shared.laravel.signals import DOWN, PAUSED_ALL, RESTART, Standing, look
from tests.laravel_stores import Store

database = pytest.mark.database
QUEUES = ("urgent", "fleet")


def standing(store: Store, down_store: CacheStore | None = None) -> Standing:
    return look(store.ours, down_store, store.storage.path, "redis", QUEUES)


def has(store: Store, command: str) -> bool:
    (known,) = store.php("say(array_keys(Artisan::all()));")
    return command in known


@database
def test_a_quiet_application_lets_everything_run(store: Store) -> None:
    assert standing(store) == Standing(None, frozenset(), False, ())


@database
def test_a_restart_changes_the_mark(store: Store) -> None:
    """Trap 40: it stands in the default store, wherever that is."""
    store.php("Artisan::call('queue:restart');")
    first = standing(store).restart
    assert isinstance(first, int)
    assert abs(first - int(store.world.redis.time()[0])) < 60
    assert standing(store).restart == first
    later = "Illuminate\\Support\\Carbon::setTestNow(now()->addHour());"
    store.php(later + "Artisan::call('queue:restart');")
    assert standing(store).restart != first


@database
def test_a_cleared_cache_changes_the_mark_too(store: Store) -> None:
    """As for PHP's own worker: no mark is another one than the one it started with."""
    store.php(f"Cache::forever('{RESTART}', 1795314407);")
    assert standing(store).restart == 1_795_314_407
    store.php(f"Cache::forget('{RESTART}');")
    assert standing(store).restart is None


PAUSE = "Artisan::call('queue:pause', ['queue' => 'redis:fleet']);"
RESUME = "Artisan::call('queue:resume', ['queue' => 'redis:fleet']);"


def pause(store: Store, seconds: str = "null") -> None:
    """By the command where it exists, else by the key that it writes."""
    if has(store, "queue:pause") and seconds == "null":
        store.php(PAUSE)
    else:
        store.php(f"Cache::put('illuminate:queue:paused:redis:fleet', true, {seconds});")


@database
def test_a_paused_queue_is_passed_over_and_no_other(store: Store) -> None:
    pause(store)
    assert standing(store).paused == {"fleet"}
    store.php(
        RESUME
        if has(store, "queue:resume")
        else "Cache::forget('illuminate:queue:paused:redis:fleet');"
    )
    assert standing(store).paused == frozenset()


@database
def test_a_pause_may_have_an_end(store: Store) -> None:
    pause(store, "3600")
    assert standing(store).paused == {"fleet"}
    pause(store, "-1")
    assert standing(store).paused == frozenset()


@database
def test_a_queue_of_another_connection_is_another_queue(store: Store) -> None:
    store.php("Cache::forever('illuminate:queue:paused:database:fleet', true);")
    assert standing(store).paused == frozenset()


@database
def test_all_queues_can_be_paused_at_once(store: Store) -> None:
    command = "Artisan::call('queue:pause', ['--all' => true]);"
    (has_all,) = store.php(
        "say(isset(Artisan::all()['queue:pause'])"
        " && Artisan::all()['queue:pause']->getDefinition()->hasOption('all'));"
    )
    store.php(command if has_all else f"Cache::forever('{PAUSED_ALL}', true);")
    assert standing(store).paused == set(QUEUES)


@database
def test_maintenance_mode_by_file_is_seen_and_its_end_too(store: Store) -> None:
    store.php("Artisan::call('down');")
    assert standing(store).down
    store.php("Artisan::call('up');")
    assert not standing(store).down


@database
def test_maintenance_mode_by_cache_is_seen_and_its_end_too(store: Store) -> None:
    driver = (
        "config(['app.maintenance.driver' => 'cache', 'app.maintenance.store' => $store]);"
        "Artisan::call('{}');"
    )
    store.php(driver.replace("{}", "down"))
    assert standing(store, store.ours).down
    assert not standing(store).down  # the file is another driver's
    store.php(driver.replace("{}", "up"))
    assert not standing(store, store.ours).down


# -- what cannot be seen ---------------------------------------------------------------------------


def test_a_store_out_of_reach_is_said_and_stops_nothing(tmp_path: Path) -> None:
    away = UnreachableCache("set CACHE_STORE to redis")
    seen = look(away, None, tmp_path, "redis", QUEUES)
    assert (seen.restart, seen.paused, seen.down) == (None, frozenset(), False)
    assert seen.unreachable == (
        "queue:restart and queue:pause are not seen: set CACHE_STORE to redis",
    )


@pytest.mark.parametrize("storage", [None, Path("/nowhere/at/all")])
def test_maintenance_mode_out_of_reach_is_said(tmp_path: Path, storage: Path | None) -> None:
    (tmp_path / "framework" / "cache" / "data").mkdir(parents=True)
    seen = look(FileCache(tmp_path, lambda: 0), None, storage, "redis", QUEUES)
    assert not seen.down
    (told,) = seen.unreachable
    assert told.startswith("maintenance mode is not seen: ")
    assert "FLEET_LARAVEL_STORAGE" in told


def test_a_maintenance_store_out_of_reach_is_said(tmp_path: Path) -> None:
    (tmp_path / "framework" / "cache" / "data").mkdir(parents=True)
    here = FileCache(tmp_path, lambda: 0)
    seen = look(here, UnreachableCache("set it"), tmp_path, "redis", QUEUES)
    assert seen.unreachable == ("maintenance mode is not seen: set it",)


class Asked:
    """A store that knows nothing and notes what it is asked."""

    def __init__(self) -> None:
        self.keys: list[list[str]] = []

    def read(self, keys: Any) -> list[object]:
        self.keys.append(list(keys))
        return [None] * len(keys)

    def count(self, key: str) -> int:
        raise NotImplementedError(key)

    def forget(self, key: str) -> None:
        raise NotImplementedError(key)

    def unlock(self, names: Any) -> None:
        raise NotImplementedError(names)


def test_a_look_is_one_question_to_a_store(tmp_path: Path) -> None:
    store, maintenance = Asked(), Asked()
    look(store, maintenance, tmp_path, "redis", QUEUES)
    paused = [f"illuminate:queue:paused:redis:{queue}" for queue in QUEUES]
    assert store.keys == [[RESTART, PAUSED_ALL, *paused]]
    assert maintenance.keys == [[DOWN]]
