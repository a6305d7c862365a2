"""Fixtures over real servers. Missing servers are a failure, never a skip.

Every session has schemas of its own, every test a Redis prefix of its own, and each role works
with exactly the privileges that `fleet doctor --grants` prints for it.
"""

from __future__ import annotations

import os
import re
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from pydantic import SecretStr

from shared.dotenv import parse_dotenv
from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import FLEET_NAMES, Settings, load
from shared.streams.connection import control_client
from tests.laravel_application import LaravelApplication
from tests.laravel_world import LaravelWorld
from tests.runtime_world import World
from tests.timescale_world import Timescale, own_database
from workers.grants import PASSWORD, RoleGrants, grants
from workers.migrate import migrate_audit, migrate_mysql

CHECKOUT = Path(__file__).resolve().parent.parent
USER_PASSWORD = uuid.uuid4().hex

# As the desk's Laravel application has it.
EXCHANGE_ACCOUNTS = """
CREATE TABLE exchange_accounts (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id BIGINT UNSIGNED NOT NULL,
  venue VARCHAR(32) NOT NULL,
  product VARCHAR(16) NOT NULL,
  api_key TEXT NOT NULL,
  api_secret TEXT NOT NULL,
  passphrase TEXT NULL,
  settings JSON NULL,
  active TINYINT(1) NOT NULL DEFAULT 1,
  created_at TIMESTAMP NULL,
  updated_at TIMESTAMP NULL
)"""
LARAVEL_TABLES = {
    "failed_jobs": """
CREATE TABLE failed_jobs (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  uuid VARCHAR(255) NOT NULL UNIQUE,
  connection TEXT NOT NULL,
  queue TEXT NOT NULL,
  payload LONGTEXT NOT NULL,
  exception LONGTEXT NOT NULL,
  failed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
)""",
    "job_batches": """
CREATE TABLE job_batches (
  id VARCHAR(255) NOT NULL PRIMARY KEY,
  name VARCHAR(255) NOT NULL,
  total_jobs INT NOT NULL,
  pending_jobs INT NOT NULL,
  failed_jobs INT NOT NULL,
  failed_job_ids LONGTEXT NOT NULL,
  options MEDIUMTEXT NULL,
  cancelled_at INT NULL,
  created_at INT NOT NULL,
  finished_at INT NULL
)""",
    "cache": """
CREATE TABLE cache (
  `key` VARCHAR(255) NOT NULL PRIMARY KEY,
  value MEDIUMTEXT NOT NULL,
  expiration INT NOT NULL
)""",
    "cache_locks": """
CREATE TABLE cache_locks (
  `key` VARCHAR(255) NOT NULL PRIMARY KEY,
  owner VARCHAR(255) NOT NULL,
  expiration INT NOT NULL
)""",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What asks MySQL or TimescaleDB is marked `database`: with other servers only that is worth a
    second run (see .ci/run). What only the other database has is left out.
    """
    flavour = _servers().get("SERVERS_FLAVOUR")
    of_the_other = []
    for item in items:
        if _asks_a_database(item):
            item.add_marker(pytest.mark.database)
        if any(flavour not in {None, *mark.args} for mark in item.iter_markers("only")):
            of_the_other.append(item)
    if of_the_other:
        config.hook.pytest_deselected(items=of_the_other)
        items[:] = [item for item in items if item not in of_the_other]


def _asks_a_database(item: pytest.Item) -> bool:
    names = set(getattr(item, "fixturenames", ()))
    only_redis = "redis_root" in names and not names & {"mysql_root", "timescale_database"}
    return "servers" in names and not only_redis and not item.get_closest_marker("any_database")


def _servers() -> Mapping[str, str]:
    """`.servers.env`, or the file FLEET_ENV_FILE names; empty where there is none."""
    path = CHECKOUT / (os.environ.get("FLEET_ENV_FILE") or ".servers.env")
    return parse_dotenv(path.read_text(encoding="utf-8"), {}) if path.exists() else {}


@pytest.fixture(scope="session")
def servers() -> Mapping[str, str]:
    """Where the servers are. Missing ones are a failure, never a skip."""
    found = _servers()
    if not found:
        pytest.fail("the servers' addresses are not there: run `make servers`", pytrace=False)
    return found


@pytest.fixture(scope="session")
def mysql_root(servers: Mapping[str, str]) -> MySQLSettings:
    """The server's administrator, without a schema; only for preparing a test."""
    settings = MySQLSettings.model_validate(
        {
            "host": servers["DB_HOST"],
            "port": int(servers["DB_PORT"]),
            "socket": None,
            "user": "root",
            "password": servers["SERVERS_DB_ROOT_PASSWORD"],
            "laravel_database": "",
            "database": "",
            "ssl_ca": None,
        }
    )
    try:
        connect(settings).close()
    except Exception as error:  # noqa: BLE001 - whatever it is, every test would fail with it
        pytest.fail(f"the servers do not answer, run `make servers`: {error}", pytrace=False)
    return settings


@pytest.fixture(scope="session")
def schema_name(mysql_root: MySQLSettings) -> Iterator[str]:
    """Name of a schema pair of this session: `x` for the fleet, `x_laravel` for Laravel."""
    name = f"fleet_t_{uuid.uuid4().hex[:10]}"
    with closing(connect(mysql_root)) as root:
        cursor = root.cursor()
        cursor.execute(f"CREATE DATABASE {name}_laravel CHARACTER SET utf8mb4")
        cursor.execute(f"USE {name}_laravel")
        cursor.execute(EXCHANGE_ACCOUNTS)
        for statement in LARAVEL_TABLES.values():
            cursor.execute(statement)
    yield name
    with closing(connect(mysql_root)) as root:
        cursor = root.cursor()
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"DROP DATABASE IF EXISTS {name}_laravel")
        cursor.execute("SELECT user, host FROM mysql.user WHERE user LIKE %s", (f"{name}_%",))
        for user, host in cursor.fetchall():
            cursor.execute("DROP USER %s@%s", (user, host))


