"""Change capture as the roles run it, on a MySQL and a TimescaleDB of the benchmark's own.

The source is its own server, so its CPU and its log are of nothing else; it is set as
`make servers` sets the shared one (every commit is on disk before it returns). Redis is the shared
one, under a prefix of the place.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from shared.cdc.log import ChangeLog
from shared.settings import load
from tests.bench.place import Place
from tests.own_mysql import PASSWORD, OwnMySQL, own_mysql
from tests.timescale_world import Timescale, own_database
from tests.workers.fleet_env import free_port
from workers.cdc.audit import NAME as _AUDIT
from workers.cdc.history import NAME as _TIMESCALE
from workers.cdc.snapshot_marks import progress
from workers.migrate import migrate_audit, migrate_mysql
from workers.roles import ROLES

AUDIT, TIMESCALE, COLLECTOR = _AUDIT, _TIMESCALE, "collector"
EVERY_ROLE = (AUDIT, TIMESCALE, COLLECTOR)
BEGIN_SECONDS = 90
STOP_SECONDS = 60
AS_SHARED = {
    "innodb_buffer_pool_size": "256M",
    "innodb_flush_log_at_trx_commit": "1",
    "sync_binlog": "1",
}
REDO = {
    "mariadb": {"innodb_log_file_size": "256M"},
    "mysql": {"innodb_redo_log_capacity": "256M"},
}
_TICKS = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """CPU seconds since each began. redis: of everybody who uses it."""

    collector: float
    audit: float
    timescale: float
    mysql: float
    postgres: float
    redis: float

    def since(self, before: Used) -> Used:
        return Used(*(now - then for now, then in zip(self, before, strict=True)))

    def per(self, count: int) -> str:
        """Microseconds of each, per transaction or row."""
        return ", ".join(
            f"{name} {seconds / count * 1e6:.0f}"
            for name, seconds in zip(self._fields, self, strict=True)
            if seconds > 0
        )


class Capture:
    """here: where the fleet's other parts run beside it."""

    def __init__(self, here: Place, mysql: OwnMySQL, database: Timescale) -> None:
        self.here = here
        self.mysql = mysql
        self.database = database
        self.redis = here.redis()
        self.stream = ChangeLog(self.redis, here.settings.prefix)
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._logs: dict[str, Path] = {}

    def start(self, roles: Sequence[str] = EVERY_ROLE, **variables: str) -> None:
        """As the Procfile does."""
        for role in roles:
            log = Path(tempfile.gettempdir()) / f"{self.here.settings.prefix}{role}.log"
            _, *command = ROLES[role].command.split()
            more = {"FLEET_TIMESCALE_URL": ""} if TIMESCALE not in roles else {}
            self._running[role] = self.here.start(
                command, log, FLEET_ROLE=role, FLEET_LOG_LEVEL="WARNING",
                FLEET_METRICS_PORT=str(free_port()), **more, **variables,
            )  # fmt: skip
            self._logs[role] = log

    def stop(self) -> None:
        """In good order: what was read is appended, what was begun is written."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
        self._running = {}
        for log in self._logs.values():
            log.unlink(missing_ok=True)
        self._logs = {}

    def pid(self, role: str) -> int:
        return self._running[role].pid

    def begin(self, roles: Sequence[str] = EVERY_ROLE, **variables: str) -> int:
        """Starts them with nothing; the seq when every table has been read and all stand still."""
        self.start(roles, **variables)
        with closing(self.connection()) as connection:
            self.until(partial(self._has_begun, roles, connection), BEGIN_SECONDS)
        return self.seq()

    def connection(self) -> Any:
        """Of the source, every statement a transaction."""
        connection = self.here.mysql()
        connection.autocommit(on=True)
        return connection

    def seq(self) -> int:
        """Of the last whole transaction in the stream."""
        found = self.stream.look()
        return found.place.seq if found else 0

    def until(self, condition: Callable[[], bool], seconds: float, step: float = 0.05) -> None:
        """RuntimeError as soon as a role ends, TimeoutError after so long; with their logs."""
        end = time.monotonic() + seconds
        while not condition():
            ended = [name for name, one in self._running.items() if one.poll() is not None]
            if ended:
                raise RuntimeError(f"{', '.join(ended)} ended: {self._said()}")
            if time.monotonic() > end:
                raise TimeoutError(f"not met in {seconds} s: {self._said()}")
            time.sleep(step)

    def used(self) -> Used:
        """Of the roles that run, and of the servers."""
        info: Any = self.redis.info("cpu")
        of = {role: _cpu(one.pid) for role, one in self._running.items()}
        backends = self.database.run(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        return Used(
            of.get(COLLECTOR, 0.0), of.get(AUDIT, 0.0), of.get(TIMESCALE, 0.0),
            _cpu(self.mysql.pid), sum(_cpu(int(str(pid))) for (pid,) in backends),
            info["used_cpu_user"] + info["used_cpu_sys"],
        )  # fmt: skip

    def mysql_cpu(self) -> float:
        """Seconds of the source's server."""
        return _cpu(self.mysql.pid)

    def log_bytes(self) -> int:
        """Of the source's log."""
        with closing(self.connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW BINARY LOGS")
            return sum(int(row[1]) for row in cursor.fetchall())

    def log_end(self) -> tuple[str, int]:
        """File and position that the source writes to."""
        with closing(self.connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW BINARY LOGS")
            name, size, *_ = cursor.fetchall()[-1]
            return str(name), int(size)

    def reading(self) -> tuple[str, int]:
        """Up to where the collector has appended."""
        found = self.stream.look()
        return (found.place.position.file, found.place.position.pos) if found else ("", 0)

    def peak_mb(self, role: str) -> float:
        """Resident, of a role's whole life."""
        status = Path(f"/proc/{self.pid(role)}/status").read_text(encoding="ascii")
        told = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(told.split()[1]) / 1024

    def _has_begun(self, roles: Sequence[str], connection: Any) -> bool:
        seq = self.seq()
        reports = self.stream.reports()
        stand = [reports.get(role) for role in roles if role != COLLECTOR]
        return (
            seq > 0
            and not self.stream.requests()
            and all(one.state == "refused" for one in progress(connection))
            and all(one and one.offset and one.offset.seq == self.seq() for one in stand)
        )

    def _said(self) -> str:
        return "; ".join(
            f"{role}: {log.read_text(encoding='utf-8', errors='replace')[-1500:]}"
            for role, log in self._logs.items()
        )


class AuditServer(NamedTuple):
    """url: FLEET_AUDIT_URL."""

    url: str
    mysql: OwnMySQL

    def cpu(self) -> float:
        """Seconds since it began."""
        return _cpu(self.mysql.pid)


class Offsets:
    """Where the sinks stand, asked of their own databases."""

    def __init__(self, capture: Capture) -> None:
        self._mysql = capture.connection()
        self._postgres = psycopg.connect(capture.database.owner, autocommit=True)

    def audit(self) -> int:
        cursor = self._mysql.cursor()
        cursor.execute("SELECT seq FROM fleet_cdc_offset WHERE sink = 'audit' AND whole")
        found = cursor.fetchone()
        return int(found[0]) if found else 0

    def timescale(self) -> int:
        found = self._postgres.execute(
            "SELECT seq FROM fleet.cdc_offset WHERE sink = 'timescale' AND whole"
        ).fetchone()
        return int(found[0] or 0) if found else 0

    def both(self) -> int:
        """What both have."""
        return min(self.audit(), self.timescale())

    def close(self) -> None:
        self._mysql.close()
        self._postgres.close()


@contextmanager
def audit_server(place: Place) -> Iterator[AuditServer]:
    """A server that holds nothing but the audit log; not migrated yet."""
    with _server(place) as mysql:
        url = f"mysql://root:{PASSWORD}@{mysql.where.host}:{mysql.where.port}/app"
        yield AuditServer(url, mysql)


def _server(place: Place) -> AbstractContextManager[OwnMySQL]:
    return own_mysql(place.servers, **AS_SHARED, **REDO[place.servers["SERVERS_FLAVOUR"]])


@contextmanager
def capture_of(place: Place, *, tables: str = "default") -> Iterator[Capture]:
    """tables: FLEET_CDC_TABLES."""
    with (
        _server(place) as mysql,
        own_database(place.servers) as database,
    ):
        environ = {
            **place.environ,
            "DB_HOST": mysql.where.host, "DB_PORT": str(mysql.where.port), "DB_SOCKET": "",
            "DB_USERNAME": mysql.where.user, "DB_PASSWORD": PASSWORD,
            "DB_DATABASE": mysql.where.laravel_database,
            "FLEET_DB_DATABASE": mysql.where.database,
            "FLEET_TIMESCALE_URL": database.owner, "FLEET_CDC_TABLES": tables,
        }  # fmt: skip
        here = place._replace(settings=load("streams", environ), environ=environ)
        migrate_mysql(here.settings)
        migrate_audit(here.settings)
        database.migrate(
            here.settings.model_copy(update={"timescale_url": load("cli", environ).timescale_url})
        )
        capture = Capture(here, mysql, database)
        try:
            yield capture
        finally:
            capture.stop()
            capture.redis.close()


def _cpu(pid: int) -> float:
    """Seconds in user and system, of all its threads."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 0.0
    fields = told.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
