"""Composition of the Laravel worker: settings become its stores, scripts, tables and threads."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from celery import platforms
from celery.platforms import EX_OK
from celery.worker import state
from redis import Redis

from shared import telemetry
from shared.errors import SettingsError
from shared.laravel.arguments import CommandError
from shared.laravel.batches import is_cancelled
from shared.laravel.cache import CacheStore, DatabaseCache, FileCache, RedisCache, UnreachableCache
from shared.laravel.command import Command, read_command
from shared.laravel.encrypter import Encrypter
from shared.laravel.failed_jobs import (
    DatabaseFailedJobs,
    FailedJobs,
    FileFailedJobs,
    NoFailedJobs,
)
from shared.laravel.horizon import Supervisor
from shared.laravel.locks import unique_lock_names
from shared.laravel.payload import Payload
from shared.laravel.reservations import Reservations
from shared.laravel.signals import Standing, look
from shared.laravel.verdict import Defaults
from shared.masking import Mask
from shared.mysql.connection import connect
from shared.settings import Settings
from shared.streams.connection import control_client, data_client
from workers.collector import calm_collector
from workers.drain import never
from workers.laravel import quarantine
from workers.laravel import report as reported
from workers.laravel.endings import HAND_BACK, Endings
from workers.laravel.horizon import Presence
from workers.laravel.node import LaravelNode
from workers.laravel.watch import Watch, Watched
from workers.laravel.worker import LaravelWorker, WorkerBounds, WorkerTools
from workers.laravel_jobs.table import JOBS, JobClass
from workers.links import Links, mysql_errors
from workers.reporting import Report

BOUNDS = WorkerBounds()


def restart_gracefully() -> None:
    """Ends Celery's worker warmly, as its SIGHUP does; the same process then begins anew."""
    atexit.register(start_again)
    state.should_stop = EX_OK


def start_again() -> None:
    """The same program from its beginning, under the same pid. Every socket is closed, so the
    servers end our sessions and their locks.
    """
    platforms.close_open_fds([sys.__stdin__, sys.__stdout__, sys.__stderr__])
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - ourselves


def build_worker(
    settings: Settings,
    node: str,
    report: Callable[[Report], None],
    *,
    restart: Callable[[], None] = restart_gracefully,
    end_process: Callable[[], None] = start_again,
    table: Mapping[str, JobClass] = JOBS,
    bounds: WorkerBounds = BOUNDS,
    resting: Callable[[], bool] = never,
) -> LaravelNode:
    """The reader of a node of the role `laravel`.

    restart: ends the process gracefully, to start again. end_process: at once, likewise. resting:
    reserve nothing for now (workers/drain.py).
    """
    if settings.redis.is_cluster:
        raise SettingsError(
            "Laravel's Redis is a cluster: its queues are not worked on by Python, and nothing is "
            "dispatched to them; leave the role laravel out, or move Laravel's queue connection "
            "to a Redis that is none"
        )
    calm_collector()
    parts = _Parts(settings, table)
    parts.failed_jobs(parts.links())  # a driver that we cannot write is said before the first job
    defaults = Defaults(settings.queue.tries, settings.queue.backoff, settings.queue.timeout)
    watched = Watched(defaults)
    tell = partial(reported.tell, report)
    log = telemetry.log("fleet.laravel").info
    tools = WorkerTools(
        settings=settings,
        node=node,
        table=table,
        links=parts.links(block_seconds=bounds.wait_seconds),
        reservations=parts.reservations,
        endings=partial(parts.endings, defaults),
        look=parts.look,
        read=parts.read,
        is_cancelled=parts.is_cancelled,
        quarantine=parts.drain,
        watched=watched,
        defaults=defaults,
        report=tell,
        log=log,
        restart=restart,
        bounds=bounds,
        resting=resting,
    )
    watch = Watch(
        watched,
        partial(parts.open_endings, defaults),
        seconds=settings.queue.retry_after,
        report=tell,
        log=log,
        end_process=end_process,
    )
    presence = _presence(settings, node, log) if settings.horizon == "supervisor" else None
    return LaravelNode(LaravelWorker(tools), watch, presence)


def _presence(settings: Settings, node: str, log: Callable[..., None]) -> Presence:
    supervisor = Supervisor(
        node=node,
        connection=settings.laravel_connection,
        queues=settings.queues,
        pid=os.getpid(),
        tries=settings.queue.tries,
        timeout=settings.queue.timeout,
    )
    connect_redis = partial(control_client, settings.redis, "fleet-laravel-presence")
    return Presence(connect_redis, settings.horizon_prefix, supervisor, log)


