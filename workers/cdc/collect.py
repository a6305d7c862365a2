"""The collector as a process: `python -m workers.cdc.collect`. A second one stands by."""

from __future__ import annotations

import signal
import socket
import threading

from shared import telemetry
from shared.masking import Mask
from workers import http
from workers.cdc.collector_build import CollectorProcess, collector_of
from workers.cdc.heartbeat import JOIN_SECONDS
from workers.collector import calm_collector
from workers.drain import Gate
from workers.drain_build import attend
from workers.roles import settings_or_end

ROLE = "collector"


def run(process: CollectorProcess) -> None:
    """Until the collector is stopped; what it has read is appended first, then the lease is given
    back.
    """
    beside = [
        threading.Thread(target=one.run, name=f"fleet-{type(one).__name__.lower()}", daemon=True)
        for one in (process.lease, process.heartbeat)
    ]
    for thread in beside:
        thread.start()
    try:
        process.collector.run()
    finally:
        process.heartbeat.stop()
        process.lease.stop()
        for thread in beside:
            thread.join(JOIN_SECONDS)


def main() -> None:
    settings = settings_or_end(ROLE)
    telemetry.start(
        Mask.of(settings),
        role=ROLE,
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
    )
    calm_collector()
    gate = Gate()
    process = collector_of(settings, socket.gethostname(), resting=gate.is_closed)
    http.serve(
        settings.metrics_port, http.Probes(ROLE, process.collector.alive, process.collector.ready)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.collector.stop())
    collector = process.collector
    attendance = attend(settings, ROLE, gate, lambda: 0 if collector.state == "standby" else 1)
    run(process)
    attendance.stop()
    attendance.join(JOIN_SECONDS)


if __name__ == "__main__":
    main()
