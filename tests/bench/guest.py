"""The guest's tax: Laravel's own queue worker beside the fleet at full load, and without it.

A server's time for one command grows as soon as anything else has the other core: measured here, by
a quarter for Redis, with two programs that count and touch no server. So the fleet is compared with
as many programs that only count; what it costs against idle cores is told beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from redis import Redis

from shared.settings import load
from tests.bench.figures import Figure
from tests.bench.memory import WAITING, chunk_of
from tests.bench.nodes import READY_SECONDS, Feeding, Owners, stream_node, until
from tests.bench.place import Place

QUERIES = 300
# What a web request asks of MySQL: one row by its key, and one row by an index.
QUERY = "SELECT id, user_id, venue, active FROM exchange_accounts WHERE id = %s"

COUNTING = """
import sys, time
share = float(sys.argv[1])
while True:
    ends = time.perf_counter() + 0.01 * share
    while time.perf_counter() < ends:
        sum(range(1000))
    time.sleep(0.01 * (1 - share))
"""


class Guest(NamedTuple):
    """One run of Laravel's worker. jobs: a second. Times are the servers' own, microseconds."""

    jobs: float
    redis_us: float
    mysql_us: float
    cpu: float  # share of all cores that was busy


def guest(place: Place, *, jobs: int = 3_000, rounds: int = 3) -> Figure:
    """`php artisan queue:work`, no-op jobs on a queue of its own, without and with the fleet."""
    rows = []
    for _ in range(rounds):
        alone = run(place, jobs)
        with counting(os.cpu_count() or 1):
            busy = run(place, jobs)
        with ExitStack() as stack:
            start_fleet(place, stack)
            rows.append((alone, busy, run(place, jobs)))
    redis = median(busy.redis_us / beside.redis_us for _, busy, beside in rows)
    mysql = median(busy.mysql_us / beside.mysql_us for _, busy, beside in rows)
    alone, busy, beside = (_medians([row[at] for row in rows]) for at in range(3))
    return Figure(
        "the guest's tax: queue:work beside the fleet at full load / beside programs that count",
        ">= 0.9 on Redis and MySQL time",
        f"Redis {redis:.2f} ({busy.redis_us:.1f} -> {beside.redis_us:.1f} us a job), MySQL"
        f" {mysql:.2f} ({busy.mysql_us:.0f} -> {beside.mysql_us:.0f} us a query)",
        redis >= 0.9 and mysql >= 0.9,
        f"with idle cores {alone.redis_us:.1f} us a job, {alone.mysql_us:.0f} us a query and"
        f" {alone.jobs:,.0f} jobs/s, beside counting {busy.jobs:,.0f}, beside the fleet"
        f" {beside.jobs:,.0f} jobs/s: {os.cpu_count()} cores are shared by servers, worker and"
        f" fleet, {alone.cpu:.0%}, {busy.cpu:.0%} and {beside.cpu:.0%} busy",
    )


@contextmanager
def counting(programs: int, share: float = 1.0) -> Iterator[None]:
    """So many programs that keep a core busy for a share of the time and ask no server."""
    words = [sys.executable, "-c", COUNTING, str(min(max(share, 0.0), 1.0))]
    running = [subprocess.Popen(words) for _ in range(programs)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def _medians(runs: list[Guest]) -> Guest:
    return Guest(*(median(values) for values in zip(*runs, strict=True)))


def start_fleet(place: Place, stack: ExitStack) -> None:
    """A stream node with a backlog that never ends, and the relay."""
    place.empty()
    owners = Owners(place)
    stack.callback(owners.close)
    stack.enter_context(stream_node(place, 1))
    relay = place.start(["-m", "workers.relay"], FLEET_ROLE="relay", FLEET_METRICS_PORT="19640")
    stack.callback(relay.wait)
    stack.callback(relay.terminate)
    until(lambda: bool(found := owners.by_partition()) and all(found.values()), READY_SECONDS)
    stack.enter_context(Feeding(place, lambda chunk: chunk_of(place, chunk), WAITING))
    until(lambda: owners.entries_read() > 2_000, 120)


def run(place: Place, jobs: int) -> Guest:
    """Dispatches the jobs, then times their worker from its first job to its last."""
    queue = f"{place.settings.prefix}jobs"
    php = place.servers["SERVERS_PHP"]
    _artisan(php, "desk:dispatch", str(jobs), f"--queue={queue}")
    redis, key = place.redis(), f"{_laravel_prefix(place)}queues:{queue}"
    if redis.llen(key) != jobs:
        raise RuntimeError(f"{key} holds {redis.llen(key)} jobs, {jobs} were dispatched")
    lease_us = _scripts_us_per_second(redis)
    worker = subprocess.Popen(
        [php, "artisan", "queue:work", "redis", f"--queue={queue}", "--stop-when-empty", "--quiet"]
    )
    until(lambda: redis.llen(key) < jobs, 60, step=0.002)
    started, left, busy = time.perf_counter(), int(str(redis.llen(key))), _busy()
    used: float = _scripts_us(redis)
    mysql_us = query_us(place)
    until(lambda: not redis.llen(key), 600, step=0.002)
    seconds = time.perf_counter() - started
    used = _scripts_us(redis) - used - lease_us * seconds
    worker.wait(60)
    spent, idle = (after - before for before, after in zip(busy, _busy(), strict=True))
    redis.close()
    return Guest(left / seconds, used / left, mysql_us, spent / (spent + idle))


def query_us(place: Place) -> float:
    """The server's own time of a small query; the median, as a lost time slice is not its work."""
    connection = place.mysql()
    cursor = connection.cursor()
    cursor.execute(f"USE {place.settings.mysql.laravel_database}")
    cursor.execute("SET profiling_history_size = 100")
    cursor.execute("SET profiling = 1")
    times: list[float] = []
    while len(times) < QUERIES:
        for number in range(50):
            cursor.execute(QUERY, (number,))
            cursor.fetchall()
        cursor.execute("SHOW PROFILES")
        times += [float(row[1]) * 1e6 for row in cursor.fetchall()[-50:] if "exchange" in row[2]]
        connection.commit()
    connection.close()
    return median(times)


def _scripts_us(redis: Redis) -> int:
    """Time in scripts: every step of Laravel's queue is one, and little else on the server."""
    stats: Any = redis.info("commandstats")
    return sum(
        int(stats[name]["usec"]) for name in ("cmdstat_eval", "cmdstat_evalsha") if name in stats
    )


def _scripts_us_per_second(redis: Redis) -> float:
    """What others (our leases, tests of others) spend in scripts; taken off Laravel's share."""
    before = _scripts_us(redis)
    time.sleep(1.0)
    return float(_scripts_us(redis) - before)


def _laravel_prefix(place: Place) -> str:
    environ = {key: value for key, value in place.environ.items() if key != "REDIS_PREFIX"}
    return load("streams", environ).prefix


def _artisan(php: str, *words: str) -> None:
    subprocess.run([php, "artisan", *words], check=True, stdout=subprocess.DEVNULL)


def _busy() -> tuple[int, int]:
    """Ticks of all cores so far: at work, idle."""
    line = Path("/proc/stat").read_text("ascii").split("\n", 1)[0]
    fields = [int(word) for word in line.split()[1:]]
    return sum(fields) - fields[3] - fields[4], fields[3] + fields[4]
