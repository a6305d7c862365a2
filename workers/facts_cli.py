"""`fleet instruments`, `fleet modes`, `fleet owners`: dated facts, set and looked at."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.ledger.money import plain
from shared.mysql import facts
from shared.mysql.connection import connect, transaction
from shared.mysql.facts import Instrument, Mode, Owner
from workers import renames
from workers.events.amounts import UNSIGNED
from workers.renames import Rename
from workers.roles import load_settings

console = Console()
OPERATOR = "operator"


def moment(text: str) -> datetime:
    """With its zone, and in whole milliseconds, as events have them."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no ISO 8601 time: {error}") from error
    if at.tzinfo is None or at.microsecond % 1000:
        raise click.BadParameter("say the zone, and whole milliseconds: 2026-07-01T08:00Z")
    return at.astimezone(UTC)


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no day: {error}") from error


def positive(text: str) -> Decimal:
    amount = Decimal(text) if re.fullmatch(UNSIGNED, text) else None
    if not amount:
        raise click.BadParameter(f"{text!r} is no plain decimal above zero, like 0.001")
    return amount


_venue = click.option("--venue", required=True)
_product = click.option(
    "--product", required=True, type=click.Choice(["linear", "inverse", "spot"])
)
_from = click.option(
    "--from", "since", type=moment, default=f"{facts.BEGINNING}T00:00Z",
    help="From when on; always, if left out.",
)  # fmt: skip


# ---- instruments


@click.group("instruments")
def instruments_group() -> None:
    """What instruments are, from when on: contract size, assets, steps, names."""


@instruments_group.command("set")
@click.argument("instrument")
@_venue
@_product
@_from
@click.option("--contract-size", type=positive, default="1", help="1 if left out.")
@click.option("--base", "base_asset", required=True)
@click.option("--quote", "quote_asset", required=True)
@click.option("--settle", "settle_asset", help="The quote asset if left out; inverse: the base.")
@click.option("--price-step", type=positive)
@click.option("--qty-step", type=positive)
@click.option("--money-step", type=positive, help="Last decimal of the venue's own amounts.")
def instruments_set(since: datetime, settle_asset: str | None, **named: Any) -> None:
    """Record what INSTRUMENT is from a moment on; replaces the fact of the same moment.

    Fills carry their own contract size and assets: a fact does not change what is booked.
    """
    inverse = named["product"] == "inverse"
    settle = settle_asset or named["base_asset" if inverse else "quote_asset"]
    fact = Instrument(**named, valid_from=since, settle_asset=settle)
    with closing(connect(load_settings("cli").mysql)) as connection, transaction(connection):
        renamed = facts.instrument_at(connection, *fact[:4])
        if renamed is not None and renamed.valid_from == since and renamed.renamed_to is not None:
            raise click.ClickException(f"at that time it was renamed to {renamed.renamed_to}")
        facts.set_instrument(connection, fact)
    click.echo(f"{fact.venue} {fact.product} {fact.instrument}: recorded from {_shown(since)} on")


@instruments_group.command("list")
@click.option("--venue")
@click.option("--product")
@click.option("--instrument")
def instruments_list(**named: str | None) -> None:
    """Every fact, by name and time."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = facts.instruments(connection, **named)
    table = Table(
        "venue", "product", "instrument", "from", "size", "base", "quote", "settle", "price step",
        "qty step", "money step", "renamed to", "ratio",
    )  # fmt: skip
    for fact in found:
        table.add_row(*(_shown(value) for value in fact))
    console.print(table)


@instruments_group.command("rename")
@click.argument("old")
@click.argument("new")
@_venue
@_product
@click.option("--at", type=moment, required=True, help="The first moment of the new name.")
@click.option("--ratio", type=positive, default="1", help="So many of NEW are one of OLD.")
@click.option("--contract-size", type=positive, help="Of NEW; as OLD's if left out.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def instruments_rename(yes: bool, **named: Any) -> None:  # noqa: FBT001 - click passes flags so
    """OLD trades as NEW from a moment on: record it, and carry open positions over.

    A new contract size is a rename of OLD to itself with a ratio and a size. Positions keep their
    cost, and no P&L comes of it. Run it once the moment has passed; run again, it carries over only
    what it missed. A fill of OLD of before the moment that arrives after this changes OLD before
    the moment, and not what was carried over: `fleet reconcile` shows such a case.
    """
    rename = Rename(**named)
    with closing(connect(load_settings("cli").mysql)) as connection:
        made = renames.plan(connection, rename, datetime.now(UTC))
        connection.rollback()
        click.echo(f"{len(made.carried)} open positions of {made.accounts} accounts to carry over")
        if not yes:
            click.confirm(f"{rename.old} -> {rename.new} at {_shown(rename.at)}?", abort=True)
        renames.carry_over(connection, made)
    click.echo("recorded; the events are on their way")


# ---- position modes


@click.group("modes")
def modes_group() -> None:
    """Netting or hedge: how an account holds its positions, from when on."""


@modes_group.command("set")
@click.argument("account", type=click.IntRange(min=1))
@click.argument("mode", type=click.Choice(["netting", "hedge"]))
@_product
@_from
@click.option("--instrument", default="", help="All of the product if left out.")
def modes_set(account: int, mode: str, product: str, instrument: str, since: datetime) -> None:
    """Record the MODE of ACCOUNT from a moment on; replaces the fact of the same moment."""
    fact = Mode(account, product, instrument, since, mode, OPERATOR)
    with closing(connect(load_settings("cli").mysql)) as connection, transaction(connection):
        facts.set_mode(connection, fact)
    click.echo(f"account {account}: {mode} from {_shown(since)} on")


@modes_group.command("list")
@click.option("--account", type=int)
def modes_list(account: int | None) -> None:
    """Every fact, by account and time."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = facts.modes(connection, account)
    table = Table("account", "product", "instrument", "from", "mode", "source")
    for fact in found:
        table.add_row(*(_shown(value) for value in fact))
    console.print(table)


# ---- owners


@click.group("owners")
def owners_group() -> None:
    """Whose an account is, from which UTC day on; its P&L of a day belongs to that day's owner."""


@owners_group.command("set")
@click.argument("account", type=click.IntRange(min=1))
@click.argument("user", type=click.IntRange(min=1))
@click.option("--from", "since", type=day, required=True, help="The UTC day it begins.")
def owners_set(account: int, user: int, since: date) -> None:
    """ACCOUNT is USER's from a UTC day on; replaces the fact of the same day.

    Where nobody is known as its owner, USER is it from the beginning. The users that Laravel has
    are noted every ten minutes: where Laravel names another one than the last fact does, its word
    counts from the next day on.
    """
    with closing(connect(load_settings("cli").mysql)) as connection, transaction(connection):
        fact = facts.set_owner(connection, Owner(account, since, user, OPERATOR))
    click.echo(f"account {account}: user {user} from {fact.valid_from} on")


@owners_group.command("list")
@click.option("--account", type=int)
@click.option("--user", type=int, help="Accounts that are or were this user's.")
def owners_list(account: int | None, user: int | None) -> None:
    """Every fact, by account and day."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = facts.owners(connection, account, user)
    table = Table("account", "from", "user", "source")
    for fact in found:
        table.add_row(*(_shown(value) for value in fact))
    console.print(table)


COMMANDS = (instruments_group, modes_group, owners_group)


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return plain(value)
    return "" if value is None else escape(str(value))
