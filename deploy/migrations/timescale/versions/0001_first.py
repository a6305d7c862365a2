"""The schema's edition; hypertables come with the sinks that fill them."""

from pathlib import Path

from workers.migrate import run_timescale_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_timescale_file(Path(__file__).with_suffix(".sql"))
