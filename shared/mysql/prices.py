"""Stored prices: the one of a moment, for many instruments or pairs of assets at once.

Which of several prices stands, and which is too old, `shared/ledger/valuation.py` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from shared.ledger.valuation import COMMON_ASSETS, Price, Rates, Unpriceable, choose
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("prices.sql"))

LOOKUPS_PER_STATEMENT = 300

Instrument = tuple[str, str, str]
"""Venue, product, instrument."""

_Thing = TypeVar("_Thing", bound=tuple[str, ...])


class StoredPrice(NamedTuple):
    """One row of fleet_prices. With both assets it converts amounts, too: one base asset costs
    `price` quote assets.
    """

    venue: str
    product: str
    instrument: str
    kind: str
    at: datetime
    price: Decimal
    base_asset: str | None
    quote_asset: str | None
    source: str


def record_prices(connection: Any, prices: Iterable[StoredPrice]) -> None:
    """Adds prices; one of the same instrument, kind and moment is replaced."""
    rows = Rows(connection)
    rows.write(SQL["record"], ((*p[:4], _column(p.at), *p[5:]) for p in prices))
    rows.flush()


def latest_prices(
    connection: Any, wanted: Collection[tuple[Instrument, datetime]]
) -> dict[tuple[Instrument, datetime], Price | Unpriceable]:
    """Per instrument and moment the price that stands then."""
    found = _look_up(connection, SQL["instruments"], SQL["latest"], wanted)
    return {
        (instrument, at): choose(found.get((instrument, at), ()), at, instrument[2])
        for instrument, at in wanted
    }


class StoredRates:
    """Prices of pairs at the moments asked, all read at once: `rates.at(moment)` is what
    `valuation.convert` wants. Only pairs that were named can be converted.
    """

    def __init__(self, connection: Any, wanted: Iterable[tuple[str, str, datetime]]) -> None:
        """wanted: (asset, into, moment)."""
        pairs = {(pair, at) for asset, into, at in wanted for pair in _pairs(asset, into)}
        self._found = _look_up(connection, SQL["pairs"], SQL["latest_of_pair"], pairs)

    def at(self, moment: datetime) -> Rates:
        def rate(base: str, quote: str) -> Price | Unpriceable:
            known = self._found.get(((base, quote), moment), ())
            return choose(known, moment, f"{base}/{quote}")

        return rate


def newest_prices(connection: Any, venue: str, instrument: str, limit: int) -> list[StoredPrice]:
    """Of every instrument and kind, the newest first; "" for all venues or instruments."""
    cursor = connection.cursor()
    cursor.execute(SQL["newest"], (venue, instrument, limit))
    return [StoredPrice(*row) for row in cursor.fetchall()]


@cache
def _pairs(asset: str, into: str) -> frozenset[tuple[str, str]]:
    """Every pair that may take part in a conversion."""
    if asset == into:
        return frozenset()
    found = permutations((asset, into, *COMMON_ASSETS), 2)
    return frozenset(pair for pair in found if asset in pair or into in pair)


def _look_up(
    connection: Any, existing: str, latest: str, wanted: Iterable[tuple[_Thing, datetime]]
) -> dict[tuple[_Thing, datetime], list[Price]]:
    """Per thing (an instrument, a pair) and moment the last price of each kind. Only kinds of which
    it has any are asked for.
    """
    wanted = list(wanted)
    if not wanted:
        return {}
    cursor = connection.cursor()
    cursor.execute(existing)
    kinds: dict[tuple[str, ...], list[str]] = {}
    for *thing, kind in cursor.fetchall():
        kinds.setdefault(tuple(thing), []).append(kind)
    asked = [(thing, at, kind) for thing, at in wanted for kind in kinds.get(thing, ())]
    found: dict[tuple[_Thing, datetime], list[Price]] = {}
    for first in range(0, len(asked), LOOKUPS_PER_STATEMENT):
        some = asked[first : first + LOOKUPS_PER_STATEMENT]
        arguments = [
            value
            for number, (thing, at, kind) in enumerate(some)
            for value in (number, *thing, kind, at)
        ]
        cursor.execute("\nUNION ALL\n".join([latest] * len(some)), arguments)
        for number, price, price_at, source in cursor.fetchall():
            thing, at, kind = some[number]
            found.setdefault((thing, at), []).append(Price(price, price_at, kind, source))
    return found


def _column(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
