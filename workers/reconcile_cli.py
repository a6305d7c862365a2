"""`fleet reconcile`, `fleet breaks` and `fleet adopt`: books against the exchange."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.ledger.days import time_text
from shared.ledger.money import LEDGER, plain
from shared.ledger.reconcile import CAUSES
from shared.mysql import book_breaks
from shared.mysql import reconcile as books
from shared.mysql.book import Book
from shared.mysql.book_breaks import Break
from shared.mysql.connection import connect, transaction
from workers import adopt as adopting
from workers.adopt import AdoptRefused, Plan
from workers.facts_cli import moment
from workers.reconcile import reconcile_account
from workers.roles import load_settings

console = Console()
LIST_ROWS = 50
DECIDED_BY_PEOPLE = "_conflict"
"""What the kinds end in that stay open until somebody has looked."""

_account = click.option("--account", "account_id", type=click.IntRange(min=1))


@click.command("reconcile")
@_account
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def reconcile(account_id: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Compare the books with the exchanges' own reports; exit 1 if anything differs."""
    settings = load_settings("cli")
    found: list[Break] = []
    with closing(connect(settings.mysql)) as connection:
        reporting = books.reporting(connection)
        connection.commit()
        wanted = [one for one in reporting if account_id in {None, one}]
        for one in wanted:
            found += reconcile_account(connection, settings, one)
    if as_json:
        told = [_as_dict(one) for one in found]
        click.echo(json.dumps({"accounts": len(wanted), "differences": told}))
    elif found:
        console.print(_table(found))
    elif wanted:
        click.echo(f"nothing differs: {len(wanted)} accounts compared")
    else:
        whom = "no account" if account_id is None else f"account {account_id}"
        none_yet = "has a report yet" if account_id is None else "has no report yet"
        click.echo(f"nothing compared: {whom} {none_yet} (position.observed, balance.observed)")
    sys.exit(1 if found else 0)


@click.group("breaks")
def breaks_group() -> None:
    """What contradicts something else: reports one another, books and exchange."""


@breaks_group.command("list")
@_account
@click.option("--kind", help="One kind, for example position_diverged.")
@click.option("--closed", is_flag=True, help="Those that are closed, too.")
@click.option("--limit", default=LIST_ROWS, show_default=True)
def breaks_list(
    account_id: int | None, kind: str | None, closed: bool, limit: int  # noqa: FBT001
) -> None:
    """Open breaks, oldest first."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = book_breaks.listed(connection, account_id, kind, closed=closed, limit=limit)
    table = Table("id", "account", "kind", "of", "what", "cause", "opened at", "closed at")
    for one in found:
        table.add_row(
            str(one.id), _shown(one.account_id), one.kind, escape(_subject(one)),
            escape(_what(one)), one.cause or "", _shown(one.opened_at), _shown(one.closed_at),
        )  # fmt: skip
    console.print(table)


@breaks_group.command("show")
@click.argument("break_id", type=int)
def breaks_show(break_id: int) -> None:
    """Everything about one break."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        one = _find(connection, break_id)
    lines: dict[str, Any] = {
        "id": one.id, "kind": one.kind, "account": one.account_id, "of": _subject(one),
        "ours": one.expected, "venue's": one.actual, "difference": _apart(one),
        "cause": _cause(one), "opened at": one.opened_at, "closed at": one.closed_at,
        **{_name(name): _detail(name, value) for name, value in one.details.items()},
    }  # fmt: skip
    for name, value in lines.items():
        click.echo(f"{name:12} {_shown(value)}")


@breaks_group.command("close")
@click.argument("break_id", type=int)
@click.option("--reason", required=True, help="What was found; kept with the break.")
def breaks_close(break_id: int, reason: str) -> None:
    """Close a break of reports that contradict one another, once somebody has looked.

    It opens again if a report says something new. Other breaks close by themselves.
    """
    decision = f"{_shown(datetime.now(UTC))}: {reason.strip()}"
    with closing(connect(load_settings("cli").mysql)) as connection, transaction(connection):
        one = _find(connection, break_id)
        if not one.kind.endswith(DECIDED_BY_PEOPLE):
            raise click.ClickException(f"{one.kind} closes by itself, when its cause is gone")
        if one.account_id is not None:
            Book(connection).lock_accounts([one.account_id])
            one = _find(connection, break_id)
        if one.closed_at is not None:
            raise click.ClickException(f"it is closed since {_shown(one.closed_at)}")
        book_breaks.close_decided(connection, one, decision)
    click.echo(f"break {break_id} closed")


