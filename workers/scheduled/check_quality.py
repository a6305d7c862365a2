"""Checks of the data: complete, right, in time, once."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the checks that could look."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.check_quality(settings)
