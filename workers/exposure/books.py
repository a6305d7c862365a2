"""Books, events, outbox and jobs towards Laravel, from MySQL alone; apart, so that a grant that is
missing for one of them hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from shared.mysql.connection import connect
from shared.queries import load
from shared.settings import Settings
from workers import status
from workers.alerts import Sample
from workers.exposure.samples import tell
from workers.reconcile import SHOWN

SQL = load(Path(__file__).with_name("books.sql"))
READ_SECONDS = 5


def parked(settings: Settings) -> Iterator[Sample]:
    with _asking(settings) as cursor:
        cursor.execute(SQL["parked"])
        for stream, reason, count in cursor.fetchall():
            yield tell("fleet_parked_open", count, stream=stream, reason=reason)


def outbox(settings: Settings) -> Iterator[Sample]:
    with _asking(settings) as cursor:
        cursor.execute(status.SQL["outbox"])
        waiting, unconfirmed, _ = cursor.fetchone()
        yield tell("fleet_outbox_waiting", waiting)
        yield tell("fleet_outbox_unconfirmed", unconfirmed)
        cursor.execute(SQL["outbox_oldest"])
        (oldest_micros,) = cursor.fetchone()
        yield tell("fleet_outbox_oldest_seconds", int(oldest_micros) / 1e6)


def books(settings: Settings) -> Iterator[Sample]:
    with _asking(settings) as cursor:
        cursor.execute(status.SQL["breaks"])
        breaks = {kind: int(count) for kind, count in cursor.fetchall()}
        yield tell("fleet_identity_breaks", breaks.get("identity", 0))
        for kind, count in breaks.items():
            yield tell("fleet_breaks_open", count, kind=kind)
        cursor.execute(SQL["unreconciled"], (SHOWN,))
        yield tell("fleet_unreconciled_accounts", cursor.fetchone()[0])
        cursor.execute(SQL["incomplete"])
        yield tell("fleet_accounts_incomplete", cursor.fetchone()[0])
        cursor.execute(status.SQL["restating"])
        yield tell("fleet_restating_positions", cursor.fetchone()[0])


def dispatches(settings: Settings) -> Iterator[Sample]:
    with _asking(settings) as cursor:
        cursor.execute(SQL["dispatches"])
        waiting, oldest_micros = cursor.fetchone()
        yield tell("fleet_dispatches_waiting", waiting)
        yield tell("fleet_dispatches_oldest_seconds", int(oldest_micros) / 1e6)


@contextmanager
def _asking(settings: Settings) -> Iterator[Any]:
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        yield connection.cursor()
