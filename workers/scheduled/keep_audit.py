"""The audit log gets its next months, and old ones are dropped as FLEET_AUDIT_MONTHS says."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

from shared.settings import Settings


def run(settings: Settings) -> int:
    """Returns the months dropped."""
    from shared.mysql.connection import connect  # noqa: PLC0415 - opens drivers
    from workers.cdc.audit_retention import keep_audit  # noqa: PLC0415 - only where the task runs

    with closing(connect(settings.audit, read_seconds=READ_SECONDS)) as connection:
        return keep_audit(connection, datetime.now(UTC), settings.audit_months)


READ_SECONDS = 1800
"""A month's chain is proved before it goes."""
