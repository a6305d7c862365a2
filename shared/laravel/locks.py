"""Cache keys of Laravel's locks on jobs. Where a cache keeps them, `shared.laravel.cache` knows.

A job that ends without removing its unique lock keeps Laravel from dispatching it again. The keys
changed in 11.0, 12.41 and 12.54, so without a version every key that may hold the lock is named.
"""

from __future__ import annotations

from typing import TypeAlias

from xxhash import xxh128_hexdigest

UNIQUE_PREFIX = "laravel_unique_job:"
OVERLAP_PREFIX = "laravel-queue-overlap:"  # unless the job calls withPrefix()

OLDEST = (8, 0)
COLON_SINCE = (11, 0)  # between class and id
DISPLAY_NAME_SINCE = (12, 41)
HASH_SINCE = (12, 54)

Version: TypeAlias = tuple[int, int]


def unique_lock_names(
    class_name: str,
    unique_id: str,
    display_name: str | None = None,
    version: Version | None = None,
) -> tuple[str, ...]:
    """Keys that may hold the lock of a unique job, newest form first.

    unique_id: what the job's `uniqueId` says, "" if it has none. display_name: what its method
    displayName() returns; None if it has no such method (the payload's `displayName` is then the
    class). version: major and minor of Laravel, when known; then there is one key.
    """
    hashed, displayed = _job_names(class_name, display_name)
    forms = (
        (HASH_SINCE, f"{hashed}:{unique_id}"),
        (DISPLAY_NAME_SINCE, f"{displayed}:{unique_id}"),
        (COLON_SINCE, f"{class_name}:{unique_id}"),
        (OLDEST, f"{class_name}{unique_id}"),
    )
    return _of_version(UNIQUE_PREFIX, forms, version)


def overlap_lock_names(
    class_name: str,
    key: str,
    display_name: str | None = None,
    version: Version | None = None,
    prefix: str = OVERLAP_PREFIX,
) -> tuple[str, ...]:
    """Keys that may hold the lock of the middleware WithoutOverlapping, newest form first."""
    hashed, displayed = _job_names(class_name, display_name)
    forms = (
        (HASH_SINCE, f"{hashed}:{key}"),
        (DISPLAY_NAME_SINCE, f"{displayed}:{key}"),
        (OLDEST, f"{class_name}:{key}"),
    )
    return _of_version(prefix, forms, version)


def shared_overlap_lock_name(key: str, prefix: str = OVERLAP_PREFIX) -> str:
    """Key of a WithoutOverlapping that is `shared()` between classes; the same since 9.32."""
    return prefix + key


def _job_names(class_name: str, display_name: str | None) -> tuple[str, str]:
    """What stands for the job: since 12.54, and before."""
    if display_name is None:
        return class_name, class_name
    return xxh128_hexdigest(display_name.encode()), display_name


def _of_version(
    prefix: str, forms: tuple[tuple[Version, str], ...], version: Version | None
) -> tuple[str, ...]:
    if version is None:
        return tuple(dict.fromkeys(prefix + form for _, form in forms))
    if version < OLDEST:
        raise ValueError(f"Laravel {version[0]}.{version[1]} is older than {OLDEST[0]}.{OLDEST[1]}")
    return (next(prefix + form for since, form in forms if version >= since),)
