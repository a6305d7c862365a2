"""History that is older than FLEET_CDC_HISTORY leaves TimescaleDB; roll-ups stay."""

from __future__ import annotations

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the chunks and rows dropped; none where the extension has a policy for it."""
    from workers import build  # noqa: PLC0415 - opens drivers: only where the task runs

    return build.keep_history(settings)