class _Parts:
    """What worker and watch are made of, each over links of its own."""

    def __init__(self, settings: Settings, table: Mapping[str, JobClass]) -> None:
        self._settings = settings
        self._table = table
        self._encrypter = encrypter(settings)
        self._caches: dict[int, CacheStore] = {}

    def links(self, *, block_seconds: int = 0) -> Links:
        redis = self._settings.redis
        return Links(
            partial(connect, self._settings.mysql),
            partial(data_client, redis, "fleet-laravel", block_ms=1000 * block_seconds),
        )

    def reservations(self, redis: Redis) -> Reservations:
        settings = self._settings
        return Reservations(
            redis,
            settings.prefix,
            connection=settings.laravel_connection,
            seconds=settings.queue.retry_after,
            horizon="" if settings.horizon == "off" else settings.horizon_prefix,
        )

    def endings(self, defaults: Defaults, links: Links, reservations: Reservations) -> Endings:
        settings = self._settings
        return Endings(
            reservations,
            self.failed_jobs(links),
            self.cache(links),
            connection=settings.laravel_connection,
            events_queue=settings.events_queue,
            defaults=defaults,
            read=self.read,
            lock_names=self.lock_names,
            php_takes_over=HAND_BACK in settings.laravel.jobs,
            mask=Mask.of(settings),
            now=time.time,
        )

    def open_endings(self, defaults: Defaults) -> tuple[Reservations, Endings]:
        links = self.links()
        reservations = self.reservations(links.redis())
        return reservations, self.endings(defaults, links, reservations)

    def look(self, links: Links) -> Standing:
        settings = self._settings
        store = self.cache(links)
        down = settings.laravel.maintenance_store
        return look(
            store,
            None if down is None else self._store(links, down),
            settings.laravel.storage,
            settings.laravel_connection,
            settings.queues,
        )

    def read(self, payload: Payload) -> Command:
        if payload.is_object_job:
            return read_command(payload.command, self._encrypter)
        data = payload.data if isinstance(payload.data, dict) else {}
        return _plain_command(payload.class_name, data)

    def lock_names(self, payload: Payload) -> Sequence[str]:
        names = [payload.unique_key] if payload.unique_key else []
        row = self._table.get(payload.class_name)
        if row is None or not row.unique_by:
            return names
        try:
            arguments = self.read(payload).arguments(row.model)
        except CommandError:
            return names  # whose lock it was cannot be said
        identity = row.unique_id(arguments)
        shown = payload.name if payload.name != payload.class_name else None
        return [*names, *unique_lock_names(payload.class_name, identity, shown)]

    def is_cancelled(self, connection: Any, batch_id: str) -> bool:
        with mysql_errors():
            return is_cancelled(connection, self._settings.mysql.laravel_database, batch_id)

    def drain(self, redis: Redis, connection: Any) -> int:
        with mysql_errors():
            return quarantine.drain(
                redis, connection, self._settings.prefix, self._settings.queues
            )

    def failed_jobs(self, links: Links) -> FailedJobs:
        queue, laravel = self._settings.queue, self._settings.laravel
        if queue.failed_driver == "null":
            return NoFailedJobs()
        if queue.failed_driver == "file":
            if laravel.storage is None or not laravel.storage.is_dir():
                raise SettingsError(
                    "QUEUE_FAILED_DRIVER=file: set FLEET_LARAVEL_STORAGE to the application's "
                    "storage folder on this host, or use database-uuids"
                )
            path = laravel.storage / "framework" / "cache" / "failed-jobs.json"
            return FileFailedJobs(path, laravel.timezone)
        if queue.failed_driver == "dynamodb":
            raise SettingsError(
                "QUEUE_FAILED_DRIVER=dynamodb: the fleet writes no AWS tables; set database-uuids"
            )
        schema = queue.failed_database or self._settings.mysql.laravel_database
        return DatabaseFailedJobs(
            partial(transaction, links), schema, queue.failed_table, laravel.timezone
        )

    def cache(self, links: Links) -> CacheStore:
        name = self._settings.cache.store
        if name is None:
            return UnreachableCache(
                "CACHE_STORE (CACHE_DRIVER before Laravel 11) is written nowhere: write it, or run "
                "`php artisan fleet:export`"
            )
        return self._store(links, name)

    def _store(self, links: Links, name: str) -> CacheStore:
        settings = self._settings
        prefixes = settings.cache.prefixes
        if name == "redis":
            found = self._caches.get(id(links))
            if found is None:
                values = control_client(settings.cache.redis, "fleet-laravel-cache")
                locks = control_client(settings.redis, "fleet-laravel-cache")
                found = RedisCache(values, locks, [settings.prefix + one for one in prefixes])
                self._caches[id(links)] = found
            return found
        if name == "database":
            schema = settings.mysql.laravel_database
            return DatabaseCache(partial(transaction, links), schema, prefixes)
        if name == "file" and settings.laravel.storage is not None:
            return FileCache(settings.laravel.storage, time.time)
        return UnreachableCache(
            f"the cache store {name!r} cannot be read from here: set CACHE_STORE to redis or "
            "database, or FLEET_LARAVEL_STORAGE for files"
        )


def _plain_command(name: str, data: Mapping[str, Any]) -> Command:
    """A job that was pushed as `Class@method` with data: no object, no chain, no batch."""
    return Command(
        class_name=name, properties=data, queue=None, connection=None, delay=None, chained=(),
        chain_queue=None, chain_connection=None, chain_catch=False, batch_id=None, unique_id=None,
        unique_lock_owner=None,
    )  # fmt: skip


def encrypter(settings: Settings) -> Encrypter | None:
    """With the application's key, in roles that may hold it; None without a key."""
    if settings.app_key is None:
        return None
    return Encrypter(
        settings.app_key,
        settings.app_previous_keys,
        cipher=settings.laravel.cipher,
    )


@contextmanager
def transaction(links: Links) -> Iterator[Any]:
    """A cursor; what it did is committed at the end. Raises Unavailable."""
    with mysql_errors():
        connection = links.mysql()
        yield connection.cursor()
    links.commit()
