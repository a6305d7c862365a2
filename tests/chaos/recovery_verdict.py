"""The end of a recovery: books against the exchange, sinks against the tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from shared.mysql.connection import connect
from shared.settings import Settings
from tests.chaos.exchange import Member
from tests.chaos.recovery_world import PARTITIONS, RecoveryWorld, rows
from tests.chaos.sync_storm import OPENED_TWICE
from tests.chaos.verdict import what_is_left
from tests.sync_truth import BOOKED_FILLS, true_fill
from workers.cdc.rebuild_rows import AuditReader
from workers.identities import check_account
from workers.reconcile import reconcile_account
from workers.registry import STREAMS
from workers.status import collect


def on_its_way(world: RecoveryWorld) -> list[str]:
    """Work that is still to be done."""
    settings = world.settings("migrate")
    with closing(connect(settings.mysql)) as connection, closing(world.redis.client()) as redis:
        return what_is_left(
            collect(connection, redis, settings.prefix, STREAMS, PARTITIONS, budget_bytes=None)
        )


def differences(
    world: RecoveryWorld, accounts: Sequence[Member], since_ms: Mapping[int, int]
) -> list[str]:
    """Books against the exchange, when everything is quiet. since_ms: when each was linked."""
    found: list[str] = []
    settings = world.settings("migrate")
    with closing(connect(settings.mysql)) as connection:
        for account in accounts:
            found += _fills(world, account, since_ms[account.account])
            found += _identities(connection, settings, account)
    found += [f"parked: {row}" for row in _rows(world, "SELECT type, error FROM fleet_parked")]
    return found + [f"opened twice: {row}" for row in _rows(world, OPENED_TWICE)]


def sinks_apart(world: RecoveryWorld) -> list[str]:
    """Positions of the source and of both sinks, without the proof that is tested."""
    ours = {
        json.dumps([str(account), product, instrument, side]): (qty, realized)
        for account, product, instrument, side, qty, realized in _rows(
            world,
            "SELECT account_id, product, instrument, position_side, CAST(qty AS CHAR),"
            " CAST(realized AS CHAR) FROM fleet_positions",
        )
    }
    theirs: Any = {
        json.dumps(json.loads(str(key))): (qty, realized)
        for key, qty, realized in world.timescale.run(
            "SELECT row_key, row->>'qty', row->>'realized' FROM fleet.row_state"
            " WHERE table_name = 'fleet_positions' AND NOT deleted"
        )
    }
    with closing((world.audit or world.mysql).connection()) as connection:
        logged: Any = {
            json.dumps(json.loads(key)): (row["qty"], row["realized"])
            for key, row in AuditReader(connection).rows("fleet_positions", 2**62)
        }
    return [
        f"{name}: positions {found}, true are {ours}"
        for name, found in (("timescale", theirs), ("audit", logged))
        if found != ours
    ]


def _fills(world: RecoveryWorld, account: Member, since_ms: int) -> list[str]:
    truth = world.exchange.do("truth", venue=account.venue, api_key=account.api_key)
    true = sorted(true_fill(one) for one in truth["fills"] if one["at_ms"] >= since_ms)
    booked = sorted(_rows(world, BOOKED_FILLS, account.account))
    if booked == true:
        return []
    lost = len(Counter(true) - Counter(booked))
    return [f"{account.name}: {len(booked)} fills, {len(true)} are true, {lost} lost"]


def _identities(connection: Any, settings: Settings, account: Member) -> list[str]:
    found = [str(one) for one in reconcile_account(connection, settings, account.account)]
    if violated := check_account(connection, account.account):
        found.append(f"{account.name}: {violated} identities do not hold")
    return found


def _rows(world: RecoveryWorld, sql: str, *words: Any) -> list[Any]:
    return rows(world.mysql.connection, sql, *words)
