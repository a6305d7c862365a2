"""What a fleet to be broken is made of: a role that is looked after, and a Redis with a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.desk import ROOT
from tests.own_redis import OwnRedis
from tests.waiting import eventually
from workers.processes import group_members, kill_group
from workers.roles import procfile_command

REST_SECONDS = 1.0


class KeptRedis(OwnRedis):
    """One that has what it held when it starts again."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._home = f"own-{self.where.port}"
        (self.folder / self._home).mkdir()
        self.options = ["--appendonly", "yes", "--dir", f"/tmp/{self._home}"]  # noqa: S108 - the root's own

    def spoil(self) -> None:
        """From now on it cannot save: where its file should be there is a folder."""
        (self.folder / self._home / "taken").mkdir(exist_ok=True)
        self._save_as("taken")
        eventually(lambda: self._saved() == "err")

    def mend(self) -> None:
        self._save_as("dump.rdb")
        eventually(lambda: self._saved() == "ok")

    def _save_as(self, name: str) -> None:
        with closing(self.client()) as client:
            client.config_set("dbfilename", name)
            client.bgsave()

    def _saved(self) -> str:
        with closing(self.client()) as client:
            told: Any = client.info("persistence")
            return str(told["rdb_last_bgsave_status"])

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder / self._home, ignore_errors=True)


class KeptRole:
    """One role: started again while it is wanted. A role that is not is one that nobody starts."""

    def __init__(self, role: str, environ: Mapping[str, str], log: Path) -> None:
        self.role = role
        self.wanted = False
        self.exits = 0
        self._environ = environ
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def look(self) -> None:
        if not self.wanted or self.pid is not None:
            return
        if time.monotonic() - self._started_at < REST_SECONDS:
            return
        if self._process is not None:
            self.exits += 1
            kill_group(self._process.pid)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec env {procfile_command(self.role)}"],
                env=dict(self._environ), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._started_at = time.monotonic()

    def send(self, number: signal.Signals) -> None:
        """To its whole group if it is to stand still or to go on."""
        if self.pid is not None:
            group = number in {signal.SIGSTOP, signal.SIGCONT}
            (os.killpg if group else os.kill)(self.pid, number)

    def end(self, seconds: float) -> None:
        """SIGKILL for what is left then."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        kill_group(self._process.pid)
        self._process.wait()
        group = self._process.pid
        eventually(lambda: not group_members(group), 5)
        self._process = None
