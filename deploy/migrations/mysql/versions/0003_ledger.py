"""The ledger: openings, closed days, restatements, attribution, prices, observations, rebuilds."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