@pytest.fixture(scope="session")
def session_grants(
    servers: Mapping[str, str], mysql_root: MySQLSettings, schema_name: str, tmp_path_factory: Any
) -> Mapping[str, RoleGrants]:
    """Migrates as the role `migrate`, and makes a MySQL user per role from its own lines."""
    folder = tmp_path_factory.mktemp("settings")
    settings = load("migrate", _environ(servers, schema_name, "unused:", folder, "migrate"))
    by_role = {row.role: row for row in grants(settings, _user_of(schema_name))}
    with closing(connect(mysql_root)) as root:
        cursor = root.cursor()
        for line in (*by_role["migrate"].mysql, *by_role["migrate"].laravel):
            cursor.execute(line.replace(PASSWORD, USER_PASSWORD))
        migrate_mysql(settings)
        migrate_audit(settings)
        for row in by_role.values():
            if row.role not in {"migrate", "application"}:
                for line in (*row.mysql, *row.laravel):
                    cursor.execute(line.replace(PASSWORD, USER_PASSWORD))
    return by_role


@pytest.fixture
def fleet_schema(
    mysql_root: MySQLSettings, schema_name: str, session_grants: Mapping[str, RoleGrants]
) -> str:
    """The migrated schema, all its tables empty."""
    del session_grants
    with closing(connect(mysql_root, schema_name)) as root:
        cursor = root.cursor()
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
            " AND table_type = 'BASE TABLE' AND table_name NOT IN"
            " ('fleet_alembic_version', 'fleet_audit_version', 'fleet_settings')",
            (schema_name,),
        )
        names = [name for (name,) in cursor.fetchall()]
        names += [
            f"{schema_name}_laravel`.`{table}"
            for table in ("exchange_accounts", *LARAVEL_TABLES)
        ]
        # TRUNCATE takes 20 ms a table, asking whether there is a row takes none.
        asked = " UNION ALL ".join(
            f"(SELECT %s FROM `{name}` LIMIT 1)"  # noqa: S608 - our own names
            for name in names
        )
        cursor.execute(asked, tuple(names))
        for (name,) in cursor.fetchall():
            cursor.execute(f"TRUNCATE TABLE `{name}`")
        cursor.execute("DELETE FROM fleet_settings WHERE name NOT LIKE 'view.%'")
        root.commit()
    return schema_name


@pytest.fixture
def redis_root(servers: Mapping[str, str]) -> Iterator[Any]:
    """The Redis of the tests as its administrator, database 0."""
    client = redis_py.Redis(
        host=servers["REDIS_HOST"],
        port=int(servers["REDIS_PORT"]),
        password=servers.get("REDIS_PASSWORD"),
        socket_timeout=10,
    )
    with closing(client):
        yield client


@pytest.fixture
def redis_prefix(servers: Mapping[str, str], redis_root: Any) -> Iterator[str]:
    """A key prefix of this test; its keys and ACL users go with it."""
    prefix = f"t{uuid.uuid4().hex[:12]}:"
    yield prefix
    for database in range(3):
        with closing(
            redis_py.Redis(
                host=servers["REDIS_HOST"],
                port=int(servers["REDIS_PORT"]),
                password=servers.get("REDIS_PASSWORD"),
                db=database,
            )
        ) as client:
            keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
            if keys:
                client.unlink(*keys)
    mine = [user for user in redis_root.acl_users() if user.startswith(prefix.rstrip(":"))]
    if mine:
        redis_root.acl_deluser(*mine)


