"""A schema and a Redis prefix of the benchmark's own, on the servers that `.servers.env` names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import MySQLdb
from redis import Redis

from shared.dotenv import parse_dotenv
from shared.mysql.connection import connect
from shared.settings import Settings, load
from shared.streams.connection import control_client
from workers.migrate import migrate_audit, migrate_mysql

ROOT = Path(__file__).resolve().parents[2]


class Place(NamedTuple):
    """Where a benchmark runs. environ: what a process of the fleet needs to run there too."""

    settings: Settings
    environ: dict[str, str]
    servers: dict[str, str]
    log: Path  # standard error of every process without a log of its own

    def redis(self) -> Redis:
        return control_client(self.settings.streams_redis, "fleet-bench")

    def mysql(self) -> Any:
        return connect(self.settings.mysql)

    def name(self) -> str:
        """The servers' own names and versions."""
        connection, redis = self.mysql(), self.redis()
        cursor = connection.cursor()
        cursor.execute("SELECT VERSION()")
        version = cursor.fetchone()[0]
        connection.close()
        info: Any = redis.info("server")
        redis.close()
        kind = "MariaDB" if "MariaDB" in version else "MySQL"
        return f"{kind} {version.split('-')[0]}, Redis {info['redis_version']}"

    def empty(self) -> None:
        """No keys, no rows, no offsets: every run starts from nothing."""
        connection, redis = self.mysql(), self.redis()
        cursor = connection.cursor()
        cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
        for table, _ in cursor.fetchall():
            if not table.endswith("_version"):
                cursor.execute(f"TRUNCATE TABLE {table}")
        connection.close()
        remove_keys(redis, self.settings.prefix)
        redis.close()

    def start(
        self, arguments: Sequence[str], log: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """A process of ours; its standard output is a pipe, its log a file."""
        with (log or self.log).open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**self.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def result(self, process: subprocess.Popen[str], seconds: float = 3600) -> dict[str, Any]:
        """The JSON object that the process prints last. RuntimeError with its log if it failed."""
        out, _ = process.communicate(timeout=seconds)
        if process.returncode:
            log = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {log}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


def remove_keys(redis: Redis, prefix: str) -> None:
    names = list(redis.scan_iter(match=f"{prefix}*", count=5000))
    for first in range(0, len(names), 500):
        redis.unlink(*names[first : first + 500])


def _end_sessions(cursor: Any, schema: str) -> None:
    """An open transaction, left by a run that failed, would keep the schema from being dropped."""
    cursor.execute(
        "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()",
        (schema,),
    )
    for (session,) in cursor.fetchall():
        with suppress(MySQLdb.OperationalError):  # it has just ended by itself
            cursor.execute(f"KILL {int(session)}")


@contextmanager
def place(name: str = "bench") -> Iterator[Place]:
    """Makes the schema and drops it, with every key of the prefix, at the end."""
    file = Path(os.environ.get("FLEET_ENV_FILE") or ".servers.env")
    file = file if file.is_absolute() else ROOT / file
    servers = parse_dotenv(file.read_text(encoding="utf-8"), {})
    mark = f"{name}_{os.getpid()}"
    prefix = f"{mark}_"
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("FLEET_")},
        "FLEET_ENV_FILE": str(file),
        "FLEET_DB_DATABASE": f"fleet_{mark}",
        "FLEET_METRICS_PORT": "19540",
        "REDIS_PREFIX": prefix,
        "DB_USERNAME": "root",
        "DB_PASSWORD": servers["SERVERS_DB_ROOT_PASSWORD"],
        "PYTHONWARNINGS": "ignore",
    }
    log = Path(tempfile.gettempdir()) / f"{mark}.log"
    here = Place(load("streams", environ), environ, servers, log)
    migrate_mysql(here.settings)
    migrate_audit(here.settings)
    try:
        yield here
    finally:
        connection = connect(here.settings.mysql, read_seconds=300)
        _end_sessions(connection.cursor(), f"fleet_{mark}")
        connection.cursor().execute(f"DROP DATABASE IF EXISTS fleet_{mark}")
        connection.close()
        redis = here.redis()
        remove_keys(redis, prefix)
        redis.close()
        broker = control_client(here.settings.broker, "fleet-bench")
        remove_keys(broker, prefix)
        broker.close()
        log.unlink(missing_ok=True)
