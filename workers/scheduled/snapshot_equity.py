"""Equity of every account at the last full hour becomes a row."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the rows written."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.snapshot_equity(settings)
