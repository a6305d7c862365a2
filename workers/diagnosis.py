"""What `fleet doctor` looks at, as pure functions: facts of a server in, findings out.

fail: can lose, double or corrupt data, or nothing works; warn: slower, less visible, or a risk
somebody may have chosen. Every finding that is not ok carries the line that cures it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, NamedTuple

from shared.mysql.connection import SQL_MODE
from shared.settings import Settings
from shared.settings_streams import RedisBudget

MARIADB_MINIMUM = (10, 6)
MYSQL_MINIMUM = (8, 0)
REDIS_MINIMUM = (6, 2)
CAPTURE_REDIS_MINIMUM = (7, 0)  # scripts that may write at the memory limit
TIMESCALE_MINIMUM = (2, 10)
CLOCK_SECONDS = 1.0
PACKET_BYTES = 16 * 2**20  # the default of both servers; a batch of reports stays below 4 MiB

Variables = Mapping[str, str]


class Finding(NamedTuple):
    check: str
    level: Literal["ok", "warn", "fail"]
    text: str
    cure: str = ""


def number(text: str) -> tuple[int, ...]:
    """`11.8.6-MariaDB-log` to (11, 8, 6)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


# --- MySQL ---------------------------------------------------------------------------------------


def mysql_version(variables: Variables) -> list[Finding]:
    text = variables["version"]
    mariadb = "mariadb" in text.lower()
    name, least = ("MariaDB", MARIADB_MINIMUM) if mariadb else ("MySQL", MYSQL_MINIMUM)
    if number(text) >= least:
        return [Finding("mysql version", "ok", f"{name} {text}")]
    least_text = ".".join(map(str, least))
    return [Finding("mysql version", "fail", f"{name} {text}", f"upgrade to {least_text} or newer")]


def mysql_session(variables: Variables) -> list[Finding]:
    """What our own connection got: a proxy or init_connect may have changed it."""
    have = set(variables["sql_mode"].split(","))
    missing = [mode for mode in SQL_MODE if mode not in have]
    found = []
    if missing:
        text = f"sql_mode lacks {', '.join(missing)} although we set it"
        found.append(Finding("session", "fail", text, "look at init_connect and at a proxy"))
    if variables["time_zone"] != "+00:00":
        text = f"time_zone is {variables['time_zone']} although we set +00:00"
        found.append(Finding("session", "fail", text, "look at init_connect and at a proxy"))
    isolation = variables.get("transaction_isolation") or variables.get("tx_isolation", "")
    if isolation != "READ-COMMITTED":
        text = f"isolation is {isolation} although we set READ COMMITTED"
        found.append(Finding("session", "fail", text, "look at init_connect and at a proxy"))
    if int(variables["max_allowed_packet"]) < PACKET_BYTES:
        text = f"max_allowed_packet is {variables['max_allowed_packet']} bytes"
        found.append(Finding("session", "warn", text, "my.cnf: max_allowed_packet = 64M"))
    return found or [Finding("session", "ok", "strict sql_mode, UTC, READ COMMITTED")]


def schema_version(server: str, applied: str | None, newest: str) -> list[Finding]:
    check = f"{server} schema"
    if applied == newest:
        return [Finding(check, "ok", f"version {newest}")]
    return [Finding(check, "fail", f"version {applied or 'none'}, not {newest}", "fleet migrate")]


def own_schema(settings: Settings) -> list[Finding]:
    mysql = settings.mysql
    if mysql.database != mysql.laravel_database:
        return [Finding("own schema", "ok", mysql.database)]
    text = f"our tables are in Laravel's schema {mysql.database}: `migrate:fresh` drops them"
    return [Finding("own schema", "warn", text, "FLEET_DB_DATABASE=fleet, then fleet migrate")]


