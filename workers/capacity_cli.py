"""`fleet capacity`: what so many users need, from measured figures and this desk's own habits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.exchanges.table import VENUES
from shared.exchanges.venue import Product
from shared.mysql.connection import connect
from shared.queries import load
from workers.capacity import Desk, Need, capacity
from workers.roles import load_settings
from workers.sync.tiers import TierName

SQL = load(Path(__file__).with_name("capacity.sql"))
WORST_VENUE: tuple[str, Product] = ("binance", "linear")
GUESSED: Mapping[TierName, float] = {"active": 0.1, "idle": 0.4, "dormant": 0.5}
ACCOUNTS, FILLS, POSITIONS = 3.0, 50.0, 2.0
_SCALES = ("bytes", "KB", "MB", "GB", "TB", "PB")

console = Console()


class Habits(NamedTuple):
    """What this desk's accounts do; None where it has too few of them to say.

    accounts: of a user. fills, positions: of an account a day.
    """

    accounts: float | None
    fills: float | None
    positions: float | None
    tiers: Mapping[TierName, float] | None
    venues: Mapping[tuple[str, Product], float] | None


def habits(connection: Any) -> Habits:
    """Three statements; of the fills only the last seven whole days."""
    cursor = connection.cursor()
    cursor.execute(SQL["fills"])
    fills, account_days, position_days = (int(word) for word in cursor.fetchone())
    cursor.execute(SQL["users"])
    users, owned = cursor.fetchone()
    cursor.execute(SQL["accounts"])
    tiers: Counter[TierName] = Counter()
    venues: Counter[tuple[str, Product]] = Counter()
    for venue, product, tier, count in cursor.fetchall():
        tiers[tier] += count
        if (venue, product) in VENUES:
            venues[venue, product] += count
    connection.commit()
    return Habits(
        owned / users if users else None,
        fills / account_days if account_days else None,
        position_days / account_days if account_days else None,
        {tier: tiers[tier] / tiers.total() for tier in GUESSED} if tiers else None,
        {at: count / venues.total() for at, count in venues.items()} if venues else None,
    )


@click.command("capacity")
@click.option("--users", type=click.IntRange(min=1), required=True, help="Of the application.")
@click.option("--accounts", type=click.FloatRange(min=0.01), help="Exchange accounts of a user.")
@click.option("--fills", type=click.FloatRange(min=0), help="Fills of an account a day.")
@click.option("--positions", type=click.FloatRange(min=0), help="Instruments of an account a day.")
@click.option("--peak", type=click.FloatRange(min=1), default=100.0, show_default=True,
              help="The worst second against the average: in a crash everybody fills at once.")
@click.option("--days", type=click.IntRange(min=1), default=365, show_default=True,
              help="How long everything is kept.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def capacity_command(*, users: int, peak: float, days: int, as_json: bool, **given: float) -> None:
    """Nodes, partitions, memory, rows, bytes and addresses that so many users need.

    What is not given is what this desk's accounts did in the last seven days, and a guess where it
    has none; the first lines say which.
    """
    settings = load_settings("cli")
    with closing(connect(settings.mysql)) as connection:
        found = habits(connection)
    numbers, told = _numbers(found, given)
    tiers, venues = found.tiers or GUESSED, found.venues or {WORST_VENUE: 1.0}
    told |= _shares(tiers, venues, found)
    desk = Desk(
        **numbers, users=users, peak=peak, tiers=tiers, venues=venues, days=days,
        order_share=float(settings.order_share), partitions=settings.partitions,
        retention_hours=settings.stream_retention.total_seconds() / 3600,
    )  # fmt: skip
    needs = capacity(desk)
    if as_json:
        click.echo(json.dumps({"from": told, "needs": [one._asdict() for one in needs]}))
    else:
        _show(needs, told)


def _numbers(
    found: Habits, given: Mapping[str, float | None]
) -> tuple[dict[str, float], dict[str, str]]:
    """And where each is from."""
    numbers, told = {}, {}
    for name, guess in {"accounts": ACCOUNTS, "fills": FILLS, "positions": POSITIONS}.items():
        wanted, seen = given[name], getattr(found, name)
        if wanted is not None:
            numbers[name], source = wanted, "as given"
        elif seen is not None:
            numbers[name], source = seen, "of this desk"
        else:
            numbers[name], source = guess, "a guess"
        told[name] = f"{numbers[name]:.3g}, {source}"
    return numbers, told


def _shares(
    tiers: Mapping[TierName, float], venues: Mapping[tuple[str, Product], float], found: Habits
) -> dict[str, str]:
    by_tier = ", ".join(f"{share:.0%} {tier}" for tier, share in tiers.items())
    by_venue = ", ".join(f"{share:.0%} {' '.join(at)}" for at, share in venues.items())
    return {
        "tiers": f"{by_tier}, {'of this desk' if found.tiers else 'a guess'}",
        "venues": f"{by_venue}, {'of this desk' if found.venues else 'the dearest'}",
    }


def _show(needs: list[Need], told: Mapping[str, str]) -> None:
    for name, text in told.items():
        console.print(f"{name}: {escape(text)}")
    table = Table("what", "how much", "because")
    for one in needs:
        table.add_row(one.what, escape(_amount(one)), escape(one.why))
    console.print(table)


def _amount(need: Need) -> str:
    if not need.unit.startswith("bytes"):
        digits = 0 if need.amount == int(need.amount) or need.amount >= 100 else 1  # noqa: PLR2004
        return f"{need.amount:,.{digits}f} {need.unit}".strip()
    size, scale = need.amount, 0
    while size >= 1000 and scale + 1 < len(_SCALES):  # noqa: PLR2004 - decimal scales
        size, scale = size / 1000, scale + 1
    return f"{size:,.1f} {_SCALES[scale]}{need.unit.removeprefix('bytes')}"


COMMANDS = [capacity_command]
