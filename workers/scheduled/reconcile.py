"""Accounts with a new report are compared with their books."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the accounts compared."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.reconcile_waiting(settings)
