"""What the sync found and the books hold now is complete."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the cursors."""
    from workers import sync_build  # noqa: PLC0415 - opens drivers: only where the task runs

    return sync_build.confirm_syncs(settings)
