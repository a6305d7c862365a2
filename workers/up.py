"""The whole fleet in the background: `python -m workers.up start | stop | status`.

start returns 0 once every role is ready, and leaves nothing behind if one is not. Everything it
knows is in `.fleet`: run/ (processes and ports), logs/ (one file per role), flower.auth.
"""

from __future__ import annotations

import argparse
import fcntl
import http.client
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from workers.flower import DEFAULT_PORT
from workers.keeper import DRAIN_SECONDS, Line, keep, read_procfile
from workers.processes import (
    RoleFile,
    group_members,
    identify,
    is_alive,
    kill_group,
    read_role,
    signal_one,
    wait_until,
    write_role,
)
from workers.roles import ROLES, unneeded

READY_SECONDS = 60.0
_LOG_LINES = 20
_FLOWER_PORTS = 100


class Fleet(NamedTuple):
    """Where a fleet keeps its things."""

    procfile: Path
    home: Path

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def keeper(self) -> RoleFile:
        return read_role(self.run / "keeper.json")

    def role(self, name: str) -> RoleFile:
        return read_role(self.run / f"{name}.json")

    def lines(self) -> list[Line]:
        """Of the Procfile, without roles whose servers are not there."""
        drains = {name: float(role.drain_seconds) for name, role in ROLES.items()}
        left_out = unneeded()
        return [line for line in read_procfile(self.procfile, drains) if line.name not in left_out]


