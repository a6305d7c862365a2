"""Closed position cycles of an account: from flat to flat, with their fees and funding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import DAY_MS, day_number
from shared.ledger.money import LEDGER, ZERO
from shared.ledger.performance import Cycle, Funding, cycles, with_funding
from shared.ledger.position import FLAT, legs
from shared.mysql.book_positions import PositionKey, fills_in_order
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("cycles.sql"))


class SidelessFunding(NamedTuple):
    """Funding of an instrument while both of its sides were open: it is in no cycle."""

    product: str
    instrument: str
    asset: str
    payments: int
    amount: Decimal


class AccountCycles(NamedTuple):
    """closed: by position and time. sideless: paid within the same days."""

    closed: list[tuple[PositionKey, Cycle]]
    sideless: list[SidelessFunding]


def account_cycles(
    connection: Any, account_id: int, first_day: date, last_day: date
) -> AccountCycles:
    """Cycles that closed within these days; when they opened does not matter.

    Funding names no side: where both sides of an instrument were open at its time, it is in no
    cycle.
    """
    rows = Rows(connection)
    first_ms, end_ms = day_number(first_day) * DAY_MS, (day_number(last_day) + 1) * DAY_MS
    keys = rows.run(SQL["positions"], (account_id, account_id, first_day, last_day))
    closed: list[tuple[PositionKey, Cycle]] = []
    sideless: list[SidelessFunding] = []
    for (product, instrument), group in groupby(keys, key=lambda key: key[1:3]):
        sides = {key: _cycles(rows, key, first_day, end_ms) for key in group}
        paid = rows.run(SQL["funding"], (account_id, end_ms, product, instrument))
        shared, left = _by_side(map(Funding._make, paid), sides)
        within = [one for one in left if one.at_ms >= first_ms]
        sideless += _summed(product, instrument, within)
        closed += [
            (key, cycle)
            for key, found in sides.items()
            for cycle in with_funding(found, shared[key])
            if cycle.closed_ms is not None and cycle.closed_ms >= first_ms
        ]
    return AccountCycles(closed, sideless)


def _cycles(rows: Rows, key: PositionKey, first_day: date, end_ms: int) -> list[Cycle]:
    """From the last day's end before the first day at which the position was flat."""
    flat = rows.run(SQL["last_flat"], (*key, first_day))
    from_ms = (day_number(flat[0][0]) + 1) * DAY_MS if flat else 0
    fills = fills_in_order(rows, key, from_ms)
    until = takewhile(lambda fill: fill.executed_at_ms < end_ms, fills)
    return cycles(key[1], legs(FLAT, until, key[1]))


def _by_side(
    funding: Iterable[Funding], sides: Mapping[PositionKey, Sequence[Cycle]]
) -> tuple[Mapping[PositionKey, list[Funding]], list[Funding]]:
    """And what may be of several sides."""
    sideless = []
    shared: dict[PositionKey, list[Funding]] = {key: [] for key in sides}
    for one in funding:
        was_open = [key for key, found in sides.items() if any(_is_open(c, one) for c in found)]
        named = list(sides) if len(sides) == 1 else was_open
        if len(named) == 1:
            shared[named[0]].append(one)
        elif named:
            sideless.append(one)
    return shared, sideless


def _summed(
    product: str, instrument: str, funding: Sequence[Funding]
) -> Iterator[SidelessFunding]:
    for asset in sorted({one.asset for one in funding}):
        amounts = [one.amount for one in funding if one.asset == asset]
        yield SidelessFunding(
            product, instrument, asset, len(amounts), reduce(LEDGER.add, amounts, ZERO)
        )


def _is_open(cycle: Cycle, funding: Funding) -> bool:
    closed_ms = cycle.closed_ms
    return cycle.opened_ms < funding.at_ms and (closed_ms is None or closed_ms >= funding.at_ms)
