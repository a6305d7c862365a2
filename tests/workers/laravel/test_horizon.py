"""Our records in Horizon's tables equal those that a real Horizon made, step by step; our nodes
appear beside a living Horizon and never without one.

The recordings come from Horizon 5.29.1 on Laravel 10.48; what only a running Horizon can show (its
pages, its shutdown) is stated in shared/decisions.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.laravel.horizon import Supervisor, hide, real_master_lives, show
from tests.horizon_records import dump, recorded, restore
from tests.laravel_world import LaravelWorld
from tests.waiting import eventually
from workers.laravel.horizon import Presence
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.table import JobClass

pytestmark = pytest.mark.database

RECORDED = recorded()


class Noop(Arguments):
    number: int


class Fails(Arguments):
    name: str


class Heals(Arguments):
    account: int


def breaks(_context: Any, _arguments: Any) -> None:
    raise RuntimeError("broken")


def works(_context: Any, _arguments: Any) -> None:
    return None


STEPS = [
    ("a job: pushed", "a job: done", works),
    ("two tries: pushed", "two tries: released", breaks),
    ("two tries: released", "two tries: failed", breaks),
    ("one try: pushed", "one try: failed", breaks),
    ("a retry: pushed", "a retry: done", works),
]


@pytest.mark.parametrize(("before", "after", "run"), STEPS, ids=[after for _, after, _ in STEPS])
def test_a_step_leaves_what_horizon_would_leave(
    laravel: LaravelWorld, before: str, after: str, run: Any
) -> None:
    settings = laravel.settings
    redis: Any = laravel.redis
    restore(redis, RECORDED[before], settings.horizon_prefix, settings.prefix)
    for member in redis.zrange(laravel.keys().delayed, 0, -1):
        redis.zadd(laravel.keys().delayed, {member: 0})  # it is due
    table = {
        "App\\Jobs\\Noop": JobClass(Noop, run),
        "App\\Jobs\\Fails": JobClass(Fails, run),
        "App\\Jobs\\Heals": JobClass(Heals, run),
    }
    with laravel.working(table):
        eventually(lambda: laravel.reports)
        eventually(lambda: not laravel.lengths()[2])
    ours = dump(redis, settings.horizon_prefix, settings.prefix)
    wanted = RECORDED[after]
    assert ours.keys() == wanted.keys()
    for name in wanted:
        assert ours[name]["value"] == wanted[name]["value"], name
        assert close(ours[name]["minutes"], wanted[name]["minutes"]), name


def close(one: int | None, other: int | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) <= 1)


def test_without_horizon_no_record_is_written(laravel: LaravelWorld) -> None:
    prefix = laravel.settings.horizon_prefix
    laravel.settings = laravel.settings.model_copy(update={"horizon": "off"})
    laravel.push(RECORDED_JOB)
    with laravel.working({"App\\Jobs\\Noop": JobClass(Noop, works)}):
        eventually(lambda: laravel.reports)
    assert not list(laravel.redis.scan_iter(f"{prefix}*"))


RECORDED_JOB = json.dumps(
    RECORDED["a job: pushed"]["hzq:queues:fleet"]["value"]["list"][0]["json"]
)


# -- supervisors -----------------------------------------------------------------------------------


SUPERVISOR = Supervisor("laravel-1@host", "redis", ("fleet", "reports"), 4711, 1, 60)


class Clock:
    """Seconds since 1970, moved by the test."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def presence(world: LaravelWorld, clock: Clock) -> Presence:
    def log(*_: Any, **__: Any) -> None: ...

    return Presence(lambda: world.redis, world.settings.horizon_prefix, SUPERVISOR, log, clock)


def beat(world: LaravelWorld, name: str, at: float) -> None:
    """As a real master's heartbeat."""
    world.redis.zadd(f"{world.settings.horizon_prefix}masters", {name: int(at)})


def shown(world: LaravelWorld) -> bool:
    prefix = world.settings.horizon_prefix
    keys = (f"{prefix}master:{SUPERVISOR.master}", f"{prefix}supervisor:{SUPERVISOR.name}")
    listed = (
        world.redis.zscore(f"{prefix}masters", SUPERVISOR.master),
        world.redis.zscore(f"{prefix}supervisors", SUPERVISOR.name),
    )
    found = {bool(world.redis.exists(key)) for key in keys} | {one is not None for one in listed}
    assert len(found) == 1, "shown in part"
    return found.pop()


def test_a_node_shows_itself_only_beside_a_living_horizon(laravel: LaravelWorld) -> None:
    clock = Clock()
    own = presence(laravel, clock)
    own.turn()
    assert not shown(laravel)
    beat(laravel, "web-1-AbCd", clock.now)
    own.turn()
    assert shown(laravel)
    clock.now += 4
    own.turn()
    assert shown(laravel)
    clock.now += 2  # six seconds without a heartbeat: Horizon is gone
    own.turn()
    assert not shown(laravel)


def test_other_python_masters_do_not_count_as_horizon(laravel: LaravelWorld) -> None:
    clock = Clock()
    show(laravel.redis, laravel.settings.horizon_prefix, SUPERVISOR._replace(node="x"), 0)
    beat(laravel, "Python-laravel-2@host", clock.now)
    assert not real_master_lives(laravel.redis, laravel.settings.horizon_prefix, int(clock.now))


def test_a_node_withdraws_when_it_stops(laravel: LaravelWorld) -> None:
    own = presence(laravel, Clock())
    beat(laravel, "web-1-AbCd", time.time() + 60)
    own.start()
    eventually(lambda: shown(laravel))
    own.stop()
    own.join(5)
    assert not shown(laravel)
    hide(laravel.redis, laravel.settings.horizon_prefix, SUPERVISOR)  # harmless when repeated


def test_what_horizons_pages_and_its_shutdown_read_is_complete(laravel: LaravelWorld) -> None:
    prefix = laravel.settings.horizon_prefix
    show(laravel.redis, prefix, SUPERVISOR, int(time.time()))
    redis: Any = laravel.redis
    master = redis.hgetall(f"{prefix}master:{SUPERVISOR.master}")
    supervisor = redis.hgetall(f"{prefix}supervisor:{SUPERVISOR.name}")
    # Trap 39: an entry without a colon breaks horizon:list; a master's status is never "paused".
    (entry,) = json.loads(master[b"supervisors"])
    assert entry.rpartition(":")[0] == supervisor[b"master"].decode() == SUPERVISOR.master
    assert {master[b"status"], supervisor[b"status"]} == {b"running"}
    assert json.loads(supervisor[b"processes"]) == {"redis:fleet,reports": 1}
    options = json.loads(supervisor[b"options"])
    assert isinstance(options["timeout"], int)  # Horizon's shutdown waits for its maximum
    assert set(options) == {
        "balance", "connection", "queue", "backoff", "force", "maxProcesses", "minProcesses",
        "maxTries", "maxTime", "maxJobs", "memory", "nice", "name", "workersName", "sleep",
        "timeout", "balanceCooldown", "balanceMaxShift", "parentId", "rest", "autoScalingStrategy",
    }  # fmt: skip
    assert 0 < redis.ttl(f"{prefix}master:{SUPERVISOR.master}") <= 15
    assert 0 < redis.ttl(f"{prefix}supervisor:{SUPERVISOR.name}") <= 30


def test_no_host_name_of_php_can_be_the_beginning_of_our_masters_name() -> None:
    # Str::slug makes lower case: horizon:terminate looks for names that begin with it.
    assert SUPERVISOR.master[0].isupper()
