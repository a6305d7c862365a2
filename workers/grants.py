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
from workers.cdc.grants import AUDIT, AUDIT_MIGRATE, CDC_OWN, SOURCE, SOURCES, captured_tables
from workers.redis_grants import (
    BROKER_REDIS,
    CLUSTER,
    CONNECT,
    LARAVEL_REDIS,
    STREAMS_REDIS,
    RedisRights,
)
from workers.timescale_grants import timescale_lines

PASSWORD = "CHANGE-ME"  # noqa: S105 - what the operator replaces


class RoleGrants(NamedTuple):
    """Lines of one role, to be run as they stand once PASSWORD is replaced.

    laravel: over Laravel's own tables; they fail while such a table does not exist.
    redis: per server (`host:port`), because streams and broker may be two.
    timescale: where one is set. Each role's FLEET_TIMESCALE_URL then names its own user. audit: on
    the server of FLEET_AUDIT_URL, likewise; where it is not set, they are among `mysql`.
    """

    role: str
    user: str
    mysql: tuple[str, ...]
    laravel: tuple[str, ...]
    redis: tuple[tuple[str, str], ...]
    timescale: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()


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
    "fleet_stream_gaps": _FULL,
}
_LARAVEL = ("fleet_requests", "fleet_quarantine", "fleet_dispatches")
_CDC = (
    "fleet_cdc_heartbeat", "fleet_cdc_shapes", "fleet_cdc_accepted", "fleet_change_context",
)  # fmt: skip
_ALL_TABLES = (
    *_LEDGER, *_DERIVED, *_REBUILD, *_SYNC, *_LARAVEL, *_CDC,
    "fleet_offsets", "fleet_outbox", "fleet_quality", "fleet_settings", VERSION_TABLE,
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
        "fleet_observed_positions": _FULL,  # retention
        "fleet_observed_balances": _FULL,
        "fleet_settings": _WRITE,  # the last day closed
        "fleet_offsets": _READ,
        **_SYNC,
        "fleet_outbox": "SELECT, INSERT, DELETE",  # adoption records, retention prunes
        "fleet_account_sources": _READ,
        "fleet_requests": "SELECT, DELETE",
        "fleet_change_context": "SELECT, DELETE",
        "fleet_dispatches": "SELECT, INSERT, DELETE",
        "fleet_quality": _FULL,
        "fleet_cdc_shapes": _READ,  # tables whose rows are left out
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
    "userstreams": {
        **_EVERYBODY,
        "fleet_sync_accounts": "SELECT, UPDATE",  # suspends, asks for a sync
        "fleet_syncs": "SELECT, UPDATE",
        "fleet_stream_gaps": _WRITE,
        "fleet_account_state": _WRITE,
        "fleet_account_sources": _READ,
        "fleet_positions": _READ,  # what the sync found against what was told
        "fleet_fills": _READ,
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
    "collector": {**_EVERYBODY, **CDC_OWN, **SOURCES},
    "audit": {**_EVERYBODY},
    "timescale": {},
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
        "fleet_sync_accounts": _READ,
        "fleet_stream_gaps": _READ,
        "fleet_cdc_heartbeat": _READ,
        "fleet_cdc_shapes": _READ,
        "fleet_quality": _READ,
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
        "fleet_cdc_accepted": _ADD,
        "fleet_cdc_heartbeat": _WRITE,  # `fleet cdc verify` marks its moment in the log
        **SOURCES,
    },
}
# Laravel's own database user, where our schema is not its own: Fleet::record() and screens.
_APPLICATION = {**dict.fromkeys((*_ALL_TABLES, *_VIEWS), _READ), "fleet_outbox": _ADD}
_APPLICATION["fleet_change_context"] = _ADD  # Fleet::actor()

