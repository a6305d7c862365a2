"""Exchange sync: accounts with their turn and their keys' state, a cursor per kind."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
