"""How much of everything a desk needs, reckoned from measured figures. Pure.

A node is one process on one thread of a core, its servers beside it. Everything is sized for the
peak, at PEAK_USE of what was measured, so that a node may be missing; what lies around is sized by
the day's average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from shared.exchanges.binance_orders import SLOW_MS
from shared.exchanges.table import VENUES
from shared.exchanges.venue import Kind, Product
from workers.capacity_figures import BYTES, CHANGES_OF_A_FILL, RATES, WEIGHTS
from workers.sync.tiers import EVERY, TierName

DAY_SECONDS = 86_400
PEAK_USE = 0.6
BUDGET_USE = 0.8
"""Of what a venue allows an address: `make bench BENCH=sync-budget` uses nine tenths of it."""
STREAM_SPARE = 2.0
"""Beyond the mean: accounts are not spread evenly over the partitions' streams."""


class Desk(NamedTuple):
    """What is to be carried.

    fills: of an account a day. positions: open ones of an account, each with a row a day of its
    own. peak: fills a second at the worst, against the day's average. tiers: shares of accounts;
    venues: shares by venue and product. order_share: of the budgets, kept for the application's
    own orders. retention_hours: of the streams; days: of everything in the databases.
    """

    users: int
    accounts: float
    fills: float
    positions: float
    peak: float
    tiers: Mapping[TierName, float]
    venues: Mapping[tuple[str, Product], float]
    order_share: float
    partitions: int
    retention_hours: float
    days: int


class Need(NamedTuple):
    """One line. why: how it was reckoned, in words that can be checked."""

    what: str
    amount: float
    unit: str
    why: str


def capacity(desk: Desk) -> list[Need]:
    accounts = desk.users * desk.accounts
    a_day = accounts * desk.fills
    at_peak = a_day / DAY_SECONDS * desk.peak
    return [
        Need("accounts", accounts, "", f"{desk.users:,} users with {desk.accounts:g} each"),
        Need("fills", a_day, "a day", f"{desk.fills:g} of each account"),
        Need("fills", at_peak, "a second at the peak", f"{desk.peak:g} times the average"),
        *_workers(desk, accounts, at_peak),
        *_memory(desk, a_day),
        *_disk(desk, accounts, a_day),
        *_addresses(desk, accounts),
    ]


# -- what runs -------------------------------------------------------------------------------------


def _workers(desk: Desk, accounts: float, at_peak: float) -> list[Need]:
    turns = sum(accounts * share / _seconds(_turn(tier)) for tier, share in desk.tiers.items())
    streams = _nodes(at_peak, "fills")
    captured = at_peak * CHANGES_OF_A_FILL
    found = [
        Need("nodes of the role streams", streams, "", _because(at_peak, "fills")),
        Need("nodes of the role sync", _nodes(turns, "accounts"), "", _because(turns, "accounts")),
        Need(
            "partitions", desk.partitions, "a stream",
            "enough" if streams <= desk.partitions else
            f"too few: {streams} nodes can own no more than one each",
        ),
        Need("collector and sinks", 1, "of each", _because(captured, "changes")),
    ]  # fmt: skip
    if captured > RATES["changes"].a_second:
        late = found[-1].why + "; there is one collector: at the peak it and its sinks fall behind"
        found[-1] = found[-1]._replace(unit="of each, LATE AT THE PEAK", why=late)
    return found


def _nodes(a_second: float, what: str) -> int:
    return max(math.ceil(a_second / (RATES[what].a_second * PEAK_USE)), 1)


def _because(a_second: float, what: str) -> str:
    rate = RATES[what]
    return (
        f"{a_second:,.1f} {what}/s; a node does {rate.a_second:,}/s (`make bench"
        f" BENCH={rate.bench}`), used to {PEAK_USE:.0%}"
    )


# -- what lies around ------------------------------------------------------------------------------


def _memory(desk: Desk, a_day: float) -> list[Need]:
    entries = a_day * desk.retention_hours / 24
    size = entries * BYTES["an entry of a stream"] * STREAM_SPARE
    return [
        Need(
            "memory of Redis for the streams", size, "bytes",
            f"{entries:,.0f} entries of {desk.retention_hours:g} h, {BYTES['an entry of a stream']}"
            f" bytes each, and as much to spare; FLEET_REDIS_BUDGET bounds it",
        )
    ]  # fmt: skip


def _disk(desk: Desk, accounts: float, a_day: float) -> list[Need]:
    days = accounts * desk.positions  # rows of positions' days, and of their P&L
    books = {
        "fills": (a_day, BYTES["a fill in MySQL"]),
        "positions' days": (days, BYTES["a position's day"]),
        "P&L of days": (days, BYTES["a day's P&L"]),
    }
    changes = a_day * CHANGES_OF_A_FILL
    sinks = {
        "audit log": (changes, BYTES["a change in the audit log"]),
        "TimescaleDB": (changes, BYTES["a change in TimescaleDB"]),
        "binlog": (a_day, BYTES["a fill in the binlog"]),
    }
    rows = sum(number for number, _ in books.values())
    size = sum(number * each for number, each in books.values())
    told = ", ".join(f"{number:,.0f} {what}" for what, (number, _) in books.items())
    return [
        Need("rows of the books in MySQL", rows, "a day", told),
        Need("the books in MySQL", size, "bytes a day", f"{size / max(rows, 1):,.0f} bytes a row"),
        *(
            Need(what, number * each, "bytes a day", f"{number:,.0f} of {each:,} bytes")
            for what, (number, each) in sinks.items()
        ),
        Need("the books in MySQL", size * desk.days, f"bytes after {desk.days} days", "kept whole"),
    ]


# -- what exchanges allow --------------------------------------------------------------------------


def _addresses(desk: Desk, accounts: float) -> list[Need]:
    return [
        Need(
            f"addresses for {venue} {product}", max(math.ceil(used / allowed), 1), "",
            f"{accounts * share:,.0f} accounts ask for {used:,.1f} of weight a second; an address"
            f" is allowed {allowed:,.1f} ({desk.order_share:.0%} kept for orders, {BUDGET_USE:.0%}"
            " of the rest)",
        )
        for (venue, product), share in desk.venues.items()
        for used, allowed in [_weight(desk, accounts * share, (venue, product))]
    ]  # fmt: skip


def _weight(desk: Desk, accounts: float, at: tuple[str, Product]) -> tuple[float, float]:
    """(weight a second of so many accounts, what one address is allowed)."""
    limits = VENUES[at].weights
    allowed = limits.per_window / (limits.window_ms / 1000)
    each = sum(
        share * weight / _seconds(_interval(at[0], tier, kind))
        for tier, share in desk.tiers.items()
        for kind, weight in _weights(at, tier).items()
    )
    return accounts * each, allowed * (1 - desk.order_share) * BUDGET_USE


def _weights(at: tuple[str, Product], tier: TierName) -> Mapping[Kind, int]:
    return WEIGHTS[at].busy if tier == "active" else WEIGHTS[at].quiet


def _interval(venue: str, tier: TierName, kind: Kind) -> timedelta:
    every = EVERY[tier][kind]
    slow = timedelta(milliseconds=SLOW_MS)
    return max(every, slow) if (venue, kind) == ("binance", "orders") else every


def _turn(tier: TierName) -> timedelta:
    """Kinds that are due together are asked in one turn."""
    return min(EVERY[tier].values())


def _seconds(interval: timedelta) -> float:
    return interval.total_seconds()

