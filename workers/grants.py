"""Least privilege per role: MySQL GRANT and Redis ACL lines, and nothing else decides them.

`fleet doctor --grants` prints them; the tests create their users from the same lines, so a role
that needs more fails there. Table grants need the tables: run them after `fleet migrate`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shared.endpoints import RedisSettings
from shared.mysql.schema import SOURCES_COLUMNS, SOURCES_TABLE, VERSION_TABLE, quoted
from shared.settings import Settings
from workers.timescale_grants import timescale_lines

PASSWORD = "CHANGE-ME"  # noqa: S105 - what the operator replaces


class RoleGrants(NamedTuple):
    """Lines of one role, to be run as they stand once PASSWORD is replaced.

    laravel: over Laravel's own tables; they fail while such a table does not exist.
    redis: per server (`host:port`), because streams and broker may be two.
    timescale: where one is set. Each role's FLEET_TIMESCALE_URL then names its own user.
    """

    role: str
    user: str
    mysql: tuple[str, ...]
    laravel: tuple[str, ...]
    redis: tuple[tuple[str, str], ...]
    timescale: tuple[str, ...] = ()


class _Redis(NamedTuple):
    keys: tuple[str, ...] = ()  # with %R~, %W~ or ~; {p} is the Redis prefix, {b} the broker's
    channels: tuple[str, ...] = ()
    commands: str = ""


# --- MySQL ---------------------------------------------------------------------------------------

_READ = "SELECT"
_ADD = "SELECT, INSERT"
_WRITE = "SELECT, INSERT, UPDATE"
_FULL = "SELECT, INSERT, UPDATE, DELETE"

_EVERYBODY = {"fleet_settings": _READ, VERSION_TABLE: _READ}

_LEDGER: Mapping[str, str] = {
    "fleet_account_state": _WRITE,
    "fleet_fills": _WRITE,
    "fleet_fill_reports": _WRITE,
    "fleet_cash_entries": _WRITE,
    "fleet_positions": _FULL,
    "fleet_position_days": _FULL,
    "fleet_pnl_daily": _FULL,
    "fleet_orders": _FULL,
    "fleet_signals": _WRITE,
    "fleet_breaks": _WRITE,
    "fleet_parked": _WRITE,
    "fleet_position_entries": _FULL,
    "fleet_observed_positions": _WRITE,
    "fleet_observed_balances": _WRITE,
    "fleet_reconciliations": _WRITE,
    "fleet_prices": _WRITE,
    "fleet_restatements": _WRITE,
}
# What is made of the ledger: by scheduled tasks, operator jobs and the command line.
_DERIVED: Mapping[str, str] = {
    "fleet_pnl_attribution": _FULL,
    "fleet_rounding": _FULL,
    "fleet_equity": _FULL,
    "fleet_closed_days": _ADD,
    "fleet_account_owners": _FULL,
    "fleet_instruments": _FULL,
    "fleet_position_modes": _FULL,
}
# Shadow rows of the operator job `rebuild`.
_REBUILD: Mapping[str, str] = {
    "fleet_rebuilds": _FULL,
    "fleet_rebuild_positions": _FULL,
    "fleet_rebuild_position_days": _FULL,
    "fleet_rebuild_pnl_daily": _FULL,
}
# Accounts at exchanges: whose turn it is, where each question goes on, what a user stream missed.
_SYNC: Mapping[str, str] = {
    "fleet_sync_accounts": _WRITE,
    "fleet_syncs": _FULL,
    "fleet_stream_gaps": _WRITE,
}
_LARAVEL = ("fleet_requests", "fleet_quarantine", "fleet_dispatches")
_ALL_TABLES = (
    *_LEDGER, *_DERIVED, *_REBUILD, *_SYNC, *_LARAVEL,
    "fleet_offsets", "fleet_outbox", "fleet_settings", VERSION_TABLE,
)  # fmt: skip
_VIEWS = (
    "fleet_account_sources", "fleet_pnl_by_user", "fleet_pnl_by_strategy", "fleet_pnl_by_signal",
)  # fmt: skip

# UPDATE where a statement inserts `ON DUPLICATE KEY UPDATE` or reads `FOR UPDATE`.
TABLES: Mapping[str, Mapping[str, str]] = {
    "streams": {
        **_EVERYBODY,
        **_LEDGER,
        "fleet_settings": _WRITE,  # partitions, at the first start
        "fleet_offsets": _WRITE,
        "fleet_outbox": "SELECT, UPDATE",  # confirms in the transaction that applied the row
        "fleet_pnl_attribution": "SELECT, DELETE",  # of days that are gone
        "fleet_rounding": "SELECT, DELETE",
    },
    "relay": {
        **_EVERYBODY,
        "fleet_settings": _WRITE,  # partitions; which Redis it has seen
        "fleet_offsets": _READ,
        "fleet_outbox": "SELECT, UPDATE",
        "fleet_parked": _WRITE,  # rows for a stream that nobody reads
        "fleet_account_state": _WRITE,
        "fleet_dispatches": "SELECT, UPDATE",
    },
    "jobs": {
        **_EVERYBODY,
        **_LEDGER,
        **_DERIVED,
        "fleet_settings": _WRITE,  # the last day closed
        "fleet_offsets": _READ,
        **_SYNC,
        "fleet_outbox": "SELECT, INSERT, DELETE",  # adoption records, retention prunes
        "fleet_account_sources": _READ,
        "fleet_requests": "SELECT, DELETE",
        "fleet_dispatches": "SELECT, INSERT, DELETE",
    },
    "sync": {
        **_EVERYBODY,
        **_SYNC,
        "fleet_account_state": _WRITE,
        "fleet_account_sources": _READ,
        "fleet_positions": _READ,
        "fleet_outbox": _ADD,
        "fleet_dispatches": _ADD,
    },
    "laravel": {
        **_EVERYBODY,
        "fleet_sync_accounts": "SELECT, UPDATE",  # SyncAccount: this account now
        "fleet_syncs": "SELECT, UPDATE",
        "fleet_requests": _WRITE,
        "fleet_quarantine": _WRITE,
    },
    "rq": {
        **_EVERYBODY,
        **_LEDGER,
        **_DERIVED,
        **_REBUILD,
        **_SYNC,  # after a recovery everybody is asked
        "fleet_settings": _WRITE,
        "fleet_offsets": _WRITE,
        "fleet_outbox": "SELECT, INSERT, UPDATE",
        "fleet_account_sources": _READ,
        "fleet_dispatches": _ADD,
    },
    "beat": {},
    "flower": {},
    "metrics": {
        **_EVERYBODY,
        "fleet_account_state": _READ,
        "fleet_breaks": _READ,
        "fleet_equity": _READ,
        "fleet_offsets": _READ,
        "fleet_outbox": _READ,
        "fleet_parked": _READ,
        "fleet_positions": _READ,
        **dict.fromkeys(_LARAVEL, _READ),
    },
    "cli": {
        **dict.fromkeys((*_ALL_TABLES, *_VIEWS), _READ),
        **_LEDGER,
        **_DERIVED,
        **_SYNC,
        "fleet_offsets": _WRITE,
        "fleet_outbox": "SELECT, INSERT, UPDATE",
        "fleet_settings": _WRITE,
        "fleet_quarantine": _FULL,
        "fleet_dispatches": _ADD,  # breaks that open are told to Laravel
    },
}
# Laravel's own database user, where our schema is not its own: Fleet::record() and screens.
_APPLICATION = {**dict.fromkeys((*_ALL_TABLES, *_VIEWS), _READ), "fleet_outbox": _ADD}

# Tables of Laravel's by role; an INVOKER view needs what stands behind it.
_SOURCES = f"SELECT ({', '.join(SOURCES_COLUMNS)})"
LARAVEL_TABLES: Mapping[str, Mapping[str, str]] = {
    "jobs": {SOURCES_TABLE: _SOURCES},
    "sync": {SOURCES_TABLE: _SOURCES},
    "rq": {SOURCES_TABLE: _SOURCES},
    "cli": {SOURCES_TABLE: "SELECT (id, user_id, venue, product, settings, active)"},
    "laravel": {
        "failed_jobs": _FULL,
        "job_batches": _READ,
        "cache": _FULL,  # signals and exception counters, where the cache is the database
        "cache_locks": _FULL,
    },
    "migrate": {SOURCES_TABLE: _SOURCES},
}
# MySQL has no grants for tables by pattern: in Laravel's own schema these reach its tables, too.
_MIGRATE = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, CREATE VIEW, SHOW VIEW"

# --- Redis ---------------------------------------------------------------------------------------

_CONNECT = "+hello +auth +ping +select +client|setname +client|setinfo +info"
_LEASE = "+get +set +del +pexpire +eval +evalsha +script|load +zadd +zrem +zremrangebyscore +zrange"
_LOOK = "+xinfo|stream +xrange +xrevrange +xlen +exists +time +scan +memory|usage"

# What kombu, Celery's workers and remote control send; all of it under the broker's prefix.
_CELERY = (
    "+multi +exec +discard +watch +unwatch +eval +evalsha +script|load +script|exists +time"
    " +lpush +rpush +rpop +brpop +llen +sadd +srem +smembers"
    " +exists +get +set +del +pexpire +expire"
    " +hset +hget +hdel +hlen +zadd +zrem +zrange +zrangebyscore +zrevrangebyscore"
    " +publish +subscribe +psubscribe +unsubscribe +punsubscribe"
)
# PSUBSCRIBE must name a pattern of the list letter by letter, so those of Celery stand here.
_CELERY_CHANNELS = (
    "{b}/{db}.*",
    "{b}/{db}.celeryev/worker.*",
    "{b}/{db}.celeryev/*",
    "{b}/{db}.celery.pidbox",
)
_LIMITS = "+hmget +pttl +lindex +lrange +ltrim"
_RQ = (
    " +hgetall +hmget +hincrby +hincrbyfloat +hexists +zscore +zcard +zremrangebyscore +lrem +lpop"
    " +lrange +lpos +lmove +blmove +blpop +scard +sismember +persist +rename +ttl +xadd +xlen"
    " +xrevrange +xtrim +client|list +client|info"
)

_BROKER = _Redis(("~{b}*",), _CELERY_CHANNELS, _CELERY)

STREAMS_REDIS: Mapping[str, _Redis] = {
    "streams": _Redis(
        ("~{p}streams:*", "~{p}fleet:members:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} {_LEASE} +xread",
    ),
    "relay": _Redis(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} +get +set +xadd",
    ),
    "jobs": _Redis(
        ("~{p}streams:*", "%R~{p}fleet:partitions"),
        commands=f"{_LOOK} +get +xtrim +xgroup|create +xgroup|setid +xinfo|groups",
    ),
    "rq": _Redis(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} +get +set +del",
    ),
    "metrics": _Redis(
        ("%R~{p}streams:*", "%R~{p}fleet:*"),
        commands=f"{_LOOK} +get +zrange +xinfo|groups",
    ),
    "cli": _Redis(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation", "%R~{p}fleet:members:*"),
        commands=f"{_LOOK} +get +set +zrange +xinfo|groups +config|get",
    ),
}
BROKER_REDIS: Mapping[str, _Redis] = {
    "streams": _BROKER,
    "relay": _Redis(("~{b}*",), _CELERY_CHANNELS, "+publish +lpush +rpush +smembers +sadd"),
    "jobs": _BROKER,
    "sync": _Redis(("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} {_LIMITS}"),
    "laravel": _BROKER,
    "beat": _Redis(
        ("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} +pttl +hsetnx +hmget +hgetall +zscore +sismember"
    ),
    "flower": _BROKER,
    "rq": _Redis(("~{b}*",), (*_CELERY_CHANNELS, "{b}*"), _CELERY + _RQ),
    "metrics": _Redis(
        ("%R~{b}*",),
        commands="+llen +get +exists +hlen +hgetall +hget +zcard +zrange +smembers +scard +lrange",
    ),
    "cli": _Redis(("~{b}*",), (*_CELERY_CHANNELS, "{b}*"), _CELERY + _RQ),
}
LARAVEL_REDIS: Mapping[str, _Redis] = {
    "laravel": _Redis(
        (
            "~{p}queues:*", "~{p}fleet:quarantine:*", "~{p}fleet:held:*", "~{h}*",
            "~{p}*illuminate:*", "~{p}*job-exceptions:*", "~{p}*laravel_unique_job:*",
        ),
        commands="+eval +evalsha +script|load +time +lindex +lpush +rpush +lpop +blpop +lrange"
        " +lrem +zadd +zrem +zscore +zrangebyscore +zrevrangebyscore +hset +hget +hmget +expire"
        " +expireat +del +get +mget +set +incr +sadd +sismember",
    ),
    "relay": _Redis(
        ("~{p}queues:*", "~{p}fleet:dispatched:*", "~{h}*"),
        commands="+eval +evalsha +script|load +time +rpush +llen +zadd +hset +expireat +set"
        " +sismember",
    ),
    "cli": _Redis(
        ("~{p}queues:*", "%R~{p}fleet:quarantine:*"),
        commands="+llen +zcard +rpush +multi +exec",
    ),
    "metrics": _Redis(
        ("%R~{p}queues:*", "%R~{p}fleet:quarantine:*"), commands="+llen +zcard"
    ),
}


def grants(
    settings: Settings, user_of: Callable[[str], str] = lambda role: f"fleet_{role}"
) -> list[RoleGrants]:
    """Every role's lines. user_of names the account of a role, on both servers."""
    roles = (*TABLES, "migrate")
    lines = [_role(settings, role, user_of(role)) for role in roles]
    own, laravels = settings.mysql.database, settings.mysql.laravel_database
    if own != laravels:
        tables = tuple(
            _table_grant(own, t, p, settings.mysql.user) for t, p in _APPLICATION.items()
        )
        lines.append(RoleGrants("application", settings.mysql.user, tables, (), ()))
    return lines


