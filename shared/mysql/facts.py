"""Dated facts: what an instrument is, how an account holds its positions, whose the account is.

A fact holds from its `valid_from` on, until the next one of the same thing. None of them is asked
while fills are folded: an event is judged by its own fields.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from shared.queries import load

SQL = load(Path(__file__).with_name("facts.sql"))

BEGINNING = date(1970, 1, 1)
"""From when on an account is its first owner's: history belongs to whom it was first seen with."""


class Instrument(NamedTuple):
    """An instrument of a venue. Steps None: not known.

    money_step: the last decimal of the venue's own amounts. renamed_to: the name it trades under
    from valid_from on, its own where only the contract size changed; `ratio` of the new are then
    one of the old.
    """

    venue: str
    product: str
    instrument: str
    valid_from: datetime
    contract_size: Decimal
    base_asset: str
    quote_asset: str
    settle_asset: str
    price_step: Decimal | None = None
    qty_step: Decimal | None = None
    money_step: Decimal | None = None
    renamed_to: str | None = None
    ratio: Decimal | None = None


class Mode(NamedTuple):
    """`netting` or `hedge`; instrument "": all of the product that have no fact of their own."""

    account_id: int
    product: str
    instrument: str
    valid_from: datetime
    mode: str
    source: str


class Owner(NamedTuple):
    """valid_from: the UTC day from which on the account's P&L is this user's."""

    account_id: int
    valid_from: date
    user_id: int
    source: str


# ---- instruments


def set_instrument(connection: Any, fact: Instrument) -> None:
    """Also replaces the fact of the same moment."""
    connection.cursor().execute(SQL["set_instrument"], tuple(fact))


def instruments(
    connection: Any,
    venue: str | None = None,
    product: str | None = None,
    instrument: str | None = None,
) -> list[Instrument]:
    wanted = {"venue": venue, "product": product, "instrument": instrument}
    return [Instrument._make(row) for row in _read(connection, SQL["instruments"], wanted)]


def instrument_at(
    connection: Any, venue: str, product: str, instrument: str, at: datetime
) -> Instrument | None:
    """The fact that holds at that moment."""
    found = _read(connection, SQL["instrument_at"], (venue, product, instrument, at))
    return Instrument._make(found[0]) if found else None


# ---- position modes


def set_mode(connection: Any, fact: Mode) -> None:
    """Also replaces the fact of the same moment."""
    connection.cursor().execute(SQL["set_mode"], tuple(fact))


def modes(connection: Any, account_id: int | None = None) -> list[Mode]:
    found = _read(connection, SQL["modes"], {"account": account_id})
    return [Mode._make(row) for row in found]


# ---- owners


def set_owner(connection: Any, fact: Owner) -> Owner:
    """Returns the fact as it was written: the first owner of an account is its owner from the
    beginning. Also replaces the fact of the same day.
    """
    if not owners(connection, account_id=fact.account_id):
        fact = fact._replace(valid_from=BEGINNING)
    connection.cursor().execute(SQL["set_owner"], tuple(fact))
    return fact


def owners(
    connection: Any, account_id: int | None = None, user_id: int | None = None
) -> list[Owner]:
    """user_id: every owner of the accounts that are or were this user's."""
    wanted = {"account": account_id, "user": user_id}
    return [Owner._make(row) for row in _read(connection, SQL["owners"], wanted)]


def note_owners(connection: Any, now: datetime) -> int:
    """Notes the users that Laravel names now, where they are others than those known; returns how
    many rows changed (one that is replaced on its own day counts twice).

    A new owner's first day is the UTC day after `now`: a day has one owner.
    """
    day = now.astimezone(UTC).date() + timedelta(days=1)
    return int(connection.cursor().execute(SQL["note_owners"], {"day": day}))


def _read(connection: Any, statement: str, values: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return list(cursor.fetchall())
