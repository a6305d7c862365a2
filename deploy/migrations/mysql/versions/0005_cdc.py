"""Change capture: how far the log is read, and who is behind a transaction of Laravel's."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
