"""The whole of change capture in threads: collector and both sinks, each as its own role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from shared.mysql import change_log_offset
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.timescale import offsets
from shared.timescale.connection import connect as connect_timescale
from tests.runtime_world import running
from tests.sink_world import QUICK as SINK_QUICK
from tests.timescale_world import Timescale
from tests.waiting import eventually
from workers.cdc import collect
from workers.cdc.appender import BatchBounds
from workers.cdc.audit import audit_sink
from workers.cdc.collector_build import CollectorProcess, collector_of
from workers.cdc.history import history_sink
from workers.cdc.ports import Bounds
from workers.cdc.sink_process import sink_loop
from workers.cdc.snapshot_marks import progress

QUICK = Bounds(
    batch=BatchBounds(place_seconds=0.05), look_seconds=0.05, full_seconds=0.05,
    stopped_seconds=0.5, pause_seconds_most=0.1,
)  # fmt: skip


@dataclass
class Capture:
    """settings_for: of a role, with FLEET_CDC_TABLES as the test wants it."""

    settings_for: Callable[..., Settings]
    timescale: Timescale
    tables: str

    def environ(self, role: str) -> dict[str, str]:
        return {"FLEET_CDC_TABLES": self.tables, "FLEET_TIMESCALE_URL": self.timescale.url(role)}

    def settings(self, role: str) -> Settings:
        return self.settings_for(role, **self.environ(role))

    @contextmanager
    def running(self) -> Iterator[CollectorProcess]:
        with ExitStack() as stack:
            for role, make in (("audit", audit_sink), ("timescale", history_sink)):
                settings = self.settings(role)
                stack.enter_context(running(sink_loop(settings, make(settings), SINK_QUICK)))
            process = collector_of(self.settings("collector"), "test", QUICK)
            stack.enter_context(running(_Runner(process)))
            eventually(lambda: process.collector.state == "reading", 20)
            eventually(self.settled, 30)
            yield process

    def settled(self) -> bool:
        """Nothing is to be read any more, and both sinks have something."""
        with closing(connect(self.settings("cli").mysql)) as connection:
            waiting = [one for one in progress(connection) if one.state != "refused"]
            audit, _ = change_log_offset.read(connection, "audit")
        with closing(connect_timescale(self.settings("cli"))) as history:
            known = offsets.read(history, "timescale")
        return not waiting and audit is not None and known is not None and audit.seq == known.seq


class _Runner:
    def __init__(self, process: CollectorProcess) -> None:
        self.run = partial(collect.run, process)
        self.stop = process.collector.stop
