"""Laravel's accounts are followed: new, switched off or on, with other keys."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the accounts that changed."""
    from workers import sync_build  # noqa: PLC0415 - opens drivers: only where the task runs

    return sync_build.note_accounts(settings)
