"""Laravel's queues: requests, quarantine, dispatches: see the .sql file."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
