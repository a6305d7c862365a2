"""How fresh the accounts are, for `fleet status`, `fleet sync` and the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from shared.queries import load

SQL = load(Path(__file__).with_name("status.sql"))

FAILING_SHOWN = 50


class Group(NamedTuple):
    """Accounts of one venue, address, tier and state.

    late_seconds: the longest overdue turn. stale_seconds: since the oldest run that answered every
    question. unread: accounts that were never read.
    """

    venue: str
    egress: str
    tier: str
    state: str
    accounts: int
    failing: int
    late_seconds: float
    stale_seconds: float
    unread: int


class Failing(NamedTuple):
    """An account that is suspended or could not be read lately."""

    account_id: int
    venue: str
    state: str
    failures: int
    error: str | None


class Gaps(NamedTuple):
    """Open gaps of user streams of one venue, by cause. down: that have not ended."""

    venue: str
    cause: str
    gaps: int
    down: int
    oldest_seconds: float


def groups(connection: Any) -> list[Group]:
    cursor = connection.cursor()
    cursor.execute(SQL["groups"])
    return [
        Group(
            venue, egress, tier, state, int(accounts), int(failing), int(late) / 1e6,
            int(stale) / 1e6, int(unread),
        )
        for venue, egress, tier, state, accounts, failing, late, stale, unread in cursor.fetchall()
    ]  # fmt: skip


def failing(connection: Any) -> list[Failing]:
    cursor = connection.cursor()
    cursor.execute(SQL["failing"], (FAILING_SHOWN,))
    return [Failing(*row) for row in cursor.fetchall()]


def gaps(connection: Any) -> list[Gaps]:
    cursor = connection.cursor()
    cursor.execute(SQL["gaps"])
    return [
        Gaps(venue, cause, int(number), int(down), int(oldest) / 1e6)
        for venue, cause, number, down, oldest in cursor.fetchall()
    ]
