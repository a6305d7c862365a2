"""A Laravel worker without Celery around it, for the desk's job Traced. For storms only."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing
from functools import partial
from typing import Annotated

import orjson
from pydantic import Field
from redis import Redis

from shared import telemetry
from shared.masking import Mask
from shared.streams.connection import control_client
from workers.laravel.build import build_worker
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context
from workers.laravel_jobs.table import JobClass
from workers.roles import load_settings

RAN = """
INSERT INTO chaos_runs (uuid, attempt, runner, pid, started_us)
VALUES (%s, %s, 'python', %s, %s)
"""


class Traced(Arguments):
    """Leave a row for each run that comes to its end."""

    milliseconds: Annotated[int, Field(ge=0)]
    throws: Annotated[int, Field(ge=0)]
    tries: int | None


def run(redis: Redis, context: Context, arguments: Traced) -> None:
    started_us = time.time_ns() // 1000
    running = f"{context.settings.prefix}chaos:running"
    pid = os.getpid()
    redis.hset(running, str(pid), context.id)
    start = [context.id, context.attempts, "python", pid, started_us]
    redis.rpush(f"{context.settings.prefix}chaos:starts", orjson.dumps(start))
    try:
        time.sleep(arguments.milliseconds / 1000)
        if context.attempts <= arguments.throws:
            raise RuntimeError("it was told to fail")
        context.mysql().cursor().execute(RAN, (context.id, context.attempts, pid, started_us))
    finally:
        redis.hdel(running, str(pid))


def main() -> int:
    settings = load_settings("laravel")
    telemetry.start(Mask.of(settings), role="laravel")
    with closing(control_client(settings.redis, "fleet-chaos")) as redis:
        table = {"App\\Jobs\\Traced": JobClass(Traced, partial(run, redis))}
        node = build_worker(settings, sys.argv[1], lambda _: None, table=table)
        signal.signal(signal.SIGTERM, lambda *_: node.stop())
        node.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
