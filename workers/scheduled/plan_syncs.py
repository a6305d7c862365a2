"""Accounts whose turn it is go to the sync workers."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the accounts."""
    from workers import sync_build  # noqa: PLC0415 - opens drivers: only where the task runs

    return sync_build.plan_syncs(settings)
