"""Private surroundings for tests that start real processes: own key prefix, ports and broker db."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from dotenv import dotenv_values
from redis import Redis

from shared.redis_clients import client
from shared.settings import Settings, load

ROOT = Path(__file__).parents[2]
BROKER_DATABASE = 13


class Surroundings(NamedTuple):
    """environ: for child processes. settings: the same, loaded."""

    environ: dict[str, str]
    settings: Settings
    prefix: str
    password: str

    def redis(self) -> Redis:
        return client(self.settings.broker, "tests", 10.0)


def env_file() -> Path:
    found = ROOT / (os.environ.get("FLEET_ENV_FILE") or ".servers.env")
    if not found.exists():
        message = "no servers: run `make servers` first"
        raise RuntimeError(message)
    return found


@contextmanager
def surroundings(**extra: str) -> Iterator[Surroundings]:
    """Everything of one test under one prefix, removed afterwards."""
    values = dotenv_values(env_file())
    password = values["REDIS_PASSWORD"] or ""
    prefix = f"test_{uuid.uuid4().hex[:8]}_"
    login = f":{quote(password, safe='')}@" if password else ""
    environ = {
        **basics(),
        "FLEET_ENV_FILE": str(env_file()),
        "REDIS_PREFIX": prefix,
        "FLEET_BROKER_URL": f"redis://{login}{values['REDIS_HOST']}:{values['REDIS_PORT']}"
        f"/{BROKER_DATABASE}",
        "FLEET_METRICS_PORT": str(free_port()),
        **extra,
    }
    found = Surroundings(environ, load("cli", environ), prefix, password)
    try:
        yield found
    finally:
        with found.redis() as redis:
            for key in redis.scan_iter(match=f"{prefix}*", count=1000):
                redis.delete(key)


def basics() -> dict[str, str]:
    """What every program of ours needs of the environment: to be found, and a home."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/")}


@contextmanager
def process(
    command: list[str], environ: Mapping[str, str], log: Path, folder: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own; nothing of it is left afterwards. folder: where it runs."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, 9)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def forget_rq() -> None:
    """RQ fixes its key prefix at import; each test has a prefix of its own."""
    for name in [name for name in sys.modules if name == "rq" or name.startswith("rq.")]:
        del sys.modules[name]
    os.environ.pop("RQ_KEY_PREFIX", None)


def keys(redis: Redis) -> set[str]:
    found: Any = redis.scan_iter(count=1000)
    return {key.decode() for key in found}
