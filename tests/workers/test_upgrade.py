"""The version before and this one, side by side over one schema, while events come in: a rolling
upgrade, a rollback, and nodes of either that are killed. The books are exact.

The version before is taken out of the repository: the newest tag, else what stood there before the
newest migration. It runs with the libraries of this one, over the schema that this one migrated. A
copy without its history has no version before; then both are this one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from io import BytesIO
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

import pytest

from tests.chaos.feed import Feed, tell
from tests.chaos.verdict import differences, status_of, what_is_left
from tests.desk import ROOT, Desk, make_desk
from tests.waiting import eventually
from tests.workers.fleet_env import basics, free_port, process

MIGRATIONS = ROOT / "deploy/migrations/mysql/versions"
PARTITIONS = 4
FILLS = 20_000  # more than are sent: the traffic ends when the test does
PER_SECOND = 200


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the version before."""
    newest = max(MIGRATIONS.glob("*.sql")).relative_to(ROOT)
    added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().strip()
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^").decode().strip()
    packed = _git("archive", tag or f"{added}^", "workers", "shared", "deploy", "tests")
    if not packed:
        print("no history here: this version stands in for the one before")
        return ROOT
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(*words: str) -> bytes:
    """What git says; nothing where it cannot."""
    command = ["git", "-c", f"safe.directory={ROOT}", *words]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return b"" if found.returncode else found.stdout


@pytest.fixture
def desk(servers: object) -> Iterator[Desk]:
    del servers
    made = make_desk(f"fleet_upgrade_{os.getpid()}", partitions=PARTITIONS)
    yield made
    made.remove()


class Release(NamedTuple):
    """A relay and a stream node of one version; its node's name says which."""

    relay: Popen[bytes]
    node: Popen[bytes]

    def stop(self) -> None:
        for one in self:
            one.send_signal(signal.SIGTERM)
        assert [one.wait(30) for one in self] == [0, 0]

    def kill(self) -> None:
        for one in self:
            one.kill()
            one.wait()


class Site:
    """Where both versions run. Traffic goes on from the first start until `end`."""

    def __init__(self, desk: Desk, previous: Path, logs: Path, stack: ExitStack) -> None:
        self.desk = desk
        self.told = tell(7, FILLS, PARTITIONS, direct=True)
        self.feed = Feed(desk, self.told, per_second=PER_SECOND)
        self._roots = {"old": previous, "new": ROOT}
        self._logs = logs
        self._stack = stack
        self._starts = 0

    def start(self, version: str) -> Release:
        self._starts += 1
        name = f"{version}-{self._starts}"
        words = [sys.executable, "-m", "workers.relay"]
        relay = self._process(version, "relay", words, f"{name}-relay")
        words = ["celery", "-q", "-A", "workers.app", "worker", "-P", "threads", "-c", "1",
                 "-E", "-Q", "fleet.control", "-n", f"{name}@%h"]  # fmt: skip
        return Release(relay, self._process(version, "streams", words, name))

    def _process(self, version: str, role: str, words: list[str], name: str) -> Popen[bytes]:
        environ = {
            **basics(), **self.desk.environ, "FLEET_ROLE": role, "PYTHONUNBUFFERED": "1",
            "FLEET_METRICS_PORT": str(free_port()),
        }  # fmt: skip
        folder = self._roots[version]
        log = self._logs / f"{name}.log"
        return self._stack.enter_context(process(words, environ, log, folder))

    def owners(self) -> set[str]:
        """Versions that own partitions now; empty while some partition has no owner."""
        rows = self._rows("SELECT CONVERT(owner USING utf8mb4) FROM fleet_offsets")
        names = [None if owner is None else str(owner).partition("-")[0] for (owner,) in rows]
        return set() if None in names else {str(name) for name in names}

    def books(self, *versions: str) -> None:
        """Waits until exactly these versions own partitions, and then for events they apply."""
        eventually(lambda: self.owners() == set(versions), 30)
        done = self.fills()
        eventually(lambda: self.fills() >= done + 50, 30)

    def fills(self) -> int:
        ((count,),) = self._rows("SELECT COUNT(*) FROM fleet_fills")
        return int(count)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(self.desk.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

    def end(self) -> None:
        """No more traffic; waits until all of it is booked."""
        assert self.feed.is_alive(), "it was to go on until now"
        self.feed.end()
        self.feed.join(30)
        assert self.feed.failure is None
        eventually(lambda: not what_is_left(status_of(self.desk)), 30)


@contextmanager
def site(desk: Desk, previous: Path, logs: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(desk, previous, logs, stack)


def test_upgrade_and_rollback_under_traffic_lose_and_double_nothing(
    desk: Desk, previous: Path, tmp_path: Path
) -> None:
    with site(desk, previous, tmp_path) as at:
        old = at.start("old")
        at.feed.start()
        at.books("old")  # over the schema of the newest version
        new = at.start("new")
        at.books("old", "new")  # a rolling upgrade: both share the partitions
        old.kill()  # in the middle of whatever they did
        at.books("new")
        again = at.start("old")  # and back
        at.books("old", "new")
        new.stop()
        at.books("old")
        at.end()
        again.stop()
        assert differences(desk, at.told[: at.feed.sent], []) == []
