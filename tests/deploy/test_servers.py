"""The servers that `make servers` has started: what they are, how they are set, how PHP runs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import MySQLdb
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CHECKOUT = Path(__file__).resolve().parents[2]
SERVERS_PY = CHECKOUT / "deploy" / "servers" / "servers.py"
ENV_FILE = CHECKOUT / os.environ.get("FLEET_ENV_FILE", ".servers.env")
PHP_SECONDS = 60
PRECISE = Decimal("12345678901234567890.123456789012345678")
OUTBOX = """CREATE TABLE {schema}.fleet_outbox (
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, stream VARCHAR(64), type VARCHAR(64),
    event_key VARCHAR(190), event_id VARCHAR(190), ts_us BIGINT, data LONGTEXT,
    traceparent VARCHAR(64))"""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    assert ENV_FILE.exists(), "run `make servers` first"
    pairs = (line.split("=", 1) for line in ENV_FILE.read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


@pytest.fixture
def application_redis(settings: dict[str, str]) -> Iterator[redis.Redis]:
    client = redis.Redis(
        host=settings["REDIS_HOST"],
        port=int(settings["REDIS_PORT"]),
        password=settings["REDIS_PASSWORD"],
        decode_responses=True,
    )
    yield client
    client.close()


@pytest.fixture
def mysql(settings: dict[str, str]) -> Iterator[MySQLdb.cursors.Cursor]:
    yield from _cursor(settings, settings["DB_USERNAME"], settings["DB_PASSWORD"])


@pytest.fixture
def mysql_root(settings: dict[str, str]) -> Iterator[MySQLdb.cursors.Cursor]:
    yield from _cursor(settings, "root", settings["SERVERS_DB_ROOT_PASSWORD"])


def _cursor(settings: dict[str, str], user: str, password: str) -> Iterator[MySQLdb.cursors.Cursor]:
    connection = MySQLdb.connect(
        host=settings["DB_HOST"], port=int(settings["DB_PORT"]), user=user, password=password
    )
    yield connection.cursor()
    connection.close()


@pytest.fixture
def timescale(settings: dict[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings["FLEET_TIMESCALE_URL"]) as connection:
        yield connection
        connection.rollback()


def _php(settings: dict[str, str], *arguments: str, text: str = "", **more: str) -> str:
    finished = subprocess.run(
        [settings["SERVERS_PHP"], *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=PHP_SECONDS,
        check=False,
        env={"PATH": os.environ["PATH"], **more},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def _servers(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SERVERS_PY), *arguments],
        capture_output=True,
        text=True,
        timeout=PHP_SECONDS,
        check=False,
        env={**os.environ, **more},
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def test_redis_is_new_and_keeps_what_it_was_given(application_redis: redis.Redis) -> None:
    assert _numbers(application_redis.info("server")["redis_version"]) >= (8, 0)
    config = application_redis.config_get("append*") | application_redis.config_get("maxmemory*")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(512 * 2**20), "noeviction")


def test_redis_asks_for_a_password(settings: dict[str, str]) -> None:
    at_once = Retry(NoBackoff(), 0)
    stranger = redis.Redis(
        host=settings["REDIS_HOST"], port=int(settings["REDIS_PORT"]), retry=at_once
    )
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()


def test_mysql_is_the_flavour_asked_for(
    settings: dict[str, str], mysql: MySQLdb.cursors.Cursor
) -> None:
    mysql.execute("SELECT VERSION()")
    version = mysql.fetchone()[0]
    mariadb = settings["SERVERS_FLAVOUR"] == "mariadb"
    assert ("MariaDB" in version) == mariadb
    assert _numbers(version) >= ((11, 8) if mariadb else (9, 7))


def test_binlog_holds_whole_rows_and_column_names(mysql: MySQLdb.cursors.Cursor) -> None:
    mysql.execute("SHOW GLOBAL VARIABLES")
    found = dict(mysql.fetchall())
    assert found["log_bin"] == "ON"
    assert found["binlog_format"] == "ROW"
    assert found["binlog_row_image"] == "FULL"
    assert found["binlog_row_metadata"] == "FULL"
    assert int(found["server_id"]) > 0
    assert found["innodb_flush_log_at_trx_commit"] == "1"
    assert found["character_set_server"] == "utf8mb4"


def test_mysql_user_sees_the_two_schemas_and_no_other(mysql: MySQLdb.cursors.Cursor) -> None:
    mysql.execute("SHOW DATABASES")
    seen = {name for (name,) in mysql.fetchall()}
    assert {"tradedesk", "fleet"} <= seen
    assert not seen & {"mysql", "sys"}


def test_decimals_survive_mysql(mysql: MySQLdb.cursors.Cursor) -> None:
    mysql.execute("CREATE TEMPORARY TABLE fleet.precise (amount DECIMAL(38,18))")
    mysql.execute("INSERT INTO fleet.precise VALUES (%s)", (PRECISE,))
    mysql.execute("SELECT amount FROM fleet.precise")
    assert mysql.fetchone()[0] == PRECISE


def test_timescale_takes_a_hypertable_of_decimals(timescale: psycopg.Connection) -> None:
    timescale.execute("CREATE TABLE precise (at timestamptz NOT NULL, amount numeric(38,18))")
    timescale.execute("SELECT create_hypertable('precise', 'at')")
    timescale.execute("INSERT INTO precise VALUES (now(), %s)", (PRECISE,))
    row = timescale.execute("SELECT amount FROM precise").fetchone()
    assert row is not None
    assert row[0] == PRECISE


def test_timescale_is_new(settings: dict[str, str], timescale: psycopg.Connection) -> None:
    mariadb = settings["SERVERS_FLAVOUR"] == "mariadb"
    assert timescale.info.server_version // 10_000 == (17 if mariadb else 18)
    row = timescale.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    (version,) = row.fetchone() or ("0",)
    assert _numbers(version) >= ((2, 19) if mariadb else (2, 31))


def test_laravel_is_the_one_asked_for(settings: dict[str, str]) -> None:
    version = _php(settings, "artisan", "--version")
    wanted = (13, 31) if settings["SERVERS_FLAVOUR"] == "mysql" else (10, 48)
    assert _numbers(version) == wanted


def test_php_is_unprivileged_and_reads_standard_input(settings: dict[str, str]) -> None:
    answer = _php(settings, "-r", "echo posix_getuid(), ' ', fgets(STDIN);", text="passed on")
    user, _, text = answer.partition(" ")
    assert int(user) > 0
    assert text == "passed on"


@pytest.fixture
def scratch_schema(mysql_root: MySQLdb.cursors.Cursor) -> Iterator[str]:
    """A schema of its own, so that no running fleet relays what the feed test writes."""
    schema = f"scratch_{uuid4().hex[:12]}"
    mysql_root.execute(f"CREATE DATABASE {schema}")
    mysql_root.execute(OUTBOX.format(schema=schema))
    mysql_root.execute(f"GRANT ALL PRIVILEGES ON {schema}.* TO 'fleet'@'%'")
    yield schema
    mysql_root.execute(f"REVOKE ALL PRIVILEGES ON {schema}.* FROM 'fleet'@'%'")
    mysql_root.execute(f"DROP DATABASE {schema}")


def _take_entries(client: redis.Redis, prefix: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Event id → stream key and fields; the keys are gone afterwards."""
    entries: dict[str, tuple[str, dict[str, str]]] = {}
    for key in list(client.scan_iter(f"{prefix}*")):
        if key.startswith(f"{prefix}streams:"):
            # redis-py types a reply as anything Redis could ever answer.
            found: Any = client.xrange(key)
            entries |= {fields["id"]: (key, fields) for _, fields in found}
        client.delete(key)
    return entries


