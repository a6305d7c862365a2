"""Old requests of Laravel's jobs, and dispatches to it, are deleted."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the rows deleted."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.prune_laravel(settings)
