"""Composition of the exchange sync: settings become a batch's tools, and beat's tasks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache, partial
from typing import Any

from celery import current_app

from shared.exchanges.client import Exchanges
from shared.exchanges.limits import Limits, limits_client
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product, Venue
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.collector import calm_collector
from workers.dispatches import dispatch
from workers.laravel_jobs.outgoing import AccountSuspended
from workers.lease import broker_redis
from workers.sync import batch, planner, store
from workers.sync.account import Desk
from workers.sync.connections import Connections
from workers.sync.credentials import Credentials
from workers.sync.loop import Loop
from workers.userstreams import store as userstreams

TASK = "fleet.sync"
QUEUE = "fleet.sync"

KEYS_HELD = 10_000
"""Accounts whose opened keys a process keeps in its memory: some 2 KB each. Others of the same
account are others here, so a rotated key is seen at once.
"""

_tools: dict[int, batch.Tools] = {}
_building = threading.Lock()


def close() -> None:
    """At the end of a worker: connections to venues and to Redis."""
    with _building:
        for tools in _tools.values():
            tools.close()
        _tools.clear()


def sync_accounts(settings: Settings, account_ids: Sequence[int]) -> Counter[str]:
    """The task: asks these accounts' venues what is due."""
    with _building:
        tools = _tools.get(id(settings))
        if tools is None:
            tools = _tools[id(settings)] = tools_of(settings)
            calm_collector()
    return batch.run_batch(tools, account_ids)


def tools_of(
    settings: Settings, venues: Mapping[tuple[str, Product], Venue] = VENUES
) -> batch.Tools:
    """Starts the event loop that the connections to venues live on."""
    loop = Loop("fleet-exchanges")
    return batch.Tools(
        mysql=Connections(partial(connect, settings.mysql)),
        redis=broker_redis(settings),
        prefix=settings.broker_prefix,
        desk=Desk(
            exchanges=loop.wait(_exchanges(settings), 10.0),
            venues=venues,
            open_keys=lru_cache(KEYS_HELD)(Credentials(settings).open),
            allow_withdraw=settings.allow_withdraw_keys,
        ),
        loop=loop,
        tell_suspended=partial(tell_suspended, settings),
    )


async def _exchanges(settings: Settings) -> Exchanges:
    limits = Limits(limits_client(settings.broker, "fleet-sync"), settings.broker_prefix,
                    settings.order_share)  # fmt: skip
    return Exchanges(limits, settings.egress, url=settings.exchange_url)


def tell_suspended(settings: Settings, connection: Any, account_id: int, reason: str) -> None:
    """Laravel, in the transaction that suspends."""
    dispatch(connection, settings, AccountSuspended(account_id=account_id, reason=reason[:512]))


# -- beat's tasks ----------------------------------------------------------------------------------


def plan_syncs(settings: Settings) -> int:
    """Scheduled: see workers/sync/planner.py."""
    venues = sorted({venue for venue, _ in VENUES})
    with closing(connect(settings.mysql)) as connection:
        return planner.plan(connection, venues, settings.egress, _send)


def note_accounts(settings: Settings) -> int:
    """Scheduled: see workers/sync/planner.py."""
    with closing(connect(settings.mysql)) as connection:
        return planner.note_accounts(connection, VENUES, sorted(settings.egress))


def confirm_syncs(settings: Settings) -> int:
    """Scheduled: see workers/sync/store.py and workers/userstreams/store.py."""
    with closing(connect(settings.mysql)) as connection:
        return store.confirm(connection) + userstreams.close_gaps(connection)


def _send(account_ids: Sequence[int]) -> None:
    current_app.send_task(TASK, args=[list(account_ids)], queue=QUEUE)
