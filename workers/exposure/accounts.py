"""Accounts at exchanges: how fresh they are, their user streams, what venues allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from shared.exchanges.limits import state_key
from shared.exchanges.scripts import script
from shared.exchanges.table import VENUES
from shared.mysql.connection import connect
from shared.queries import load
from shared.settings import Settings
from workers.alerts import Sample
from workers.exposure.books import READ_SECONDS
from workers.exposure.samples import tell
from workers.lease import broker_redis
from workers.sync import status as sync_status
from workers.userstreams.leases import nodes_key

SQL = load(Path(__file__).with_name("accounts.sql"))
BROKER_SECONDS = 5.0


def freshness(settings: Settings) -> Iterator[Sample]:
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        groups, gaps = sync_status.groups(connection), sync_status.gaps(connection)
    for group in groups:
        of = {"venue": group.venue, "egress": group.egress, "tier": group.tier}
        yield tell("fleet_exchange_accounts", group.accounts, state=group.state, **of)
        if group.state == "active":
            yield tell("fleet_sync_failing", group.failing, **of)
            yield tell("fleet_sync_overdue_seconds", group.late_seconds, **of)
            yield tell("fleet_sync_oldest_seconds", group.stale_seconds, **of)
    for gap in gaps:
        yield tell("fleet_stream_gaps_open", gap.gaps, venue=gap.venue, cause=gap.cause)


def streams_down(settings: Settings) -> Iterator[Sample]:
    """A stream is there while a node lives and says that it is not down. Where none lives, nobody
    says anything, and all of them are down.
    """
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        down: Counter[str] = Counter()
        for gap in sync_status.gaps(connection):
            down[gap.venue] += gap.down
        cursor = connection.cursor()
        cursor.execute(SQL["streamed"])
        wanted = {venue: int(count) for venue, count in cursor.fetchall()}
        connection.commit()
    with closing(broker_redis(settings, socket_timeout=BROKER_SECONDS)) as redis:
        seconds, micros = redis.time()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        nodes: Any = redis.zrange(nodes_key(settings.broker_prefix), 0, -1, withscores=True)
    lives = any(until_ms > now_ms for _, until_ms in nodes)
    for venue, accounts in wanted.items():
        yield tell("fleet_streams_down", down[venue] if lives else accounts, venue=venue)


def budgets(settings: Settings) -> Iterator[Sample]:
    """By the limiter's own script. Products of a venue may have windows of their own: the fullest
    and the longest pause count.
    """
    look = script("look")
    used: dict[tuple[str, str], float] = {}
    paused: dict[tuple[str, str], float] = {}
    with closing(broker_redis(settings, socket_timeout=BROKER_SECONDS)) as redis:
        for venue in {venue.ccxt_class: venue for venue in VENUES.values()}.values():
            for egress in settings.egress:
                key = state_key(settings.broker_prefix, venue, egress)
                window_ms = venue.weights.window_ms
                found: Any = redis.eval_ro(look, 2, key, f"{key}:address", str(window_ms))
                of, most = (venue.name, egress), venue.weights.per_window
                ratio = int(found[0]) / most if most else 0.0
                used[of] = max(used.get(of, 0.0), ratio)
                paused[of] = max(paused.get(of, 0.0), int(found[2]) / 1000)
    for (name, egress), ratio in used.items():
        yield tell("fleet_exchange_budget_used_ratio", ratio, venue=name, egress=egress)
        seconds = paused[name, egress]
        yield tell("fleet_exchange_paused_seconds", seconds, venue=name, egress=egress)
