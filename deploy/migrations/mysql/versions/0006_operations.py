"""Operations: what the checks of the data found."""

from pathlib import Path

from workers.migrate import run_mysql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_mysql_file(Path(__file__).with_suffix(".sql"))
