"""One process of change capture, in quicker time: `python -m tests.chaos.cdc_node ROLE NAME`.

The parts and their loops are those of `workers.cdc.collect`, `workers.cdc.audit` and
`workers.cdc.history`; only the lease, and the pauses after a loud stop, are shorter, and batches of
the collector smaller, so that a kill falls inside a transaction more often.
"""

from __future__ import annotations

import signal
import sys

from shared import telemetry
from shared.masking import Mask
from shared.settings import Settings
from shared.streams import lease
from workers.cdc import collect
from workers.cdc.appender import BatchBounds
from workers.cdc.collector_build import collector_of
from workers.cdc.ports import Bounds
from workers.cdc.sink_loop import SinkBounds
from workers.cdc.sink_process import sink_loop
from workers.cdc.sinks import SINKS
from workers.roles import load_settings

LEASE_MS = 1_200
COLLECTING = Bounds(
    batch=BatchBounds(entries=2), stopped_seconds=1.0, pause_seconds_most=0.5
)
SINKING = SinkBounds(stopped_seconds=1.0, gap_seconds=0.3, pause_seconds_most=0.5)


def run_collector(settings: Settings, name: str) -> None:
    process = collector_of(settings, name, COLLECTING)
    signal.signal(signal.SIGTERM, lambda *_: process.collector.stop())
    collect.run(process)


def run_sink(settings: Settings, role: str) -> None:
    loop = sink_loop(settings, SINKS[role](settings), SINKING)
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    loop.run()


def main() -> None:
    role, name = sys.argv[1:]
    lease.LEASE_MS = LEASE_MS
    settings = load_settings(role)
    telemetry.start(Mask.of(settings), role=role)
    if role == "collector":
        run_collector(settings, name)
    else:
        run_sink(settings, role)


if __name__ == "__main__":
    main()
