"""Equity of accounts over time, copied from MySQL, and how far the copy has come."""

from pathlib import Path

from workers.migrate import run_timescale_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_timescale_file(Path(__file__).with_suffix(".sql"))
