"""Changes of closed days are told to Laravel, where it has installed DayRestated."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the accounts and batches told."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.announce_restatements(settings)