def partitions(configured: int, stored: str | None, published: bytes | None) -> list[Finding]:
    """FLEET_PARTITIONS, fleet_settings and the key that producers read."""
    if stored is None:
        text = f"not fixed yet; the first start writes {configured}"
        return [Finding("partitions", "ok", text)]
    found = []
    if stored != str(configured):
        text = f"FLEET_PARTITIONS is {configured}, the streams were made with {stored}"
        found.append(Finding("partitions", "fail", text, f"FLEET_PARTITIONS={stored}"))
    if published is None:
        text = "Redis does not hold the number that producers read"
        found.append(Finding("partitions", "warn", text, "start a streams worker: it writes it"))
    elif published != stored.encode():
        text = f"Redis tells producers {published.decode(errors='replace')}, MySQL says {stored}"
        cure = f"find out who wrote it, then SET {{REDIS_PREFIX}}fleet:partitions {stored}"
        found.append(Finding("partitions", "fail", text, cure))
    return found or [Finding("partitions", "ok", stored)]


# --- Redis ---------------------------------------------------------------------------------------


def redis_version(name: str, info: Mapping[str, object]) -> list[Finding]:
    text = str(info.get("redis_version", "unknown"))
    if number(text) >= REDIS_MINIMUM:
        return [Finding(name, "ok", f"version {text}")]
    least = ".".join(map(str, REDIS_MINIMUM))
    return [Finding(name, "fail", f"version {text}", f"upgrade to {least} or newer")]


def capture_version(name: str, info: Mapping[str, object]) -> list[Finding]:
    """Of the Redis that holds the change stream."""
    text = str(info.get("redis_version", "unknown"))
    if number(text) >= CAPTURE_REDIS_MINIMUM:
        return []
    least = ".".join(map(str, CAPTURE_REDIS_MINIMUM))
    cure = f"upgrade to {least} or newer, or run no collector"
    return [Finding(name, "warn", f"version {text}: changes cannot be captured", cure)]


def redis_memory(name: str, info: Mapping[str, object], budget: RedisBudget) -> list[Finding]:
    found = []
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: keys vanish when memory is short"
        cure = "redis.conf: maxmemory-policy noeviction; CONFIG SET maxmemory-policy noeviction"
        found.append(Finding(name, "fail", text, cure))
    maximum = int(str(info.get("maxmemory", 0)))
    limit = budget.limit(maximum)
    if limit is None:
        text = "maxmemory is 0, so FLEET_REDIS_BUDGET as a share bounds nothing"
        cure = "redis.conf: maxmemory 2gb; or FLEET_REDIS_BUDGET=512mb"
        found.append(Finding(name, "fail", text, cure))
    elif maximum and limit > maximum:
        text = f"FLEET_REDIS_BUDGET is {limit} bytes, maxmemory {maximum}"
        found.append(Finding(name, "fail", text, "FLEET_REDIS_BUDGET=25%"))
    return found or [Finding(name, "ok", f"noeviction, budget {limit} bytes")]


def redis_durability(name: str, info: Mapping[str, object], fsync: str | None) -> list[Finding]:
    """fsync: appendfsync; None when the server does not tell."""
    if not info.get("aof_enabled"):
        text = "appendonly is no: a restart loses entries and jobs since the last snapshot"
        cure = "CONFIG SET appendonly yes; redis.conf: appendonly yes"
        return [Finding(name, "fail", text, cure)]
    found = []
    if info.get("aof_last_write_status") != "ok" or info.get("aof_last_bgrewrite_status") != "ok":
        text = "the append-only file could not be written"
        found.append(Finding(name, "fail", text, "free its disk, then BGREWRITEAOF"))
    if fsync == "no":
        text = "appendfsync is no: a power cut loses up to half a minute"
        found.append(Finding(name, "fail", text, "CONFIG SET appendfsync everysec"))
    elif fsync is None:
        text = "appendfsync is not told by this server"
        found.append(Finding(name, "warn", text, "ask its operator for everysec or always"))
    return found or [Finding(name, "ok", f"append-only file, appendfsync {fsync}")]


def redis_role(name: str, info: Mapping[str, object]) -> list[Finding]:
    if info.get("role") == "master":
        return [Finding(name, "ok", "writable")]
    text = f"it is a {info.get('role')}: nothing can be written"
    return [Finding(name, "fail", text, "write the primary's address")]


