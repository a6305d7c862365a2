"""What the application tells its queue workers: restart, pause, maintenance. Obeyed as PHP does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shared.laravel.cache import CacheStore, Unreachable

RESTART = "illuminate:queue:restart"
PAUSED_ALL = "illuminate:queues:paused"
DOWN = "illuminate:foundation:down"


class Standing(NamedTuple):
    """restart: whatever stands at the restart key; a change of it means: end after this job.

    paused: queues to pass over. down: maintenance mode. unreachable: what could not be looked up,
    as sentences.
    """

    restart: object
    paused: frozenset[str]
    down: bool
    unreachable: tuple[str, ...]


def look(
    store: CacheStore,
    down_store: CacheStore | None,
    storage: Path | None,
    connection: str,
    queues: Sequence[str],
) -> Standing:
    """Every signal once.

    down_store: where maintenance mode stands when its driver is `cache`; None for `file`, which is
    `framework/down` in the application's storage folder.
    """
    unreachable: list[str] = []
    restart: object = None
    paused: set[str] = set()
    try:
        keys = [f"illuminate:queue:paused:{connection}:{queue}" for queue in queues]
        restart, everything, *each = store.read([RESTART, PAUSED_ALL, *keys])
        paused = {queue for queue, one in zip(queues, each, strict=True) if one or everything}
    except Unreachable as error:
        unreachable.append(f"queue:restart and queue:pause are not seen: {error}")
    down = False
    try:
        down = _is_down(down_store, storage)
    except Unreachable as error:
        unreachable.append(f"maintenance mode is not seen: {error}")
    return Standing(restart, frozenset(paused), down, tuple(unreachable))


def _is_down(down_store: CacheStore | None, storage: Path | None) -> bool:
    if down_store is not None:
        return down_store.read([DOWN])[0] is not None
    if storage is None or not storage.is_dir():
        raise Unreachable(
            "its driver is `file` and the application's storage folder is not on this host: set "
            "FLEET_LARAVEL_STORAGE, or APP_MAINTENANCE_DRIVER=cache"
        )
    return (storage / "framework" / "down").exists()
