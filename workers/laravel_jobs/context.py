"""What the handler of a Laravel job is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.queries import load
from shared.settings import Settings

SQL = load(Path(__file__).with_name("requests.sql"))


class Context(NamedTuple):
    """One run of one job. attempts counts this run.

    mysql: the connection of this run; whatever is done on it is committed before the job leaves its
    reservation, and rolled back when the handler raises. node: who runs it.
    """

    settings: Settings
    mysql: Callable[[], Any]
    id: str
    class_name: str
    attempts: int
    node: str

    def record(self, arguments: str, answer: dict[str, Any]) -> None:
        """Keep what was asked and answered in fleet_requests; a repeated run overwrites its row."""
        row = (self.id, self.class_name, arguments, orjson.dumps(answer).decode(), self.attempts)
        self.mysql().cursor().execute(SQL["answer"], row)
