"""Upkeep of the audit log: partitions ahead of the months, and old months dropped."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.errors import LimitReached
from shared.mysql import change_log_months as months
from shared.mysql.connection import Connection

DIARY_KEPT = timedelta(days=90)
"""Of the sink's batches, which `explain` shows."""


def keep_audit(connection: Connection, now: datetime, audit_months: int | None) -> int:
    """How many months were dropped: at most one a run, because its chain is proved first.

    audit_months: whole months kept beside this one; None: all. Raises LimitReached for a month
    whose chain is broken: it is evidence, and stays.
    """
    months.prepare(connection, now)
    months.forget_batches(connection, now - DIARY_KEPT)
    if audit_months is None:
        return 0
    expired = months.expired(connection, now, audit_months)
    if not expired:
        return 0
    found = months.drop(connection, expired[0])
    if found.broken is not None:
        raise LimitReached(
            f"the audit log of {expired[0]} is broken at {found.broken.epoch}/{found.broken.seq} "
            f"row {found.broken.row_index} and is not dropped: fleet cdc audit verify"
        )
    return 1
