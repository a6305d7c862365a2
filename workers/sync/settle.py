"""What a run means for an account: its next turn, its tier, its suspension. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.exchanges.venue import Kind, Permissions
from workers.sync.judge import content_of
from workers.sync.run import NOTHING, Answered
from workers.sync.store import Loaded, Saved
from workers.sync.tiers import SAME_AGAIN_MS, TierName, next_in, retry_in, tier_of

WITHDRAWS = (
    "the key may withdraw: make one that may only read and trade, or set "
    "FLEET_ALLOW_WITHDRAW_KEYS=1"
)
TWICE = "the same exchange account is linked as account {}: unlink one of the two"


class Run(NamedTuple):
    """One account's run. kinds: what its venue can be asked for. now_ms: the venue's time.

    permissions: None where they were not asked for.
    """

    loaded: Loaded
    answered: Answered
    kinds: Sequence[Kind]
    now_ms: int
    permissions: Permissions | None = None


def settle(
    now: datetime, run: Run, linked_before: int | None, same_again_ms: int = SAME_AGAIN_MS
) -> Saved:
    """linked_before: another account of ours at the same account of the exchange. same_again_ms:
    after so long snapshots are recorded though they say nothing new.
    """
    if linked_before is not None:
        refused = TWICE.format(linked_before)
        run = run._replace(answered=NOTHING._replace(refused=refused))
    loaded, answered = run.loaded, run.answered
    complete = answered.error is None and answered.refused is None
    moved_ms = max(filter(None, (loaded.moved_ms, answered.judged.moved_ms)), default=None)
    tier = _tier(run, moved_ms) if complete else loaded.tier
    told_hash = content_of(answered.judged.snapshots)
    tells = bool(told_hash) and not _said(run, told_hash, moved_ms, same_again_ms)
    due_at = {
        kind: now if kind in answered.again else now + next_in(tier, kind, *_turn(loaded))
        for kind in answered.cursors
    }
    return Saved(
        loaded=loaded,
        events=[*answered.judged.events, *(answered.judged.snapshots if tells else ())],
        cursors=answered.cursors,
        through_ms=answered.through_ms,
        due_at=due_at,
        account_due_at=_account_due_at(now, run, due_at),
        tier=tier,
        since_ms=loaded.since_ms if loaded.since_ms or not complete else run.now_ms,
        moved_ms=moved_ms,
        told_hash=told_hash if tells else loaded.told_hash,
        told_ms=run.now_ms if tells else loaded.told_ms,
        complete=complete,
        failed=not complete and not answered.pause_ms,
        error=answered.error or answered.refused,
        suspended=answered.refused,
        venue_uid=run.permissions.uid if run.permissions else None,
        permissions_asked=run.permissions is not None,
    )


def _said(run: Run, told_hash: str, moved_ms: int | None, same_again_ms: int) -> bool:
    """Whether the last snapshots said the same, lately, and nothing moved since."""
    loaded = run.loaded
    if loaded.told_ms is None or loaded.told_hash != told_hash:
        return False
    return run.now_ms - loaded.told_ms < same_again_ms and (moved_ms or 0) < loaded.told_ms


def _turn(loaded: Loaded) -> tuple[int, int]:
    return loaded.account_id, loaded.version


def _tier(run: Run, moved_ms: int | None) -> TierName:
    """Where positions were not asked for this time, the account stays what it was. Spot has none:
    there only what moves counts.
    """
    holds = run.answered.judged.holds
    if holds is None and "positions" in run.kinds:
        return run.loaded.tier
    return tier_of(run.now_ms, moved_ms, holds=bool(holds))


def _account_due_at(now: datetime, run: Run, due_at: dict[Kind, datetime]) -> datetime:
    answered = run.answered
    if answered.pause_ms:
        return now + timedelta(milliseconds=answered.pause_ms)
    if answered.error is not None:
        return now + retry_in(run.loaded.failures)
    return min({**dict.fromkeys(run.kinds, now), **run.loaded.due_at, **due_at}.values())

