"""A Redis of one test, from the root that the shared servers run in: it may be full, or away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from shared.endpoints import RedisSettings
from tests.waiting import eventually
from tests.workers.fleet_env import free_port


class OwnRedis:
    """Nothing of it is on disk: what it held is gone when it stops."""

    def __init__(self, root: str, port: int | None = None) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self.where = RedisSettings(port=port or free_port())
        self.folder = Path(root) / "tmp"
        self.options: list[str] = []

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "chroot", self._root, "redis-server", "--port", str(self.where.port),
                "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp",  # noqa: S108 - the root's own, nothing is written
                "--maxmemory-policy", "noeviction", "--enable-protected-configs", "yes",
                *self.options,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, database: int = 0) -> Redis:
        return Redis(host=self.where.host, port=self.where.port, db=database)

    def environ(self) -> dict[str, str]:
        """For an application that shall use it."""
        return {
            "REDIS_HOST": self.where.host,
            "REDIS_PORT": str(self.where.port),
            "REDIS_PASSWORD": "null",
        }

    def fill_up(self) -> None:
        """From now on it has no memory for anything that wants some."""
        with closing(self.client()) as client:
            client.config_set("maxmemory", "1")

    def make_room(self) -> None:
        with closing(self.client()) as client:
            client.config_set("maxmemory", "0")

    def _answers(self) -> bool:
        try:
            with closing(self.client()) as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def own_redis(servers: Mapping[str, str]) -> Iterator[OwnRedis]:
    assert Path(servers["SERVERS_ROOT"]).is_dir()
    found = OwnRedis(servers["SERVERS_ROOT"])
    found.start()
    try:
        yield found
    finally:
        found.stop()
