"""Every setting of the fleet, read once at start, in Laravel's own names.

`load(role)` merges the sources (see `settings_sources`), refuses what is malformed, unknown or
ambiguous with SettingsError, and returns a frozen Settings. Only roles in DECRYPTS hold APP_KEY.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.endpoints import (
    MAX_PORT,
    MySQLSettings,
    RedisSettings,
    certificates,
    mysql_from_values,
    redis_from_parts,
    redis_from_url,
    whole,
)
from shared.errors import SettingsError
from shared.laravel import naming
from shared.laravel.probe import keys_begin_with
from shared.settings_cdc import CDC_NAMES, HASHES, CdcFields, cdc_fields
from shared.settings_exchanges import (
    DEFAULT_EGRESS,
    EXCHANGE_NAMES,
    exchange_settings,
    refuse_credentials_key,
)
from shared.settings_laravel import (
    LARAVEL_NAMES,
    CacheSettings,
    LaravelSettings,
    QueueSettings,
    cache_settings,
    laravel_settings,
    queue_settings,
)
from shared.settings_sources import Merged, Values, merge
from shared.settings_streams import RedisBudget, parse_budget, parse_retention

ROLES = (
    "streams",
    "relay",
    "jobs",
    "laravel",
    "rq",
    "sync",
    "userstreams",
    "beat",
    "flower",
    "metrics",
    "collector",
    "audit",
    "timescale",
    "migrate",
    "cli",
)
# These open the keys of accounts, with FLEET_CREDENTIALS_KEY or, where it is not set, APP_KEY.
CALLS_EXCHANGES = frozenset({"sync", "userstreams"})
# Exchange keys and encrypted Laravel jobs are read by these and nobody else.
DECRYPTS = frozenset({"jobs", "laravel", "rq"}) | CALLS_EXCHANGES
# Scheduling and watching need Redis only: a deployment may leave DB_* out for them.
WITHOUT_MYSQL = frozenset({"beat", "flower", "timescale"})

SECRETS = (
    "APP_KEY",
    "APP_PREVIOUS_KEYS",
    "DB_PASSWORD",
    "DATABASE_URL",
    "DB_URL",
    "REDIS_PASSWORD",
    "REDIS_SENTINEL_PASSWORD",
    "REDIS_URL",
    "SENTRY_LARAVEL_DSN",
    "SENTRY_DSN",
    "FLEET_TIMESCALE_URL",
    "FLEET_STREAMS_REDIS_URL",
    "FLEET_BROKER_URL",
    "FLEET_CREDENTIALS_KEY",
    "FLEET_CDC_HASH_KEY",
    "FLEET_AUDIT_URL",
)
_KEYS = ("APP_KEY", "APP_PREVIOUS_KEYS")
_CREDENTIALS_KEY = ("FLEET_CREDENTIALS_KEY",)
_HASH_KEY = ("FLEET_CDC_HASH_KEY",)

FLEET_NAMES = (
    "FLEET_BROKER_PREFIX",
    "FLEET_BROKER_URL",
    "FLEET_DB_DATABASE",
    "FLEET_ENV_FILE",
    "FLEET_EVENTS_QUEUE",
    "FLEET_HORIZON",
    "FLEET_METRICS_PORT",
    "FLEET_PARTITIONS",
    "FLEET_QUEUES",
    "FLEET_REDIS_BUDGET",
    "FLEET_REDIS_CA",
    "FLEET_REDIS_CERT",
    "FLEET_REDIS_CLUSTER",
    "FLEET_REDIS_KEY",
    "FLEET_STREAMS_REDIS_URL",
    "FLEET_STREAM_RETENTION",
    "FLEET_TIMESCALE_URL",
    *CDC_NAMES,
    *EXCHANGE_NAMES,
    *LARAVEL_NAMES,
)

# Of a process, not of the fleet: read by the roles themselves, so they are no misspelt settings.
PROCESS_NAMES = (
    "FLEET_FLOWER_AUTH",
    "FLEET_LOG_LEVEL",
    "FLEET_LOG_STYLE",
    "FLEET_METRICS_HOST",
    "FLEET_ROLE",
    "FLEET_RUN_DIR",
    "FLEET_SLOT",
)

_BROKER_DATABASE = 2
_MAX_PARTITIONS = 4096  # fleet_offsets.partition_no holds 65,535; a reader per partition does not
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.:{}-]{1,128}")


class Settings(CdcFields, BaseSettings):
    """Frozen; secrets are SecretStr. Build it with `load`, or by keyword in tests."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    role: str
    app_name: str
    app_env: str
    app_key: SecretStr | None = None
    app_previous_keys: tuple[SecretStr, ...] = ()
    database: MySQLSettings | None
    timescale_url: SecretStr | None = None
    redis: RedisSettings
    redis_client: str = "phpredis"
    streams_redis: RedisSettings
    broker: RedisSettings
    prefix: str
    broker_prefix: str
    horizon_prefix: str
    cache: CacheSettings
    queue: QueueSettings
    laravel: LaravelSettings
    redis_budget: RedisBudget = RedisBudget(Decimal("0.25"), None)
    partitions: int = 32
    stream_retention: timedelta = timedelta(hours=24)
    queues: tuple[str, ...] = ("fleet",)
    laravel_connection: str = "redis"
    events_queue: str = "fleet-events"
    horizon: Literal["off", "jobs", "supervisor"] = "jobs"
    metrics_port: int = 9540
    sentry_dsn: SecretStr | None = None
    exchange_url: str | None = None
    egress: Mapping[str, str | None] = {DEFAULT_EGRESS: None}
    credentials_key: SecretStr | None = None
    allow_withdraw_keys: bool = False
    order_share: Decimal = Decimal("0.1")
    notes: tuple[str, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` merged: pydantic's own readers do not know Laravel's rules."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def mysql(self) -> MySQLSettings:
        if self.database is None:
            raise SettingsError(f"role {self.role} needs MySQL: write the DB_* lines of Laravel")
        return self.database

    @property
    def audit(self) -> MySQLSettings:
        """Where the audit log is: our own schema, or another server."""
        return self.audit_database or self.mysql


def load(
    role: str,
    environ: Mapping[str, str] | None = None,
    exists: Callable[[str], bool] | None = None,
) -> Settings:
    """Settings of one role.

    environ: os.environ unless given. exists: whether keys begin with a prefix; asked only when
    REDIS_PREFIX is written nowhere, and by default it asks Laravel's Redis.
    """
    if role not in ROLES:
        raise SettingsError(f"role {role!r}: one of {', '.join(ROLES)} expected")
    environ = os.environ if environ is None else environ
    calls = role in CALLS_EXCHANGES
    if not calls:
        refuse_credentials_key(role, environ)
    env_file = Path(environ.get("FLEET_ENV_FILE") or ".env")
    refused = (
        *(() if role in DECRYPTS else _KEYS),
        *(() if calls else _CREDENTIALS_KEY),
        *(() if role in HASHES else _HASH_KEY),
    )
    merged = merge(environ, env_file, SECRETS, refused)
    return build(merged, role, exists)


def build(merged: Merged, role: str, exists: Callable[[str], bool] | None) -> Settings:
    """Settings from merged values; pure but for `exists`."""
    values = merged.values
    _refuse_unknown(values)
    redis = redis_from_parts(values, "REDIS_DB")
    cache_redis = redis_from_parts(values, "REDIS_CACHE_DB")
    queues = _queues(values)
    if exists is None:
        asked = tuple(dict.fromkeys((redis, cache_redis)))
        names = (values.get("REDIS_QUEUE") or "default", "default", *queues)
        exists = partial(keys_begin_with, asked, tuple(dict.fromkeys(names)))
    prefix = _prefix(values, exists)
    app_name = _app_name(values)
    broker_prefix = values.get("FLEET_BROKER_PREFIX")
    exchanges = exchange_settings(values)
    if exchanges.credentials_key is not None:
        # A role that has the key of the accounts needs the application's master key for nothing.
        values = {name: value for name, value in values.items() if name not in _KEYS}
    return Settings(
        role=role,
        app_name=app_name,
        app_env=values.get("APP_ENV") or "production",
        app_key=_secret(values, "APP_KEY"),
        app_previous_keys=tuple(
            SecretStr(key) for key in (values.get("APP_PREVIOUS_KEYS") or "").split(",") if key
        ),
        database=_database(values, role),
        timescale_url=_timescale(values),
        redis=redis,
        redis_client=_choice(values, "REDIS_CLIENT", "phpredis", ("phpredis", "predis", "relay")),
        streams_redis=_redis(values, "FLEET_STREAMS_REDIS_URL", redis, cache_redis),
        broker=_redis(values, "FLEET_BROKER_URL", redis.at(_BROKER_DATABASE), cache_redis),
        prefix=prefix,
        broker_prefix=f"{prefix}fleet:" if broker_prefix is None else broker_prefix,
        horizon_prefix=naming.horizon_prefix(app_name, _written(values, "HORIZON_PREFIX")),
        cache=cache_settings(values, app_name, cache_redis),
        queue=queue_settings(values),
        laravel=laravel_settings(values, merged.beside),
        redis_budget=parse_budget(values.get("FLEET_REDIS_BUDGET") or "25%"),
        partitions=_whole(values, "FLEET_PARTITIONS", 32, 1, _MAX_PARTITIONS),
        stream_retention=parse_retention(values.get("FLEET_STREAM_RETENTION") or "24h"),
        queues=queues,
        laravel_connection=values.get("FLEET_LARAVEL_CONNECTION") or "redis",
        events_queue=_queue_name("FLEET_EVENTS_QUEUE", values, "fleet-events"),
        horizon=_horizon(values),
        metrics_port=_whole(values, "FLEET_METRICS_PORT", 9540, 1, MAX_PORT),
        sentry_dsn=_secret(values, "SENTRY_LARAVEL_DSN") or _secret(values, "SENTRY_DSN"),
        **exchanges._asdict(),
        **cdc_fields(values, role),
        notes=merged.notes,
    )


def _refuse_unknown(values: Values) -> None:
    """A misspelt name would silently leave the default in force."""
    known = {
        *FLEET_NAMES,
        *PROCESS_NAMES,
        *(f"{name}_FILE" for name in SECRETS if name.startswith("FLEET_")),
    }
    for name in sorted(values):
        if name.startswith("FLEET_") and name not in known:
            near = difflib.get_close_matches(name, FLEET_NAMES, n=1)
            cure = f"write {near[0]}" if near else "remove it; see the list of settings"
            raise SettingsError(f"{name} is no setting of the fleet: {cure}")


def _prefix(values: Values, exists: Callable[[str], bool]) -> str:
    written = _written(values, "REDIS_PREFIX")
    app_name = _app_name(values)
    strange = naming.doubtful(app_name)
    if written is None and strange:
        raise SettingsError(
            f"APP_NAME holds {strange!r}, whose slug is not certain: write REDIS_PREFIX=... as "
            "`php artisan tinker --execute=\"echo config('database.redis.options.prefix');\"` says"
        )
    return naming.choose("REDIS_PREFIX", naming.redis_prefixes(app_name, written), exists)


