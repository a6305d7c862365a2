"""Fees in another asset than the one a fill settles in, valued at the time of the fill."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from shared.ledger.days import DAY_MS, day_number
from shared.ledger.valuation import Converted, Price, Rates, Unpriceable, convert
from shared.mysql.prices import StoredRates
from shared.queries import load

SQL = load(Path(__file__).with_name("fees.sql"))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ValuedFee(NamedTuple):
    """A fee (positive when paid) and its value in the asset `into` at that time."""

    product: str
    instrument: str
    trade_id: str
    side: str
    executed_at: datetime
    fee: Decimal
    fee_asset: str
    into: str
    value: Converted | Unpriceable


class _Paid(NamedTuple):
    product: str
    instrument: str
    trade_id: str
    side: str
    executed_ms: int
    price: Decimal
    fee: Decimal
    fee_asset: str
    settle_asset: str
    base_asset: str | None

    def rates(self, at: datetime, stored: Rates) -> Rates:
        """A fee in the asset that was traded is worth what the fill itself says."""
        pair = (self.base_asset, self.settle_asset)

        def rate(base: str, quote: str) -> Price | Unpriceable:
            if self.product == "spot" and (base, quote) == pair:
                return Price(self.price, at, "last", "fill")
            return stored(base, quote)

        return rate


def fees_in(
    connection: Any, account_id: int, first_day: date, last_day: date, asset: str | None = None
) -> list[ValuedFee]:
    """Fees that were paid in another asset than their fill settles in, such as BNB; valued in
    `asset`, or else in the settle asset of their fill. In order of time. What has no price is
    listed as Unpriceable.

    A spot fee in the base asset is among them; it is part of the cost of the holding already.
    """
    found = _paid(connection, account_id, first_day, last_day)
    paid = [
        (one, asset or one.settle_asset, _EPOCH + timedelta(milliseconds=one.executed_ms))
        for one in sorted(found, key=lambda one: one.executed_ms)
    ]
    stored = StoredRates(connection, ((one.fee_asset, into, at) for one, into, at in paid))
    return [
        ValuedFee(
            one.product, one.instrument, one.trade_id, one.side, at, one.fee, one.fee_asset, into,
            convert(one.fee, one.fee_asset, into, one.rates(at, stored.at(at))),
        )
        for one, into, at in paid
    ]  # fmt: skip


def _paid(
    connection: Any, account_id: int, first_day: date, last_day: date
) -> Iterator[_Paid]:
    cursor = connection.cursor()
    cursor.execute(SQL["traded"], (account_id, first_day, last_day))
    span = (day_number(first_day) * DAY_MS, (day_number(last_day) + 1) * DAY_MS)
    for key in cursor.fetchall():
        cursor.execute(SQL["in_other_assets"], (*key, *span))
        yield from map(_Paid._make, cursor.fetchall())
