"""A desk of a test's own: its schema, its key prefix, on the servers that the env file names.

FLEET_ENV_FILE names the file that `make servers` wrote (default `.servers.env`). Nothing of another
desk on the same servers is touched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MySQLdb
from pydantic import SecretStr
from redis import Redis

from shared.dotenv import parse_dotenv
from shared.mysql.connection import connect
from shared.settings import Settings, load
from shared.streams.connection import control_client
from workers.migrate import migrate_mysql

ROOT = Path(__file__).resolve().parents[1]


class NoServers(Exception):  # noqa: N818 - a state of the desk
    """There is no env file: `make servers` writes it."""


def env_file() -> Path:
    return (ROOT / (os.environ.get("FLEET_ENV_FILE") or ".servers.env")).resolve()


def server_values() -> dict[str, str]:
    """What `make servers` wrote down. Raises NoServers."""
    file = env_file()
    if not file.exists():
        raise NoServers(f"{file.name} is missing: run `make servers` first")
    return parse_dotenv(file.read_text(), os.environ)


@dataclass(frozen=True)
class Desk:
    """environ: what a process of this desk needs in its environment."""

    name: str
    values: Mapping[str, str]
    environ: Mapping[str, str]

    def settings(self, role: str = "streams") -> Settings:
        return load(role, self.environ)

    @property
    def prefix(self) -> str:
        return self.environ["REDIS_PREFIX"]

    def connect(self) -> Any:
        """As the fleet's user, in our schema."""
        return connect(self.settings().mysql)

    def connect_root(self) -> Any:
        mysql = self.settings().mysql
        secret = SecretStr(self.values["SERVERS_DB_ROOT_PASSWORD"])
        return connect(mysql.model_copy(update={"user": "root", "password": secret}), database="")

    def redis(self) -> Redis:
        return control_client(self.settings().streams_redis, name="fleet-test")

    def remove(self) -> None:
        """Drop the schema and every key of ours."""
        user = self.settings().mysql.user
        with closing(self.connect_root()) as connection:
            cursor = connection.cursor()
            for schema in (self.name, f"{self.name}_laravel"):
                cursor.execute(f"DROP DATABASE IF EXISTS `{schema}`")
                with suppress(MySQLdb.Error):  # there is none before the first storm
                    cursor.execute(f"REVOKE ALL PRIVILEGES ON `{schema}`.* FROM '{user}'@'%'")
        redis = self.redis()
        keys = list(redis.scan_iter(match=f"{self.prefix}*", count=1000))
        for start in range(0, len(keys), 500):
            redis.delete(*keys[start : start + 500])
        redis.close()


def make_desk(name: str, *, partitions: int = 4, laravel: bool = False) -> Desk:
    """An empty, migrated desk. name: of the schema; letters, digits and underscores. laravel: with
    a schema of its own for the application, migrated by it.
    """
    environ = {
        "FLEET_ENV_FILE": str(env_file()),
        "FLEET_DB_DATABASE": name,
        "FLEET_PARTITIONS": str(partitions),
        "REDIS_PREFIX": f"{name}_",
        **({"DB_DATABASE": f"{name}_laravel"} if laravel else {}),
    }
    desk = Desk(name, server_values(), environ)
    desk.remove()
    mysql = desk.settings().mysql
    with closing(desk.connect_root()) as connection:
        cursor = connection.cursor()
        for schema in (name, f"{name}_laravel")[: 1 + laravel]:
            cursor.execute(f"CREATE DATABASE `{schema}` CHARACTER SET utf8mb4")
            cursor.execute(f"GRANT ALL PRIVILEGES ON `{schema}`.* TO '{mysql.user}'@'%'")
    migrate_mysql(desk.settings("migrate"))
    if laravel:
        words = [desk.values["SERVERS_PHP"], "artisan", "migrate", "--force", "--quiet"]
        subprocess.run(words, env={**os.environ, **environ}, check=True)
    return desk
