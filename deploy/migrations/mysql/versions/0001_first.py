"""Offsets, outbox, parked events, the ledger, orders and signals: see the .sql file."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
