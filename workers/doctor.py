"""`fleet doctor`: opens every server once, asks, and prints findings with their cures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
import MySQLdb
import psycopg
import redis as redis_py
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.endpoints import RedisSettings
from shared.errors import SettingsError, Unavailable
from shared.mysql import schema
from shared.mysql.connection import classify, connect
from shared.redis_cluster import masters
from shared.settings import Settings
from shared.streams.connection import control_client, require_hiredis
from shared.timescale import connection as timescale
from shared.timescale import editions
from workers import diagnosis, diagnosis_laravel
from workers.cdc import preflight
from workers.cdc.source_facts import source_faults
from workers.diagnosis import Finding
from workers.grants import as_text, grants
from workers.migrate import newest, sources_line

_LEVELS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Servers(NamedTuple):
    """What could be opened; None where it could not, and then a finding says so."""

    settings: Settings
    mysql: Any | None
    streams: redis_py.Redis | None
    broker: redis_py.Redis | None
    laravel: redis_py.Redis | None
    timescale: timescale.Connection | None


def run_doctor(settings: Settings | SettingsError, *, grants: bool = False) -> int:
    """Exit code: 1 when a finding can lose data or nothing would start.

    settings: or the error of loading them, which is then the only finding. grants: print GRANT and
    ACL lines instead.
    """
    if grants:
        if isinstance(settings, SettingsError):
            raise settings
        click.echo(grant_lines(settings))
        return 0
    findings = examine(settings)
    show(findings, Console())
    return 1 if any(finding.level == "fail" for finding in findings) else 0


def grant_lines(settings: Settings) -> str:
    return as_text(grants(settings))


def examine(settings: Settings | SettingsError) -> list[Finding]:
    """Every finding; closes what it opened."""
    if isinstance(settings, SettingsError):
        return [Finding("settings", "fail", "the fleet cannot start", str(settings))]
    findings = [Finding("settings", "ok", f"role {settings.role}, prefix {settings.prefix!r}")]
    findings += [Finding("settings", "warn", "two sources differ", note) for note in settings.notes]
    servers, failures = _open(settings)
    try:
        for check in CHECKS:
            findings += _guarded(check, servers)
    finally:
        _close(servers)
    return findings + failures


def show(findings: Iterable[Finding], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for header in ("", "check", "finding", "cure"):
        table.add_column(header, overflow="fold")  # a cure is copied: never cut
    for finding in findings:
        level = Text(finding.level, style=_LEVELS[finding.level])
        # Text, not markup: brackets in a key or a message are meant as they stand.
        table.add_row(level, finding.check, Text(finding.text), Text(finding.cure))
    console.print(table)


# --- the checks: each takes what is open and returns findings; empty when its server is away ------


def _client_library(servers: Servers) -> list[Finding]:
    del servers
    try:
        require_hiredis()
    except SettingsError as error:
        return [Finding("hiredis", "fail", "missing: streams are not read", str(error))]
    return [Finding("hiredis", "ok", "installed")]


def _mysql_server(servers: Servers) -> list[Finding]:
    if servers.mysql is None:
        return []
    variables = _variables(servers.mysql)
    return [
        *diagnosis.mysql_version(variables),
        *diagnosis.mysql_session(variables),
    ]


def _mysql_schema(servers: Servers) -> list[Finding]:
    if servers.mysql is None:
        return []
    applied = schema.applied_version(servers.mysql)
    found = diagnosis.schema_version("mysql", applied, newest("mysql"))
    found += diagnosis.own_schema(servers.settings)
    if applied is not None:
        sources = schema.sources(servers.mysql, servers.settings.mysql.laravel_database)
        level: Any = "warn" if sources.empty else "ok"
        found.append(Finding("accounts", level, sources_line(sources)))
    return found


def _capture(servers: Servers) -> list[Finding]:
    """Whether the source logs everything that is captured."""
    if servers.mysql is None or schema.applied_version(servers.mysql) is None:
        return []
    return preflight.findings(*source_faults(servers.settings, servers.mysql))


def _partitions(servers: Servers) -> list[Finding]:
    if servers.mysql is None or servers.streams is None:
        return []
    if schema.applied_version(servers.mysql) is None:
        return []
    cursor = servers.mysql.cursor()
    cursor.execute("SELECT value FROM fleet_settings WHERE name = 'partitions'")
    row = cursor.fetchone()
    servers.mysql.commit()
    published: Any = servers.streams.get(f"{servers.settings.prefix}fleet:partitions")
    return diagnosis.partitions(servers.settings.partitions, row[0] if row else None, published)


def _redis_servers(servers: Servers) -> list[Finding]:
    """Each server once, under the names of all that use it."""
    users: dict[str, tuple[list[str], redis_py.Redis]] = {}
    settings = servers.settings
    for name, client, where in (
        ("streams", servers.streams, settings.streams_redis),
        ("broker", servers.broker, settings.broker),
        ("Laravel's Redis", servers.laravel, settings.redis),
    ):
        if client is not None:
            users.setdefault(where.server, ([], client))[0].append(name)
    found: list[Finding] = []
    for names, server in (
        (names, one) for names, client in users.values() for one in masters(client)
    ):
        info: Any = server.info()
        name = ", ".join(names)
        found += diagnosis.redis_version(name, info)
        found += diagnosis.redis_role(name, info)
        found += diagnosis.redis_durability(name, info, _append_fsync(server))
        if "streams" in names:
            found += diagnosis.redis_memory(name, info, settings.redis_budget)
            found += diagnosis.capture_version(name, info)
    return found


def _databases(servers: Servers) -> list[Finding]:
    settings = servers.settings
    laravels, streams = _is_cluster(servers.laravel), _is_cluster(servers.streams)
    return diagnosis.databases(settings, cluster=laravels) + diagnosis.cluster(
        settings, laravels=laravels, streams=streams
    )


def _is_cluster(client: redis_py.Redis | None) -> bool:
    if client is None:
        return False
    info: Any = masters(client)[0].info("cluster")
    return bool(info.get("cluster_enabled"))


def _laravel(servers: Servers) -> list[Finding]:
    return diagnosis_laravel.laravel(servers.settings)


def _clocks(servers: Servers) -> list[Finding]:
    if servers.mysql is None or servers.streams is None:
        return []
    cursor = servers.mysql.cursor()
    cursor.execute("SELECT UTC_TIMESTAMP(6)")
    mysql_now: datetime = cursor.fetchone()[0]
    servers.mysql.commit()
    seconds, micros = servers.streams.time()
    redis_now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return diagnosis.clocks(redis_now - mysql_now)


def _timescale(servers: Servers) -> list[Finding]:
    if servers.settings.timescale_url is None:
        text = "FLEET_TIMESCALE_URL is not set: no history, equity is not copied"
        return [
            Finding("timescale", "warn", text, "FLEET_TIMESCALE_URL=postgresql://u:p@host:5432/db")
        ]
    if servers.timescale is None:
        return []
    with servers.timescale.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        version = cursor.fetchone()
        cursor.execute("SELECT current_setting('timescaledb.license', true)")
        licence = cursor.fetchone()
        cursor.execute("SELECT to_regclass('fleet.alembic_version') IS NOT NULL")
        present = cursor.fetchone()
        applied = None
        if present and present[0]:
            cursor.execute("SELECT version_num FROM fleet.alembic_version")
            applied = cursor.fetchone()
    edition = diagnosis.timescale_edition(
        str(version[0]) if version else None,
        str(licence[0]) if licence and licence[0] else None,
        editions.unreadable_chunks(servers.timescale),
    )
    at = str(applied[0]) if applied else None
    return edition + diagnosis.schema_version("timescale", at, newest("timescale"))


CHECKS: tuple[Callable[[Servers], list[Finding]], ...] = (
    _client_library,
    _mysql_server,
    _mysql_schema,
    _capture,
    _redis_servers,
    _databases,
    _partitions,
    _laravel,
    _clocks,
    _timescale,
)


def _guarded(check: Callable[[Servers], list[Finding]], servers: Servers) -> list[Finding]:
    """A server that goes away or refuses half-way is a finding, too."""
    name = check.__name__.strip("_").replace("_", " ")
    try:
        return check(servers)
    except MySQLdb.Error as error:
        text = str(classify(error) or f"MySQL {error.args[:1]}")
    except redis_py.RedisError as error:
        text = f"Redis: {type(error).__name__}: {error}"
    except psycopg.Error as error:
        text = str(timescale.classify(error) or f"TimescaleDB {error.sqlstate}")
    return [Finding(name, "fail", text, "grant what it asks: fleet doctor --grants")]


def _open(settings: Settings) -> tuple[Servers, list[Finding]]:
    failures: list[Finding] = []
    mysql = None
    try:
        mysql = connect(settings.mysql)
    except (Unavailable, SettingsError) as error:
        failures.append(
            Finding("mysql", "fail", str(error), "start it, or correct DB_HOST, DB_PORT")
        )
    timescale_connection = None
    if settings.timescale_url is not None:
        try:
            timescale_connection = timescale.connect(settings)
        except (Unavailable, SettingsError) as error:
            cure = "start it, or correct FLEET_TIMESCALE_URL"
            failures.append(Finding("timescale", "fail", str(error), cure))
    servers = Servers(
        settings,
        mysql,
        streams=_redis("streams", settings.streams_redis, failures),
        broker=_redis("broker", settings.broker, failures),
        laravel=_redis("Laravel's Redis", settings.redis, failures),
        timescale=timescale_connection,
    )
    return servers, failures


def _redis(name: str, where: RedisSettings, failures: list[Finding]) -> redis_py.Redis | None:
    try:
        client = control_client(where, "fleet-doctor")  # a cluster is asked at once
        client.ping()
    except redis_py.RedisError as error:
        text = f"{where.server}, database {where.database}: {type(error).__name__}: {error}"
        failures.append(Finding(name, "fail", text, "start it, or correct REDIS_HOST, REDIS_PORT"))
        return None
    return client


def _close(servers: Servers) -> None:
    for client in (servers.streams, servers.broker, servers.laravel):
        if client is not None:
            client.close()
    if servers.timescale is not None:
        servers.timescale.close()
    if servers.mysql is not None:
        with suppress(MySQLdb.Error):
            servers.mysql.close()


def _variables(connection: Any) -> dict[str, str]:
    with closing(connection.cursor()) as cursor:
        cursor.execute("SHOW SESSION VARIABLES")
        rows: Iterator[tuple[str, str]] = iter(cursor.fetchall())
        variables = {str(name).lower(): str(value) for name, value in rows}
    connection.commit()
    return variables


def _append_fsync(client: redis_py.Redis) -> str | None:
    """None where CONFIG is not allowed, as managed servers have it."""
    try:
        answer: Any = client.config_get("appendfsync")
    except redis_py.ResponseError:
        return None
    value = answer.get(b"appendfsync", answer.get("appendfsync"))
    return value.decode() if isinstance(value, bytes) else value
