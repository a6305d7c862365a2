"""One stream node without Celery: the reader alone, ended by SIGTERM. For storms only."""

from __future__ import annotations

import signal
import sys

from shared import telemetry
from shared.masking import Mask
from workers.batch_report import BatchReport
from workers.build import build_reader
from workers.roles import load_settings


def main() -> int:
    settings = load_settings("streams")
    telemetry.start(Mask.of(settings), role="streams")
    log = telemetry.log("chaos.node")

    def report(batch: BatchReport) -> None:
        if batch.error is not None:
            log.info("batch_failed", error=batch.error)

    reader = build_reader(settings, sys.argv[1], report)
    signal.signal(signal.SIGTERM, lambda *_: reader.stop())
    reader.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
