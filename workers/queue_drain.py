"""How a Celery worker of tasks drains: it reads its queues no longer, and ends what it was given.

What it leaves in the queues waits there, for as long as a message of its kind is worth something.
"""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.request import Request

from workers.drain import Gate

LOOK_SECONDS = 0.5


class QueueDrain:
    """Of one worker. look: in the worker's own loop, because a consumer belongs to it. held: from
    any thread.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._consumer: Any = None
        self._queues: tuple[str, ...] = ()
        self._rests = False

    def look(self, consumer: Any) -> None:
        """consumer: Celery's, or None before there is one."""
        if consumer is None or consumer.task_consumer is None:
            return
        self._consumer = consumer
        # What is let go stays so over a new connection: Celery keeps it beside the consumer.
        if self._gate.closed and not self._rests:
            self._queues = tuple(consumer.app.amqp.queues.consume_from)
            for name in self._queues:
                consumer.cancel_task_queue(name)
            self._rests = True
        elif self._rests and not self._gate.closed:
            for name in self._queues:
                consumer.add_task_queue(name)
            self._rests = False

    def held(self) -> int:
        """Tasks that it has, those that wait for their time among them."""
        waiting = sum(
            any(isinstance(one, Request) for one in entry.entry.args or ())
            for entry in (list(self._consumer.timer.schedule.queue) if self._consumer else ())
        )
        tasks = len(state.reserved_requests) + waiting
        return tasks if self._rests else max(tasks, 1)
