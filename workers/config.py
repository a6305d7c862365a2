"""Celery's settings: one table, from our settings. Facts behind the figures: Celery 5.7 on Redis.

Celery answers `inspect conf` to anybody who reaches the broker, and masks only names it knows. So
no secret stands in the table but `broker_url`, which Celery masks; RedBeat gets its password from
an object whose repr says nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from kombu import Exchange, Queue
from redis.credentials import CredentialProvider

from shared.endpoints import RedisSettings, Sentinels
from shared.errors import SettingsError
from shared.redis_clients import sentinel_options, tls_options
from shared.settings import Settings
from workers.roles import ROLES
from workers.scheduled.table import SCHEDULED

# The longest task may run this long; everything that must outlast it is derived from it.
TASK_SECONDS = 600
SOFT_SECONDS = 540
SOFT_SHUTDOWN_SECONDS = 10
QUEUES = ("fleet.control", "fleet.jobs", "fleet.sync")


class BrokerCredentials(CredentialProvider):
    """A user and password where a library would show them in its settings."""

    def __init__(self, login: RedisSettings | Sentinels) -> None:
        self._login = login

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._login.password.get_secret_value() if self._login.password else ""
        return (self._login.username, password) if self._login.username else (password,)

    def __repr__(self) -> str:
        return "BrokerCredentials(***)"


def celery_settings(settings: Settings, role: str) -> dict[str, Any]:
    """Everything Celery, RedBeat and kombu are told. role: a name of ROLES, or any other."""
    return {
        **_broker(settings, role),
        **_messages(),
        **_tasks(),
        **_worker(role),
        **_beat(settings),
    }


def refuse_overrides(environ: Mapping[str, str]) -> None:
    """Celery lets these beat the table in silence: another broker, or results nobody wants."""
    for name in (
        "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL",
        "CELERY_RESULT_BACKEND",
    ):  # fmt: skip
        if environ.get(name):
            raise SettingsError(f"{name} would overrule the fleet's broker: unset it and write "
                                "FLEET_BROKER_URL instead")  # fmt: skip


def _broker(settings: Settings, role: str) -> dict[str, Any]:
    table: dict[str, Any] = {
        "broker_url": settings.broker.url().get_secret_value(),
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "global_keyprefix": settings.broker_prefix,
            "client_name": f"fleet-{role}",
            # Redelivery is counted from delivery and never renewed: twice the longest task.
            "visibility_timeout": 2 * TASK_SECONDS,
            # The defaults (10 s, each tenth call) would scan 100 s after the timeout.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # Without these a publish or ack waits for ever after a failover.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # One list per queue instead of four: BRPOP names them all each time.
            "priority_steps": [0],
            "queue_order_strategy": "round_robin",
        },
    }
    if settings.broker.tls:
        table["broker_use_ssl"] = _tls(settings.broker)
    if settings.broker.sentinels:
        table["broker_transport_options"] |= {
            "master_name": settings.broker.sentinels.service,
            "sentinel_kwargs": _sentinel_kwargs(settings.broker),
        }
    return table


def _tls(broker: RedisSettings) -> dict[str, Any]:
    """Celery takes the constant, no word."""
    return {**tls_options(broker), "ssl_cert_reqs": ssl.CERT_REQUIRED}


def _sentinel_kwargs(broker: RedisSettings) -> dict[str, Any]:
    """Of the connections to the sentinels; their password in an object that shows none."""
    options = sentinel_options(broker)
    del options["username"], options["password"]
    if broker.sentinels and broker.sentinels.password:
        options["credential_provider"] = BrokerCredentials(broker.sentinels)
    return options


def _messages() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "result_backend": None,
        "task_ignore_result": True,
        "enable_utc": True,
        "timezone": "UTC",
        "task_send_sent_event": True,
    }


def _tasks() -> dict[str, Any]:
    direct = Exchange("fleet", type="direct")
    return {
        # A misspelt queue is an error instead of a list that nobody reads.
        "task_create_missing_queues": False,
        "task_queues": [Queue(name, direct, routing_key=name) for name in QUEUES],
        "task_default_queue": "fleet.jobs",
        "task_default_exchange": "fleet",
        "task_default_exchange_type": "direct",
        "task_default_routing_key": "fleet.jobs",
        "task_acks_late": True,
        # Late acks alone acknowledge a task whose process was killed. Bounded by max_retries,
        # unlike task_reject_on_worker_lost.
        "task_retry_on_worker_lost": True,
        "task_time_limit": TASK_SECONDS,
        "task_soft_time_limit": SOFT_SECONDS,
        "task_track_started": False,
    }


def _worker(role: str) -> dict[str, Any]:
    table: dict[str, Any] = {
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "worker_enable_remote_control": True,  # Flower's pages come through it
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
    }
    if role in ROLES and ROLES[role].pool == "prefork":
        # Threads cannot be stopped: there a soft shutdown ends in NotImplementedError.
        table["worker_soft_shutdown_timeout"] = SOFT_SHUTDOWN_SECONDS
    return table


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_scheduler": "workers.beat:FleetScheduler",
        "beat_max_loop_interval": 5,
        "beat_schedule": {
            name: {
                "task": name,
                "schedule": row.every,
                # A run that waited for two periods says nothing that the next would not.
                "options": {"queue": row.queue, "expires": _whole_seconds(2 * row.every)},
            }
            for name, row in SCHEDULED.items()
        },
        **_redbeat(settings.broker),
        "redbeat_key_prefix": f"{settings.broker_prefix}redbeat:",
        # The default lets a standby wait 25 minutes after a crash.
        "redbeat_lock_timeout": 30,
    }


def _redbeat(broker: RedisSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "retry_period": 60, "socket_timeout": 10, "socket_connect_timeout": 5,
        "health_check_interval": 10,
    }  # fmt: skip
    if broker.password:
        options["credential_provider"] = BrokerCredentials(broker)
    if broker.sentinels:
        options |= {
            "sentinels": list(broker.sentinels.addresses),
            "service_name": broker.sentinels.service,
            "sentinel_kwargs": _sentinel_kwargs(broker),
            "db": broker.database,
        }
    table = {"redbeat_redis_url": _redbeat_url(broker), "redbeat_redis_options": options}
    return table | ({"redbeat_redis_use_ssl": _tls(broker)} if broker.tls else {})


def _whole_seconds(period: timedelta) -> int:
    return int(period.total_seconds())


def _redbeat_url(redis: RedisSettings) -> str:
    """Without user and password. RedBeat goes through redis-py, which spells a socket differently
    from kombu.
    """
    if redis.sentinels:
        return "redis-sentinel://"
    if redis.socket:
        return f"unix://{redis.socket}?db={redis.database}"
    url = urlsplit(redis.url().get_secret_value())
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
