"""Is the data good? Every check, a row each: what it asks, what it should find, what to do.

A check counts what is good, and of how much; its objective is the part that must be. Each is cheap
enough for twice a minute: what would read everything (`fleet cdc verify`, `fleet rebuild`,
`fleet reconcile`) looks here at what is newest, or at some accounts in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.queries import load
from shared.settings import Settings
from workers import status
from workers.quality import captured
from workers.quality.found import Found
from workers.quality.sources import Sources
from workers.reconcile import SHOWN
from workers.sync.tiers import EVERY

SQL = load(Path(__file__).with_name("checks.sql"))

Dimension = Literal["completeness", "accuracy", "timeliness", "uniqueness", "consistency"]
ACCOUNTS_AT_ONCE = 200
LAG_SECONDS = 10.0
TURNS = 3
"""An account is fresh for so many of its tier's intervals."""


class Check(NamedTuple):
    """objective: the part that must be good. what: of how many is counted. do: where to begin.
    history: it needs TimescaleDB, and is left out where there is none.
    """

    dimension: Dimension
    objective: float
    look: Callable[[Sources], Found]
    what: str
    do: str
    history: bool = False


def _counted(sql: str, *words: Any) -> Callable[[Sources], Found]:
    """A statement that finds both numbers."""

    def look(sources: Sources) -> Found:
        ((good, total),) = sources.rows(sql, words)
        return Found(int(good), int(total))

    return look


def partitions_timely(sources: Sources) -> Found:
    rows = sources.rows(status.SQL["partitions"])
    found = status.partition_status(sources.redis, sources.settings.prefix, rows)
    late = [one for one in found if one.lag_seconds > LAG_SECONDS]
    named = [f"{one.stream}:{one.partition} {one.lag_seconds:.0f} s" for one in late]
    return Found.of(len(found), named)


def fills_have_positions(sources: Sources) -> Found:
    accounts = turn_of([int(row[0]) for row in sources.rows(SQL["accounts"])],
                       int(sources.now.timestamp()) // 60)  # fmt: skip
    if not accounts:
        return Found(0, 0)
    rows = sources.rows(SQL["fills_have_positions"], (accounts,))
    lost = [f"account {row[0]} {row[2]}" for row in rows if not row[4]]
    return Found.of(len(rows), lost)


def turn_of(accounts: Sequence[int], turn: int) -> list[int]:
    """Some of them, others at the next turn, everybody in the end."""
    turns = -(-len(accounts) // ACCOUNTS_AT_ONCE) or 1
    first = turn % turns * ACCOUNTS_AT_ONCE
    return list(accounts[first : first + ACCOUNTS_AT_ONCE])


def _fresh_seconds() -> tuple[int, ...]:
    slowest = (max(EVERY[tier].values()) for tier in ("active", "idle", "dormant"))
    return tuple(TURNS * int(interval.total_seconds()) for interval in slowest)


CHECKS: Mapping[str, Check] = {
    "outbox_confirmed": Check(
        "completeness", 0.999, _counted(SQL["outbox_confirmed"]),
        "rows of the outbox of more than a minute ago that are in the books",
        "fleet status: do the roles relay and streams run?",
    ),
    "books_complete": Check(
        "completeness", 1.0, _counted(SQL["books_complete"]),
        "accounts without a parked event", "fleet parked list",
    ),
    "accounts_owned": Check(
        "completeness", 1.0, _counted(SQL["accounts_owned"]),
        "accounts whose P&L belongs to a user", "fleet owners list, fleet owners set",
    ),
    "tables_captured": Check(
        "completeness", 1.0, captured.tables_captured,
        "captured tables whose rows are not left out", "fleet cdc status; fleet cdc resync TABLE",
    ),
    "audit_complete": Check(
        "completeness", 1.0, captured.audit_complete,
        "newest transactions that the audit log has", "fleet cdc verify",
    ),
    "identities_hold": Check(
        "accuracy", 1.0, _counted(SQL["identities_hold"]),
        "accounts whose books agree with themselves",
        "fleet breaks list; fleet rebuild --account N",
    ),
    "accounts_reconciled": Check(
        "accuracy", 1.0, _counted(SQL["accounts_reconciled"], SHOWN),
        "accounts whose books agree with their exchange", "fleet reconcile; fleet breaks list",
    ),
    "audit_chain": Check(
        "accuracy", 1.0, captured.audit_chain,
        "newest rows of the audit log whose hash is right", "fleet cdc audit verify",
    ),
    "partitions_timely": Check(
        "timeliness", 1.0, partitions_timely,
        f"partitions whose oldest event waits for less than {LAG_SECONDS:.0f} s",
        "fleet status; more nodes of the role streams",
    ),
    "accounts_fresh": Check(
        "timeliness", 0.99, _counted(SQL["accounts_fresh"], *_fresh_seconds()),
        f"accounts read within {TURNS} turns of their tier", "fleet sync",
    ),
    "accounts_once": Check(
        "uniqueness", 1.0, _counted(SQL["accounts_once"]),
        "accounts that are linked once: of one that is linked twice everything counts twice",
        "fleet sync; unlink one of them in the application",
    ),
    "changes_once": Check(
        "uniqueness", 1.0, captured.changes_once,
        "newest changes that stand in TimescaleDB once", "fleet cdc verify; fleet cdc rebuild",
        history=True,
    ),
    "fills_have_positions": Check(
        "consistency", 1.0, fills_have_positions,
        "traded instruments of some accounts that have a position", "fleet rebuild --account N",
    ),
    "sinks_agree": Check(
        "consistency", 1.0, captured.sinks_agree,
        "newest transactions with as many changes in TimescaleDB as in the audit log",
        "fleet cdc verify", history=True,
    ),
}  # fmt: skip


def checks_of(settings: Settings) -> dict[str, Check]:
    """Those that this fleet can be asked."""
    history = settings.timescale_url is not None
    return {name: one for name, one in CHECKS.items() if history or not one.history}
