"""All that a fleet leaves behind and shows, as bytes by place."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis
from zstandard import decompress

from tests.chaos.own_fleet import LARAVEL_SCHEMA, OwnFleet
from tests.security.secret_fleet import AUDIT_SCHEMA, BROKER_DATABASE, SecretFleet

FLOWER = (
    "/", "/workers", "/workers?refresh=1", "/tasks", "/broker", "/metrics",
    "/api/workers?refresh=1", "/api/tasks", "/api/task/types", "/api/queues/length",
    ("/tasks/datatable?draw=1&start=0&length=1000&search[value]=&order[0][column]=0"
     "&order[0][dir]=asc&columns[0][data]=name"),
)  # fmt: skip
EXPORTER = ("/", "/status.json", "/runbooks", "/targets", "/ready", "/live")
READABLE_BY_OTHERS = stat.S_IROTH


def pages_of_flower(fleet: SecretFleet) -> dict[str, bytes]:
    """Those of each worker and of each task that it lists, too."""
    found = {path: fleet.flower(path)[1] for path in FLOWER}
    status, workers = fleet.flower("/api/workers")
    assert status == 200, workers
    names = [f"/worker/{role}-1@{_host()}" for role in fleet.running]
    return found | {path: fleet.flower(path)[1] for path in names} | {"/api/workers": workers}


def _host() -> str:
    return Path("/proc/sys/kernel/hostname").read_text(encoding="ascii").strip()


def metrics(fleet: OwnFleet) -> dict[str, bytes]:
    return {role: fleet.ask(role, "/metrics") or b"" for role in fleet.targets()}


def pages_of_the_exporter(fleet: OwnFleet) -> dict[str, bytes]:
    return {path: fleet.ask("metrics", path) or b"" for path in EXPORTER}


def redis(fleet: OwnFleet) -> dict[str, bytes]:
    found = {}
    for database in (0, 1, BROKER_DATABASE):
        with closing(fleet.redis.client(database)) as client:
            for key in client.scan_iter(count=1000):
                found[key.decode()] = key + b" " + b" ".join(_values(client, key))
    return found


def _values(client: Redis, key: bytes) -> Iterator[bytes]:
    anything: Any = client
    read: dict[bytes, Any] = {
        b"string": lambda: [anything.get(key)],
        b"list": lambda: anything.lrange(key, 0, -1),
        b"set": lambda: anything.smembers(key),
        b"zset": lambda: anything.zrange(key, 0, -1),
        b"hash": lambda: [part for pair in anything.hgetall(key).items() for part in pair],
        b"stream": lambda: [part for _, fields in anything.xrange(key)
                            for name, value in fields.items()
                            for part in (name, decompress(value) if name == b"z" else value)],
        b"none": list,
    }  # fmt: skip
    yield from (value or b"" for value in read[anything.type(key)]())


def mysql(fleet: OwnFleet) -> dict[str, bytes]:
    """By column: `app.fleet_parked.error`."""
    found = {}
    for schema in (fleet.mysql.where.database, LARAVEL_SCHEMA, AUDIT_SCHEMA):
        with closing(fleet.mysql.connection(schema)) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            for name, _ in cursor.fetchall():
                cursor.execute(f"SELECT * FROM `{name}`")  # noqa: S608 - the server's own names
                columns = [column[0] for column in cursor.description]
                rows = cursor.fetchall()
                for number, column in enumerate(columns):
                    place = f"{schema}.{name}.{column}"
                    found[place] = b" ".join(_bytes(row[number]) for row in rows)
    return found


def timescale(fleet: OwnFleet) -> dict[str, bytes]:
    assert fleet.timescale is not None
    tables = fleet.timescale.run("SELECT tablename FROM pg_tables WHERE schemaname = 'fleet'")
    with psycopg.connect(fleet.timescale.owner) as connection:
        found = {}
        for (name,) in tables:
            rows = connection.execute(f'SELECT t::text FROM fleet."{name}" t'.encode())  # noqa: S608 - the same
            found[str(name)] = b" ".join(_bytes(row) for row in rows)
        return found


def files(folder: Path) -> dict[str, bytes]:
    """What others on the machine may read, the logs aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".log" and path.stat().st_mode & READABLE_BY_OTHERS
    }


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