def test_feed_writes_the_bytes_it_was_given_both_ways(
    settings: dict[str, str],
    application_redis: redis.Redis,
    mysql_root: MySQLdb.cursors.Cursor,
    scratch_schema: str,
) -> None:
    if settings["SERVERS_FLAVOUR"] == "docker":
        pytest.skip("compose passes no other settings into the container")
    prefix = f"{scratch_schema}_"
    application_redis.set(f"{prefix}fleet:partitions", 4)
    # What a decoder and encoder would change: spaces, exponents, escapes, a slash.
    data = '{"qty": "1.10", "n": 1e3, "note": "\\u00e9 / \\"data\\": x"}'
    head = '{"stream":"orders","type":"order.filled.1","key":"%d","id":"e%d","ts_us":"17","data":'
    lines = [head % (number, number) + data + "}" for number in range(3)]
    lines.append(head % (3, 3) + json.dumps(data) + "}")
    answer = _php(
        settings,
        *("artisan", "desk:feed", "-", "--via=mixed"),
        text="\n".join(lines) + "\n",
        REDIS_PREFIX=prefix,
        FLEET_DB_DATABASE=scratch_schema,
    )
    final = json.loads(answer.splitlines()[-1])
    assert (final["outbox"], final["xadd"], final["done"]) == (2, 2, True)
    mysql_root.execute(f"USE {scratch_schema}")
    mysql_root.execute("SELECT event_id, data FROM fleet_outbox ORDER BY id")
    assert mysql_root.fetchall() == (("e0", data), ("e2", data))
    entries = _take_entries(application_redis, prefix)
    assert set(entries) == {"e1", "e3"}
    for number in (1, 3):
        key, fields = entries[f"e{number}"]
        assert key == f"{prefix}streams:{{orders:{zlib.crc32(str(number).encode()) % 4}}}"
        assert fields["data"] == data
        assert fields["key"] == str(number)


