"""How often an account is asked, by what it does. Pure; the figures are the policy.

An account that trades or holds something is looked at every minute, one that is quiet every quarter
of an hour, one that was quiet for a month four times a day. Where the venue's budget is too small
for that, those that waited longest come first, so that all of them are late alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from shared.exchanges.venue import KINDS, Kind

TierName = Literal["active", "idle", "dormant"]

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)

EVERY: Mapping[TierName, Mapping[Kind, timedelta]] = {
    "active": {**dict.fromkeys(KINDS, _MINUTE), "orders": 5 * _MINUTE},
    "idle": {**dict.fromkeys(KINDS, 15 * _MINUTE), "orders": _HOUR},
    "dormant": dict.fromkeys(KINDS, 6 * _HOUR),
}
ACTIVE_MS = 3_600_000  # after its last movement
DORMANT_MS = 30 * 86_400_000
TOGETHER = 0.2
"""A kind that comes due within this share of its interval is asked in the same run."""
JITTER = 0.1
SAME_AGAIN_MS = 600_000
"""Snapshots that say what the last ones said are recorded no more often: each is several rows."""
PERMISSIONS_EVERY = timedelta(days=1)

RETRY = timedelta(seconds=5)
RETRY_MOST = timedelta(minutes=10)


def tier_of(now_ms: int, moved_ms: int | None, *, holds: bool) -> TierName:
    """moved_ms: its newest movement; None: none since it was linked. holds: a position is open."""
    quiet_ms = now_ms - (moved_ms or 0)
    if holds or quiet_ms < ACTIVE_MS:
        return "active"
    return "dormant" if quiet_ms >= DORMANT_MS and moved_ms is not None else "idle"


def next_in(tier: TierName, kind: Kind, account_id: int, version: int) -> timedelta:
    """Until the next turn. Accounts linked together drift apart: each turn has its own jitter."""
    mark = zlib.crc32(f"{account_id}:{version}".encode()) / 2**32
    return EVERY[tier][kind] * (1 - JITTER * mark)


def retry_in(failures: int) -> timedelta:
    """After so many failures in a row: twice as long each time, up to RETRY_MOST."""
    return min(RETRY * (1 << min(failures, 10)), RETRY_MOST)


def due_kinds(left: Mapping[Kind, timedelta], tier: TierName) -> tuple[Kind, ...]:
    """left: until each kind is due; those that are, or nearly, in the order of a run."""
    return tuple(
        kind for kind in KINDS if left.get(kind, timedelta()) <= EVERY[tier][kind] * TOGETHER
    )
