"""What beat starts, and how often. One row per task; the body is `run` of the module beside.

Every task is idempotent and takes a lease for its run, so two beats, or a redelivered message,
cost a counted `skipped` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from shared.settings import Settings
from workers.scheduled import (
    announce_restatements,
    attribute,
    check_identities,
    close_day,
    note_owners,
    prune_laravel,
    prune_outbox,
    reconcile,
    refresh_mirrors,
    snapshot_equity,
    trim_streams,
)


class Scheduled(NamedTuple):
    """run: does the work once and returns how much it did, for log and metrics.

    every: whole minutes (Sentry watches nothing finer) or seconds below one minute.
    """

    run: Callable[[Settings], int]
    every: timedelta


SCHEDULED: Mapping[str, Scheduled] = {
    "fleet.trim_streams": Scheduled(trim_streams.run, timedelta(minutes=1)),
    "fleet.prune_outbox": Scheduled(prune_outbox.run, timedelta(minutes=5)),
    "fleet.prune_laravel": Scheduled(prune_laravel.run, timedelta(hours=1)),
    "fleet.close_day": Scheduled(close_day.run, timedelta(minutes=1)),
    "fleet.attribute": Scheduled(attribute.run, timedelta(seconds=10)),
    "fleet.check_identities": Scheduled(check_identities.run, timedelta(minutes=1)),
    "fleet.announce_restatements": Scheduled(announce_restatements.run, timedelta(seconds=10)),
    "fleet.note_owners": Scheduled(note_owners.run, timedelta(minutes=10)),
    "fleet.reconcile": Scheduled(reconcile.run, timedelta(minutes=5)),
    "fleet.snapshot_equity": Scheduled(snapshot_equity.run, timedelta(minutes=5)),
    "fleet.refresh_mirrors": Scheduled(refresh_mirrors.run, timedelta(seconds=5)),
}
