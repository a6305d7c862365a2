"""Python workers on Horizon's dashboard: a supervisor, under a master of its own.

Facts of Horizon 5.9 to 5.45 that this rests on:
- A master counts as alive for 14 s after its heartbeat, a supervisor is shown under a live master.
- `horizon:status` says "running" when any master lives. So ours shows only beside a real one, or a
  dead Horizon would look alive.
- `horizon:terminate` and `horizon:pause` signal the pid of every master whose name begins with the
  slug of the host's name. A slug has no capital letter; our name begins with one.
- A terminating master waits for the longest `timeout` of all supervisors' options, and never ends
  when one has none.
- Supervisors without a heartbeat for 14 s are removed, masters likewise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from redis import Redis

NAME = "Python"
ENVIRONMENT = "python"
"""No environment of config/horizon.php: Horizon would show its supervisors as missing here."""

FRESH_SECONDS = 5
"""A real master beats every second; this long without one means Horizon is gone."""

MASTER_SECONDS = 15
SUPERVISOR_SECONDS = 30


class Supervisor(NamedTuple):
    """One node. connection: name of Laravel's queue connection. timeout: seconds of a job."""

    node: str
    connection: str
    queues: Sequence[str]
    pid: int
    tries: int
    timeout: int
    processes: int = 1

    @property
    def master(self) -> str:
        return f"{NAME}-{self.node}"

    @property
    def name(self) -> str:
        """Horizon takes what stands before the last colon for the master."""
        return f"{self.master}:laravel"

    def options(self) -> dict[str, Any]:
        """Every key of Horizon's SupervisorOptions: its pages and its shutdown read them."""
        return {
            "balance": "off",
            "connection": self.connection,
            "queue": ",".join(self.queues),
            "backoff": 0,
            "force": False,
            "maxProcesses": self.processes,
            "minProcesses": self.processes,
            "maxTries": self.tries,
            "maxTime": 0,
            "maxJobs": 0,
            "memory": 128,
            "nice": 0,
            "name": self.name,
            "workersName": "default",
            "sleep": 1,
            "timeout": self.timeout,
            "balanceCooldown": 3,
            "balanceMaxShift": 1,
            "parentId": 0,
            "rest": 0,
            "autoScalingStrategy": "time",
        }


def real_master_lives(redis: Redis, prefix: str, now: int) -> bool:
    """Whether a master that is not ours has beaten lately. prefix: Horizon's. now: seconds."""
    found: Any = redis.zrangebyscore(f"{prefix}masters", now - FRESH_SECONDS, "+inf")
    return any(not name.startswith(NAME.encode()) for name in found)


def show(redis: Redis, prefix: str, supervisor: Supervisor, now: int) -> None:
    """Register, or renew; to be repeated well within MASTER_SECONDS."""
    queue = f"{supervisor.connection}:{','.join(supervisor.queues)}"
    pipe = redis.pipeline(transaction=True)
    master = f"{prefix}master:{supervisor.master}"
    pipe.hset(
        master,
        mapping={
            "name": supervisor.master,
            "environment": ENVIRONMENT,
            "pid": supervisor.pid,
            "status": "running",
            "supervisors": json.dumps([supervisor.name]),
        },
    )
    pipe.expire(master, MASTER_SECONDS)
    pipe.zadd(f"{prefix}masters", {supervisor.master: now})
    own = f"{prefix}supervisor:{supervisor.name}"
    pipe.hset(
        own,
        mapping={
            "name": supervisor.name,
            "master": supervisor.master,
            "pid": supervisor.pid,
            "status": "running",
            "processes": json.dumps({queue: supervisor.processes}),
            "options": json.dumps(supervisor.options()),
        },
    )
    pipe.expire(own, SUPERVISOR_SECONDS)
    pipe.zadd(f"{prefix}supervisors", {supervisor.name: now})
    pipe.execute()


def hide(redis: Redis, prefix: str, supervisor: Supervisor) -> None:
    """Withdraw at once; harmless when nothing is registered."""
    pipe = redis.pipeline(transaction=True)
    pipe.delete(f"{prefix}master:{supervisor.master}", f"{prefix}supervisor:{supervisor.name}")
    pipe.zrem(f"{prefix}masters", supervisor.master)
    pipe.zrem(f"{prefix}supervisors", supervisor.name)
    pipe.execute()