@click.command("adopt")
@click.option("--account", "account_id", type=click.IntRange(min=1), required=True)
@click.option("--at", type=moment, help="Only reports up to this time: 2026-07-01T08:00Z.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt(account_id: int, at: datetime | None, yes: bool) -> None:  # noqa: FBT001
    """Begin an account's books with what its newest reports say it holds."""
    settings = load_settings("cli")
    with closing(connect(settings.mysql)) as connection:
        try:
            made = adopting.plan(connection, account_id, at, settings.partitions)
        except AdoptRefused as refused:
            raise click.ClickException(f"nothing was adopted: {refused}") from None
        _print_plan(made)
        if not made.openings:
            click.echo("nothing to adopt: the books agree, or the openings are on their way")
            return
        if not yes:
            click.confirm(
                "From its report on each is what the report says, whatever fills before it say; "
                "nothing is realized by it. Record them?",
                abort=True,
            )
        adopting.record(connection, made.openings)
    click.echo(
        f"{len(made.openings)} openings recorded; once they are applied: "
        f"`fleet reconcile --account {account_id}`"
    )


COMMANDS = (reconcile, breaks_group, adopt)


def _find(connection: Any, break_id: int) -> Break:
    one = book_breaks.find(connection, break_id)
    if one is None:
        raise click.ClickException(f"no break {break_id}; `fleet breaks list` shows them")
    return one


def _print_plan(made: Plan) -> None:
    table = Table("position", "books hold", "report holds", "entry price", "from")
    for report, held, _ in made.openings:
        table.add_row(
            escape(" ".join(report[1:4])), plain(held), plain(report.qty),
            _shown(report.entry_price), _at(report.watermark_ms),
        )  # fmt: skip
    if made.openings:
        console.print(table)
    for key in made.unnamed:
        console.print(f"no report names {escape(' '.join(key[1:]))}: left as it is")


def _table(found: list[Break]) -> Table:
    table = Table("account", "of", "what", "ours", "venue's", "difference", "cause", "break")
    for one in found:
        table.add_row(
            _shown(one.account_id), escape(_subject(one)), escape(_what(one)),
            _shown(one.expected), _shown(one.actual), _shown(_apart(one)), escape(_cause(one)),
            str(one.id),
        )  # fmt: skip
    return table


def _as_dict(one: Break) -> dict[str, Any]:
    return {
        "break_id": one.id,
        "account_id": one.account_id,
        "kind": one.kind,
        "of": _subject(one),
        "what": _what(one),
        "ours": _text(one.expected),
        "venues": _text(one.actual),
        "difference": _text(_apart(one)),
        "cause": one.cause,
        "details": one.details,
        "opened_at": one.opened_at.isoformat(),
    }


def _subject(one: Break) -> str:
    """What its identity names, without account: `linear BTCUSDT net`, `USDT linear`."""
    kind, *parts = json.loads(one.identity)
    known = parts[1:] if one.account_id is not None else parts
    named = " ".join(str(part) for part in known if part != "")
    return named if kind in {"position", "balance"} else f"{kind} {named}"


def _what(one: Break) -> str:
    return str(one.details.get("what") or ", ".join(sorted(one.details)))


def _cause(one: Break) -> str:
    if one.cause is None:
        return ""
    return f"{one.cause}: {CAUSES[one.cause]}" if one.cause in CAUSES else one.cause


def _apart(one: Break) -> Decimal | None:
    """The venue's less ours."""
    if one.expected is None or one.actual is None:
        return None
    return LEDGER.subtract(one.actual, one.expected)


def _name(detail: str) -> str:
    return detail.removesuffix("_ms").replace("_", " ")


def _detail(name: str, value: Any) -> str:
    if name.endswith("_ms"):
        return _at(int(value))
    return ", ".join(value) if isinstance(value, list) else str(value)


def _at(at_ms: int) -> str:
    return f"{time_text(at_ms)[:-3]} UTC"


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return "" if value is None else str(value)