def test_settings_file_is_private_and_names_its_flavour(settings: dict[str, str]) -> None:
    assert stat.S_IMODE(ENV_FILE.stat().st_mode) == 0o600
    assert settings["SERVERS_FLAVOUR"] in {"mariadb", "mysql", "docker"}
    assert settings["DB_HOST"] == settings["REDIS_HOST"] == "127.0.0.1"


def test_second_start_leaves_running_servers_alone(
    settings: dict[str, str], application_redis: redis.Redis
) -> None:
    before = application_redis.info("server")["run_id"]
    # Named one by one, which does not make this flavour the checkout's current one.
    started = _servers("start", "redis", "mysql", "timescale", SERVERS=settings["SERVERS_FLAVOUR"])
    assert started.returncode == 0, started.stderr
    assert application_redis.info("server")["run_id"] == before


def test_machine_without_apt_gets_one_sentence() -> None:
    refused = _servers("start", SERVERS="mariadb", PATH="/nonexistent")
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "Debian-like" in refused.stderr


def test_unknown_flavour_gets_one_sentence() -> None:
    refused = _servers("start", SERVERS="oracle")
    assert refused.returncode == 1
    assert "mariadb, mysql, docker" in refused.stderr


def test_compose_binds_loopback_only_and_checks_health() -> None:
    text = (CHECKOUT / "deploy" / "compose.yaml").read_text()
    ports = re.findall(r"ports:\n((?:\s+- .*\n)+)", text)
    assert len(ports) == 3
    assert all(line.strip().startswith('- "127.0.0.1:') for line in "".join(ports).splitlines())
    assert text.count("healthcheck:") == len(
        re.findall(r"^  \w+:\n    (?:image|build):", text, re.MULTILINE)
    )


@pytest.fixture(scope="module")
def machine() -> ModuleType:
    """The module as the bare machine's python3 would load it."""
    spec = importlib.util.spec_from_file_location("machine", SERVERS_PY.with_name("machine.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_forms_of_apt_sources_are_read(machine: ModuleType, tmp_path: Path) -> None:
    one_line = tmp_path / "sources.list"
    one_line.write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib # own\n"
        "deb-src http://a.example/debian bookworm main\n"
    )
    stanzas = tmp_path / "debian.sources"
    stanzas.write_text(
        "Types: deb deb-src\nURIs: http://b.example/debian\n# a remark\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nEnabled: no\nURIs: http://c.example/debian\nSuites: sid\nComponents: main\n"
    )
    assert machine.one_line_sources(one_line) == [
        ("http://a.example/debian", {"bookworm"}, {"main", "contrib"})
    ]
    assert machine.deb822_sources(stanzas) == [
        ("http://b.example/debian", {"bookworm", "bookworm-updates"}, {"main"})
    ]
