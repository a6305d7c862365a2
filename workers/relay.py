"""The role `relay`: rows of the outbox go to the streams, rows of fleet_dispatches to Laravel's
queues, each in a thread of its own. `python -m workers.relay`.
"""

from __future__ import annotations

import signal
import threading

from workers import http
from workers.build import build_relay
from workers.drain import Gate
from workers.drain_build import attend

JOIN_SECONDS = 10.0
"""For the push of dispatches in hand, at a stop."""


def main() -> None:
    gate = Gate()
    relay, dispatches, settings = build_relay(gate)
    thread = threading.Thread(target=dispatches.run, name="fleet-dispatches", daemon=True)

    def alive() -> bool:
        return relay.alive() and thread.is_alive() and dispatches.alive()

    def stop(*_: object) -> None:
        relay.stop()
        dispatches.stop()

    def held() -> int:
        return (not relay.rests) + (not dispatches.rests)

    http.serve(settings.metrics_port, http.Probes("relay", alive, relay.ready))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    thread.start()
    attendance = attend(settings, "relay", gate, held)
    relay.run()
    thread.join(JOIN_SECONDS)
    attendance.stop()
    attendance.join(JOIN_SECONDS)


if __name__ == "__main__":
    main()
