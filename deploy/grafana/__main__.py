"""`python -m deploy.grafana` writes the dashboards; a test says when that was forgotten."""

from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.classic import text

DASHBOARDS = Path(__file__).with_name("dashboards")

if __name__ == "__main__":
    for board in BOARDS:
        path = DASHBOARDS / f"{board.plane}.json"
        path.write_text(text(board), encoding="utf-8")
        print(path)
