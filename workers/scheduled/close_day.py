"""A UTC day is closed once everything of it is in the books, and Laravel is told."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the days closed."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.close_day(settings)
