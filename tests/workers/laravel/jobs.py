"""A job class of the tests, a handler that does as it is told, and a worker's view of both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.laravel import php
from shared.settings import Settings
from tests.laravel_queues import QueueView
from tests.laravel_world import LaravelWorld, object_payload
from tests.workers.proxy import Proxy
from workers.laravel_jobs.arguments import Arguments
from workers.laravel_jobs.context import Context
from workers.laravel_jobs.table import JobClass

NOTE = "App\\Jobs\\Note"
BLOCKED_SECONDS = 20


class Note(Arguments):
    """Arguments of the job class."""

    name: str


class Handler:
    """Records each run in fleet_requests, after it did what the test wants of that job."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []  # name and attempt, in order
        self._steps: dict[str, list[Callable[[Context], None]]] = {}

    def on(self, name: str, *steps: Callable[[Context], None]) -> None:
        """What the first runs of this job do, one each; further runs do nothing special."""
        self._steps[name] = list(steps)

    def fails(self, name: str, times: int = 1, error: BaseException | None = None) -> None:
        def step(_context: Context) -> None:
            raise error or RuntimeError(f"no luck with {name}")

        self.on(name, *[step] * times)

    def run(self, context: Context, arguments: Note) -> None:
        self.ran.append((arguments.name, context.attempts))
        steps = self._steps.get(arguments.name)
        if steps:
            steps.pop(0)(context)
        context.record(arguments.model_dump_json(), {"node": context.node})

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.ran]

    @property
    def table(self) -> Mapping[str, JobClass]:
        return {NOTE: JobClass(Note, self.run, ("name",))}


class Gate:
    """A handler that has begun and may not end yet."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _context: Context) -> None:
        self.reached.set()
        assert self._open.wait(BLOCKED_SECONDS)

    def open(self) -> None:
        self._open.set()

    def wait(self) -> None:
        assert self.reached.wait(BLOCKED_SECONDS)


class Cut:
    """A server goes away while a handler runs."""

    def __init__(self, proxy: Proxy, error: BaseException | None = None) -> None:
        self._proxy = proxy
        self._error = error
        self._done = threading.Event()

    def __call__(self, _context: Context) -> None:
        self._proxy.cut()
        self._done.set()
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        assert self._done.wait(BLOCKED_SECONDS)


def command(class_name: str = NOTE, **properties: php.Value) -> str:
    """`data.command` with these public properties."""
    named = {php.PropertyName(name): value for name, value in properties.items()}
    return php.dumps(php.PhpObject(class_name, named)).decode()


def note(name: str, **more: Any) -> dict[str, Any]:
    """The payload of one job of the class; its uuid is `uuid-{name}`."""
    return object_payload(NOTE, command(name=name), uuid=f"uuid-{name}", **more)


class Worked:
    """One application, its queue, and what the workers made of it."""

    def __init__(self, world: LaravelWorld, settings: Settings, handler: Handler) -> None:
        self.world = world
        self.settings = settings
        self.handler = handler
        self.queue = self.view("fleet")
        self.events = self.view(settings.events_queue)

    def view(self, queue: str) -> QueueView:
        return QueueView(self.world.redis, self.settings.prefix, queue)

    def push(self, *names: str, **more: Any) -> None:
        for name in names:
            self.queue.push(note(name, **more))

    @contextmanager
    def working(self, **more: Any) -> Iterator[Any]:
        with self.world.working(
            more.pop("table", self.handler.table), **({"settings": self.settings} | more)
        ) as node:
            yield node

    def answered(self) -> dict[str, int]:
        """Committed: the uuid of each job that ran, and its attempt."""
        return dict(self.world.rows("SELECT uuid, attempts FROM fleet_requests"))

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Job and error of each report."""
        return [(str(report.first), report.error) for report in list(self.world.reports)]

    def empty(self) -> bool:
        return self.queue.lengths()[:3] == (0, 0, 0)


@contextmanager
def behind_proxy(target: Any) -> Iterator[Proxy]:
    """target: settings with host and port."""
    proxy = Proxy(target.host, target.port)
    try:
        yield proxy
    finally:
        proxy.close()
