"""The audit log: rows in a hash chain, the sink's offset, what is staged, what was refused."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
