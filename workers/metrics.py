"""Metrics of the whole fleet, from MySQL, Redis and TimescaleDB: `python -m workers.metrics`.

Alerts belong on these, not on Flower: they count what is committed, whoever runs. One is enough;
a second tells the same.
"""

from __future__ import annotations

import signal
import sys

from shared import telemetry
from shared.masking import Mask
from workers import http
from workers.exposure.exporter import Exporter
from workers.exposure.samples import Told
from workers.page.look import errors_of
from workers.page.site import Site
from workers.roles import settings_or_end

ROLE = "metrics"


def main() -> int:
    settings = settings_or_end(ROLE)
    telemetry.start(
        Mask.of(settings),
        role=ROLE,
        dsn=settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else "",
        environment=settings.app_env,
    )
    exporter = Exporter(settings)
    site = Site(exporter, errors_of(settings))
    telemetry.meter().registry.register(Told(lambda: exporter.samples))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    http.serve(
        settings.metrics_port,
        http.Probes(ROLE, exporter.alive, lambda: exporter.collected),
        pages=site.answer,
    )
    exporter.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
