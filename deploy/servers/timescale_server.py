"""PostgreSQL with TimescaleDB: one database `fleet` owned by the role `fleet`."""

from __future__ import annotations

from instances import HOST, Instance
from processes import must_run_inside, run_inside

USER = "postgres"
NAME = "timescale"

# unix_socket_directories: none, since a socket's lock file survives SIGKILL and then blocks.
# dynamic_shared_memory_type: a root has no /dev/shm of its own, and System V segments would
# outlive a SIGKILL; files in the data folder do neither harm.
SETTINGS = """listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
dynamic_shared_memory_type = mmap
shared_buffers = 256MB
max_connections = 200
max_worker_processes = 16
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
"""


def _program(instance: Instance, name: str) -> str:
    return f"/usr/lib/postgresql/{instance.flavour.postgres}/bin/{name}"


def prepare(instance: Instance) -> None:
    folder, inside = instance.server_folder(NAME), instance.server_inside(NAME)
    instance.make_folder(folder, USER)
    password = folder / "password"
    instance.write(password, instance.secrets["timescale_root"] + "\n", USER)
    initdb = [_program(instance, "initdb"), f"--pgdata={inside}/data", "--username=postgres"]
    initdb += ["--auth=scram-sha-256", f"--pwfile={inside}/password"]
    initdb += ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"]
    must_run_inside(instance.root, USER, inside, initdb)
    password.unlink()


def configure(instance: Instance) -> None:
    data = instance.server_folder(NAME) / "data"
    text = SETTINGS.format(host=HOST, port=instance.ports[NAME])
    instance.write(data / "fleet.conf", text, USER)
    main = data / "postgresql.conf"
    line = "include 'fleet.conf'\n"
    if not main.read_text().endswith(line):
        instance.write(main, main.read_text() + line, USER)
    # We start only when no process of this instance is left, so the file is of a dead one; its
    # number may by now belong to somebody else, and postgres would refuse to start.
    (data / "postmaster.pid").unlink(missing_ok=True)


def command(instance: Instance) -> list[str]:
    return [_program(instance, "postgres"), "-D", f"{instance.server_inside(NAME)}/data"]


def ready(instance: Instance) -> bool:
    return _ask(instance, "postgres", "SELECT 1") is not None


def complete(instance: Instance) -> None:
    """Role, database and extension; passwords go by stdin and environment."""
    if _ask(instance, "postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'fleet'") != "1":
        password = instance.secrets["timescale"]
        _must(instance, "postgres", f"CREATE ROLE fleet LOGIN PASSWORD '{password}'")
    if _ask(instance, "postgres", "SELECT 1 FROM pg_database WHERE datname = 'fleet'") != "1":
        _must(instance, "postgres", "CREATE DATABASE fleet OWNER fleet")
    _must(instance, "fleet", "CREATE EXTENSION IF NOT EXISTS timescaledb")


def _psql(database: str, instance: Instance) -> list[str]:
    port = str(instance.ports[NAME])
    options = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]
    return ["psql", *options, "-h", HOST, "-p", port, "-U", "postgres", "-d", database]


def _environment(instance: Instance) -> dict[str, str]:
    return {"PGPASSWORD": instance.secrets["timescale_root"], "PGCONNECT_TIMEOUT": "5"}


def _ask(instance: Instance, database: str, query: str) -> str | None:
    finished = run_inside(
        instance.root,
        USER,
        "/",
        _psql(database, instance),
        text=query,
        environment=_environment(instance),
    )
    return finished.stdout.strip() if finished.returncode == 0 else None


def _must(instance: Instance, database: str, statement: str) -> None:
    must_run_inside(
        instance.root,
        USER,
        "/",
        _psql(database, instance),
        text=statement,
        environment=_environment(instance),
    )
