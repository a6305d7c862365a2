"""A MySQL or MariaDB of one test, from the root that the shared servers run in.

It may be reset, purged, set differently, stopped and killed; nothing of it is left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shared.endpoints import MySQLSettings
from shared.errors import Unavailable
from shared.mysql.connection import connect
from tests.waiting import eventually
from tests.workers.fleet_env import free_port

PASSWORD = "own"
START_SECONDS = 60
STOP_SECONDS = 60
BIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As the shared servers have it (deploy/servers/mysql_server.py), but small, and not safe on disk.
COMMON = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "character-set-server": "utf8mb4",
    "max-connections": "100",
    "max-allowed-packet": "64M",
    "innodb-buffer-pool-size": "64M",
    "innodb-flush-log-at-trx-commit": "2",
    "sync-binlog": "0",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
}
OF_FLAVOUR = {
    "mariadb": {"binlog-format": "ROW", "innodb-log-file-size": "16M"},
    "mysql": {
        "gtid-mode": "ON",
        "enforce-gtid-consistency": "ON",
        "mysqlx": "OFF",
        "innodb-redo-log-capacity": "32M",
        "performance-schema": "OFF",
    },
}


class OwnMySQL:
    """where: as its administrator, schemas `app` (the fleet's) and `app_laravel`, both empty."""

    def __init__(self, servers: Mapping[str, str], options: Mapping[str, str]) -> None:
        self.flavour = servers["SERVERS_FLAVOUR"]
        self.options = dict(options)
        self._root = servers["SERVERS_ROOT"]
        self._inside = f"/srv/tradefleet/own-{uuid.uuid4().hex[:10]}"
        self._process: subprocess.Popen[bytes] | None = None
        self.where = MySQLSettings(
            host="127.0.0.1",
            port=free_port(),
            socket=None,
            user="root",
            password=SecretStr(PASSWORD),
            laravel_database="app_laravel",
            database="app",
            ssl_ca=None,
        )

    @property
    def folder(self) -> Path:
        return Path(self._root + self._inside)

    def inside(self, path: Path) -> str:
        """How the server itself calls a file of its folder."""
        return "/" + str(path.relative_to(self._root))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def prepare(self) -> None:
        """A new data folder, and what the first start makes: password and schemas."""
        for path in (self.folder, self.folder / "data", self.folder / "tmp"):
            path.mkdir()
            shutil.chown(path, *self._owner())
        data = f"--datadir={self._inside}/data"
        if self.flavour == "mariadb":
            command = ["mariadb-install-db", "--no-defaults", "--user=mysql", "--force", data]
            command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        else:
            command = ["mysqld", "--no-defaults", "--initialize-insecure", data]
            command += ["--innodb-redo-log-capacity=32M"]
        made = subprocess.run(
            self._in_root(command), capture_output=True, check=False, env={"PATH": BIN_PATH}
        )
        assert made.returncode == 0, made.stderr.decode()[-2000:]
        first = self.folder / "first.sql"
        first.write_text(
            "SET SESSION sql_log_bin = 0;\n"
            "DROP USER IF EXISTS 'root'@'127.0.0.1';\n"
            f"CREATE USER 'root'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
            "CREATE DATABASE app CHARACTER SET utf8mb4;\n"
            "CREATE DATABASE app_laravel CHARACTER SET utf8mb4;\n"
        )
        first.chmod(0o644)

    def start(self, **options: str) -> None:
        """options: `binlog_row_metadata="MINIMAL"`; they stay for later starts."""
        self.options |= options
        program = "mariadbd" if self.flavour == "mariadb" else "mysqld"
        chosen = COMMON | OF_FLAVOUR[self.flavour]
        chosen |= {name.replace("_", "-"): value for name, value in self.options.items()}
        chosen |= {
            "port": str(self.where.port),
            "datadir": f"{self._inside}/data",
            "tmpdir": f"{self._inside}/tmp",  # noqa: S108 - its own
            "socket": f"{self._inside}/sock",
            "pid-file": f"{self._inside}/pid",
        }
        first = self.folder / "first.sql"
        if first.exists():
            chosen["init-file"] = f"{self._inside}/first.sql"
        command = [program, "--no-defaults", *(f"--{name}={chosen[name]}" for name in chosen)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # It ends with the test that started it, however that one ends.
                self._in_root(["setpriv", "--pdeathsig", "KILL", *command]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": BIN_PATH},
            )  # fmt: skip
        eventually(self._answers, START_SECONDS)
        first.unlink(missing_ok=True)

    def stop(self) -> None:
        """In good order: the log gets its STOP event."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """As a power cut that spares the disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for left in ("sock", "sock.lock", "pid"):
            (self.folder / left).unlink(missing_ok=True)

    def restart(self, **options: str) -> None:
        self.stop()
        self.start(**options)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connection(self, database: str = "app") -> Any:
        return connect(self.where, database)

    def run(self, *statements: str, database: str = "app") -> list[tuple[Any, ...]]:
        """Each in turn on a new connection, then a commit; the rows of the last."""
        with closing(self.connection(database)) as connection:
            cursor = connection.cursor()
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
            return rows

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.folder / "log").read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self.flavour} did not start: {said}")
        try:
            connect(self.where).close()
        except Unavailable:
            return False
        return True

    def _owner(self) -> tuple[int, int]:
        """Of the root's own users: the host knows others by these numbers."""
        lines = (Path(self._root) / "etc/passwd").read_text().splitlines()
        found = next(line.split(":") for line in lines if line.startswith("mysql:"))
        return int(found[2]), int(found[3])

    def _in_root(self, command: list[str]) -> list[str]:
        chroot = ["chroot", "--userspec=mysql:mysql", self._root]
        return [*chroot, "env", f"--chdir={self._inside}", *command]


@contextmanager
def own_mysql(servers: Mapping[str, str], **options: str) -> Iterator[OwnMySQL]:
    """options: `log_bin_compress="ON"`. Takes 1 second on MariaDB, 3 on MySQL."""
    assert Path(servers["SERVERS_ROOT"]).is_dir()
    assert os.geteuid() == 0, "servers of a test run in a root of their own"
    found = OwnMySQL(servers, options)
    try:
        found.prepare()
        found.start()
        yield found
    finally:
        found.remove()
