"""The books' own identities are checked, of the accounts that have changed first."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the accounts checked."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.check_identities(settings)
