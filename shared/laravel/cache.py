"""The application's cache, as far as queue workers meet in it: restart and pause signals,
maintenance mode, exception counters, unique locks.

Which store it is says Laravel's configuration. One that cannot be reached from here (array,
Memcached, DynamoDB, a folder on another host) is Unreachable: reported, never taken for empty.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import orjson

from shared.errors import FleetError
from shared.laravel import php
from shared.queries import load

if TYPE_CHECKING:
    from redis import Redis

SQL = load(Path(__file__).with_name("cache.sql"))

Transaction: TypeAlias = Callable[[], AbstractContextManager[Any]]
"""A cursor on the application's server; what it did is committed when the block ends."""

DAY_SECONDS = 86_400
_EXPIRY_DIGITS = 10  # of a file: seconds since 1970, then the value
_FILE_LOCK = "file-store-lock:"  # before a lock's name in newer Laravels, 13.31 among them


class Unreachable(FleetError):  # noqa: N818 - a state, not a mistake
    """The store stands where this process cannot look. The message says what to change."""


class CacheStore(Protocol):
    """A key is Laravel's own, without any prefix: `illuminate:queue:restart`."""

    def read(self, keys: Sequence[str]) -> list[object]:
        """The value of each key, None when there is none or it ran out."""

    def count(self, key: str) -> int:
        """One more; the count. It starts at 0 and lasts a day from its first use."""

    def forget(self, key: str) -> None: ...

    def unlock(self, names: Sequence[str]) -> None:
        """Release locks whoever holds them, as Laravel does after a unique job."""


class RedisCache:
    """values: on the store's own connection (database 1). locks: on the lock connection (0).

    prefixes: what may stand before a key, Redis prefix included, the likeliest first: versions
    differ in one colon. Writes go under the first.
    """

    def __init__(self, values: Redis, locks: Redis, prefixes: Sequence[str]) -> None:
        self._values = values
        self._locks = locks
        self._prefixes = list(prefixes)

    def read(self, keys: Sequence[str]) -> list[object]:
        width = len(self._prefixes)
        found: Any = self._values.mget([prefix + key for key in keys for prefix in self._prefixes])
        by_key = (found[first : first + width] for first in range(0, len(found), width))
        return [next((_loaded(one) for one in some if one is not None), None) for some in by_key]

    def count(self, key: str) -> int:
        name = self._prefixes[0] + key
        pipe: Any = self._values.pipeline(transaction=False)
        pipe.set(name, 0, nx=True, ex=DAY_SECONDS)
        pipe.execute_command("INCR", name)  # incr() sends INCRBY, which no grant lists
        return int(pipe.execute()[1])

    def forget(self, key: str) -> None:
        self._values.delete(*(prefix + key for prefix in self._prefixes))

    def unlock(self, names: Sequence[str]) -> None:
        self._locks.delete(*(prefix + name for prefix in self._prefixes for name in names))


class DatabaseCache:
    """Tables `cache` and `cache_locks` of the application."""

    def __init__(self, transaction: Transaction, schema: str, prefixes: Sequence[str]) -> None:
        self._transaction = transaction
        self._prefixes = list(prefixes)
        self._cache = f"`{schema}`.`cache`"
        self._locks = f"`{schema}`.`cache_locks`"

    def read(self, keys: Sequence[str]) -> list[object]:
        names = {prefix + key: key for key in keys for prefix in self._prefixes}
        with self._transaction() as cursor:
            cursor.execute(SQL["read"].format(table=self._cache), (list(names),))
            found = {names[name]: _loaded(_bytes(value)) for name, value in cursor.fetchall()}
        return [found.get(key) for key in keys]

    def count(self, key: str) -> int:
        name = self._prefixes[0] + key
        with self._transaction() as cursor:
            cursor.execute(SQL["lock"].format(table=self._cache), (name,))
            row = cursor.fetchone()
            before = _loaded(_bytes(row[0])) if row else None
            counted = before + 1 if isinstance(before, int) else 1
            value = php.dumps(counted).decode()
            if row:
                cursor.execute(SQL["update"].format(table=self._cache), (value, name))
            else:
                cursor.execute(SQL["write"].format(table=self._cache), (name, value, DAY_SECONDS))
        return counted

    def forget(self, key: str) -> None:
        self._remove(self._cache, [key])

    def unlock(self, names: Sequence[str]) -> None:
        self._remove(self._locks, names)

    def _remove(self, table: str, keys: Sequence[str]) -> None:
        names = [prefix + key for prefix in self._prefixes for key in keys]
        with self._transaction() as cursor:
            cursor.execute(SQL["remove"].format(table=table), (names,))


class FileCache:
    """`storage/framework/cache/data` of the application, on this host. Keys have no prefix."""

    def __init__(self, storage: Path, now: Callable[[], float]) -> None:
        self._folder = storage / "framework" / "cache" / "data"
        self._now = now

    def read(self, keys: Sequence[str]) -> list[object]:
        found = [self._read(self._path(key)) for key in keys]
        return [None if one is None else one[1] for one in found]

    def count(self, key: str) -> int:
        path = self._path(key)
        expires, before = self._read(path) or (int(self._now()) + DAY_SECONDS, 0)
        counted = before + 1 if isinstance(before, int) else 1
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"{expires:010d}".encode() + php.dumps(counted))
        return counted

    def forget(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def unlock(self, names: Sequence[str]) -> None:
        for name in names:
            self.forget(name)
            self.forget(_FILE_LOCK + name)

    def _read(self, path: Path) -> tuple[int, object] | None:
        """When it runs out, and the value. What PHP would not read either is None."""
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # PHP empties a file before it fills it
                text = file.read()
            expires = int(text[:_EXPIRY_DIGITS])
            return (expires, php.loads(text[_EXPIRY_DIGITS:])) if expires > self._now() else None
        except (FileNotFoundError, ValueError):  # PhpFormatError is one
            return None

    def _path(self, key: str) -> Path:
        if not self._folder.is_dir():
            raise Unreachable(
                f"the cache is in files and {self._folder} is not on this host: set "
                "FLEET_LARAVEL_STORAGE to the application's storage folder, or CACHE_STORE=redis"
            )
        name = hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
        return self._folder / name[:2] / name[2:4] / name


class UnreachableCache:
    """Stands for a store that only PHP can look into."""

    def __init__(self, why: str) -> None:
        self._why = why

    def read(self, keys: Sequence[str]) -> list[object]:
        del keys
        raise Unreachable(self._why)

    def count(self, key: str) -> int:
        del key
        raise Unreachable(self._why)

    def forget(self, key: str) -> None:
        del key
        raise Unreachable(self._why)

    def unlock(self, names: Sequence[str]) -> None:
        del names
        raise Unreachable(self._why)


def _loaded(value: bytes) -> object:
    """Redis holds numbers as they are and everything else serialized."""
    try:
        return orjson.loads(value) if value[:1].isdigit() or value[:1] == b"-" else php.loads(value)
    except (orjson.JSONDecodeError, php.PhpFormatError):
        return value


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
