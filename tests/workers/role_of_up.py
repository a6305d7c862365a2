"""A role for tests of `workers.up`: `python -m tests.workers.role_of_up good|never|dies|deaf`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from workers import http

kind, name = sys.argv[1:3]
stopping = threading.Event()
if kind == "dies":
    sys.stderr.write("cannot start: no such table\n")
    sys.exit(3)
if kind == "deaf":
    # Neither it nor its child listens to SIGTERM.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; sleep 1000"])
else:
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
http.serve(
    int(os.environ["FLEET_METRICS_PORT"]),
    http.Probes(name, lambda: True, lambda: kind != "never"),
)
stopping.wait()
