"""fleet.equity: a copy of the equity rows in MySQL, with an offset of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from shared.queries import load
from shared.timescale.connection import Connection

SQL = load(Path(__file__).with_name("equity.sql"))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """A row's place in the order of writing."""

    written_at: datetime
    account_id: int
    asset: str
    at: datetime


START = Place(_EPOCH, 0, "", _EPOCH)
"""Before every row."""


class Row(NamedTuple):
    """As the columns of fleet_equity."""

    account_id: int
    asset: str
    at: datetime
    cash: Decimal
    unrealized: Decimal | None
    flows: Decimal | None
    unpriceable: int
    oldest_price_at: datetime | None
    written_at: datetime

    @property
    def place(self) -> Place:
        return Place(self.written_at, self.account_id, self.asset, self.at)


def lock_place(connection: Connection) -> Place:
    """The place of the last row that is here; nobody else moves it before the transaction ends.
    START where the rows are gone.
    """
    connection.execute(SQL["make_offset"])
    *found, filled = _one(connection, SQL["lock_offset"])
    return _place(found) if filled else START


def last_place(connection: Connection) -> Place:
    """The same, without a lock and without making the row."""
    found = connection.execute(SQL["offset"]).fetchone()
    return START if found is None else _place(found)


def write(connection: Connection, rows: Sequence[Row]) -> None:
    """Rows in the order of their places, none twice; the place moves to the last of them."""
    connection.execute(SQL["write"], [list(column) for column in zip(*rows, strict=True)])
    connection.execute(SQL["move_offset"], rows[-1].place)


def _place(found: Sequence[Any]) -> Place:
    written_at, account_id, asset, at = found
    return Place(written_at, int(account_id), asset, at)


def _one(connection: Connection, statement: str) -> tuple[Any, ...]:
    found = connection.execute(statement).fetchone()
    assert found is not None  # its row was made, and is deleted by nobody
    return found
