"""Keeps the processes of a Procfile running: one keeper per fleet at a desk.

Roles are meant to end themselves when they cannot go on (a lost beat lock, a dead reader), so
somebody must start them again. In production that is systemd or Kubernetes; here it is this.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from workers.processes import (
    RoleFile,
    identify,
    kill_group,
    signal_one,
    wait_until,
    write_role,
)

# Without a row in the role table (a Procfile of somebody else).
DRAIN_SECONDS = 20
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 60.0
_TURN_SECONDS = 0.1


class Line(NamedTuple):
    """One line of a Procfile. drain: seconds between SIGTERM and SIGKILL."""

    name: str
    command: str
    drain: float


def read_procfile(path: Path, drains: Mapping[str, float]) -> list[Line]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        name, colon, command = text.partition(":")
        if colon and command.strip() and not text.startswith("#"):
            name = name.strip()
            lines.append(Line(name, command.strip(), drains.get(name, DRAIN_SECONDS)))
    return lines


class _Kept:
    """One role under the keeper."""

    def __init__(self, line: Line, home: Path, environ: Mapping[str, str]) -> None:
        self.line = line
        self._home = home
        self._environ = environ
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._again_at = 0.0
        self._short_lives = 0
        self._exits = 0
        self._last_exit: int | None = None

    def start(self) -> None:
        log = self._home / "logs" / f"{self.line.name}.log"
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                # `exec env`: the role itself is our child, so a signal reaches it, and no shell
                # stands between. The line may set variables and use `${SLOT:-1}`.
                ["/bin/sh", "-c", f"exec env {self.line.command}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self._environ),
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self._write()

    def turn(self) -> None:
        """Starts the role again if it ended, after a pause that grows with short lives."""
        if self._child is None:
            if time.monotonic() >= self._again_at:
                self.start()
            return
        code = self._child.poll()
        if code is None:
            return
        kill_group(self._child.pid)
        lived = time.monotonic() - self._started_at
        self._short_lives = 0 if lived > _STEADY_SECONDS else self._short_lives + 1
        pause = _PAUSES[min(max(self._short_lives, 1), len(_PAUSES)) - 1]
        self._again_at = time.monotonic() + pause
        self._exits, self._last_exit, self._child = self._exits + 1, code, None
        self._write()
        print(f"{self.line.name} ended with {code}; again in {pause} s", flush=True)  # noqa: T201

    def ask_to_stop(self) -> None:
        """SIGTERM to the role alone: Celery's children must not be killed under their parent."""
        if self._child is not None and (process := identify(self._child.pid)):
            signal_one(process, signal.SIGTERM)

    def end(self, deadline: float) -> None:
        child = self._child
        if child is None:
            return
        left = max(deadline - time.monotonic(), 0.0)
        if not wait_until(lambda: child.poll() is not None, left):
            print(f"{self.line.name} did not stop in {self.line.drain} s: killed", flush=True)  # noqa: T201
        kill_group(child.pid)
        child.wait()
        self._child = None

    def _write(self) -> None:
        process = identify(self._child.pid) if self._child is not None else None
        path = self._home / "run" / f"{self.line.name}.json"
        write_role(path, RoleFile(process, self._exits, self._last_exit))


def keep(lines: Sequence[Line], home: Path) -> int:
    """Runs until SIGTERM, then stops every role within its drain time."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    environ = {**os.environ, "FLEET_RUN_DIR": str(home / "run"), "PYTHONUNBUFFERED": "1"}
    # The programs of the environment we run in, whatever the caller's PATH says.
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}"
    password = environ.pop("FLEET_FLOWER_AUTH", "")
    kept = []
    for line in lines:
        own = {**environ, "FLEET_FLOWER_AUTH": password} if line.name == "flower" else environ
        kept.append(_Kept(line, home, own))
    while not stopping.is_set():
        for role in kept:
            role.turn()
        stopping.wait(_TURN_SECONDS)
    asked_at = time.monotonic()
    for role in kept:
        role.ask_to_stop()
    for role in kept:
        role.end(asked_at + role.line.drain)
    return 0
