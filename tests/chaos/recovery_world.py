"""Servers, backups and processes of a recovery drill: a MySQL and a Redis of its own (for the audit
log perhaps a second MySQL), a database of its own in the desk's TimescaleDB, a local exchange.

Backups are those that people have: dumps by the servers' own tools, loaded by their own clients.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from pydantic import SecretStr

from shared.settings import Settings, load
from tests.chaos.exchange import Exchange, local_exchange
from tests.chaos.fleet import Crew, Member
from tests.conftest import EXCHANGE_ACCOUNTS, LARAVEL_TABLES
from tests.desk import ROOT
from tests.own_mysql import PASSWORD as ROOT_PASSWORD
from tests.own_mysql import OwnMySQL, own_mysql
from tests.own_redis import OwnRedis, own_redis
from tests.timescale_world import Timescale, own_database
from workers.grants import PASSWORD, grants
from workers.migrate import migrate_audit, migrate_mysql

USER_PASSWORD = uuid.uuid4().hex
PREFIX = "drill_"
SCHEMAS = ("app", "app_laravel")
PARTITIONS = 4
AUDIT_SCHEMA = "app"
DUMP = {
    "mariadb": ("mariadb-dump", "--single-transaction", "--quick", "--hex-blob"),
    "mysql": ("mysqldump", "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces",
              "--set-gtid-purged=OFF"),
}  # fmt: skip
"""--single-transaction: all tables as of one moment, the audit log's offset with its rows.
--set-gtid-purged=OFF: else MySQL's dump turns the log off while it is loaded.
"""
CLIENT = {"mariadb": "mariadb", "mysql": "mysql"}
_PROGRAMS = {
    "streams": ("tests.chaos.node",),
    "relay": ("workers.relay",),
    "sync": ("tests.chaos.sync_node",),
    "rq": ("workers.rq_worker",),
    "collector": ("tests.chaos.cdc_node", "collector"),
    "audit": ("tests.chaos.cdc_node", "audit"),
    "timescale": ("tests.chaos.cdc_node", "timescale"),
}


class RecoveryWorld:
    """mysql: at the address that the fleet knows. audit: None where its log is in our schema."""

    def __init__(  # noqa: PLR0917 - the parts of a world
        self,
        servers: Mapping[str, str],
        mysql: OwnMySQL,
        redis: OwnRedis,
        timescale: Timescale,
        exchange: Exchange,
        folder: Path,
        audit: OwnMySQL | None,
    ) -> None:
        self.servers = servers
        self.mysql = mysql
        self.redis = redis
        self.timescale = timescale
        self.exchange = exchange
        self.folder = folder
        self.audit = audit
        self._app = {name: text for name, text in servers.items() if name.startswith("APP_")}
        self._root = servers["SERVERS_ROOT"]
        (folder / "env").touch()

    def environ(self, role: str) -> dict[str, str]:
        where = self.mysql.where
        root = role == "migrate"
        user, password = ("root", ROOT_PASSWORD) if root else (f"drill_{role}", USER_PASSWORD)
        found = {
            **self._app,
            "FLEET_ENV_FILE": str(self.folder / "env"),
            "DB_CONNECTION": "mysql",
            "DB_HOST": str(where.host),
            "DB_PORT": str(where.port),
            "DB_DATABASE": where.laravel_database,
            "DB_USERNAME": user,
            "DB_PASSWORD": password,
            "FLEET_DB_DATABASE": where.database,
            "REDIS_HOST": self.redis.where.host,
            "REDIS_PORT": str(self.redis.where.port),
            "REDIS_PREFIX": PREFIX,
            "QUEUE_CONNECTION": "redis",
            "FLEET_PARTITIONS": str(PARTITIONS),
            "FLEET_CDC_SPILL_DIR": str(self.folder),
            "FLEET_TIMESCALE_URL": self.timescale.url(
                role if role in {"timescale", "cli"} else "cli"
            ),
            "FLEET_EXCHANGE_URL": self.exchange.url,
            "FLEET_ROLE": role,
            "FLEET_METRICS_PORT": "22700",  # the first of those that are free
            "FLEET_LOG_STYLE": "json",
            "PYTHONUNBUFFERED": "1",
        }
        if self.audit is not None:
            at = self.audit.where
            found["FLEET_AUDIT_URL"] = (
                f"mysql://{user}:{password}@{at.host}:{at.port}/{AUDIT_SCHEMA}"
            )
        return found

    def settings(self, role: str) -> Settings:
        return load(role, self.environ(role))

    def migrate(self) -> None:
        tables = [EXCHANGE_ACCOUNTS, *LARAVEL_TABLES.values()]
        self.mysql.run(*tables, database=self.mysql.where.laravel_database)
        settings = self.settings("migrate")
        migrate_mysql(settings)
        migrate_audit(settings)
        self.migrate_timescale()
        self.make_users()

    def migrate_timescale(self) -> None:
        owner = SecretStr(self.timescale.owner)
        self.timescale.migrate(
            self.settings("migrate").model_copy(update={"timescale_url": owner})
        )

    def make_users(self) -> None:
        """No dump of schemas holds them. The sync's process does beat's jobs, too."""
        names = {"jobs": "drill_sync"}
        for row in grants(
            self.settings("migrate"), lambda role: names.get(role, f"drill_{role}")
        ):
            if row.role in {*_PROGRAMS, "cli", "jobs"}:
                lines = [line.replace(PASSWORD, USER_PASSWORD) for line in row.mysql]
                self.mysql.run(*lines, *row.laravel)
                if self.audit is not None:
                    kept = [line.replace(PASSWORD, USER_PASSWORD) for line in row.audit]
                    self.audit.run(*kept)

    def fleet(self, *words: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """A command, as an operator types it."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *words],
            env={**os.environ, **self.environ("cli")}, cwd=ROOT, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip

    def crew(self) -> Crew[Member]:
        """One process of each role, not started."""
        return Crew([self._member(role) for role in _PROGRAMS])

    def _member(self, role: str) -> Member:
        name = f"{role}-1"
        command = [sys.executable, "-m", *_PROGRAMS[role], name]
        return Member(
            name=name, command=command, environ=self.environ(role), log=self.folder / f"{name}.log"
        )

    def audited(self, sql: str) -> list[Any]:
        """Of the audit log, wherever it is."""
        return rows((self.audit or self.mysql).connection, sql)

    # -- MySQL -------------------------------------------------------------------------------------

    def dump_mysql(self) -> Path:
        file = self.folder / "mysql.sql"
        flags = DUMP[self.mysql.flavour]
        with file.open("wb") as out:
            self._in_root([*flags, *_login(self.mysql), "--databases", *SCHEMAS], out=out)
        return file

    def load_mysql(self, into: OwnMySQL, dump: Path) -> None:
        with dump.open("rb") as source:
            self._in_root([CLIENT[into.flavour], *_login(into)], source=source)

    def replace_mysql(self, dump: Path, stack: ExitStack) -> None:
        """The server is gone. Another one is loaded beside, and then stands at its address."""
        lost = self.mysql
        lost.kill()
        found = stack.enter_context(own_mysql(self.servers))
        self.load_mysql(found, dump)
        found.stop()
        found.where = lost.where
        found.start()
        self.mysql = found
        self.make_users()
        lost.remove()

    # -- TimescaleDB -------------------------------------------------------------------------------

    def dump_timescale(self) -> Path:
        file = self.folder / "timescale.dump"
        with file.open("wb") as out:
            self._in_root([self._postgres("pg_dump"), "-Fc", "-d", self._superuser()], out=out)
        return file

    def replace_timescale(self, dump: Path | None) -> None:
        """dump: None: there is no backup, and the schema is made anew."""
        owner = urlsplit(self.timescale.owner).username
        name = self.timescale.name
        with psycopg.connect(self._superuser("postgres"), autocommit=True) as root:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            root.execute(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0".encode())
        if dump is None:
            self.migrate_timescale()
            return
        with psycopg.connect(self._superuser(), autocommit=True) as root:
            root.execute("CREATE EXTENSION timescaledb")
            root.execute("SELECT timescaledb_pre_restore()")
        with dump.open("rb") as source:
            self._in_root(
                [self._postgres("pg_restore"), "-d", self._superuser()], source=source, strict=False
            )
        with psycopg.connect(self._superuser(), autocommit=True) as root:
            root.execute("SELECT timescaledb_post_restore()")

    def _postgres(self, program: str) -> str:
        """Debian's wrapper asks a cluster that is not ours."""
        found = max(Path(self._root).glob(f"usr/lib/postgresql/*/bin/{program}"))
        return "/" + str(found.relative_to(self._root))

    def _superuser(self, database: str = "") -> str:
        owner = urlsplit(self.timescale.owner)
        password = quote(self.servers["SERVERS_TIMESCALE_ROOT_PASSWORD"])
        place = f"postgres:{password}@{owner.netloc.rpartition('@')[2]}"
        path = f"/{database or self.timescale.name}"
        return urlunsplit(owner._replace(netloc=place, path=path))

    def _in_root(
        self, command: Sequence[str], *, out: Any = subprocess.DEVNULL,
        source: Any = subprocess.DEVNULL, strict: bool = True,
    ) -> None:  # fmt: skip
        done = subprocess.run(
            ["chroot", self._root, *command], stdin=source, stdout=out, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
        if done.returncode and strict:
            raise RuntimeError(f"{command[0]}: {done.stderr.decode()[-1000:]}")


def _login(server: OwnMySQL) -> list[str]:
    where = server.where
    return [f"--host={where.host}", f"--port={where.port}", "--user=root",
            f"--password={ROOT_PASSWORD}", "--protocol=tcp"]  # fmt: skip


@contextmanager
def recovery_world(
    servers: Mapping[str, str], folder: Path, stack: ExitStack, *, audit_elsewhere: bool
) -> Iterator[RecoveryWorld]:
    """Migrated; no process of the fleet runs."""
    mysql = stack.enter_context(own_mysql(servers))
    audit = stack.enter_context(own_mysql(servers)) if audit_elsewhere else None
    redis = stack.enter_context(own_redis(servers))
    timescale = stack.enter_context(own_database(servers))
    exchange = stack.enter_context(local_exchange(folder))
    world = RecoveryWorld(servers, mysql, redis, timescale, exchange, folder, audit)
    world.migrate()
    yield world


def rows(connect: Any, sql: str, *words: Any) -> list[Any]:
    """On a connection of its own."""
    with closing(connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, words or None)
        found = list(cursor.fetchall())
        connection.commit()
        return found
