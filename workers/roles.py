"""The roles of the fleet, one row each. The Procfile is this table written out; a test compares.

A role is a process type: `make up` starts one of each, other supervisors start what they need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from shared import settings
from shared.errors import SettingsError
from shared.settings import Settings
from shared.settings_sources import merge

_TIMESCALE_URL = "FLEET_TIMESCALE_URL"


class Role(NamedTuple):
    """One process type.

    command: as the Procfile has it. drain_seconds: what a stop may take before SIGKILL; every
    other supervisor needs at least this (`terminationGracePeriodSeconds`, `TimeoutStopSec`).
    ready: `http` asks /ready on the process' own port, `flower` Flower's /healthcheck.
    pool: of Celery workers. needs: servers it cannot work without; where there is no TimescaleDB,
    `make up` leaves out the roles that need it.
    """

    command: str
    needs: tuple[str, ...]
    ready: Literal["http", "flower"]
    drain_seconds: int
    pool: Literal["threads", "prefork", ""] = ""


# A second node of a role on one machine sets FLEET_SLOT=2: names stay stable, so Flower's metrics
# and its worker list do not grow with every start. `%h` becomes the host's name.
ROLES: Mapping[str, Role] = {
    "streams": Role(
        # threads: nothing to fork, and a pool whose flush on reconnect drops nothing. They cannot
        # be killed, so a stop waits for the batch in hand (well below a second).
        "celery -q -A workers.app worker -P threads -c 4 -E -Q fleet.control"
        " -n streams-${FLEET_SLOT:-1}@%h",
        ("broker", "redis", "mysql"), "http", 30, "threads",
    ),
    "relay": Role("python -m workers.relay", ("redis", "mysql"), "http", 15),
    "laravel": Role(
        # One job at a time, as queue:work: more nodes (FLEET_SLOT) run more. threads, because the
        # loop is a thread of ours; a stop waits for the job in hand, the restart signal as well.
        "celery -q -A workers.app worker -P threads -c 1 -E -Q fleet.control"
        " -n laravel-${FLEET_SLOT:-1}@%h",
        ("broker", "redis", "mysql"), "http", 90, "threads",
    ),
    "jobs": Role(
        # prefork: time limits are real there. Stopped by a soft shutdown (REMAP_SIGTERM), which
        # hands a task that takes too long back to the queue.
        "celery -q -A workers.app worker -P prefork -c 2 -E -Q fleet.jobs"
        " -n jobs-${FLEET_SLOT:-1}@%h",
        ("broker", "redis", "mysql"), "http", 30, "prefork",
    ),
    "sync": Role(
        # threads: each waits for a batch of accounts on the process' one event loop; most of the
        # time they wait for an exchange's budget. A stop waits for the batches in hand.
        "celery -q -A workers.app worker -P threads -c 32 -E -Q fleet.sync"
        " -n sync-${FLEET_SLOT:-1}@%h",
        ("broker", "redis", "mysql"), "http", 90, "threads",
    ),
    "userstreams": Role(
        # threads: the streams live on one event loop in a thread of ours. More nodes (FLEET_SLOT)
        # share the accounts.
        "celery -q -A workers.app worker -P threads -c 1 -E -Q fleet.control"
        " -n userstreams-${FLEET_SLOT:-1}@%h",
        ("broker", "redis", "mysql"), "http", 30, "threads",
    ),
    "beat": Role("celery -q -A workers.app beat", ("broker",), "http", 15),
    "flower": Role(
        "celery -q -A workers.app flower --read_only --address=127.0.0.1"
        " --purge_offline_workers=300",
        ("broker",), "flower", 10,
    ),
    "rq": Role("python -m workers.rq_worker", ("broker", "redis", "mysql"), "http", 30),
    "metrics": Role("python -m workers.metrics", ("broker", "redis", "mysql"), "http", 10),
    # Change capture. One of each works, a second waits; a stop waits for the chunk in hand.
    "collector": Role("python -m workers.cdc.collect", ("redis", "mysql"), "http", 30),
    "audit": Role("python -m workers.cdc.audit", ("redis", "mysql"), "http", 30),
    "timescale": Role("python -m workers.cdc.history", ("redis", "timescale"), "http", 30),
}  # fmt: skip

# Set in front of the command, because Celery has read them by the time our module is imported.
_ENVIRONMENT: Mapping[str, str] = {"prefork": "REMAP_SIGTERM=SIGQUIT "}


def procfile() -> str:
    """The Procfile's text."""
    return "".join(f"{name}: {procfile_command(name)}\n" for name in ROLES)


def procfile_command(name: str) -> str:
    role = ROLES[name]
    return f"FLEET_ROLE={name} {_ENVIRONMENT.get(role.pool, '')}{role.command}"


def current(environ: Mapping[str, str] = os.environ, argv: Sequence[str] = sys.argv) -> str:
    """Role of the process: FLEET_ROLE, else what its command line says, else `cli`.

    The command line matters: a Flower that is started by hand must still get its password.
    """
    if name := environ.get("FLEET_ROLE"):
        return name
    words = {word for word in argv[1:] if not word.startswith("-")}
    return next((name for name in ("flower", "beat") if name in words), "cli")


def unneeded(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Roles that have nothing to work with here: a fleet may have no TimescaleDB."""
    env_file = Path(environ.get("FLEET_ENV_FILE") or ".env")
    values = merge(environ, env_file, (_TIMESCALE_URL,), ()).values
    without = not values.get(_TIMESCALE_URL)
    return frozenset(name for name, role in ROLES.items() if without and "timescale" in role.needs)


def load_settings(role: str) -> Settings:
    """The settings of this process, from its environment."""
    return settings.load(role)


def settings_or_end(role: str) -> Settings:
    """The same for what a supervisor starts: a wrong setting ends it with one line, which says what
    to write instead, and without a traceback above it.
    """
    try:
        return load_settings(role)
    except SettingsError as error:
        raise SystemExit(f"fleet {role}: {error}") from None
