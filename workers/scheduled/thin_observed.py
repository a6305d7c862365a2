"""Old reports of positions and wallets get fewer."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the reports deleted."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.thin_observed(settings)