@pytest.fixture
def environ_for(
    servers: Mapping[str, str],
    fleet_schema: str,
    redis_root: Any,
    redis_prefix: str,
    tmp_path: Path,
) -> Callable[..., dict[str, str]]:
    """`environ_for("relay", FLEET_PARTITIONS="4")`: that role's own users on both servers."""

    def make(role: str, **more: str) -> dict[str, str]:
        environ = _environ(servers, fleet_schema, redis_prefix, tmp_path, role) | more
        user = f"{redis_prefix.rstrip(':')}_{role}"
        for row in grants(load(role, environ), lambda _: user):
            for _, line in row.redis if row.role == role else ():
                words = [word.replace(PASSWORD, USER_PASSWORD) for word in shlex.split(line)]
                redis_root.execute_command(*words)
        return environ | {"REDIS_USERNAME": user, "REDIS_PASSWORD": USER_PASSWORD}

    return make


@pytest.fixture
def settings_for(environ_for: Callable[..., dict[str, str]]) -> Callable[..., Settings]:
    """`settings_for("relay", FLEET_PARTITIONS="4")`: likewise, loaded."""
    return lambda role, **more: load(role, environ_for(role, **more))


@pytest.fixture
def settings(settings_for: Callable[..., Settings]) -> Settings:
    """Settings of the role `streams`."""
    return settings_for("streams")


@pytest.fixture
def mysql_connection(settings: Settings) -> Iterator[Any]:
    """A connection as the role `streams`."""
    connection = connect(settings.mysql)
    yield connection
    connection.close()


@pytest.fixture
def redis_client(settings: Settings) -> Iterator[redis_py.Redis]:
    """A client as the role `streams`."""
    with closing(control_client(settings.streams_redis, "tests")) as client:
        yield client


@pytest.fixture
def world(
    settings: Settings, mysql_root: MySQLSettings, fleet_schema: str, redis_root: Any
) -> Iterator[World]:
    """A small fleet: readers work as the role `streams`, the test itself as administrator."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield World(settings, connection, redis_root)


def _environ(
    servers: Mapping[str, str], schema: str, prefix: str, folder: Path, role: str
) -> dict[str, str]:
    """Only what a test wants: nothing of the desk's or the developer's own environment."""
    (folder / ".env").touch()
    wanted = re.compile(r"(APP_|DB_|REDIS_|QUEUE_|CACHE_)\w+")
    ours = {name: text for name, text in servers.items() if wanted.fullmatch(name)}
    timescale = {
        k: v for k, v in servers.items() if k in FLEET_NAMES and k.startswith("FLEET_TIME")
    }
    return {
        **ours,
        **timescale,
        "FLEET_ENV_FILE": str(folder / ".env"),
        "DB_DATABASE": f"{schema}_laravel",
        "DB_USERNAME": _user_of(schema)(role),
        "DB_PASSWORD": USER_PASSWORD,
        "FLEET_DB_DATABASE": schema,
        "REDIS_PREFIX": prefix,
        "HORIZON_PREFIX": f"{prefix}horizon:",
    }


def _user_of(schema: str) -> Callable[[str], str]:
    return lambda role: f"{schema}_{role}"


@pytest.fixture
def app(
    servers: Mapping[str, str],
    mysql_root: MySQLSettings,
    fleet_schema: str,
    redis_root: Any,
    redis_prefix: str,
) -> Iterator[LaravelApplication]:
    """The desk's Laravel on this test's schemas and prefix; all tables are there and empty."""
    environ = {
        "PATH": os.environ["PATH"],
        "REDIS_PREFIX": redis_prefix,
        "CACHE_PREFIX": "cache",
        "DB_DATABASE": f"{fleet_schema}_laravel",
        "DB_USERNAME": "root",
        "DB_PASSWORD": servers["SERVERS_DB_ROOT_PASSWORD"],
        "FLEET_DB_DATABASE": fleet_schema,
    }
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield LaravelApplication(
            servers["SERVERS_PHP"], environ, connection, redis_root, redis_prefix
        )


@pytest.fixture
def laravel(
    settings_for: Callable[..., Settings], app: LaravelApplication
) -> LaravelWorld:
    """Real Laravel beside Python workers of the role `laravel`."""
    settings = settings_for("laravel", CACHE_STORE="redis", CACHE_PREFIX="cache")
    return LaravelWorld(
        app.php_path, app.environ, app.connection, app.redis, app.prefix, settings
    )


@pytest.fixture(scope="session")
def timescale_database(servers: Mapping[str, str]) -> Iterator[Timescale]:
    """A database of this session, not migrated."""
    with own_database(servers) as made:
        yield made


@pytest.fixture
def timescale(timescale_database: Timescale, settings: Settings) -> Timescale:
    """The same, migrated, its tables empty."""
    url = SecretStr(timescale_database.owner)
    timescale_database.migrate(settings.model_copy(update={"timescale_url": url}))
    timescale_database.empty()
    return timescale_database
