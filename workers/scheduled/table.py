"""What beat starts, and how often. One row per task; the body is `run` of the module beside.

Every task is idempotent and takes a lease for its run, so two beats, or a redelivered message,
cost a counted `skipped` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from shared.settings import Settings
from workers.lease import LEASE
from workers.scheduled import (
    announce_restatements,
    attribute,
    check_identities,
    check_quality,
    close_day,
    confirm_syncs,
    copy_equity,
    keep_audit,
    keep_history,
    note_accounts,
    note_owners,
    plan_syncs,
    prune_laravel,
    prune_outbox,
    reconcile,
    refresh_mirrors,
    snapshot_equity,
    thin_observed,
    trim_streams,
)


class Scheduled(NamedTuple):
    """run: does the work once and returns how much it did, for log and metrics.

    every: whole minutes (Sentry watches nothing finer) or seconds below one minute. queue: whose
    workers run it. lease: longer than a run may take; one that was killed holds it so long.
    """

    run: Callable[[Settings], int]
    every: timedelta
    queue: str = "fleet.jobs"
    lease: timedelta = LEASE


SCHEDULED: Mapping[str, Scheduled] = {
    "fleet.trim_streams": Scheduled(trim_streams.run, timedelta(minutes=1)),
    "fleet.prune_outbox": Scheduled(prune_outbox.run, timedelta(minutes=5)),
    "fleet.prune_laravel": Scheduled(prune_laravel.run, timedelta(hours=1)),
    "fleet.close_day": Scheduled(close_day.run, timedelta(minutes=1)),
    "fleet.attribute": Scheduled(attribute.run, timedelta(seconds=10)),
    "fleet.check_identities": Scheduled(check_identities.run, timedelta(seconds=30)),
    "fleet.check_quality": Scheduled(check_quality.run, timedelta(seconds=30)),
    "fleet.announce_restatements": Scheduled(announce_restatements.run, timedelta(seconds=10)),
    "fleet.note_owners": Scheduled(note_owners.run, timedelta(minutes=10)),
    "fleet.reconcile": Scheduled(reconcile.run, timedelta(minutes=5)),
    "fleet.snapshot_equity": Scheduled(snapshot_equity.run, timedelta(minutes=5)),
    "fleet.copy_equity": Scheduled(copy_equity.run, timedelta(minutes=1)),
    "fleet.keep_history": Scheduled(keep_history.run, timedelta(hours=1)),
    "fleet.thin_observed": Scheduled(thin_observed.run, timedelta(hours=1)),
    "fleet.keep_audit": Scheduled(
        keep_audit.run, timedelta(hours=1), lease=timedelta(minutes=40)
    ),
    "fleet.note_accounts": Scheduled(note_accounts.run, timedelta(seconds=10)),
    "fleet.plan_syncs": Scheduled(
        plan_syncs.run, timedelta(seconds=1), "fleet.sync", timedelta(seconds=20)
    ),
    "fleet.confirm_syncs": Scheduled(confirm_syncs.run, timedelta(seconds=5)),
    "fleet.refresh_mirrors": Scheduled(refresh_mirrors.run, timedelta(seconds=5)),
}