def _app_name(values: Values) -> str:
    """`laravel` stands in Laravel's own prefix expressions; `null` counts as empty there."""
    return values["APP_NAME"] or "" if "APP_NAME" in values else "laravel"


def _written(values: Values, name: str) -> str | None:
    """A prefix as written: empty and `null` mean none at all, absent means Laravel's default."""
    return values[name] or "" if name in values else None


def _secret(values: Values, name: str) -> SecretStr | None:
    text = values.get(name)
    return SecretStr(text) if text else None


def _database(values: Values, role: str) -> MySQLSettings | None:
    absent = not any(values.get(name) for name in ("DB_DATABASE", "DB_URL", "DATABASE_URL"))
    return None if role in WITHOUT_MYSQL and absent else mysql_from_values(values)


def _timescale(values: Values) -> SecretStr | None:
    text = values.get("FLEET_TIMESCALE_URL")
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise SettingsError("FLEET_TIMESCALE_URL: write postgresql://user:password@host:5432/name")
    return SecretStr(text) if text else None


def _redis(
    values: Values, name: str, default: RedisSettings, cache: RedisSettings
) -> RedisSettings:
    """A Redis of ours, which must survive `php artisan cache:clear` (a FLUSHDB)."""
    text = values.get(name)
    chosen = redis_from_url(name, text, certificates(values)) if text else default
    if name == "FLEET_BROKER_URL" and chosen.is_cluster:
        raise SettingsError(
            "FLEET_BROKER_URL: Celery cannot work on a Redis Cluster; write "
            "FLEET_BROKER_URL=redis://host:6379/0 of a server that is none"
        )
    same_server = (chosen.server, chosen.socket) == (cache.server, cache.socket)
    ours_alone = (
        text or name == "FLEET_BROKER_URL"
    )  # streams by default share Laravel's queues' fate
    if ours_alone and same_server and chosen.database == cache.database:
        raise SettingsError(
            f"{name} would be database {cache.database} of Laravel's cache, which `cache:clear` "
            f"flushes: write {name}=redis://{cache.server}/N with another database number N"
        )
    return chosen


