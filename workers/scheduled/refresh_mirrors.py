"""Offsets are mirrored as consumer groups, so that standard tools see the lag."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the groups set."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.refresh_mirrors(settings)
