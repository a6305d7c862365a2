"""`fleet statement` and `fleet trace`: what an account made, and what made that."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from shared.mysql.book_attribution import settle_account
from shared.mysql.book_rows import Rows
from shared.mysql.connection import connect, snapshot
from workers import trace_identity, trace_text
from workers.facts_cli import day
from workers.roles import load_settings
from workers.statement.books import NothingToState, Period, read_statement
from workers.statement.csv import csv_of
from workers.statement.page import page_of
from workers.statement.records import Statement
from workers.statement.text import print_statement
from workers.trace import FIGURES, Wanted, is_known, trace

console = Console()
FILE_COLUMNS = 160


@click.command("statement")
@click.option("--account", "account_id", type=click.IntRange(0), required=True)
@click.option("--from", "first", type=day, help="First UTC day; that of the month if left out.")
@click.option("--to", "last", type=day, help="Last UTC day, included; today if left out.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "html"]), default="table",
    show_default=True,
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file to write.")
def statement_command(
    account_id: int, first: date | None, last: date | None, form: str, out: Path | None
) -> None:
    """What an account made in a period: equity, flows, P&L, returns, open positions."""
    now = datetime.now(UTC)
    last = last or now.date()
    first = first or last.replace(day=1)
    if first > last or last > now.date():
        raise click.UsageError(f"{first} to {last} is no period that has begun")
    made = _state(Period(account_id, first, last), now)
    if out is None:
        _show(console, made, form)
        return
    with out.open("w", encoding="utf-8", newline="") as file:
        _show(Console(file=file, width=FILE_COLUMNS), made, form)
    click.echo(f"written to {out}")


def _state(period: Period, now: datetime) -> Statement:
    with closing(connect(load_settings("cli").mysql)) as connection:
        settle_account(connection, period.account_id)
        with snapshot(connection):
            try:
                return read_statement(connection, period, now)
            except NothingToState as nothing:
                raise click.ClickException(str(nothing)) from nothing


def _show(where: Console, made: Statement, form: str) -> None:
    if form == "table":
        print_statement(where, made)
    else:
        where.file.write(csv_of(made) if form == "csv" else page_of(made))


@click.command("trace")
@click.option("--account", "account_id", type=click.IntRange(0))
@click.option("--day", "of_day", type=day, help="A UTC day, like 2026-07-21.")
@click.option("--product", type=click.Choice(["linear", "inverse", "spot"]))
@click.option("--instrument", help="As the venue spells it.")
@click.option("--asset", help="One settle or fee asset.")
@click.option("--figure", type=click.Choice(FIGURES))
@click.option("--reports", is_flag=True, help="With every report, verbatim.")
@click.option("--identity", help="Instead: all about what a break or a restatement names.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def trace_command(
    account_id: int | None,
    of_day: date | None,
    identity: str | None,
    **named: Any,
) -> None:
    """Every fill, entry and cash row behind an account's figures of a day; exit 1 if the sum is not
    what the books hold.
    """
    as_json, reports = named.pop("as_json"), named.pop("reports")
    if identity is not None:
        _tell_about(identity, as_json=as_json)
        return
    if account_id is None or of_day is None:
        raise click.UsageError("name an --account and a --day, or an --identity")
    wanted = Wanted(account_id, of_day, **named)
    with closing(connect(load_settings("cli").mysql)) as connection, snapshot(connection):
        rows = Rows(connection)
        known = is_known(rows, account_id)
        found = trace(rows, wanted, reports=reports) if known else []
    if not known:
        raise click.ClickException(f"nothing has ever come of account {account_id}")
    if not found:
        raise click.ClickException(f"account {account_id} has nothing like that on {of_day}")
    if as_json:
        click.echo(json.dumps(trace_text.trace_as_dict(wanted, found), ensure_ascii=False))
    else:
        trace_text.print_trace(console, wanted, found)
    sys.exit(0 if all(row.ties for row in found) else 1)


def _tell_about(identity: str, *, as_json: bool) -> None:
    with closing(connect(load_settings("cli").mysql)) as connection, snapshot(connection):
        try:
            found = trace_identity.about(Rows(connection), identity)
        except trace_identity.UnknownIdentity as error:
            raise click.ClickException(str(error)) from error
    if found.is_empty:
        raise click.ClickException(f"nothing is recorded about {identity}")
    if as_json:
        click.echo(json.dumps(trace_text.about_as_dict(found), ensure_ascii=False))
    else:
        trace_text.print_about(console, found)


COMMANDS = (statement_command, trace_command)
