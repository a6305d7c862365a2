"""The end of a UTC day is told to Laravel, where it has installed DayClosed."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the jobs dispatched."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.close_day(settings)
