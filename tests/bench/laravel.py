"""Laravel's queues: a Python worker against `php artisan queue:work`, and dispatch both ways."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

from shared.laravel.dispatch import Options, Pusher, object_job
from shared.laravel.reservations import queue_keys
from tests.bench.figures import Figure, alternate, at_least
from tests.bench.nodes import until
from tests.bench.place import Place

QUEUE = "bench"
CLASS = "App\\Jobs\\Noop"
PUSH_AT_ONCE = 500
DELAY_JOBS = 400
DELAY_PAUSE = 0.02  # seconds between two jobs: the worker is idle when each comes


def worker(place: Place, *, jobs: int, rounds: int) -> Figure:
    """The queue alone, without Horizon's records on either side."""
    found = alternate(lambda: _python(place, jobs), lambda: _php(place, jobs), rounds)
    return at_least(
        "Laravel jobs, one Python worker / one queue:work", 3.0, found, "jobs/s",
        f"{jobs:,} no-op jobs that PHP dispatched, on one queue in turns",
    )  # fmt: skip


def worker_with_records(place: Place, *, jobs: int, rounds: int) -> Figure:
    """Ours writes Horizon's records; queue:work here does not, because Horizon is in no package of
    Debian. With them PHP is slower (525 of 790 jobs/s where it was measured), so this is a bound.
    """
    found = alternate(
        lambda: _python(place, jobs, FLEET_HORIZON="jobs"), lambda: _php(place, jobs), rounds
    )
    return at_least(
        "the same, Horizon's records written by Python only", 2.0, found, "jobs/s",
        "a lower bound: a PHP worker that wrote them too would be slower",
    )  # fmt: skip


def dispatch(place: Place, *, jobs: int, rounds: int) -> Figure:
    """Onto Laravel's queue: ours pipelined, against a loop of Laravel's own dispatch."""
    found = alternate(lambda: _push(place, jobs), lambda: _dispatch(place, jobs), rounds)
    return at_least(
        "dispatch to Laravel, pipelined / Laravel's own loop", 2.0, found, "jobs/s",
        f"{jobs:,} jobs, {PUSH_AT_ONCE} in a round trip, without Horizon's records",
    )  # fmt: skip


def delay(place: Place) -> Figure:
    """From the push to the handler's first line, on a worker that waits."""
    _clear(place)
    process = _start(place, DELAY_JOBS)
    pusher = _pusher(place)
    pushed: list[int] = []
    for number in range(DELAY_JOBS):
        pushed.append(time.time_ns() // 1000)
        pusher.push([_job(number)])
        time.sleep(DELAY_PAUSE)
    started = place.result(process)["started_us"]
    delays = sorted(after - before for before, after in zip(pushed, started, strict=True))
    p50, p99 = (delays[int(len(delays) * share)] / 1000 for share in (0.50, 0.99))
    return Figure(
        "delay from dispatch to start on an idle Laravel worker", "p99 < 50 ms",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {delays[-1] / 1000:.0f} ms", p99 < 50,
        f"{DELAY_JOBS} jobs, one each {DELAY_PAUSE * 1000:.0f} ms",
    )  # fmt: skip


def _python(place: Place, jobs: int, **variables: str) -> float:
    _dispatch(place, jobs)
    return float(place.result(_start(place, jobs, **variables))["rate"])


def _start(place: Place, jobs: int, **variables: str) -> subprocess.Popen[str]:
    """A worker that is ready: it waits for jobs or is at the first ones."""
    settings = {
        "FLEET_QUEUES": QUEUE, "FLEET_HORIZON": "off", "CACHE_STORE": "redis",
        "CACHE_PREFIX": "bench", "FLEET_LOG_LEVEL": "WARNING", **variables,
    }  # fmt: skip
    words = ["-m", "tests.bench.laravel_node", "--until", str(jobs)]
    process = place.start(words, None, **settings)
    output: Any = process.stdout
    if output.readline().strip() != "ready":
        raise RuntimeError("the worker did not become ready")
    return process


def _php(place: Place, jobs: int) -> float:
    """From its first job to its last: the start of PHP is another figure."""
    _dispatch(place, jobs)
    redis, ready = place.redis(), queue_keys(place.settings.prefix, QUEUE).ready
    words = ["queue:work", "redis", f"--queue={QUEUE}", "--stop-when-empty", "--quiet"]
    process = subprocess.Popen(_artisan(place, *words), env=_environ(place))
    until(lambda: redis.llen(ready) < jobs, 60, step=0.002)
    started, left = time.perf_counter(), int(str(redis.llen(ready)))
    until(lambda: not redis.llen(ready), 600, step=0.002)
    seconds = time.perf_counter() - started
    process.wait(60)
    redis.close()
    return left / seconds


def _dispatch(place: Place, jobs: int) -> float:
    """Jobs a second of Laravel's own loop; leaves them on the queue."""
    _clear(place)
    words = _artisan(place, "desk:dispatch", str(jobs), f"--queue={QUEUE}")
    done = subprocess.run(words, env=_environ(place), check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["dispatched"] / told["seconds"])


def _push(place: Place, jobs: int) -> float:
    _clear(place)
    pusher = _pusher(place)
    started = time.perf_counter()
    for first in range(0, jobs, PUSH_AT_ONCE):
        pusher.push(_job(number) for number in range(first, min(first + PUSH_AT_ONCE, jobs)))
    seconds = time.perf_counter() - started
    if pusher.waiting(QUEUE) != jobs:
        raise RuntimeError(f"{pusher.waiting(QUEUE)} jobs wait, {jobs} were pushed")
    return jobs / seconds


def _job(number: int) -> Any:
    return object_job(CLASS, {"number": number}, QUEUE, Options(), pushed_at=time.time())


def _pusher(place: Place) -> Pusher:
    return Pusher(place.redis(), place.settings.prefix, connection="redis")


def _clear(place: Place) -> None:
    redis = place.redis()
    redis.delete(*queue_keys(place.settings.prefix, QUEUE))
    redis.close()


def _artisan(place: Place, *words: str) -> list[str]:
    return [place.servers["SERVERS_PHP"], "artisan", *words]


def _environ(place: Place) -> dict[str, str]:
    return {**os.environ, "REDIS_PREFIX": place.settings.prefix}
