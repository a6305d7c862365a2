"""`fleet sync`: how fresh the accounts are, and one of them asked now."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from shared.exchanges.table import VENUES
from shared.ledger.days import time_text
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.roles import load_settings
from workers.sync import planner
from workers.sync import status as sync_status
from workers.sync.status import SQL
from workers.terminal import cell, number

console = Console()

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.5
SUSPENDED = "suspended: store another key in the application"


@click.command()
@click.option("--account", type=click.IntRange(min=0), help="Ask this one now, and wait for it.")
@click.option("--all", "everybody", is_flag=True, help="Everybody is due now.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def sync(account: int | None, everybody: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Show how fresh the accounts are; ask one of them, or all, now."""
    settings = load_settings("cli")
    if account is not None:
        _ask(settings, account)
    elif everybody:
        with closing(connect(settings.mysql)) as connection:
            asked = planner.ask_all_now(connection)
            connection.commit()
        click.echo(f"{asked} accounts are due; `fleet sync` shows how they come along")
    else:
        _show(settings, as_json=as_json)


def _ask(settings: Settings, account: int) -> None:
    with closing(connect(settings.mysql)) as connection:
        before = _state(connection, account)
        if before is None:
            raise click.ClickException(
                f"account {account} is not synced: its venue is unknown, Laravel does not have it "
                "as active, or beat has not seen it yet (10 s)"
            )
        if before[3] != "active":
            raise click.ClickException(f"account {account} is {before[3]}: {before[2] or ''}")
        planner.ask_now(connection, [account])
        connection.commit()
        ends = time.monotonic() + PATIENCE_SECONDS
        while (now := _state(connection, account)) is None or now[0] == before[0]:
            if time.monotonic() > ends:
                raise click.ClickException("nobody came: are the roles beat and sync running?")
            time.sleep(LOOK_SECONDS)
        _show_account(connection, account)
    if now[2]:
        raise click.ClickException(now[2])


def _state(connection: Any, account: int) -> tuple[Any, ...] | None:
    cursor = connection.cursor()
    cursor.execute(SQL["ran_since"], (account,))
    row: tuple[Any, ...] | None = cursor.fetchone()
    connection.commit()
    return row


def _show(settings: Settings, *, as_json: bool) -> None:
    with closing(connect(settings.mysql)) as connection:
        found = sync_status.groups(connection)
        troubled = sync_status.failing(connection)
        unknown = planner.unknown(connection)
        gaps = sync_status.gaps(connection)
    if as_json:
        click.echo(json.dumps({
            "groups": [one._asdict() for one in found],
            "failing": [one._asdict() for one in troubled],
            "stream_gaps": [one._asdict() for one in gaps],
            "not_synced": [one._asdict() for one in unknown],
        }))  # fmt: skip
        return
    table = Table(
        "venue", "address", "tier", "state", "accounts", "failing", "overdue s", "oldest s",
        "never read",
    )  # fmt: skip
    for one in found:
        table.add_row(
            cell(one.venue), cell(one.egress), one.tier, one.state, number(one.accounts),
            number(one.failing), f"{one.late_seconds:.1f}", f"{one.stale_seconds:.1f}",
            number(one.unread),
        )  # fmt: skip
    console.print(table)
    for left in unknown:
        console.print(
            f"[yellow]not synced: {left.accounts} active accounts with venue {left.venue!a} and "
            f"product {left.product!a}; there are {', '.join('/'.join(pool) for pool in VENUES)}"
        )
    if troubled:
        rows = Table("account", "venue", "state", "failures", "why")
        for bad in troubled:
            rows.add_row(number(bad.account_id), cell(bad.venue), bad.state,
                         number(bad.failures), cell(bad.error))  # fmt: skip
        console.print(rows)
    if gaps:
        open_gaps = Table("user streams of", "gaps by", "open", "down", "oldest s")
        for gap in gaps:
            open_gaps.add_row(cell(gap.venue), gap.cause, number(gap.gaps), number(gap.down),
                              f"{gap.oldest_seconds:.1f}")  # fmt: skip
        console.print(open_gaps)


def _show_account(connection: Any, account: int) -> None:
    cursor = connection.cursor()
    cursor.execute(SQL["kinds"], (account,))
    table = Table("kind", "asked", "found through", "in the books through", "next")
    for kind, due_at, ran_at, found_ms, complete_ms, _ in cursor.fetchall():
        table.add_row(kind, cell(ran_at), _moment(found_ms), _moment(complete_ms), cell(due_at))
    console.print(table)


def _moment(at_ms: int | None) -> str:
    return "" if at_ms is None else time_text(at_ms)[:-3]


COMMANDS = (sync,)