def _queues(values: Values) -> tuple[str, ...]:
    names = [name.strip() for name in (values.get("FLEET_QUEUES") or "fleet").split(",")]
    if not all(_QUEUE_NAME.fullmatch(name) for name in names) or len(set(names)) != len(names):
        raise SettingsError("FLEET_QUEUES: write different queue names with commas: fleet,reports")
    return tuple(names)


def _queue_name(name: str, values: Values, default: str) -> str:
    text = values.get(name) or default
    if not _QUEUE_NAME.fullmatch(text):
        raise SettingsError(f"{name}: write one queue name, for example {default}")
    return text


def _horizon(values: Values) -> Literal["off", "jobs", "supervisor"]:
    text = values.get("FLEET_HORIZON") or "jobs"
    if text in {"off", "false"}:  # YAML and Laravel's literals make false of it
        return "off"
    if text == "jobs":
        return "jobs"
    if text == "supervisor":
        return "supervisor"
    raise SettingsError("FLEET_HORIZON: write off, jobs or supervisor")


def _choice(values: Values, name: str, default: str, allowed: Sequence[str]) -> str:
    text = values.get(name) or default
    if text not in allowed:
        raise SettingsError(f"{name}: write one of {', '.join(allowed)}")
    return text


def _whole(values: Values, name: str, default: int, low: int, high: int) -> int:
    text = values.get(name)
    return whole(name, text, low, high) if text else default
