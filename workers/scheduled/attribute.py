"""Daily P&L is split by what caused it, as far behind the books as one run."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the days settled."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.attribute(settings)
