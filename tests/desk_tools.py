"""Prometheus, promtool and Chromium for a test, from the root of tools that `make test` made.

    with tool_folder() as folder:                      # a folder of the test's own in the root
        (folder.path / "a.yml").write_text(text)
        done = folder.run("promtool", "check", "rules", "a.yml")    # it is the working directory
        folder.screenshot("http://127.0.0.1:9541/", "a.png", width=390, height=844)
        (folder.path / "a.png").read_bytes()

    with prometheus(fleet_rules(exporter_port)) as server:
        server.query('fleet_lag_seconds{stream="trades"} > 1')
        server.firing()

Addresses are the machine's own: 127.0.0.1 inside is 127.0.0.1 outside. Who is not root (servers
from docker) needs the programs on the PATH instead.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.waiting import eventually
from tests.workers.fleet_env import free_port

DEPLOY = Path(__file__).parents[1] / "deploy"
SERVERS_PY = DEPLOY / "servers" / "servers.py"
RULES = DEPLOY / "prometheus"
BUILD_SECONDS = 1900
RUN_SECONDS = 60
START_SECONDS = 30
ASK_SECONDS = 10
BIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Chromium finds itself by /proc; the mount is seen by this process and its children alone.
IN_ROOT = (
    'root=$1 folder=$2; shift 2; mount -t proc proc "$root/proc" &&'
    ' exec chroot "$root" env --chdir="$folder" "$@"'
)
CHROMIUM = (
    "chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--user-data-dir=profile",
)  # fmt: skip


@functools.cache
def tools_root() -> Path | None:
    """The root of tools, built first if it is not there; None: the machine's own programs."""
    if os.geteuid() != 0:
        return None
    made = subprocess.run(
        [sys.executable, str(SERVERS_PY), "tools"],
        capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    return Path(made.stdout.strip())


class ToolFolder:
    """path: as the test sees it. inside: as the tools see it."""

    def __init__(self, root: Path | None) -> None:
        name = f"tools-{uuid.uuid4().hex[:10]}"
        self._root = root
        self.inside = f"/srv/{name}" if root else str(Path(tempfile.gettempdir()) / name)
        self.path = Path(f"{root or ''}{self.inside}")
        self.path.mkdir(parents=True)

    def run(self, *words: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """To its end; its exit code is the caller's to judge."""
        return subprocess.run(
            self._command(words), capture_output=True, text=True, timeout=seconds, check=False,
            cwd=self.path, env=self._environ(), start_new_session=True,
        )  # fmt: skip

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """In the background, its output in the file `log`; nothing of it is left afterwards."""
        with (self.path / "log").open("ab") as log:
            child = subprocess.Popen(
                self._command(words), cwd=self.path, env=self._environ(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, 9)
            child.wait()

    def chromium(self, *words: str) -> str:
        """What it prints, with `--dump-dom URL` for example."""
        done = self.run(*CHROMIUM, *words)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def screenshot(
        self, url: str, name: str, *, width: int, height: int, dark: bool = False
    ) -> Path:
        """A picture of the page as a window of this size shows it."""
        scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
        self.chromium(*scheme, f"--window-size={width},{height}", f"--screenshot={name}", url)
        return self.path / name

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        command = ["setpriv", "--pdeathsig", "KILL"]
        if self._root:
            inside = [IN_ROOT, "sh", str(self._root), self.inside]
            command += ["unshare", "--mount", "sh", "-c", *inside]
        return [*command, *words]

    def _environ(self) -> dict[str, str]:
        path = BIN_PATH if self._root else os.environ["PATH"]
        return {"PATH": path, "HOME": self.inside, "LANG": "C.UTF-8", "TZ": "UTC"}


@contextmanager
def tool_folder() -> Iterator[ToolFolder]:
    folder = ToolFolder(tools_root())
    try:
        yield folder
    finally:
        folder.remove()


class Firing(NamedTuple):
    name: str
    labels: Mapping[str, str]


class Prometheus:
    def __init__(self, folder: ToolFolder, port: int) -> None:
        self.folder = folder
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API. Raises AssertionError when it says no."""
        said = self._request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        return json.loads(said)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now."""
        found = self.ask("query", query=expression)["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def alerts(self, state: str = "firing") -> list[Firing]:
        found = self.ask("alerts")["alerts"]
        return [
            Firing(row["labels"]["alertname"], row["labels"])
            for row in found
            if row["state"] == state
        ]

    def firing(self) -> set[str]:
        return {alert.name for alert in self.alerts()}

    def reload(self) -> None:
        """After its files were changed."""
        self._request("POST", "/-/reload")

    def ready(self) -> bool:
        try:
            self._request("GET", "/-/ready")
        except (OSError, AssertionError):
            return False
        return True

    def _request(self, method: str, path: str) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, ASK_SECONDS)) as asked:
            asked.request(method, path)
            answer = asked.getresponse()
            said = answer.read().decode()
        assert answer.status == http.client.OK, said
        return said


def fleet_rules(exporter: int, *, every: int = 5) -> dict[str, str]:
    """The files of deploy/prometheus for an exporter at this port. every: seconds between two
    looks; a test may be impatient.
    """
    config = (RULES / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:9540", f"127.0.0.1:{exporter}")
    config = config.replace(": 5s", f": {every}s").replace(": 4s", f": {every}s")
    return {"prometheus.yml": config, "alerts.yml": (RULES / "alerts.yml").read_text()}


@contextmanager
def prometheus(
    files: Mapping[str, str], *options: str, history: str = ""
) -> Iterator[Prometheus]:
    """A Prometheus of the test's own, started with `prometheus.yml` of these files; its data are
    in the folder `data` beside them. options: of its command line. history: OpenMetrics with
    times, which it then has from its past.
    """
    with tool_folder() as folder:
        for name, text in files.items():
            (folder.path / name).write_text(text)
        if history:
            (folder.path / "history").write_text(history)
            done = folder.run(
                "promtool", "tsdb", "create-blocks-from", "openmetrics", "history", "data"
            )
            assert done.returncode == 0, done.stderr
        server = Prometheus(folder, free_port())
        words = (
            "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.enable-lifecycle",
            f"--web.listen-address={server.url.removeprefix('http://')}",
        )  # fmt: skip
        with folder.running("prometheus", *words, *options) as it:

            def answers() -> bool:
                if it.poll() is not None:
                    said = (folder.path / "log").read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"prometheus ended: {said}")
                return server.ready()

            eventually(answers, START_SECONDS)
            yield server
