"""The peer with one Celery task per fill: `celery -A tests.bench.celery_peer:app worker`."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery
from MySQLdb import OperationalError

from shared.mysql.connection import connect
from shared.settings import Settings, load
from tests.bench.same_ledger import record

_local = threading.local()


def make(settings: Settings) -> Any:
    """The application, for the worker and for whoever sends the tasks."""
    made = Celery("bench")
    made.conf.update(
        broker_url=settings.broker.url().get_secret_value(),
        broker_transport_options={"global_keyprefix": settings.broker_prefix},
        task_default_queue="bench",
        task_ignore_result=True,
        task_acks_late=True,
        worker_hijack_root_logger=False,
    )

    def fill(fields: dict[str, str]) -> None:
        connection = _connection(settings)
        try:
            record(connection, [{name.encode(): value.encode() for name, value in fields.items()}])
        except OperationalError:
            connection.rollback()
            raise

    made.task(
        fill, name="bench.fill", autoretry_for=(OperationalError,), default_retry_delay=0.05
    )
    return made


def _connection(settings: Settings) -> Any:
    found = getattr(_local, "connection", None)
    if found is None:
        found = _local.connection = connect(settings.mysql)
    return found


if os.environ.get("FLEET_DB_DATABASE", "").startswith("fleet_bench"):
    app = make(load("jobs"))
