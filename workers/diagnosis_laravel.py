"""What `fleet doctor` says of the guest's manners: queue, cache and the PHP side. Pure."""

from __future__ import annotations

from shared.settings import Settings
from workers.diagnosis import Finding, number

EXPORT = "php artisan fleet:export, where the application's configuration is"
STORES = ("redis", "database", "file")
HORIZONS = (5, 9), (5, 45)
"""First and last version whose records were looked at: shared/decisions/0011."""


def laravel(settings: Settings) -> list[Finding]:
    """What the settings alone show."""
    found = [*_queue(settings), *_signals(settings), *_failed(settings), *_horizon(settings)]
    found += _php_side(settings)
    return found or [Finding("laravel", "ok", f"queues {', '.join(settings.queues)}")]


def _queue(settings: Settings) -> list[Finding]:
    found = []
    if settings.queue.retry_after is None:
        text = "retry_after is null: the job of a worker that died never comes back"
        cure = "config/queue.php: 'retry_after' => 90"
        found.append(Finding("laravel queue", "fail", text, cure))
    elif settings.queue.timeout >= settings.queue.retry_after:
        text = "a job may run longer than retry_after; PHP workers would start it a second time"
        cure = f"FLEET_QUEUE_TIMEOUT below {settings.queue.retry_after}, or a longer retry_after"
        found.append(Finding("laravel queue", "warn", text, cure))
    connection = settings.queue.connection
    if connection in {"sync", "null"}:
        text = f"QUEUE_CONNECTION={connection}: the application queues nothing by default"
        cure = "QUEUE_CONNECTION=redis, or dispatch with ->onConnection('redis')"
        found.append(Finding("laravel queue", "warn", text, cure))
    return found


def _signals(settings: Settings) -> list[Finding]:
    found = []
    store, storage = settings.cache.store, settings.laravel.storage
    if store is None:
        text = "the cache store is written nowhere: queue:restart and queue:pause are not seen"
        cure = f"CACHE_STORE=redis (CACHE_DRIVER before Laravel 11), or {EXPORT}"
        found.append(Finding("laravel signals", "warn", text, cure))
    elif store not in STORES or (store == "file" and storage is None):
        text = f"cache store {store}: queue:restart and queue:pause are not seen from here"
        cure = "CACHE_STORE=redis or database, or FLEET_LARAVEL_STORAGE for files"
        found.append(Finding("laravel signals", "warn", text, cure))
    if settings.laravel.maintenance_store is None and storage is None:
        text = "maintenance mode stands in a file that is not on this host: it is not obeyed"
        cure = "FLEET_LARAVEL_STORAGE=/path/to/storage, or APP_MAINTENANCE_DRIVER=cache"
        found.append(Finding("laravel signals", "warn", text, cure))
    return found


def _failed(settings: Settings) -> list[Finding]:
    driver = settings.queue.failed_driver
    if driver == "dynamodb":
        text = "QUEUE_FAILED_DRIVER=dynamodb: failed jobs could not be recorded"
        return [Finding("laravel failed jobs", "fail", text, "QUEUE_FAILED_DRIVER=database-uuids")]
    if driver == "file" and settings.laravel.storage is None:
        text = "QUEUE_FAILED_DRIVER=file: the file is not on this host"
        cure = "FLEET_LARAVEL_STORAGE=/path/to/storage"
        return [Finding("laravel failed jobs", "fail", text, cure)]
    if driver == "null":
        text = "QUEUE_FAILED_DRIVER=null: failed jobs are gone, as in the application itself"
        return [Finding("laravel failed jobs", "warn", text, "QUEUE_FAILED_DRIVER=database-uuids")]
    return []


def _horizon(settings: Settings) -> list[Finding]:
    name = settings.laravel.horizon or ""
    installed, (first, last) = number(name.removeprefix("v"))[:2], HORIZONS
    if settings.horizon == "off" or not installed:
        return []
    if installed < first:
        text = f"Horizon {name} keeps other records than those we write, of 5.9 and later"
        return [Finding("horizon", "fail", text, "FLEET_HORIZON=off, or composer update horizon")]
    if installed > last:
        text = f"Horizon {name} is newer than those that our records were compared with"
        cure = "look at a job of Python's on its pages, or FLEET_HORIZON=off"
        return [Finding("horizon", "warn", text, cure)]
    return []


def _php_side(settings: Settings) -> list[Finding]:
    if settings.laravel.jobs:
        return []
    text = (
        f"Laravel has not said that it has our package: chains and batches wait on the queue "
        f"{settings.events_queue}, and it is told of no closed day"
    )
    cure = f"composer require tradefleet/laravel, then {EXPORT}"
    return [Finding("laravel package", "warn", text, cure)]