def as_text(all_grants: list[RoleGrants]) -> str:
    """For the terminal: comments and statements, to be pasted after PASSWORD is replaced."""
    parts = []
    for granted in all_grants:
        parts.append(f"-- {granted.role}")
        parts += [f"{line};" for line in granted.mysql]
        if granted.laravel:
            parts.append("-- over Laravel's tables, once they exist:")
            parts += [f"{line};" for line in granted.laravel]
        if granted.timescale:
            parts.append("-- in TimescaleDB:")
            parts += [f"{line};" for line in granted.timescale]
        for server, line in granted.redis:
            parts += [f"# Redis at {server}", line]
        parts.append("")
    return "\n".join(parts)


def _role(settings: Settings, role: str, user: str) -> RoleGrants:
    mysql = settings.mysql
    create = f"CREATE USER IF NOT EXISTS {_account(user)} IDENTIFIED BY '{PASSWORD}'"
    if role == "migrate":
        own = [f"GRANT {_MIGRATE} ON {quoted(mysql.database)}.* TO {_account(user)}"]
    else:
        tables = TABLES[role].items()
        own = [_table_grant(mysql.database, table, what, user) for table, what in tables]
    laravel = tuple(
        _table_grant(mysql.laravel_database, table, what, user)
        for table, what in LARAVEL_TABLES.get(role, {}).items()
    )
    statements = (create, *own) if own else ()
    timescale = timescale_lines(role, user, PASSWORD) if settings.timescale_url else ()
    acl = _acl_lines(settings, role, user)
    return RoleGrants(role, user, statements, laravel, acl, timescale)


