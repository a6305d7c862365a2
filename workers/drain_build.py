"""Composition of a process' attendance: settings become its place in the broker's Redis."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial

from shared import telemetry
from shared.settings import Settings
from workers import drain
from workers.drain import Attendance, Drain, Gate, RoleDrain
from workers.lease import broker_redis


def attend(
    settings: Settings, role: str, gate: Gate, held: Callable[[], int], name: str = ""
) -> Attendance:
    """Begins; held: see `Gate`. name: of the node, by default its host's."""
    gate.held = held
    found = Attendance(
        partial(broker_redis, settings),
        drain.drain_key(settings.broker_prefix, role),
        f"{name or socket.gethostname()}:{os.getpid()}",
        gate,
        log=telemetry.log("fleet.drain").info,
    )
    found.start()
    return found


def ask_to_drain(settings: Settings, role: str, why: str) -> Drain:
    with closing(broker_redis(settings)) as redis:
        return drain.ask(redis, drain.drain_key(settings.broker_prefix, role), why)


def undrain(settings: Settings, role: str) -> bool:
    """Whether it was drained."""
    with closing(broker_redis(settings)) as redis:
        return drain.cancel(redis, drain.drain_key(settings.broker_prefix, role))


def look_at_drain(settings: Settings, role: str) -> RoleDrain:
    with closing(broker_redis(settings)) as redis:
        return drain.look(redis, drain.drain_key(settings.broker_prefix, role))
