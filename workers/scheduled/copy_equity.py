"""Equity rows are copied to TimescaleDB, where one is set."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the rows copied."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.copy_equity(settings)
