"""A storm over one Laravel queue: PHP and Python workers on it, killed and stopped in mid-job.

Every job leaves a row where it came to its end. At last each one is accounted for by its uuid: it
ran, it failed, or it waits; and none ran twice unless its reservation had run out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson
from redis import Redis

from shared.laravel.dispatch import Options, Pusher, object_job
from shared.laravel.reservations import queue_keys
from tests.chaos.fleet import Crew, Member
from tests.desk import Desk, make_desk
from tests.waiting import eventually

QUEUE = "chaos"
CLASS = "App\\Jobs\\Traced"
RETRY_AFTER = 4  # seconds
# A quarter of a reservation may be over when its run starts, and Redis counts whole seconds.
RESERVED_US = (RETRY_AFTER * 3 // 4 - 1) * 1_000_000
WAITING = 60  # jobs: the queue is never empty and never long
CALM = (0.15, 0.5)  # seconds between two faults
TICK_SECONDS = 0.02
RUNS = """
CREATE TABLE chaos_runs (
  uuid CHAR(36) NOT NULL, attempt INT NOT NULL, runner VARCHAR(8) NOT NULL, pid INT NOT NULL,
  started_us BIGINT NOT NULL, PRIMARY KEY (uuid, attempt)
)"""
BOOT = r"""
$app = require 'bootstrap/app.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();
"""
# `queue:work` that says in `chaos:running` which job it is at, from before its first look at the
# job until it is done with it.
WORKER = BOOT + r"""
use Illuminate\Support\Facades\{Event, Redis};
Event::listen(function (Illuminate\Queue\Events\JobProcessing $event) {
    Redis::hset('chaos:running', (string) getmypid(), $event->job->uuid());
});
Event::listen(function (Illuminate\Queue\Events\Looping $event) {
    Redis::hdel('chaos:running', (string) getmypid());
});
$output = new Symfony\Component\Console\Output\ConsoleOutput();
$command = 'queue:work redis --queue=chaos --sleep=0.1';
exit(Illuminate\Support\Facades\Artisan::call($command, [], $output));
"""
FEEDER = BOOT + r"""
$pushed = null;
Illuminate\Queue\Queue::createPayloadUsing(function ($connection, $queue, $payload) use (&$pushed) {
    $pushed = $payload['uuid'];
    return [];
});
while (($line = fgets(STDIN)) !== false) {
    $uuids = [];
    foreach (json_decode($line, true) as $job) {
        dispatch((new App\Jobs\Traced(...$job))->onQueue('chaos'));
        $uuids[] = $pushed;
    }
    echo json_encode($uuids), "\n";
}
"""


@dataclass(frozen=True)
class Plan:
    """kills: kill -9 that hit a process in mid-job."""

    seed: int
    kills: int
    python_nodes: int = 2
    php_workers: int = 2
    seconds_most: float = 300.0
    drain_seconds: float = 60.0


class Spec(NamedTuple):
    """A job to come. throws: so many first attempts fail."""

    milliseconds: int
    throws: int
    tries: int | None


class Run(NamedTuple):
    """reserved_us: when its reservation began, or before."""

    uuid: str
    attempt: int
    runner: str
    pid: int
    started_us: int
    reserved_us: int


class Start(NamedTuple):
    """A run that began, whatever became of it."""

    uuid: str
    attempt: int
    runner: str
    pid: int
    at_us: int


class Nap(NamedTuple):
    """A process between SIGSTOP and SIGCONT."""

    pid: int
    from_us: int
    to_us: int


class Failed(NamedTuple):
    """A row of failed_jobs. at_s: whole seconds since 1970."""

    uuid: str
    exception: str
    at_s: int


@dataclass
class Outcome:
    """found: differences, empty when everything ties."""

    plan: Plan
    struck: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    pushed: int = 0
    ran: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    twice: int = 0
    php_lost: int = 0
    logs: Path | None = None


def run(plan: Plan, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """One storm from an empty desk to the verdict. Nothing is left running."""
    desk = make_desk(f"fleet_queues_{os.getpid()}_{plan.seed}", laravel=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan, logs=folder)
    crew = Crew(_members(plan, desk, folder))
    try:
        _run(plan, desk, crew, outcome, say)
    finally:
        crew.down(signal.SIGKILL)
    if not outcome.found:
        desk.remove()
        shutil.rmtree(folder)
        outcome.logs = None
    return outcome


def _run(
    plan: Plan, desk: Desk, crew: Crew[Member], outcome: Outcome, say: Callable[[str], None]
) -> None:
    with closing(desk.connect()) as connection:
        connection.cursor().execute(RUNS)
    with closing(desk.redis()) as redis, closing(Feeder(plan.seed, desk, redis)) as feeder:
        crew.up()
        eventually(feeder.everybody_works(len(crew.members)), 60)
        storm = Storm(plan, crew, redis, feeder)
        storm.blow()
        storm.wake(everybody=True)
        outcome.struck = storm.struck
        say(f"  {len(feeder.pushed):,} jobs; draining")
        drained = _drain(redis, desk.prefix, plan.drain_seconds)
        outcome.found = [] if drained else [f"not drained in {plan.drain_seconds:.0f} s"]
        outcome.found += crew.end()
        _judge(desk, redis, feeder.pushed, storm, outcome)
    outcome.found += [words for one in crew.members for words in one.own_deaths]


class Feeder:
    """Jobs for the queue, in turns from Laravel itself and from Python."""

    def __init__(self, seed: int, desk: Desk, redis: Redis) -> None:
        self.pushed: dict[str, Spec] = {}
        self._rng = Random(seed)
        self._redis = redis
        self._ready = queue_keys(desk.prefix, QUEUE).ready
        self.running = f"{desk.prefix}chaos:running"  # process id → the job it is at
        self._pusher = Pusher(redis, desk.prefix, connection="redis")
        self._php: Any = subprocess.Popen(
            [desk.values["SERVERS_PHP"], "-r", FEEDER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **desk.environ},
        )  # fmt: skip

    def everybody_works(self, count: int) -> Callable[[], bool]:
        """Whether so many processes have been at a job since this call."""
        seen: set[bytes] = set()

        def look() -> bool:
            self.fill()
            client: Any = self._redis
            seen.update(client.hkeys(self.running))
            return len(seen) >= count

        return look

    def close(self) -> None:
        self._php.stdin.close()
        self._php.stdout.close()
        self._php.wait()

    def fill(self) -> None:
        """Jobs enough for a while."""
        if int(str(self._redis.llen(self._ready))) >= WAITING:
            return
        by_php = [_drawn(self._rng) for _ in range(WAITING // 2)]
        self._php.stdin.write(orjson.dumps([list(spec) for spec in by_php]) + b"\n")
        self._php.stdin.flush()
        by_python = [_drawn(self._rng) for _ in range(WAITING // 2)]
        jobs = [_job(spec) for spec in by_python]
        self._pusher.push(jobs)
        self.pushed |= {job.uuid: spec for job, spec in zip(jobs, by_python, strict=True)}
        uuids = orjson.loads(self._php.stdout.readline())
        self.pushed |= dict(zip(uuids, by_php, strict=True))


class Storm:
    """Faults, one after the other, while the feeder keeps the queue filled."""

    def __init__(self, plan: Plan, crew: Crew[Member], redis: Redis, feeder: Feeder) -> None:
        self.struck: Counter[str] = Counter()
        self._plan = plan
        self._crew = crew
        self._redis = redis
        self._feeder = feeder
        self._rng = Random(-plan.seed)
        self.naps: list[Nap] = []
        self.php_was_at: set[str] = set()  # jobs, when PHP was killed
        self._asleep: dict[str, tuple[float, int]] = {}  # member → when it wakes, asleep since

    def blow(self) -> None:
        """Until so many kills have hit a job."""
        end = time.monotonic() + self._plan.seconds_most
        following = 0.0
        while self.struck["killed in mid-job"] < self._plan.kills and time.monotonic() < end:
            self._feeder.fill()
            self.wake()
            if time.monotonic() >= following:
                self._strike()
                following = time.monotonic() + self._rng.uniform(*CALM)
            time.sleep(TICK_SECONDS)

    def _strike(self) -> None:
        awake = [one for one in self._crew.members if one.alive and one.name not in self._asleep]
        if not awake:
            return
        member = self._rng.choice(awake)
        drawn = self._rng.random()
        if drawn < 0.85 or len(awake) < 2:
            self._kill(member)
        elif drawn < 0.95 and member.name.startswith("python"):
            # Not PHP: it releases a job that is no longer its own, which doubles it.
            member.send(signal.SIGSTOP)
            wakes = time.monotonic() + RETRY_AFTER + 2
            self._asleep[member.name] = (wakes, time.time_ns() // 1000)
            self.struck["stopped past its reservation"] += 1
        else:
            self._redis.script_flush()
            self.struck["scripts flushed"] += 1

    def _kill(self, member: Member) -> None:
        assert member.process is not None
        pid = str(member.process.pid)
        member.send(signal.SIGKILL)
        member.process.wait()
        client: Any = self._redis
        uuid = client.hget(self._feeder.running, pid)
        client.hdel(self._feeder.running, pid)
        self.struck["killed in mid-job" if uuid else "killed between two jobs"] += 1
        if uuid and member.name.startswith("php"):
            self.php_was_at.add(uuid.decode())

    def wake(self, *, everybody: bool = False) -> None:
        for member in self._crew.members:
            wakes, since_us = self._asleep.get(member.name, (float("inf"), 0))
            if wakes <= time.monotonic() or (everybody and since_us):
                del self._asleep[member.name]
                assert member.process is not None
                self.naps.append(Nap(member.process.pid, since_us, time.time_ns() // 1000))
                member.send(signal.SIGCONT)


# -- the verdict -----------------------------------------------------------------------------------


def _judge(
    desk: Desk, redis: Redis, pushed: Mapping[str, Spec], storm: Storm, outcome: Outcome
) -> None:
    starts = _starts(redis, desk.prefix)
    with closing(desk.connect()) as connection:
        runs = reserved(_runs(connection), starts, storm.naps)
        failed = _failed(connection, desk.environ["DB_DATABASE"])
    waiting = {str(orjson.loads(text)["uuid"]) for text in _waiting(redis, desk.prefix)}
    lost = pushed.keys() - {run.uuid for run in runs} - {one.uuid for one in failed} - waiting
    # PHP's own worker takes a job that fails for good out of Redis before it writes the row.
    by_php = {uuid for uuid in lost & storm.php_was_at if pushed[uuid].tries != 0}
    found = [f"{uuid} is lost: {pushed[uuid]}" for uuid in sorted(lost - by_php)]
    found += differences(pushed, runs, failed, waiting)
    outcome.found += found + _trails(found, starts, storm.naps)
    outcome.pushed, outcome.failed, outcome.php_lost = len(pushed), len(failed), len(by_php)
    outcome.ran = Counter(run.runner for run in runs)
    outcome.twice = len(runs) - len({run.uuid for run in runs})


def _trails(
    found: Sequence[str], starts: Sequence[Start], naps: Sequence[Nap]
) -> list[str]:
    """Every start of the jobs in question, and the naps of the processes that were at them."""
    uuids = {line.split(" ", 1)[0] for line in found}
    ours = [start for start in starts if start.uuid in uuids]
    pids = {start.pid for start in ours}
    return [f"  {one}" for one in (*ours, *(nap for nap in naps if nap.pid in pids))]


def differences(
    pushed: Mapping[str, Spec], runs: Sequence[Run], failed: Sequence[Failed], waiting: set[str]
) -> list[str]:
    """Empty when nothing ran or failed that was not to, and none twice within its reservation."""
    by_uuid: dict[str, list[Run]] = defaultdict(list)
    for one in sorted(runs, key=lambda one: one.reserved_us):
        by_uuid[one.uuid].append(one)
    failures = {one.uuid: one for one in failed}
    known = by_uuid.keys() | failures.keys() | waiting
    found = [f"{uuid} was never pushed" for uuid in sorted(known - pushed.keys())]
    found += [f"{uuid} failed and waits" for uuid in sorted(failures.keys() & waiting)]
    for uuid, spec in pushed.items():
        of_one = _of_one(spec, by_uuid.get(uuid, []), failures.get(uuid))
        found += [f"{uuid} {words}" for words in of_one]
    return found


def _of_one(spec: Spec, ran: Sequence[Run], failure: Failed | None) -> Iterator[str]:
    for first, second in pairwise(ran):
        if second.started_us < first.reserved_us + RESERVED_US:
            yield f"ran twice within its reservation: {first}, {second}"
    if ran and min(run.attempt for run in ran) <= spec.throws:
        yield "ran where it was told to fail"
    if failure is None:
        return
    if "MaxAttemptsExceeded" in failure.exception:
        if ran and (failure.at_s + 1) * 1_000_000 < ran[-1].reserved_us + RESERVED_US:
            yield f"was given up within its reservation: {ran[-1]}, {failure}"
    elif ran or spec.throws == 0 or "told to fail" not in failure.exception:
        yield f"failed without a reason: {failure.exception[:200]}"


def _runs(connection: Any) -> list[Run]:
    cursor = connection.cursor()
    cursor.execute("SELECT uuid, attempt, runner, pid, started_us, started_us FROM chaos_runs")
    return [Run(*row) for row in cursor.fetchall()]


def reserved(
    runs: Sequence[Run], starts: Sequence[Start], naps: Sequence[Nap]
) -> list[Run]:
    """The first run after a nap may have been reserved before it."""
    before: dict[tuple[str, int, int], int] = {}
    for nap in naps:
        after = [one for one in starts if one.pid == nap.pid and one.at_us >= nap.to_us]
        if after:
            first = min(after, key=lambda one: one.at_us)
            before[first.uuid, first.attempt, first.pid] = nap.from_us
    return [
        run._replace(reserved_us=before.get((run.uuid, run.attempt, run.pid), run.started_us))
        for run in runs
    ]


def _starts(redis: Redis, prefix: str) -> list[Start]:
    client: Any = redis
    return [Start(*orjson.loads(text)) for text in client.lrange(f"{prefix}chaos:starts", 0, -1)]


def _failed(connection: Any, schema: str) -> list[Failed]:
    cursor = connection.cursor()
    cursor.execute(
        "SELECT uuid, exception,"  # noqa: S608 - our own name
        " TIMESTAMPDIFF(SECOND, '1970-01-01', failed_at)"
        f" FROM `{schema}`.failed_jobs"
    )
    return [Failed(*row) for row in cursor.fetchall()]


def _waiting(redis: Redis, prefix: str) -> list[bytes]:
    keys = queue_keys(prefix, QUEUE)
    client: Any = redis
    return [
        *client.lrange(keys.ready, 0, -1),
        *client.zrange(keys.delayed, 0, -1),
        *client.zrange(keys.reserved, 0, -1),
    ]


def _drain(redis: Redis, prefix: str, seconds: float) -> bool:
    try:
        return eventually(lambda: not _waiting(redis, prefix), seconds)
    except AssertionError:
        return False


def _drawn(rng: Random) -> Spec:
    milliseconds = 0 if rng.random() < 0.5 else rng.randint(1, 60)
    throws = rng.choices([0, 1, 9], [8, 1, 1])[0]
    tries = {0: rng.choice([None, 4, 0]), 1: 3, 9: 2}[throws]
    return Spec(milliseconds, throws, tries)


def _job(spec: Spec) -> Any:
    options = Options(tries=spec.tries)
    return object_job(CLASS, spec._asdict(), QUEUE, options, pushed_at=time.time())


# -- the processes ---------------------------------------------------------------------------------


def _members(plan: Plan, desk: Desk, folder: Path) -> list[Member]:
    environ = {
        **desk.environ,
        "FLEET_QUEUES": QUEUE,
        "REDIS_QUEUE_RETRY_AFTER": str(RETRY_AFTER),
        "FLEET_HORIZON": "off",
        "FLEET_LOG_STYLE": "json",
        "PYTHONUNBUFFERED": "1",
    }
    php = [desk.values["SERVERS_PHP"], "-r", WORKER]
    commands = {
        **{f"php-{n}": php for n in range(1, plan.php_workers + 1)},
        **{
            name: [sys.executable, "-m", "tests.chaos.laravel_node", name]
            for name in (f"python-{n}" for n in range(1, plan.python_nodes + 1))
        },
    }
    return [
        Member(name=name, command=command, environ=environ, log=folder / f"{name}.log")
        for name, command in commands.items()
    ]