def start(fleet: Fleet, seconds: float = READY_SECONDS) -> int:
    """Starts what is not running and waits until all of it is ready; 1 if that fails."""
    for folder in (fleet.run, fleet.home / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(fleet):
        fresh = not is_alive(fleet.keeper.process)
        if fresh:
            _end_leftovers(fleet)
            _start_keeper(fleet)
        exits = {line.name: 0 if fresh else fleet.role(line.name).exits for line in fleet.lines()}
        failed = _wait_ready(fleet, exits, seconds)
        if failed is None:
            _say(f"fleet is ready; Flower: {flower_url(fleet)} (password: {_auth_file(fleet)})")
            return 0
        name, why = failed
        _say(f"{name} {why}. Its last lines:\n{_tail(fleet, name)}")
        if fresh:
            _stop(fleet)
        return 1


def stop(fleet: Fleet) -> int:
    """Stops everything: SIGTERM, each role's drain time, SIGKILL. 0 even if nothing ran."""
    if not fleet.run.exists():
        return 0
    with _alone(fleet):
        return _stop(fleet)


def status(fleet: Fleet) -> int:
    """One line per role; 0 only if all are ready."""
    ok = is_alive(fleet.keeper.process)
    for line in fleet.lines():
        role = fleet.role(line.name)
        ready = is_alive(role.process) and is_ready(fleet, line.name)
        ok = ok and ready
        word = "ready" if ready else "starting" if is_alive(role.process) else "down"
        pid = role.process.pid if role.process else "-"
        _say(f"{line.name:11} {word:9} pid {pid} ended {role.exits} times")
    return 0 if ok else 1


def is_ready(fleet: Fleet, name: str) -> bool:
    """Asks the role's own /ready, or Flower's /healthcheck."""
    process = fleet.role(name).process
    if process is None:
        return False
    if name in ROLES and ROLES[name].ready == "flower":
        return _answers(_number(fleet.run / "flower.port"), "/healthcheck")
    return _answers(_number(fleet.run / f"{name}.{process.pid}.port"), "/ready")


def port(fleet: Fleet, name: str) -> int | None:
    """The metrics port of a running role."""
    process = fleet.role(name).process
    return _number(fleet.run / f"{name}.{process.pid}.port") if process else None


def flower_url(fleet: Fleet) -> str:
    return f"http://127.0.0.1:{_number(fleet.run / 'flower.port') or DEFAULT_PORT}"


def _wait_ready(fleet: Fleet, exits: dict[str, int], seconds: float) -> tuple[str, str] | None:
    """None once all roles are ready, else the first that is not and why."""
    deadline = time.monotonic() + seconds
    waiting = [line.name for line in fleet.lines()]
    while True:
        for name in list(waiting):
            role = fleet.role(name)
            if role.exits > exits[name]:
                return name, f"ended with {role.last_exit} instead of getting ready"
            if is_ready(fleet, name):
                waiting.remove(name)
        if not waiting:
            return None
        if not is_alive(fleet.keeper.process):
            return "keeper", "ended"
        if time.monotonic() >= deadline:
            return waiting[0], f"is not ready after {seconds:.0f} s"
        time.sleep(0.1)


def _start_keeper(fleet: Fleet) -> None:
    shutil.rmtree(fleet.run)
    fleet.run.mkdir()
    for old in (fleet.home / "logs").glob("*.log"):
        old.replace(old.with_suffix(".log.1"))
    environ = {**os.environ, "FLOWER_PORT": str(_flower_port(fleet))}
    environ["FLEET_FLOWER_AUTH"] = os.environ.get("FLEET_FLOWER_AUTH") or _password(fleet)
    if env_file := environ.get("FLEET_ENV_FILE"):
        environ["FLEET_ENV_FILE"] = str(Path(env_file).resolve())
    command = [sys.executable, "-m", "workers.up", "--procfile", str(fleet.procfile)]
    log = str(fleet.home / "logs" / "keeper.log")
    # Not subprocess: it minds a child that outlives its parent, which is the point here.
    pid = os.posix_spawn(
        sys.executable,
        [*command, "--home", str(fleet.home), "keep"],
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    write_role(fleet.run / "keeper.json", RoleFile(identify(pid), 0, None))


def _stop(fleet: Fleet) -> int:
    keeper = fleet.keeper.process
    if keeper is not None and is_alive(keeper):
        longest = max((line.drain for line in fleet.lines()), default=float(DRAIN_SECONDS))
        signal_one(keeper, signal.SIGTERM)
        if not wait_until(lambda: not is_alive(keeper), longest + 10):
            signal_one(keeper, signal.SIGKILL)
    _end_leftovers(fleet)
    for path in fleet.run.glob("*.json"):
        path.unlink()
    return 0


def _end_leftovers(fleet: Fleet) -> None:
    """Roles whose keeper was killed: they stop as well, each with its drain time."""
    left = []
    for line in fleet.lines():
        process = fleet.role(line.name).process
        if process is not None and is_alive(process):
            signal_one(process, signal.SIGTERM)
            left.append((line, process))
    for line, process in left:
        wait_until(lambda one=process: not is_alive(one), line.drain)  # type: ignore[misc]
        kill_group(process.pid)
        wait_until(lambda one=process: not group_members(one.pid), 5)  # type: ignore[misc]


def _password(fleet: Fleet) -> str:
    """Flower's password at a desk, generated once, readable by its owner only."""
    path = _auth_file(fleet)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"fleet:{secrets.token_urlsafe(18)}")
    return path.read_text(encoding="ascii").strip()


def _auth_file(fleet: Fleet) -> Path:
    return fleet.home / "flower.auth"


def _flower_port(fleet: Fleet) -> int:
    """FLOWER_PORT, or the first free one: another desk's Flower must not look like ours."""
    given = os.environ.get("FLOWER_PORT")
    wanted = [int(given)] if given else range(DEFAULT_PORT, DEFAULT_PORT + _FLOWER_PORTS)
    for number in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
        (fleet.run / "flower.port").write_text(str(number), encoding="ascii")
        return number
    raise SystemExit(f"no free port for Flower from {wanted[0]} on: set FLOWER_PORT")


def _answers(number: int | None, path: str) -> bool:
    if number is None:
        return False
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # being written this moment
        return None


def _tail(fleet: Fleet, name: str) -> str:
    try:
        text = (fleet.home / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-_LOG_LINES:])


@contextmanager
def _alone(fleet: Fleet) -> Iterator[None]:
    """Two starts at once would start two keepers."""
    with (fleet.home / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this program talks to a terminal


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.up", description=__doc__)
    parser.add_argument("--procfile", type=Path, default=Path("Procfile"))
    parser.add_argument("--home", type=Path, default=Path(".fleet"))
    parser.add_argument("verb", choices=("start", "stop", "status", "keep"))
    given = parser.parse_args(arguments)
    fleet = Fleet(given.procfile.resolve(), given.home.resolve())
    if given.verb == "keep":
        return keep(fleet.lines(), fleet.home)
    return {"start": start, "stop": stop, "status": status}[given.verb](fleet)


if __name__ == "__main__":
    sys.exit(main())
