"""`fleet drain` and `fleet undrain`: a role takes no work, and goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from shared.settings import Settings
from workers.drain import DRAINABLE, Node, RoleDrain
from workers.roles import ROLES, load_settings
from workers.terminal import cell

LOOK_SECONDS = 0.5
console = Console()


@click.command("drain")
@click.argument("role", required=False)
@click.option("--why", default="", help="Shown to whoever looks at it at night.")
@click.option("--seconds", type=float, help="How long to wait; by default the role's drain time.")
def drain_command(role: str | None, why: str, seconds: float | None) -> None:
    """A role takes no work, until `fleet undrain`; waits until nobody of it holds any.

    Without ROLE: what is drained, and what each process holds. Exit 1 if some is still held.
    """
    settings = load_settings("cli")
    if role is None:
        _show(settings)
        return
    _refuse_others(role)
    from workers.drain_build import ask_to_drain, look_at_drain  # noqa: PLC0415 - opens drivers

    ask_to_drain(settings, role, why)
    deadline = time.monotonic() + (ROLES[role].drain_seconds if seconds is None else seconds)
    said = ""
    while True:
        found = look_at_drain(settings, role)
        if found.done:
            break
        now = _holding(found.nodes)
        if now != said:
            said = now
            click.echo(f"{role}: {now}")
        if time.monotonic() >= deadline:
            click.echo(f"{role} is still at it; it goes on draining, `fleet drain` shows how far")
            sys.exit(1)
        time.sleep(LOOK_SECONDS)
    nodes = f"{len(found.nodes)} processes hold nothing" if found.nodes else "no process runs"
    click.echo(f"{role} is drained: {nodes}; `fleet undrain {role}` lets it go on")


@click.command("undrain")
@click.argument("role")
def undrain_command(role: str) -> None:
    """A drained role takes work again, within a second or two."""
    _refuse_others(role)
    from workers.drain_build import undrain  # noqa: PLC0415 - opens drivers

    was = undrain(load_settings("cli"), role)
    click.echo(f"{role} goes on" if was else f"{role} was not drained")


def _refuse_others(role: str) -> None:
    if role in DRAINABLE:
        return
    if role in ROLES:
        raise click.ClickException(f"{role} takes no work that could be lost: just stop it")
    raise click.ClickException(f"no role {role!r}: one of {', '.join(DRAINABLE)}")


def _holding(nodes: Sequence[Node]) -> str:
    """Who still holds what."""
    told = [
        f"{one.name} holds {one.holds}" if one.heard else f"{one.name} has not heard yet"
        for one in nodes
        if one.holds or not one.heard
    ]
    return ", ".join(told) or "nobody holds anything"


def _show(settings: Settings) -> None:
    from workers.drain_build import look_at_drain  # noqa: PLC0415 - opens drivers

    table = Table("role", "drained since", "why", "processes", "still held")
    for role in DRAINABLE:
        found = look_at_drain(settings, role)
        table.add_row(role, *map(cell, _row(found)))
    console.print(table)


def _row(found: RoleDrain) -> tuple[str, str, str, str]:
    names = "\n".join(one.name for one in found.nodes) or "none"
    if found.asked is None:
        return "", "", names, ""
    since = datetime.fromtimestamp(found.asked.since_ms / 1000, UTC)
    return f"{since:%Y-%m-%d %H:%M:%S}", found.asked.why, names, _holding(found.nodes)


COMMANDS = (drain_command, undrain_command)
