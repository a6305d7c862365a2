"""Batches of jobs: only whether one was cancelled. What a job adds to its batch, PHP records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.queries import load

SQL = load(Path(__file__).with_name("batches.sql"))


def is_cancelled(connection: Any, schema: str, batch_id: str) -> bool:
    """A job of a cancelled batch is passed over; PHP still counts it as processed."""
    cursor = connection.cursor()
    cursor.execute(SQL["cancelled"].format(table=f"`{schema}`.`job_batches`"), (batch_id,))
    row = cursor.fetchone()
    return bool(row and row[0])