def _table_grant(database: str, table: str, what: str, user: str) -> str:
    return f"GRANT {what} ON {quoted(database)}.{quoted(table)} TO {_account(user)}"


def _account(user: str) -> str:
    return f"'{user}'@'%'"


def _acl_lines(settings: Settings, role: str, user: str) -> tuple[tuple[str, str], ...]:
    """One ACL SETUSER per server: rules for streams, broker and queues on one server are joined."""
    wanted: dict[str, list[tuple[_Redis, RedisSettings]]] = {}
    for table, where in (
        (STREAMS_REDIS, settings.streams_redis),
        (BROKER_REDIS, settings.broker),
        (LARAVEL_REDIS, settings.redis),
    ):
        if role in table:
            wanted.setdefault(where.server, []).append((table[role], where))
    return tuple(
        (server, _acl_line(settings, user, rules)) for server, rules in sorted(wanted.items())
    )


def _acl_line(settings: Settings, user: str, rules: list[tuple[_Redis, RedisSettings]]) -> str:
    keys: dict[str, None] = {}
    channels: dict[str, None] = {}
    commands: dict[str, None] = dict.fromkeys(_CONNECT.split())
    for rule, where in rules:
        names = {
            "{p}": _literal(settings.prefix),
            "{b}": _literal(settings.broker_prefix),
            "{h}": _literal(settings.horizon_prefix),
            "{db}": str(where.database),
        }
        keys |= dict.fromkeys(_filled(pattern, names) for pattern in rule.keys)
        channels |= dict.fromkeys("&" + _filled(pattern, names) for pattern in rule.channels)
        commands |= dict.fromkeys(rule.commands.split())
    words = ["ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *keys, *channels, *commands]
    return shlex.join(words)


def _filled(pattern: str, names: Mapping[str, str]) -> str:
    for name, text in names.items():
        pattern = pattern.replace(name, text)
    return pattern


def _literal(text: str) -> str:
    """Redis' patterns: a prefix is meant letter by letter."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)
