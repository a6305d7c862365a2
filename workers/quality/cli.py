"""`fleet quality`: what the checks of the data found."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from shared.mysql.connection import connect
from shared.settings import Settings
from workers.quality.checks import Check, checks_of
from workers.quality.found import Found
from workers.quality.run import Stored, look, stored
from workers.roles import load_settings
from workers.terminal import cell, number

console = Console()


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Look now instead of showing the last look.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def quality(at_once: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Whether the data is complete, right, in time, once; exit 1 if an objective is missed."""
    settings = load_settings("cli")
    checks, found = checks_of(settings), _found(settings, at_once=at_once)
    missed = [name for name, one in checks.items() if not met(one, found.get(name))]
    if as_json:
        click.echo(json.dumps([_told(name, one, found.get(name)) for name, one in checks.items()]))
    else:
        _print(checks, found)
        for name in missed:
            click.echo(f"{name}: {checks[name].do}")
    sys.exit(1 if missed else 0)


COMMANDS = (quality,)


def met(check: Check, last: Stored | None) -> bool:
    """One that never could look is not met."""
    return last is not None and last.found is not None and last.found.part >= check.objective


def _found(settings: Settings, *, at_once: bool) -> dict[str, Stored]:
    if not at_once:
        with closing(connect(settings.mysql)) as connection:
            return dict(stored(connection))
    now = datetime.now(UTC)
    return {
        name: Stored(one, now, 0.0, "") if isinstance(one, Found) else Stored(None, None, 0.0, one)
        for name, one in look(settings, now).items()
    }


def _told(name: str, check: Check, last: Stored | None) -> dict[str, Any]:
    found = last.found if last else None
    return {
        "check": name,
        "dimension": check.dimension,
        "what": check.what,
        "good": found.good if found else None,
        "total": found.total if found else None,
        "part": found.part if found else None,
        "objective": check.objective,
        "met": met(check, last),
        "detail": found.detail if found else "",
        "checked_at": last.checked_at.isoformat() if last and last.checked_at else None,
        "error": last.error if last else "never looked: are the roles beat and jobs running?",
        "do": check.do,
    }


def _print(checks: dict[str, Check], found: dict[str, Stored]) -> None:
    table = Table("check", "dimension", "good", "of", "must be", "", "counts", "which not")
    for name, check in checks.items():
        told = _told(name, check, found.get(name))
        table.add_row(
            cell(name), cell(check.dimension), number(told["good"]), number(told["total"]),
            number(f"{check.objective:.1%}"), cell("" if told["met"] else "MISSED"),
            cell(check.what), cell(told["detail"] or told["error"]),
        )  # fmt: skip
    console.print(table)
