"""Processes of a storm's fleet: started, killed, stopped, and started again by a supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import orjson

from tests.chaos.gates import Gate, Gates
from tests.desk import ROOT, Desk

M = TypeVar("M", bound="Member")

LOOK_SECONDS = 0.1
REST_SECONDS = 0.3  # between a death and the next start
STOP_SECONDS = 45.0


@dataclass
class Member:
    """One process of a storm."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    asleep: bool = False
    starts: int = 0
    started_at: float = 0.0
    own_deaths: list[str] = field(default_factory=list)  # last words of those nobody killed
    killed: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environ},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.starts += 1
        self.asleep = self.killed = False
        self.started_at = time.monotonic()

    def send(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        if number == signal.SIGKILL:
            self.killed = True
        if number in {signal.SIGSTOP, signal.SIGCONT}:
            self.asleep = number == signal.SIGSTOP
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


@dataclass(kw_only=True)
class Gated(Member):
    """A member with its own two ways to the servers."""

    mysql: Gate
    redis: Gate


class Crew(Generic[M]):
    """up(), down() and a thread that starts what has died."""

    def __init__(self, members: Sequence[M]) -> None:
        self.members = members
        self._wanted_up = False
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def up(self) -> None:
        with self._lock:
            self._wanted_up = True
        if not self._thread.is_alive():
            self._thread.start()

    def down(self, number: signal.Signals) -> None:
        """Every process, all at once."""
        with self._lock:
            self._wanted_up = False
            for member in self.members:
                member.killed = True
                member.send(signal.SIGCONT)
                member.send(number)

    def end(self) -> list[str]:
        """A graceful stop; names what did not end well."""
        self._ending.set()
        self._thread.join()
        for member in self.members:
            member.send(signal.SIGCONT)
            member.send(signal.SIGTERM)
        return [text for member in self.members for text in _ended(member)]

    def said(self) -> Counter[str]:
        """How often each thing was said in the logs."""
        return Counter(str(line.get("event")) for line in self.lines())

    def lines(self) -> Iterator[dict[str, object]]:
        """Every log line that is an object; others (a traceback of a death) are left out."""
        for member in self.members:
            if not member.log.exists():
                continue
            for text in member.log.read_bytes().splitlines():
                with suppress(orjson.JSONDecodeError):
                    line = orjson.loads(text)
                    if isinstance(line, dict):
                        yield line

    def _supervise(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            with self._lock:
                if self._wanted_up:
                    for member in self.members:
                        self._look_after(member)

    @staticmethod
    def _look_after(member: Member) -> None:
        if member.alive or time.monotonic() - member.started_at < REST_SECONDS:
            return
        if member.process is not None and not member.killed:
            member.own_deaths.append(_last_words(member.log))
        member.start()


class Fleet(Crew[Gated]):
    """Nodes of the role `streams`, relays, and nodes of the sync."""

    def __init__(  # noqa: PLR0917 - the order people say it in
        self, desk: Desk, gates: Gates, folder: Path, nodes: int, relays: int, syncs: int = 0
    ) -> None:
        names = [f"node-{n}" for n in range(1, nodes + 1)]
        names += [f"relay-{n}" for n in range(1, relays + 1)]
        names += [f"sync-{n}" for n in range(1, syncs + 1)]
        super().__init__([_member(desk, gates, folder, name) for name in names])

    @property
    def syncs(self) -> list[Gated]:
        return [one for one in self.members if one.name.startswith("sync")]

    @property
    def nodes(self) -> list[Gated]:
        return [one for one in self.members if one.name.startswith("node")]

    @property
    def relays(self) -> list[Gated]:
        return [one for one in self.members if one.name.startswith("relay")]


_PROGRAMS = {
    "node": ("streams", "tests.chaos.node"),
    "relay": ("relay", "workers.relay"),
    "sync": ("sync", "tests.chaos.sync_node"),
}
"""By the first part of a member's name: its role and its program."""


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    words = next((line for line in reversed(lines) if line.strip() and line[0] != "{"), "nothing")
    return words[:120]


def _ended(member: Member) -> list[str]:
    if member.process is None:
        return []
    try:
        code = member.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        member.process.kill()
        member.process.wait()
        return [f"{member.name} did not end within {STOP_SECONDS:.0f} s of SIGTERM"]
    return [] if code == 0 or member.killed else [f"{member.name} ended with {code} on SIGTERM"]


def _member(desk: Desk, gates: Gates, folder: Path, name: str) -> Gated:
    settings = desk.settings()
    mysql, redis = gates.make(settings.mysql.port), gates.make(settings.streams_redis.port)
    role, module = _PROGRAMS[name.partition("-")[0]]
    return Gated(
        name=name,
        command=[sys.executable, "-m", module, name],
        environ={
            **desk.environ,
            "DB_PORT": str(mysql.port),
            "REDIS_PORT": str(redis.port),
            "FLEET_ROLE": role,
            "FLEET_METRICS_PORT": "22600",  # the first of those that are free
            "FLEET_LOG_STYLE": "json",
            "PYTHONUNBUFFERED": "1",
        },
        log=folder / f"{name}.log",
        mysql=mysql,
        redis=redis,
    )
