"""Builds the Celery application of a role: settings, tasks, the stream step, health.

Nothing happens at import; `workers.app` calls `make_app` once per process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis.exceptions
from celery import Celery, bootsteps, signals

from shared import telemetry
from shared.errors import Unavailable
from shared.settings import Settings
from workers import http
from workers.config import celery_settings
from workers.drain import DRAINABLE, Attendance, Gate
from workers.drain_build import attend
from workers.lease import run_once
from workers.queue_drain import LOOK_SECONDS, QueueDrain
from workers.reader_step import MakeReader, ReaderStep, with_reader
from workers.roles import ROLES
from workers.scheduled.table import SCHEDULED, Scheduled

# The worker's loop turns at least once a second; a missing minute means it hangs.
LOOP_SECONDS = 60.0
_TICK_SECONDS = 5.0
JOIN_SECONDS = 5.0
HIDDEN = "(hidden)"
READERS = frozenset({"streams", "laravel", "userstreams"})
"""Roles whose node runs a reader of ours beside Celery's own loop."""

TASKS = frozenset({"jobs", "sync"})
"""Roles whose node takes tasks from Celery's queues."""

_AWAY = (Unavailable, OSError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
_log = telemetry.log(__name__)


def _hide_arguments(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Arguments never show in events, logs or Flower, whoever sends the task. Nor does Sentry's key
    in the broker, which its baggage holds.
    """
    if headers is not None:
        headers["argsrepr"] = headers["kwargsrepr"] = HIDDEN
        for held in (headers, headers.get("headers") or {}):
            held.pop("baggage", None)


def make_app(
    settings: Settings,
    role: str,
    make_reader: MakeReader | None = None,
    gate: Gate | None = None,
) -> Celery:
    """The application of `role`. make_reader: what a node of READERS runs. gate: what it looks at
    before it takes work (workers/drain.py).
    """
    app = Celery("fleet")
    app.conf.update(celery_settings(settings, role))
    signals.before_task_publish.connect(_hide_arguments, weak=False)
    for name, row in SCHEDULED.items():
        _register(app, name, row, settings)
    _register_sync(app, settings, role)
    if role in READERS and make_reader is not None:
        app.steps["worker"].add(with_reader(make_reader))
    if role in ROLES:
        queues = QueueDrain(gate or Gate())
        app.steps["worker"].add(_loop_step(queues if role in TASKS else None))
        _connect_health(settings, role)
    if role in DRAINABLE and gate is not None:
        _connect_drain(settings, role, gate, queues)
    return app


def _register(app: Celery, name: str, row: Scheduled, settings: Settings) -> None:
    def body(_task: Any) -> int | None:
        started = time.monotonic()
        outcome = "failed"
        try:
            done = run_once(settings, name, partial(row.run, settings), row.lease)
            outcome = "skipped" if done is None else "done"
        finally:
            seconds = time.monotonic() - started
            telemetry.count("fleet_task_runs_total", task=name, outcome=outcome)
            telemetry.observe("fleet_task_seconds", seconds, task=name)
            _log.info("job", job=name, outcome=outcome, seconds=round(seconds, 6))
        return done

    # Retries are ETA messages: the pause stays far below the visibility timeout. Not shared: a
    # second app of this process would get this app's settings with the task.
    app.task(
        body, bind=True, shared=False, name=name, autoretry_for=_AWAY,
        retry_backoff=2, retry_backoff_max=60, retry_jitter=True, max_retries=5,
    )  # fmt: skip


def _register_sync(app: Celery, settings: Settings, role: str) -> None:
    """What `fleet.plan_syncs` sends. A lost message is no loss: the claim ends, beat finds it."""

    def body(_task: Any, account_ids: list[int]) -> dict[str, int]:
        from workers.sync_build import sync_accounts  # noqa: PLC0415 - only where it runs

        return dict(sync_accounts(settings, account_ids))

    def worker_ends(**_: Any) -> None:
        from workers import sync_build  # noqa: PLC0415 - only where it ran

        sync_build.close()

    app.task(body, bind=True, shared=False, name="fleet.sync", max_retries=0)
    if role == "sync":
        _connect(signals.worker_shutdown, worker_ends, role=role)


class _Loop:
    """What the worker's own loop last did; read by the probes."""

    def __init__(self) -> None:
        self.ticked_at: float | None = None
        self.ready = False
        self.step: ReaderStep | None = None
        self.attending: list[Attendance] = []

    def live(self) -> bool:
        ticked = self.ticked_at
        turning = ticked is None or time.monotonic() - ticked < LOOP_SECONDS
        return turning and (self.step is None or self.step.alive())

    def is_ready(self) -> bool:
        return self.ready and (self.step is None or self.step.ready())


_LOOP = _Loop()  # one worker per process


def _loop_step(queues: QueueDrain | None) -> type[Any]:
    class LoopStep(bootsteps.StartStopStep):  # type: ignore[misc] # Celery has no types
        """A tick on the worker's own timer, so that a hanging loop shows."""

        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            _LOOP.step = getattr(parent, "reader_step", None)
            _tick()
            parent.timer.call_repeatedly(_TICK_SECONDS, _tick)
            if queues is not None:
                parent.timer.call_repeatedly(LOOK_SECONDS, lambda: queues.look(parent.consumer))

        def create(self, parent: Any) -> Any:
            del parent
            return self

        def stop(self, parent: Any) -> None:
            """At any end: Celery's own signal is not sent at a cold one."""
            del parent
            for one in _LOOP.attending:
                one.stop()
                one.join(JOIN_SECONDS)

        terminate = stop

    return LoopStep


def _tick() -> None:
    _LOOP.ticked_at = time.monotonic()


def _connect_health(settings: Settings, role: str) -> None:
    """Health servers of every kind of process, started by Celery's signals (after the fork)."""
    connect: Callable[..., Any] = partial(_connect, role=role)
    port = settings.metrics_port

    def worker_is_ready(**_: Any) -> None:
        _LOOP.ready = True
        http.serve(port, http.Probes(role, _LOOP.live, _LOOP.is_ready))

    def worker_stops(**_: Any) -> None:
        _LOOP.ready = False

    def child_starts(**_: Any) -> None:
        telemetry.after_fork()
        http.serve(port, http.Probes(f"{role}-child", lambda: True, lambda: True))

    connect(signals.worker_ready, worker_is_ready)
    connect(signals.worker_shutting_down, worker_stops)
    connect(signals.worker_process_init, child_starts)
    if role == "beat":
        from workers import beat  # noqa: PLC0415 - imports RedBeat; no other role needs it

        probes = http.Probes(role, beat.alive, lambda: True)
        beat.when_started(partial(http.serve, port, probes))


def _connect_drain(settings: Settings, role: str, gate: Gate, queues: QueueDrain) -> None:
    """The attendance of a node: from its being ready to its end."""
    def held() -> int:
        return queues.held() if role in TASKS else _LOOP.step.held() if _LOOP.step else 1

    def attend_when_ready(sender: Any = None, **_: Any) -> None:
        _LOOP.attending.append(attend(settings, role, gate, held, getattr(sender, "hostname", "")))

    _connect(signals.worker_ready, attend_when_ready, role=role)


def _connect(signal: Any, receiver: Callable[..., None], *, role: str) -> None:
    signal.connect(receiver, weak=False, dispatch_uid=f"fleet-{role}-{receiver.__name__}")