def databases(settings: Settings, *, cluster: bool) -> list[Finding]:
    """`php artisan cache:clear` is a FLUSHDB of REDIS_CACHE_DB; a cluster has one database."""
    found = []
    cache, broker = settings.cache.redis, settings.broker
    for what, where in (("Laravel's queues", settings.redis), ("streams", settings.streams_redis)):
        if (where.server, where.database) == (cache.server, cache.database):
            text = (
                f"{what} share database {cache.database} with the cache, which cache:clear empties"
            )
            cure = f"REDIS_CACHE_DB={cache.database + 1}, in Laravel's .env"
            found.append(Finding("databases", "fail", text, cure))
    if cluster and broker.server == settings.redis.server:
        text = "Laravel's Redis is a cluster, on which Celery cannot work"
        cure = "FLEET_BROKER_URL=redis://another-host:6379/0"
        found.append(Finding("databases", "fail", text, cure))
    if (broker.server, broker.database) == (settings.redis.server, settings.redis.database):
        text = f"the broker shares database {broker.database} with Laravel's queues"
        found.append(Finding("databases", "warn", text, "FLEET_BROKER_URL=redis://.../2"))
    return found or [
        Finding("databases", "ok", f"broker {broker.database}, cache {cache.database}")
    ]


def cluster(settings: Settings, *, laravels: bool, streams: bool) -> list[Finding]:
    """What the servers are, against what the settings say. laravels, streams: whether it is one."""
    found = []
    if laravels and not settings.redis.is_cluster:
        text = "Laravel's Redis is a cluster, the settings say it is not"
        found.append(Finding("cluster", "fail", text, "FLEET_REDIS_CLUSTER=1"))
    if laravels:
        text = "Laravel's Redis is a cluster: the fleet works on none of its queues"
        cure = "a Redis that is none for Laravel's queue connection; streams may stay"
        found.append(Finding("cluster", "warn", text, cure))
    where = settings.streams_redis
    if streams and not where.is_cluster and where != settings.redis:
        text = "the streams' Redis is a cluster, the settings say it is not"
        cure = f"FLEET_STREAMS_REDIS_URL=redis+cluster://{where.server}"
        found.append(Finding("cluster", "fail", text, cure))
    if where.is_cluster and re.search(r"\{[^}]+\}", settings.prefix):
        text = f"REDIS_PREFIX {settings.prefix!r} holds braces: all streams lie in one slot"
        cure = "REDIS_PREFIX without braces, in Laravel's .env, before the first event"
        found.append(Finding("cluster", "warn", text, cure))
    return found


def clocks(difference: timedelta) -> list[Finding]:
    seconds = abs(difference.total_seconds())
    if seconds < CLOCK_SECONDS:
        return [Finding("clocks", "ok", f"Redis and MySQL differ by {seconds:.3f} s")]
    text = f"Redis and MySQL differ by {seconds:.1f} s: lag and retention are wrong by that"
    return [Finding("clocks", "warn", text, "run an NTP client on both hosts")]


# --- TimescaleDB ---------------------------------------------------------------------------------


_EDITIONS = {
    "apache": "Apache edition: beat drops old history",
    "timescale": "community edition: columnstore, and retention as a policy",
}


def timescale_edition(
    version: str | None, licence: str | None, unreadable: int = 0
) -> list[Finding]:
    """unreadable: chunks that another edition compressed."""
    check = "timescale edition"
    if version is None:
        text = "the extension is not in this database; PostgreSQL alone is not supported"
        return [Finding(check, "fail", text, "CREATE EXTENSION timescaledb; fleet migrate")]
    if number(version) < TIMESCALE_MINIMUM:
        least = ".".join(map(str, TIMESCALE_MINIMUM))
        return [Finding(check, "fail", f"version {version}", f"upgrade to {least} or newer")]
    if licence not in _EDITIONS:
        text = f"version {version} is not loaded, or its licence is unknown: {licence!r}"
        cure = "shared_preload_libraries = 'timescaledb' in postgresql.conf, and restart"
        return [Finding(check, "fail", text, cure)]
    if unreadable:
        text = f"{licence} cannot read {unreadable} chunks that the community edition compressed"
        cure = "timescaledb.license = 'timescale' in postgresql.conf, and restart"
        return [Finding(check, "fail", text, cure)]
    return [Finding(check, "ok", f"version {version}, {_EDITIONS[licence]}")]
