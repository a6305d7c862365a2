"""Both sinks of change capture with what a stream of a test holds, as their own roles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from shared.settings import Settings
from tests.change_world import ORDERS, ChangeStream, created, order
from tests.history_world import HistoryUnderTest
from tests.sink_world import AuditUnderTest, LoopWorld
from tests.timescale_world import Timescale


class Kept:
    """A stream that both sinks have read. settings(role): with that role's TimescaleDB user."""

    def __init__(
        self, settings_for: Callable[..., Settings], root: Any, redis: Any, timescale: Timescale
    ) -> None:
        self._settings_for = settings_for
        self.timescale = timescale
        self.audit = AuditUnderTest(settings_for, root)
        self.history = HistoryUnderTest(settings_for, timescale)
        self.stream = ChangeStream(redis, self.audit.settings.prefix)
        self.stream.append(self.stream.control())

    def settings(self, role: str, **more: str) -> Settings:
        url = SecretStr(self.timescale.url(role))
        return self._settings_for(role, **more).model_copy(update={"timescale_url": url})

    def commit(self, *numbers: int) -> None:
        """A transaction that makes these orders."""
        self.stream.append(self.stream.commit(*(created(ORDERS, order(n)) for n in numbers)))

    def now(self) -> datetime:
        """When the last transaction was committed: the stream has a clock of its own."""
        return datetime.fromtimestamp(self.stream.made[-1].committed_at_us / 1e6, UTC)

    def catch_up(self) -> None:
        for under in (self.audit, self.history):
            LoopWorld(under, self.audit.settings).catch_up()
