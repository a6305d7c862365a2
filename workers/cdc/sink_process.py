"""A sink as a process of its own: settings, the loop, /live, /ready and metrics."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from shared import telemetry
from shared.masking import Mask
from shared.settings import Settings
from shared.streams.connection import data_client
from workers import http
from workers.cdc.sink import Sink
from workers.cdc.sink_loop import SinkBounds, SinkLoop, SinkTools
from workers.collector import calm_collector
from workers.drain import Gate, never
from workers.drain_build import attend
from workers.roles import settings_or_end

JOIN_SECONDS = 5.0
"""For the goodbye; without it the node is forgotten after some seconds."""


def sink_loop(
    settings: Settings, sink: Sink, bounds: SinkBounds, resting: Callable[[], bool] = never
) -> SinkLoop:
    """The loop of one sink, from settings. resting: write nothing for now (workers/drain.py)."""
    block_ms = int(bounds.idle_seconds * 1000)
    client = partial(data_client, settings.streams_redis, f"fleet-{sink.name}", block_ms=block_ms)
    log = telemetry.log(f"fleet.{sink.name}").info
    return SinkLoop(sink, SinkTools(client, settings.prefix, log, bounds, resting))


def run_sink(role: str, make_sink: Callable[[Settings], Sink]) -> None:
    """Until SIGTERM or SIGINT; the transaction in hand is written, or rolled back by its server."""
    settings = settings_or_end(role)
    telemetry.start(
        Mask.of(settings),
        role=role,
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
    )
    gate = Gate()
    loop = sink_loop(settings, make_sink(settings), SinkBounds(), gate.is_closed)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    http.serve(settings.metrics_port, http.Probes(role, loop.alive, loop.ready))
    calm_collector()
    attendance = attend(settings, role, gate, lambda: 0 if loop.rests else 1)
    loop.run()
    attendance.stop()
    attendance.join(JOIN_SECONDS)
