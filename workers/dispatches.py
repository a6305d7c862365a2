"""Jobs towards Laravel, through an outbox: a row in the caller's transaction, pushed after commit.

A row is pushed and then marked. A crash between the two pushes it again, and the push remembers
each uuid for a day, so that it is one job all the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from shared import telemetry
from shared.laravel.dispatch import Dispatch, Options, Pusher, object_job
from shared.queries import load
from shared.settings import Settings
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.outgoing import ACCOUNTS_PER_JOB, OUTGOING, DayClosed

SQL = load(Path(__file__).with_name("dispatches.sql"))

MOST_WAITING = 1_000
"""Jobs that may wait on one queue. A day's end of many accounts stays in MySQL until PHP has worked
off what is there, and other jobs of the queue are not behind it for long.
"""
AT_ONCE = 200

# As the generated classes have them, see php_classes.
EVENT_OPTIONS = Options(tries=5, backoff=(5, 30, 120))

_CLASS_OF = {model: name for name, model in OUTGOING.items()}


def dispatch(
    connection: Any, settings: Settings, job: Arguments, options: Options = EVENT_OPTIONS
) -> str | None:
    """Queue one of the OUTGOING classes in the caller's transaction; its uuid.

    None while Laravel has not said that it has the class (FLEET_LARAVEL_JOBS).
    """
    name = _CLASS_OF[type(job)]
    if name not in settings.laravel.jobs:
        telemetry.count("fleet_dispatches_total", job_name=name, outcome="off")
        return None
    properties = job.model_dump(mode="json", by_alias=True)
    return dispatch_class(connection, name, properties, settings.events_queue, options)


def dispatch_class(
    connection: Any, class_name: str, properties: dict[str, Any], queue: str, options: Options
) -> str:
    """Queue any ShouldQueue class of the application in the caller's transaction; its uuid.

    properties: its public properties, as PHP values.
    """
    made = object_job(class_name, properties, queue, options, pushed_at=time.time())
    row = (made.uuid, made.queue, made.class_name, made.payload, made.delay_seconds)
    connection.cursor().execute(SQL["add"], row)
    telemetry.count("fleet_dispatches_total", job_name=class_name, outcome="recorded")
    return made.uuid


def day_closed(
    connection: Any, settings: Settings, day: date, account_ids: Sequence[int]
) -> list[str]:
    """DayClosed for all these accounts, in chunks."""
    sent = []
    for first in range(0, len(account_ids), ACCOUNTS_PER_JOB):
        some = list(account_ids[first : first + ACCOUNTS_PER_JOB])
        sent.append(dispatch(connection, settings, DayClosed(day=day, account_ids=some)))
    return [one for one in sent if one is not None]


def push_waiting(connection: Any, pusher: Pusher) -> int:
    """Push what waits, as far as each queue has room; returns how many rows. Commits."""
    cursor = connection.cursor()
    cursor.execute(SQL["queues"])
    queues = [queue for (queue,) in cursor.fetchall()]
    connection.commit()
    return sum(_push_queue(connection, pusher, queue) for queue in queues)


def _push_queue(connection: Any, pusher: Pusher, queue: str) -> int:
    room = min(MOST_WAITING - pusher.waiting(queue), AT_ONCE)
    if room <= 0:
        return 0
    cursor = connection.cursor()
    cursor.execute(SQL["claim"], (queue, room))
    rows = cursor.fetchall()
    if rows:
        pusher.push(_dispatch(row) for row in rows)
        cursor.execute(SQL["mark_pushed"], ([row[0] for row in rows],))
        telemetry.count("fleet_dispatches_pushed_total", len(rows))
    connection.commit()
    return len(rows)


def _dispatch(row: tuple[Any, ...]) -> Dispatch:
    _, job_uuid, queue, class_name, payload, delay = row
    tags = orjson.loads(payload).get("tags") or []
    return Dispatch(job_uuid, queue, class_name, payload, int(delay), tags)
