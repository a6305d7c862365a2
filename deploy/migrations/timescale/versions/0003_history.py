"""The sink of the change stream: events, current rows, typed histories, roll-ups and views."""

from pathlib import Path

from workers.migrate import run_timescale_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_timescale_file(Path(__file__).with_suffix(".sql"))
