"""What the fleet knows of the Laravel application beside it: queue, cache, and facts of its code.

Much of it stands only in Laravel's config files. `php artisan fleet:export` writes it down; without
the export Laravel's defaults hold, and what has no certain default stays None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.endpoints import RedisSettings, whole
from shared.errors import SettingsError
from shared.laravel import naming

Values = Mapping[str, str | None]

LARAVEL_NAMES = (
    "FLEET_LARAVEL_CONNECTION",
    "FLEET_LARAVEL_FAILED_DATABASE",
    "FLEET_LARAVEL_FAILED_TABLE",
    "FLEET_LARAVEL_HORIZON",
    "FLEET_LARAVEL_JOBS",
    "FLEET_LARAVEL_STORAGE",
    "FLEET_LARAVEL_VERSION",
    "FLEET_QUEUE_BACKOFF",
    "FLEET_QUEUE_TIMEOUT",
    "FLEET_QUEUE_TRIES",
)

CIPHERS = ("aes-256-cbc", "aes-128-cbc", "aes-256-gcm", "aes-128-gcm")
FAILED_DRIVERS = ("database-uuids", "database", "file", "null", "dynamodb")

# From 11 on the default cache store is the database, and cache keys have no colon after the prefix.
CACHE_CHANGED_IN = 11
_DAYS = 7 * 86_400


class CacheSettings(NamedTuple):
    """Laravel's default cache store, where signals and unique locks live.

    store: redis, database, file, ...; None where it is not written and its default is not known.
    prefixes: what may stand before a key inside the store, the likeliest first; the Redis prefix
    comes before it on Redis. redis: of the values; locks are on Laravel's default connection.
    """

    store: str | None
    prefixes: tuple[str, ...]
    redis: RedisSettings


class QueueSettings(NamedTuple):
    """Laravel's Redis queue, and what `queue:work` takes as options.

    retry_after: seconds; None: a reservation never runs out. tries, backoff, timeout: for payloads
    that name none. failed_database None: the application's own.
    """

    connection: str | None
    default_queue: str
    retry_after: int | None
    failed_driver: str
    failed_table: str
    failed_database: str | None
    tries: int
    backoff: str
    timeout: int


class LaravelSettings(NamedTuple):
    """Facts of the application. jobs: classes towards Laravel that it says it has."""

    version: tuple[int, ...] | None
    storage: Path | None
    timezone: ZoneInfo
    cipher: str
    maintenance_store: str | None  # a cache store; None: the driver is `file`
    horizon: str | None
    jobs: frozenset[str]


def laravel_settings(values: Values, beside: Path) -> LaravelSettings:
    """beside: the folder of the env file, which is the application's own in most places."""
    storage = values.get("FLEET_LARAVEL_STORAGE")
    if not storage and (beside / "artisan").exists():
        storage = str(beside / "storage")
    driver = values.get("APP_MAINTENANCE_DRIVER") or "file"
    jobs = (values.get("FLEET_LARAVEL_JOBS") or "").split(",")
    return LaravelSettings(
        version=_version(values),
        storage=Path(storage) if storage else None,
        timezone=_timezone(values),
        cipher=_cipher(values),
        maintenance_store=(values.get("APP_MAINTENANCE_STORE") or "database")
        if driver == "cache"
        else None,
        horizon=values.get("FLEET_LARAVEL_HORIZON") or None,
        jobs=frozenset(name.strip().lstrip("\\") for name in jobs if name.strip()),
    )


def queue_settings(values: Values) -> QueueSettings:
    after = values.get("REDIS_QUEUE_RETRY_AFTER", "90")
    written = values.get("QUEUE_FAILED_DRIVER", "database-uuids")
    driver = "null" if written is None else written or "database-uuids"
    if driver not in FAILED_DRIVERS:
        raise SettingsError(f"QUEUE_FAILED_DRIVER: write one of {', '.join(FAILED_DRIVERS)}")
    backoff = values.get("FLEET_QUEUE_BACKOFF") or "0"
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){0,99}", backoff, re.ASCII):
        raise SettingsError("FLEET_QUEUE_BACKOFF: write seconds with commas: 1,5,10")
    return QueueSettings(
        connection=values.get("QUEUE_CONNECTION") or None,
        default_queue=values.get("REDIS_QUEUE") or "default",
        retry_after=whole("REDIS_QUEUE_RETRY_AFTER", after, 1, _DAYS) if after else None,
        failed_driver=driver,
        failed_table=values.get("FLEET_LARAVEL_FAILED_TABLE") or "failed_jobs",
        failed_database=values.get("FLEET_LARAVEL_FAILED_DATABASE") or None,
        tries=whole("FLEET_QUEUE_TRIES", values.get("FLEET_QUEUE_TRIES") or "1", 0, 255),
        backoff=backoff,
        timeout=whole("FLEET_QUEUE_TIMEOUT", values.get("FLEET_QUEUE_TIMEOUT") or "60", 0, _DAYS),
    )


def cache_settings(values: Values, app_name: str, redis: RedisSettings) -> CacheSettings:
    version = _version(values)
    written = (values["CACHE_PREFIX"] or "") if "CACHE_PREFIX" in values else None
    store = values.get("CACHE_STORE") or values.get("CACHE_DRIVER")
    if not store and version is not None:
        store = "database" if version[0] >= CACHE_CHANGED_IN else "file"
    bare = naming.cache_prefixes(app_name, written)
    colons: tuple[str, ...] = ("",)
    if store == "redis":  # the database store has never had the colon
        old, new = (":",), ("",)
        colons = old + new if version is None else old if version[0] < CACHE_CHANGED_IN else new
    prefixes = tuple(prefix + colon for prefix in bare for colon in colons)
    return CacheSettings(store or None, prefixes, redis)


def _version(values: Values) -> tuple[int, ...] | None:
    text = values.get("FLEET_LARAVEL_VERSION")
    if not text:
        return None
    found = re.match(r"\d+(?:\.\d+)*", text)
    if not found:
        raise SettingsError("FLEET_LARAVEL_VERSION: write it as `php artisan --version`: 10.48.29")
    return tuple(int(part) for part in found[0].split("."))


def _timezone(values: Values) -> ZoneInfo:
    name = values.get("APP_TIMEZONE") or "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"APP_TIMEZONE: {name!r} is no time zone; write UTC") from None


def _cipher(values: Values) -> str:
    cipher = (values.get("APP_CIPHER") or CIPHERS[0]).lower()
    if cipher not in CIPHERS:
        raise SettingsError(f"APP_CIPHER: write one of {', '.join(CIPHERS)}")
    return cipher
