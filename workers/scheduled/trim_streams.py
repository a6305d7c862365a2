"""Entries below every offset and older than the retention leave the streams."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the entries removed."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.trim_streams(settings)
