"""Stored prices: the one of a moment, for many instruments or pairs of assets at once.

Which of several prices stands, and which is too old, `shared/ledger/valuation.py` decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.valuation import COMMON_ASSETS, Price, Rates, Unpriceable, choose
from shared.mysql.book_rows import Rows
from shared.mysql.price_series import Statements, read_series
from shared.queries import load

SQL = load(Path(__file__).with_name("prices.sql"))

_OF_INSTRUMENTS = Statements(SQL["instruments"], SQL["latest"], SQL["between"])
_OF_PAIRS = Statements(SQL["pairs"], SQL["latest_of_pair"], SQL["between_of_pair"])

Instrument = tuple[str, str, str]
"""Venue, product, instrument."""


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
    """Adds prices. Of one instrument, kind and moment the better source stands: import, sync,
    observed; of one source the greatest price, whatever the order, but the later import.
    """
    rows = Rows(connection)
    write_prices(rows, prices)
    rows.flush()


def write_prices(rows: Rows, prices: Iterable[StoredPrice]) -> None:
    """The same, with the other rows of a transaction."""
    rows.write(SQL["record"], ((*p[:4], _column(p.at), *p[5:]) for p in prices))


def latest_prices(
    connection: Any, wanted: Collection[tuple[Instrument, datetime]]
) -> dict[tuple[Instrument, datetime], Price | Unpriceable]:
    """Per instrument and moment the price that stands then."""
    moments: dict[Instrument, set[datetime]] = defaultdict(set)
    for instrument, at in wanted:
        moments[instrument].add(at)
    found = read_series(connection, _OF_INSTRUMENTS, moments)
    return {
        (instrument, at): choose(found.get(instrument, {}).get(at, ()), at, instrument[2])
        for instrument, at in wanted
    }


class StoredRates:
    """Prices of pairs at the moments asked, all read at once: `rates.at(moment)` is what
    `valuation.convert` wants. Only pairs that were named can be converted.
    """

    def __init__(self, connection: Any, wanted: Iterable[tuple[str, str, datetime]]) -> None:
        """wanted: (asset, into, moment)."""
        conversions: dict[tuple[str, str], set[datetime]] = defaultdict(set)
        for asset, into, at in wanted:
            conversions[asset, into].add(at)
        moments: dict[tuple[str, str], set[datetime]] = defaultdict(set)
        for (asset, into), asked in conversions.items():
            for pair in _pairs(asset, into):
                moments[pair] |= asked
        self._found = read_series(connection, _OF_PAIRS, moments)

    def at(self, moment: datetime) -> Rates:
        def rate(base: str, quote: str) -> Price | Unpriceable:
            known = self._found.get((base, quote), {}).get(moment, ())
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


def _column(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
