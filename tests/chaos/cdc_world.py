"""Servers and processes of a storm over change capture: a MySQL and a Redis of its own, a database
of its own in the desk's TimescaleDB, each role as a user with exactly its grants.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import SecretStr
from redis import Redis

from shared.cdc.log import ChangeLog
from shared.settings import Settings, load
from tests.chaos.cdc_tables import AT_TIMES, CAPTURED, SCHEMA
from tests.chaos.fleet import Crew, Member
from tests.conftest import EXCHANGE_ACCOUNTS, LARAVEL_TABLES
from tests.desk import ROOT
from tests.own_mysql import PASSWORD as ROOT_PASSWORD
from tests.own_mysql import OwnMySQL, own_mysql
from tests.own_redis import OwnRedis
from tests.timescale_world import Timescale, own_database
from workers.grants import PASSWORD, grants
from workers.migrate import migrate_audit, migrate_mysql

USER_PASSWORD = uuid.uuid4().hex
PREFIX = "storm_"
COLLECTORS = 2
SINKS = ("audit", "timescale")
TWINS = ("timescale-1", "audit-1", "audit-2")
"""Sinks by process; two of the audit log, so that one that slept finds that another went on."""


class KeptRedis(OwnRedis):
    """One that can be set back to what it was: copies are files of its own."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._file = f"storm-{self.where.port}.rdb"
        self.options = ["--dbfilename", self._file]
        self._copy = self.folder / f"{self._file}.copy"

    def keep_copy(self) -> None:
        with closing(self.client()) as client:
            client.save()
        shutil.copyfile(self.folder / self._file, self._copy)

    def set_back(self) -> None:
        """Killed, and started with the copy."""
        self.stop()
        shutil.copyfile(self._copy, self.folder / self._file)
        self.start()

    def remove(self) -> None:
        self.stop()
        for path in (self.folder / self._file, self._copy):
            path.unlink(missing_ok=True)


class CaptureWorld:
    """Everything of one storm. folder: logs of the processes."""

    def __init__(
        self,
        servers: Mapping[str, str],
        mysql: OwnMySQL,
        redis: KeptRedis,
        timescale: Timescale,
        folder: Path,
    ) -> None:
        self.mysql = mysql
        self.redis = redis
        self.timescale = timescale
        self.folder = folder
        self.tables = CAPTURED
        owner = urlsplit(timescale.owner)
        password = quote(servers["SERVERS_TIMESCALE_ROOT_PASSWORD"])
        place = f"postgres:{password}@{owner.netloc.rpartition('@')[2]}"
        self.timescale_root = urlunsplit(owner._replace(netloc=place, path="/postgres"))
        self._app = {name: text for name, text in servers.items() if name.startswith("APP_")}
        (folder / "env").touch()

    @property
    def flavour(self) -> str:
        return self.mysql.flavour

    def environ(self, role: str) -> dict[str, str]:
        where = self.mysql.where
        return {
            **self._app,
            "FLEET_ENV_FILE": str(self.folder / "env"),
            "DB_CONNECTION": "mysql",
            "DB_HOST": str(where.host),
            "DB_PORT": str(where.port),
            "DB_DATABASE": SCHEMA,
            "DB_USERNAME": "root" if role == "migrate" else f"storm_{role}",
            "DB_PASSWORD": ROOT_PASSWORD if role == "migrate" else USER_PASSWORD,
            "FLEET_DB_DATABASE": where.database,
            "REDIS_HOST": self.redis.where.host,
            "REDIS_PORT": str(self.redis.where.port),
            "REDIS_PREFIX": PREFIX,
            "QUEUE_CONNECTION": "redis",
            "FLEET_CDC_TABLES": ",".join(self.tables),
            "FLEET_CDC_SPILL_DIR": str(self.folder),
            "FLEET_TIMESCALE_URL": self.timescale.url(
                role if role in {"timescale", "cli"} else "cli"
            ),
            "FLEET_ROLE": role,
            "FLEET_LOG_STYLE": "json",
            "PYTHONUNBUFFERED": "1",
        }

    def settings(self, role: str) -> Settings:
        return load(role, self.environ(role))

    def migrate(self) -> None:
        """Tables and users of the fleet; Laravel's accounts stand beside them."""
        self.mysql.run(EXCHANGE_ACCOUNTS, LARAVEL_TABLES["failed_jobs"], database=SCHEMA)
        settings = self.settings("migrate")
        migrate_mysql(settings)
        migrate_audit(settings)
        owner = SecretStr(self.timescale.owner)
        self.timescale.migrate(settings.model_copy(update={"timescale_url": owner}))

    def make_users(self) -> None:
        """After the tables that are captured: grants name them."""
        wanted = {"collector", "audit", "timescale", "cli"}
        self.tables = (*CAPTURED, AT_TIMES)
        for row in grants(self.settings("migrate"), lambda role: f"storm_{role}"):
            if row.role in wanted:
                lines = [*row.mysql, *row.laravel]
                self.mysql.run(*(line.replace(PASSWORD, USER_PASSWORD) for line in lines))
        self.tables = CAPTURED

    def select_otherwise(self) -> str:
        """FLEET_CDC_TABLES from now on: with a table that was not captured, or without it."""
        self.tables = (*CAPTURED, AT_TIMES) if self.tables == CAPTURED else CAPTURED
        return ",".join(self.tables)

    def stream(self) -> ChangeLog:
        return ChangeLog(self.redis.client(), PREFIX)

    def client(self) -> Redis:
        return self.redis.client()

    def fleet(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, as an operator types it."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env=_with_path(self.environ("cli")), cwd=ROOT, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def crew(self) -> Crew[Member]:
        """Collectors and sinks, not started."""
        names = [f"collector-{number}" for number in range(1, COLLECTORS + 1)] + list(TWINS)
        return Crew([self._member(name) for name in names])

    def _member(self, name: str) -> Member:
        role = name.partition("-")[0]
        command = [sys.executable, "-m", "tests.chaos.cdc_node", role, name]
        return Member(
            name=name, command=command, environ=self.environ(role), log=self.folder / f"{name}.log"
        )


def struck_by(crew: Crew[Member]) -> Counter[str]:
    """Deaths that nobody ordered, by their last words."""
    return Counter(f"{one.name}: {words}" for one in crew.members for words in one.own_deaths)


def _with_path(environ: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin", **environ}


@contextmanager
def capture_world(servers: Mapping[str, str], folder: Path) -> Iterator[CaptureWorld]:
    """Migrated; no process runs."""
    with ExitStack() as stack:
        mysql = stack.enter_context(own_mysql(servers))
        redis = KeptRedis(servers["SERVERS_ROOT"])
        stack.callback(redis.remove)
        redis.start()
        timescale = stack.enter_context(own_database(servers))
        world = CaptureWorld(servers, mysql, redis, timescale, folder)
        world.migrate()
        yield world


def rows(connection: Any, sql: str, *words: Any) -> list[Any]:
    """As they stand now; ends the transaction."""
    cursor = connection.cursor()
    cursor.execute(sql, words or None)
    found = list(cursor.fetchall())
    connection.commit()
    return found