# Tables of Laravel's by role; an INVOKER view needs what stands behind it.
_SOURCES = f"SELECT ({', '.join(SOURCES_COLUMNS)})"
LARAVEL_TABLES: Mapping[str, Mapping[str, str]] = {
    "jobs": {SOURCES_TABLE: _SOURCES},
    "sync": {SOURCES_TABLE: _SOURCES},
    "userstreams": {SOURCES_TABLE: _SOURCES},
    "rq": {SOURCES_TABLE: _SOURCES},
    "cli": {
        SOURCES_TABLE: "SELECT (id, user_id, venue, product, settings, active)",
        "failed_jobs": "SELECT (id, queue, failed_at)",
    },
    "laravel": {
        "failed_jobs": _FULL,
        "job_batches": _READ,
        "cache": _FULL,  # signals and exception counters, where the cache is the database
        "cache_locks": _FULL,
    },
    "metrics": {"failed_jobs": "SELECT (id, queue, failed_at)"},
    "migrate": {SOURCES_TABLE: _SOURCES},
}
# MySQL has no grants for tables by pattern: in Laravel's own schema these reach its tables, too.
_MIGRATE = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, CREATE VIEW, SHOW VIEW"

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
    if settings.timescale_url:
        user = user_of("dashboards")
        seen = timescale_lines("dashboards", user, PASSWORD)
        lines.append(RoleGrants("dashboards", user, (), (), (), seen))
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
        if granted.audit:
            parts.append("-- on the server of FLEET_AUDIT_URL:")
            parts += [f"{line};" for line in granted.audit]
        if granted.timescale:
            parts.append("-- in TimescaleDB:")
            parts += [f"{line};" for line in granted.timescale]
        for server, line in granted.redis:
            parts += [f"# Redis at {server}", line]
        parts.append("")
    return "\n".join(parts)


def _role(settings: Settings, role: str, user: str) -> RoleGrants:
    mysql, audit = settings.mysql, settings.audit
    create = f"CREATE USER IF NOT EXISTS {_account(user)} IDENTIFIED BY '{PASSWORD}'"
    tables, laravels = dict(TABLES.get(role, {})), dict(LARAVEL_TABLES.get(role, {}))
    own = []
    if role == "migrate":
        own = [f"GRANT {_MIGRATE} ON {quoted(mysql.database)}.* TO {_account(user)}"]
    if role == "collector":
        own = [f"GRANT {SOURCE} ON *.* TO {_account(user)}"]
        ours, theirs = captured_tables(settings, _ALL_TABLES)
        tables, laravels = ours | tables, laravels | theirs
    if role == "cli":  # `fleet cdc verify` compares what is captured
        laravels |= captured_tables(settings, _ALL_TABLES)[1]
    own += [_table_grant(mysql.database, table, what, user) for table, what in tables.items()]
    kept = [_table_grant(audit.database, t, p, user) for t, p in AUDIT.get(role, {}).items()]
    if settings.audit_database is None:
        own, kept = own + kept, []
    elif role == "migrate":
        kept = [f"GRANT {AUDIT_MIGRATE} ON {quoted(audit.database)}.* TO {_account(user)}"]
    return RoleGrants(
        role,
        user,
        (create, *own) if own else (),
        tuple(
            _table_grant(mysql.laravel_database, table, what, user)
            for table, what in laravels.items()
        ),
        _acl_lines(settings, role, user),
        timescale_lines(role, user, PASSWORD) if settings.timescale_url else (),
        (create, *kept) if kept else (),
    )


def _table_grant(database: str, table: str, what: str, user: str) -> str:
    return f"GRANT {what} ON {quoted(database)}.{quoted(table)} TO {_account(user)}"


def _account(user: str) -> str:
    return f"'{user}'@'%'"


def _acl_lines(settings: Settings, role: str, user: str) -> tuple[tuple[str, str], ...]:
    """One ACL SETUSER per server: rules for streams, broker and queues on one server are joined."""
    wanted: dict[str, list[tuple[RedisRights, RedisSettings]]] = {}
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


def _acl_line(settings: Settings, user: str, rules: list[tuple[RedisRights, RedisSettings]]) -> str:
    keys: dict[str, None] = {}
    channels: dict[str, None] = {}
    commands: dict[str, None] = dict.fromkeys(CONNECT.split())
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
        commands |= dict.fromkeys(CLUSTER.split() if where.is_cluster else ())
    words = ["ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *keys, *channels, *commands]
    return shlex.join(words)


def _filled(pattern: str, names: Mapping[str, str]) -> str:
    for name, text in names.items():
        pattern = pattern.replace(name, text)
    return pattern


def _literal(text: str) -> str:
    """Redis' patterns: a prefix is meant letter by letter."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)
