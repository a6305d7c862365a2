"""One account at its venue: keys opened, what they may do, the questions that are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from shared import telemetry
from shared.errors import FleetError
from shared.exchanges.client import Caller, Exchanges
from shared.exchanges.keys import Keys
from shared.exchanges.venue import Account, Kind, Permissions, Product, Venue
from workers.sync.credentials import CredentialsError
from workers.sync.judge import QUIET_MS
from workers.sync.run import NOTHING, Answered, Asked, ask, ended_by
from workers.sync.settle import WITHDRAWS, Run
from workers.sync.store import Loaded
from workers.sync.tiers import PERMISSIONS_EVERY, due_kinds

PATIENCE_MS = 70_000
"""Longest wait for the venue's budget: a window and a little, and well within a lease."""
CLOCK = "our clock of the venue was ahead, and is right now; it is asked again"
BUG = "a bug of ours ({}): the log of the role `sync` has it in full"

_log = telemetry.log(__name__)

OpenKeys = Callable[[int, str | None, str | None, str | None], Keys]


class Desk(NamedTuple):
    """What every account's run shares. exchanges: belongs to the event loop."""

    exchanges: Exchanges
    venues: Mapping[tuple[str, Product], Venue]
    open_keys: OpenKeys
    allow_withdraw: bool


async def run_account(desk: Desk, now: datetime, loaded: Loaded) -> Run:
    """What the venue, the keys, or a bug of ours say about it is in the Run: no cursor moves, and
    the other accounts of the batch do not pay for it.
    """
    venue = desk.venues[loaded.venue, loaded.product]
    try:
        return await _run(desk, venue, now, loaded)
    except Exception as bug:  # noqa: BLE001 - told in full below; the account is asked again later
        _log.exception("sync_bug", account=loaded.account_id)
        answered = NOTHING._replace(error=BUG.format(type(bug).__name__))
        return Run(loaded, answered, tuple(venue.readings), 0)


async def _run(desk: Desk, venue: Venue, now: datetime, loaded: Loaded) -> Run:
    ended = partial(Run, loaded, kinds=tuple(venue.readings), now_ms=0)
    try:
        keys = desk.open_keys(loaded.account_id, *loaded.sealed)
    except CredentialsError as error:
        return ended(answered=NOTHING._replace(refused=str(error)))
    caller = Caller(loaded.account_id, keys, loaded.egress, patience_ms=PATIENCE_MS)
    permissions: Permissions | None = None
    try:
        if _permissions_due(now, loaded):
            permissions = await desk.exchanges.read(venue, venue.permissions(), caller)
            if permissions.withdraw and not desk.allow_withdraw:
                answered = NOTHING._replace(refused=WITHDRAWS)
                return ended(answered=answered, permissions=permissions)
        now_ms = await desk.exchanges.now_ms(venue, loaded.egress)
        markets = await desk.exchanges.markets(venue, loaded.egress)
    except FleetError as error:
        return ended(answered=ended_by(error), permissions=permissions)
    asked = Asked(
        account=Account(
            account_id=loaded.account_id,
            products=venue.products,
            markets=markets,
            now_ms=now_ms,
            since_ms=loaded.since_ms or now_ms,
            held=loaded.held,
        ),
        venue=venue,
        due=_due(now, loaded, venue),
        cursors=loaded.cursors,
        first=loaded.since_ms is None,
        moved_ms=loaded.moved_ms,
    )
    began = time.monotonic()
    answered = await ask(asked, lambda reading: desk.exchanges.read(venue, reading, caller))
    passed_ms = (time.monotonic() - began) * 1000
    if answered.error is None and answered.refused is None:
        answered = await _in_time(desk, venue, loaded, now_ms + passed_ms, answered)
    if answered.unknown_market is not None:
        # Listed since the markets were read; the next run knows it.
        with suppress(FleetError):
            await desk.exchanges.markets(venue, loaded.egress, answered.unknown_market)
    return ended(answered=answered, permissions=permissions)._replace(now_ms=now_ms)


async def _in_time(
    desk: Desk, venue: Venue, loaded: Loaded, expected_ms: float, answered: Answered
) -> Answered:
    """The clock is read anew when a venue refuses our time. What was asked for before, at a time
    that the venue had not reached, claims too much.
    """
    try:
        now_ms = await desk.exchanges.now_ms(venue, loaded.egress)
    except FleetError as error:
        return ended_by(error)
    return NOTHING._replace(error=CLOCK) if expected_ms - now_ms > QUIET_MS else answered


def _permissions_due(now: datetime, loaded: Loaded) -> bool:
    asked_at = loaded.permissions_at
    return asked_at is None or now - asked_at >= PERMISSIONS_EVERY


def _due(now: datetime, loaded: Loaded, venue: Venue) -> tuple[Kind, ...]:
    left = {kind: at - now for kind, at in loaded.due_at.items()}
    if loaded.since_ms is None:
        left = {}
    return tuple(kind for kind in due_kinds(left, loaded.tier) if kind in venue.readings)
