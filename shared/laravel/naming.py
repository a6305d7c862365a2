"""How Laravel names its Redis keys when nobody wrote the name down.

REDIS_PREFIX, CACHE_PREFIX and HORIZON_PREFIX default to slugs of APP_NAME. Which separator the slug
of REDIS_PREFIX takes does not follow from the framework's version: an application upgraded from 11
to 13 keeps its own config file with underscores. So a default is a tuple of candidates, and
`choose` asks Redis under which of them Laravel has keys. It never guesses: a wrong prefix means
jobs that pile up where nobody looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shared.errors import SettingsError

# Greek, Devanagari, Bengali and Burmese: Laravel maps pairs of letters there, which the table of
# single characters cannot say.
_DOUBTFUL = ((0x370, 0x3FF), (0x1F00, 0x1FFF), (0x900, 0x9FF), (0x1000, 0x109F))


def _table() -> dict[str, str]:
    table = {}
    text = (Path(__file__).parent / "transliteration.txt").read_text(encoding="ascii")
    for line in text.splitlines():
        if not line.startswith("#"):
            ascii_text, *codes = line.split(" ")
            for code in codes:
                table[chr(int(code, 16))] = " " if ascii_text == "space" else ascii_text
    return table


_TRANSLITERATION = _table()


def slug(text: str, separator: str) -> str:
    """`Str::slug` of Laravel 8 to 13; separator is `_` or `-`. May be empty."""
    other = "_" if separator == "-" else "-"
    wanted = re.escape(separator)
    ascii_text = "".join(c if c.isascii() else _TRANSLITERATION.get(c, "") for c in text)
    ascii_text = ascii_text.replace(other, separator)
    ascii_text = ascii_text.replace("@", f"{separator}at{separator}").lower()
    kept = re.sub(rf"[^{wanted}a-z0-9\s]+", "", ascii_text)
    return re.sub(rf"[{wanted}\s]+", separator, kept).strip(separator)


def doubtful(text: str) -> str:
    """The characters of text whose transliteration by Laravel is not known here."""
    return "".join(c for c in text if any(low <= ord(c) <= high for low, high in _DOUBTFUL))


def redis_prefixes(app_name: str, redis_prefix: str | None) -> tuple[str, ...]:
    """What may stand before every key of Laravel; one entry means it is certain.

    redis_prefix: REDIS_PREFIX as written, even empty; None when it is not there.
    """
    if redis_prefix is not None:
        return (redis_prefix,)
    return (f"{slug(app_name, '_')}_database_", f"{slug(app_name, '-')}-database-")


def cache_prefixes(app_name: str, cache_prefix: str | None) -> tuple[str, ...]:
    """Candidates of CACHE_PREFIX: Laravel 9 to 12, 8, and applications made since 12.1."""
    if cache_prefix is not None:
        return (cache_prefix,)
    underscored = slug(app_name, "_")
    return (f"{underscored}_cache_", f"{underscored}_cache", f"{slug(app_name, '-')}-cache-")


def horizon_prefix(app_name: str, written: str | None) -> str:
    """Replaces the Redis prefix on Horizon's connection; underscores in every version."""
    if written is None:
        return f"{slug(app_name, '_')}_horizon:"
    return written or "horizon:"


def keys_of_laravel(prefix: str, queues: Sequence[str]) -> Iterator[str]:
    """Exact keys that exist where Laravel, or we beside it, have worked under this prefix."""
    yield f"{prefix}fleet:partitions"
    for queue in queues:
        for suffix in ("", ":notify", ":delayed", ":reserved"):
            yield f"{prefix}queues:{queue}{suffix}"


def choose(name: str, candidates: Sequence[str], exists: Callable[[str], bool]) -> str:
    """The one candidate under which keys exist.

    name: the setting to write when it cannot be told, for the message.
    exists: asks Redis whether any key begins with a prefix.
    Raises SettingsError when none or more than one is in use: the caller must not start.
    """
    if len(set(candidates)) == 1:
        return candidates[0]
    seen = [candidate for candidate in candidates if exists(candidate)]
    if len(seen) == 1:
        return seen[0]
    found = "no key under any of them" if not seen else "keys under more than one of them"
    lines = " or ".join(f"{name}={candidate}" for candidate in candidates)
    raise SettingsError(
        f"{name} is not set and Redis holds {found}. Look at config/database.php or "
        f"config/cache.php of the Laravel application and write the line that fits: {lines}"
    )
